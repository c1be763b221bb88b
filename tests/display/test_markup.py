"""What a model wrote does not run and loads nothing, and code in it stays as it is."""

from __future__ import annotations

import re

import pytest

from aichatkit.display.markup import collapsible, collapsible_html, escape, images_html, sanitize

DATA = "data:image/png;base64,iVBORw0KGgo="
URL = "https://pictures.example/cat.png"


@pytest.mark.parametrize("text", ["", "Plain.", "**bold** and *thin*", "a < b, 1<2, <3", "[a link](https://x.example)"])
def test_markdown_without_html_stays_as_it_is(text):
    assert sanitize(text) == text


@pytest.mark.parametrize("text", ["<b>", "</b>", "<!-- x -->", "<?php", "<img src=x onerror=f()>", "# <b>", "> <b>"])
def test_a_tag_is_shown_and_not_run(text):
    assert sanitize(text) == text.replace("<", "&lt;")


def test_a_bracket_that_is_escaped_already_is_escaped_once():
    assert sanitize("\\<b> \\\\<b>") == "&lt;b> \\\\&lt;b>"


def test_an_address_between_brackets_stays_a_link():
    assert sanitize("<https://x.example/a?b=c>") == "<https://x.example/a?b=c>"
    assert sanitize("<javascript:alert(1)>") == "&lt;javascript:alert(1)>"


@pytest.mark.parametrize(
    "code",
    [
        "`<b>`",
        "``<b> ` <i>``",
        "Use `<b>` and `<i>`.",
        "```html\n<b>\n```",
        "~~~\n<b>\n~~~",
        "````\n```\n<b>\n```\n````",
        "```\n<b>\n\n<i>\n```\nText.",
        "1. Do this:\n   ```html\n   <b>\n   ```\n2. And:\n   - that\n     ```\n     <i>\n     ```\nText.",
        "- a\n\n  ```\n  <b>\n  ```",
    ],
)
def test_code_stays_as_it_is(code):
    assert sanitize(code) == code


@pytest.mark.parametrize(
    "text",
    [
        "```\n<i>\n```\n<b>",
        "`a\nb ` <b> `c`",
        "\\` <b> `c`",
        "| `a | <b>` |",
        "text\n10. a\n    ```\n    <b>",
        "- a\nlazy\n  ```\n<b>",
        "  ```\n  x\n<b>",
        "  ```\n  x\n     ```\n  y\n  ```\n<b>",
        "> ```\n<b>",
        "\t```\n<b>",
        "``` `\n<b>",
        "x\r```\r```\r<b>",
        "~~~ `\n~~~\n<b>",
        "``` |\n|-|\n<b>",
        "``` |\n|-|\n```\n<b>",
        "[x]:\n~~~\n<b>",
        "http://x```<b>```",
        "`\n\N{NO-BREAK SPACE}\n`<b>`",
    ],
)
def test_what_could_be_read_in_two_ways_is_not_taken_for_code(text):
    assert "<b>" not in sanitize(text)
    assert "&lt;b>" in sanitize(text)


def test_a_paragraph_may_hold_code_again_after_one_with_a_lone_mark():
    assert sanitize("a ` b\n`<i>`\n\n`<b>`") == "a ` b\n`&lt;i>`\n\n`<b>`"


def test_code_that_is_still_growing_is_closed():
    assert sanitize("```python\na <b") == "```python\na <b\n```"


def test_the_language_of_code_holds_no_tag():
    assert sanitize("```<b>\nx\n```") == "```b>\nx\n```"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"![a cat]({URL})", f"[picture: a cat]({URL})"),
        (f"![]({URL}?q=secret)", f"[picture: ]({URL}?q=secret)"),
        (f"![a][1]\n\n[1]: {URL}", f"[picture: a][1]\n\n[1]: {URL}"),
        (f"![a [b]]({URL})", f"[picture: a [b]]({URL})"),
        ("![a](image-1)", "[picture: a]"),
        (f"`![a]({URL})`", f"`![a]({URL})`"),
        ("\\![a]", "\\![a]"),
    ],
)
def test_a_picture_that_a_model_only_writes_is_a_link(text, shown):
    assert sanitize(text) == shown


def test_pictures_the_service_sent_are_shown_where_they_stand():
    text = f"One: ![<a> cat](image-1) Two: ![]({URL}) Three: ![]({URL}2)"
    assert sanitize(text, [DATA, URL]) == f"One: ![&lt;a> cat]({DATA}) Two: ![]({URL}) Three: [picture: ]({URL}2)"


def test_a_held_picture_without_a_place_comes_last():
    assert sanitize("```\ncode", [DATA]) == f"```\ncode\n```\n\n![]({DATA})"


@pytest.mark.parametrize("image", ["javascript:alert(1)", "data:text/html;base64,AAAA", 'data:image/png;base64,"><b>'])
def test_what_is_no_picture_is_not_shown(image):
    assert sanitize("![a](image-1)", [image]) == "[picture: a]"
    assert images_html([image], "a") == ""


def test_pictures_are_html_with_everything_escaped():
    shown = images_html([URL, DATA], 'a "cat"')
    assert re.findall('src="(.*?)" alt="(.*?)"', shown) == [(URL, "a &quot;cat&quot;"), (DATA, "a &quot;cat&quot;")]


def test_what_is_folded_holds_no_html_of_its_own():
    assert collapsible("a </details> `b`", "<T>") == (
        "<details><summary>&lt;T&gt;</summary>\n\na &lt;/details> `b`\n\n</details>"
    )
    assert "</pre>" not in collapsible_html("</pre>", "T").replace("</pre></details>", "")


def test_code_that_is_cut_does_not_reach_out_of_the_fold():
    assert "```\nx\n```\n\n</details>" in collapsible("```\nx", "T")


def test_escaping_takes_any_value():
    assert escape(ValueError("<b>")) == "&lt;b&gt;"


def test_no_tag_of_a_model_gets_through_a_real_renderer():
    mistune = pytest.importorskip("mistune")
    hypothesis = pytest.importorskip("hypothesis")
    st = hypothesis.strategies
    parts = [
        "<b>",
        "`",
        "``",
        "```",
        "~~~",
        "\n",
        "\n\n",
        "  ",
        "    ",
        "- ",
        "1. ",
        "10. ",
        "> ",
        "|",
        "x",
        "\\",
        "\t",
    ]
    render = mistune.create_markdown(escape=False, plugins=["table"])

    @hypothesis.given(st.lists(st.sampled_from(parts), max_size=25).map("".join))
    @hypothesis.settings(max_examples=300, deadline=None, database=None)
    def check(text):
        assert "<b>" not in render(sanitize(text)), text

    check()


@pytest.mark.parametrize("part", ["x", "`", "` ", "![", "<", "[a", "- ", "`a` ", "![a](", "a://", "```\n"])
def test_a_long_text_takes_time_in_step_with_its_length(part):
    assert sanitize(part * 100_000)


def test_many_marks_of_code_that_fit_no_other_take_no_long_time():
    assert sanitize("".join("`" * length + " " for length in range(1, 700)))


# Formulas and prices.


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("price $5 and then $6, total $11", r"price \$5 and then \$6, total \$11"),
        ("US$5k, $.50 to -$3; $5/month", r"US\$5k, \$.50 to -\$3; \$5/month"),
        (r"\$5 is escaped already", r"\$5 is escaped already"),
        ("**$5** | $6 |", r"**\$5** | \$6 |"),
        ("`$5` and `` `$6 ``", "`$5` and `` `$6 ``"),
        ("```sh\necho $1 \\\\(a\\\\)\n```\n$5", "```sh\necho $1 \\\\(a\\\\)\n```\n\\$5"),
        ("$x = 5$, $2^n$, $10^{-3}$, $5$, $3x$ and $$5x$$", "$x = 5$, $2^n$, $10^{-3}$, $5$, $3x$ and $$5x$$"),
        (r"so \(a^2\) and \[ E=mc^2 \] hold", "so $a^2$ and $$ E=mc^2 $$ hold"),
        (r"\( 5x < y \)", "$5x < y$"),
        (r"\(a<b\) <b> \(![x](http://example.org/x.png)\)", "$a&lt;b$ &lt;b> $[picture: x](http://example.org/x.png)$"),
        (r"a backslash \\(x\\) and a \[link\](http://example.org)", None),
        ("\\[\nx < y \\\\\n5\n\\]\n$5", "$$\nx < y \\\\\n5\n$$\n\\$5"),
        ("\\[ a\n+ b \\] and \\[ c\n+ d \\]", "$$ a\n+ b $$ and $$ c\n+ d $$"),
        ("\\[ a\n\nb \\]", None),
        ("\\[ a\n`b` \\]", None),
        ("\\[ a\nb", None),
    ],
)
def test_formulas_are_told_from_prices(text, shown):
    assert sanitize(text) == (text if shown is None else shown)
