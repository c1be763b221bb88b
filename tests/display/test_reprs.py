"""Errors, replies, conversations and results show themselves: short, escaped, and without a key."""

from __future__ import annotations

import pytest
from notebook_shell import drop_shell, make_shell

from aichatkit import Attempt, ChatError, Client, ConfigurationError, RateLimitError, Reply
from aichatkit.chunks import Citation
from aichatkit.display.markup import NO_MATH
from aichatkit.display.reprs import chat_markdown, error_html, error_lines, reply_markdown
from aichatkit.messages import File, Message
from aichatkit.testing import Fake


def reply(text="**Paris**", **fields):
    return Reply(text=text, provider="openai", model="gpt-6-luna", **fields)


def limited(**fields):
    first = RateLimitError("openai: rate limited")
    attempts = [Attempt("openai", "gpt-6-sol", first, wait=2.1, elapsed=0.3), Attempt("groq", "x", None, elapsed=1.0)]
    return RateLimitError("openai: rate limited; <wait>", attempts=attempts, **fields)


# Replies.


def test_reasoning_of_a_reply_is_folded_above_it():
    assert reply_markdown(reply(reasoning="Hm.")) == (
        "<details><summary>Reasoning</summary>\n\nHm.\n\n</details>\n\n**Paris**"
    )


def test_a_reply_that_broke_off_says_so():
    assert reply_markdown(reply("Par", complete=False)) == "Par\n\n*(broken off)*"
    assert reply_markdown(reply("Par", complete=None)) == "Par"


def test_the_pages_that_a_reply_cites_are_links_below_it_and_nothing_else_is_one():
    cited = [
        Citation("https://example.org/a(b)", "Ebb & [flow](x) <b> ![p](q)", 0, 1, "*"),
        Citation("https://example.org/a(b)", "", 2, 3, "P"),
        Citation("javascript:alert(1)", "`x`\ny $1"),
        Citation("https://example.org/>x", ""),
    ]
    _, _, listed = reply(citations=cited)._repr_markdown_().partition("**Sources**\n\n")
    assert listed.splitlines() == [
        "1. [Ebb &amp; &#91;flow&#93;(x) &lt;b&gt; &#33;&#91;p&#93;(q)](<https://example.org/a(b)>)",
        "2. &#96;x&#96; y &#36;1",
        "3. https://example.org/&gt;x",
    ]
    assert "Sources" not in reply()._repr_markdown_()


def test_html_in_a_reply_is_escaped_and_its_pictures_are_shown():
    picture = "data:image/png;base64,iVBORw0KGgo="
    shown = reply("<b> ![](image-1) ![](https://x.example/spy.png)", images=[picture])._repr_markdown_()
    assert shown == f"&lt;b> ![]({picture}) [picture: ](https://x.example/spy.png)"


# Conversations.


def test_a_chat_shows_its_turns(client):
    chat = client.chat(system="Be <brief>.")
    chat.ask("Hello *you*!")
    question, answer = chat.history
    assert chat._repr_markdown_() == (
        f"*2 messages*\n\n**System**\n\nBe &lt;brief>.\n\n**You**\n\nHello *you*!\n\n**Assistant**\n\n{answer.text}"
    )
    assert question.text == "Hello *you*!"


def test_a_long_chat_shows_its_last_turns():
    shown = chat_markdown(None, [Message("user", f"turn {number}") for number in range(1000)])
    assert shown.startswith("*1,000 messages*\n\n*... 980 earlier ...*\n\n**You**\n\nturn 980")
    assert shown.endswith("turn 999")


def test_files_in_a_chat_are_named():
    parts = [
        {"type": "text", "text": "Look:"},
        {"type": "file", "file": File("image", "image/png", "cat.png", b"...")},
        {"type": "file", "file": File("pdf", "application/pdf", "", b"...")},
        {"type": "image_url", "image_url": {"url": "https://x.example"}},
    ]
    assert chat_markdown(None, [Message("user", parts)]).endswith("Look:\n\n(image cat.png)\n\n(pdf)\n\n(image_url)")


# Errors.


def test_an_error_is_told_with_its_tries():
    assert error_lines(limited()) == [
        "RateLimitError: openai: rate limited; <wait>",
        "  try  asked             outcome         seconds  waited",
        "  1    openai/gpt-6-sol  RateLimitError  0.3      2.1",
        "  2    groq/x            answered        1.0      0.0",
    ]


def test_one_try_needs_no_table_and_many_are_cut():
    one = Attempt("openai", "x", RateLimitError("no"))
    assert len(error_lines(RateLimitError("no", attempts=[one]))) == 1
    assert len(error_lines(RateLimitError("no", attempts=[one] * 500))) == 22


def test_an_error_tells_of_the_text_it_keeps():
    assert error_lines(ChatError("cut", partial="x" * 1200))[-1] == (
        "1,200 characters of the answer were received and are in `.partial`."
    )
    assert "1 character of" in error_lines(ChatError("cut", partial="x"))[-1]


def ask_wrongly():
    Client(model="openai", api_key="sk-very-secret", modle=1)


def test_an_error_tells_the_last_place_in_the_user_s_code_and_no_line_of_it():
    with pytest.raises(ConfigurationError) as caught:
        ask_wrongly()
    message, place = error_lines(caught.value)
    assert "did you mean 'model'" in message
    assert place == f"{__file__}, line {ask_wrongly.__code__.co_firstlineno + 1}, in ask_wrongly"
    assert "sk-very-secret" not in "".join(error_lines(caught.value))


def test_an_error_that_was_never_raised_has_no_place():
    assert error_lines(ChatError("x")) == ["ChatError: x"]


def test_an_error_shows_itself_as_html_with_everything_escaped():
    shown = error_html(limited(partial="<script>"))
    assert shown.startswith(f"<div {NO_MATH}><b>RateLimitError</b>: openai: rate limited; &lt;wait&gt;<table>")
    assert "<td" in shown
    assert "&lt;script&gt;</pre></details>" in shown
    assert ChatError("<b>")._repr_html_() == f"<div {NO_MATH}><b>ChatError</b>: &lt;b&gt;</div>"


def test_ipython_shows_an_error_short(tmp_path, capsys):
    pytest.importorskip("IPython")
    shell = make_shell(tmp_path)
    try:
        shell.run_cell("import aichatkit\n\ndef f():\n    aichatkit.Client(api_key='sk-very-secret', modle=1)\n\nf()")
    finally:
        drop_shell(shell)
    told = capsys.readouterr()
    assert "ConfigurationError: unknown option" in told.out
    assert "line 4, in f" in told.out
    assert "sk-very-secret" not in told.out + told.err


# Results.


def test_results_show_how_many_and_the_first_rows(client, sandbox):
    sandbox.says("<b>Paris</b>" + "s" * 400)
    results = client.map([f"<i>{number}" for number in range(12)], workers=8).finish()
    shown = results._repr_html_()
    assert shown.startswith(f"<div {NO_MATH}><p>12 rows, 12 answered, 0 failed, ")
    assert ", $" in shown
    assert shown.endswith("<p>... 2 more</p></div>")
    assert (shown.count("<tr>"), shown.count("<td")) == (11, 30)
    assert "&lt;i&gt;9" in shown
    assert "<b>" not in shown
    assert "s..." in shown
    # A long word does not widen the table.
    assert shown.count("overflow-wrap: anywhere") == 33


def test_results_show_errors_and_why_rows_were_not_asked(client, sandbox):
    sandbox.script("quota")
    results = client.map([[{"role": "user", "content": "a"}], "b"], workers=1).finish()
    shown = results._repr_html_()
    assert shown.startswith(f"<div {NO_MATH}><p>2 rows, 0 answered, 1 failed, 1 not asked")
    assert "QuotaExceededError: " in shown
    assert "{&#x27;role&#x27;" in shown or "Message(" in shown
    assert results.stopped is not None
    assert f"<p>{str(results.stopped)[:20]}" in shown
    assert "more</p>" not in shown


def test_results_that_are_under_way_are_not_waited_for(client, sandbox):
    results = client.map(["a", "b"], as_completed=True)
    assert results._repr_html_() == "<p>&lt;Results, 0 so far&gt;</p>"
    assert sandbox.requests == []
    results.close()


def test_results_without_tokens_or_prices_show_neither():
    with Client(model="offline") as client:
        shown = client.map(["a"]).finish()._repr_html_()
    assert shown.startswith(f"<div {NO_MATH}><p>1 row, 1 answered, 0 failed")


def test_no_formula_is_made_of_the_prices_in_a_table_or_an_error():
    results = Fake("price $5 and $6").client().map(["x"], progress=False)
    for shown in (results._repr_html_(), error_html(ChatError("$5 of $6 are spent"))):
        assert shown.startswith('<div class="tex2jax_ignore mathjax_ignore">')
        assert shown.endswith("</div>")
