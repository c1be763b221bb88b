"""Every page of the docs runs as it stands, can be reached, and names only what there is."""

from __future__ import annotations

import builtins
import re
import shutil
import sys
from pathlib import Path

import pages
import pytest

import aichatkit

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
#: What a block may hold; of these, Python and commands are run.
LANGUAGES = {
    "javascript",
    "python",
    "bash",
    "text",
    "ini",
    "json",
    "yaml",
    "html",
    "{image}",
    "{include}",
    "{literalinclude}",
    "{toctree}",
    "{eval-rst}",
}


def without_others(name):
    """Return a page without what stands there by the names of another package."""
    if name.startswith("coming-from"):
        return re.sub(r"^\| .*? \|", "", TEXTS[name], flags=re.MULTILINE)
    if name == "reliability.md":
        return re.sub(r"^(\|[^|]*\|[^|]*\|)(?:[^|]*\|){4}$", r"\1", TEXTS[name], flags=re.MULTILINE)
    return TEXTS[name]


def prose(text):
    """Return a page without its blocks, comments and tables."""
    return re.sub(r"^(```.*?^```|<!--.*?-->|\|.*?)$", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sh") is None, reason="the commands are for a shell")
@pytest.mark.filterwarnings("ignore:Transitional processing:DeprecationWarning")  # requests-cache on the oldest Python
@pytest.mark.usefixtures("reader", "path")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run_in_order(page, sandbox, monkeypatch, tmp_path):
    # Classes of an example are found again by those who pickle them or read their annotations.
    module = type(sys)("__main__")
    module.sandbox = sandbox
    monkeypatch.setitem(sys.modules, "__main__", module)
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    pages.run_page(page, module.__dict__)


@pytest.mark.parametrize("name", TEXTS)
def test_a_block_tells_its_language(name):
    assert {block.language.split()[0] for block in pages.blocks_of(TEXTS[name])} <= LANGUAGES
    assert TEXTS[name].count("\n```") == 2 * len(re.findall(r"^```.*?^```$", TEXTS[name], re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_said_of_a_block_is_understood(name):
    markers = [block.marker for block in pages.blocks_of(TEXTS[name]) if block.marker]
    assert [marker for marker in markers if not re.match(r"not run: \w+ |needs: \w+|prints$", marker)] == []


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "index.md"])
def test_a_page_can_be_reached(name):
    listed = [
        line for block in re.findall(r"```\{toctree\}.*?```", TEXTS["index.md"], re.DOTALL) for line in block.split()
    ]
    assert listed.count(name[: -len(".md")]) == 1


def test_every_public_name_is_in_the_reference():
    named = re.findall(r"^\.\. auto\w+:: (?:[\w.]+\.)?(\w+)", TEXTS["reference.md"], re.MULTILINE)
    errors = {name for name in aichatkit.__all__ if name.endswith("Error")}  # by the module that holds them
    assert sorted({*aichatkit.__all__} - {*named, "__version__"} - errors) == []


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_to_files(name):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXTS[name])
    assert [target for target in targets if not (DOCS / target).exists()] == []


@pytest.mark.parametrize("name", TEXTS)
def test_every_error_named_is_of_the_package(name):
    named = set(re.findall(r"`(\w+Error)`", without_others(name)))
    builtin = {known for known in named if hasattr(builtins, known)}
    assert sorted(named - builtin - set(dir(aichatkit))) == []


@pytest.mark.parametrize("name", TEXTS)
def test_a_source_has_one_sentence_per_line(name):
    assert [line for line in prose(TEXTS[name]).splitlines() if re.search(r"[a-z]\. [A-Z]", line)] == []


# The rules themselves: a page that is wrong turns red.


def test_a_wrong_block_fails_at_its_line_of_the_page(tmp_path):
    page = tmp_path / "wrong.md"
    page.write_text("# Page\n\n```python\nx = 1\n1 / 0\n```\n", encoding="utf-8")
    with pytest.raises(ZeroDivisionError) as caught:
        pages.run_page(page, {})
    assert caught.traceback[-1].lineno + 1 == 5


def test_what_is_not_printed_as_told_fails(tmp_path):
    page = tmp_path / "wrong.md"
    page.write_text("```python\nprint('a')\n```\n\n<!-- prints -->\n\n```text\nb\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"wrong\.md:8: printed is\na"):
        pages.run_page(page, {})


def test_a_command_that_fails_fails(tmp_path):
    page = tmp_path / "wrong.md"
    page.write_text("```bash\nfalse\ntrue\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"wrong\.md:2: 1"):
        pages.run_page(page, {})


def test_setup_runs_and_what_is_only_shown_does_not(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- setup\nx = 1\n-->\n\n<!-- not run: it only shows -->\n\n```python\nx = 2\n```\n\n"
        "<!-- needs: no_such_module -->\n```python\nx = 3\n```\n\n<!-- prints -->\n```text\n3\n```\n",
        encoding="utf-8",
    )
    namespace = {}
    pages.run_page(page, namespace)
    assert namespace["x"] == 1
