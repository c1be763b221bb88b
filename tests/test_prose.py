"""Words that people read are plain English: no phrase that only a translator would write."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import aichatkit

ROOT = Path(__file__).parents[1]
PACKAGE = Path(aichatkit.__file__).parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Phrase -> what to write instead.
PHRASES = {
    r"tells?|told": "says, returns, reports, detects",
    r"anew": "again",
    r"thereby|hereby|whereby|therein": "plainer words",
    r"whom": "which, to which",
    r"in the place of|in its place": "instead of",
    r"steps? aside": "is skipped",
    r"left alone": "skipped, on cooldown",
    r"asked once|asked anew": "sent once, sent again",
    r"what came|has come|had come": "the text received",
    r"from [01] on": "at least",
    r"of one's own": "your own",
    r"misspelt": "misspelled",
    r"no wait is waited": "waits are skipped",
    r"is no (?:model|answer|picture|path)": "is not a ...",
    r"under way": "in progress",
    r"goes along|went along": "is attached",
    r"stands (?:for|in|before|under)": "means, is, replaces, goes below",
    r"by itself": "on its own, separately, automatically",
    r"beside": "next to, in addition to",
}
PATTERNS = {phrase: re.compile(rf"\b(?:{phrase})\b", re.IGNORECASE) for phrase in PHRASES}
#: Where the text is a quotation, or a name that cannot change.
EXCEPTIONS = {
    "sandbox/script.py",  # ELIZA, who says "Tell me more"
    "sandbox/wires/base.py",
}
#: On which page a reader who searches for a term has to find it, and near its top.
TERMS = {
    "conversations.md": ["system prompt", "conversation history", "context window"],
    "structured.md": ["structured output", "JSON mode", "JSON schema"],
    "tools.md": ["function calling", "tool calling"],
    "mcp.md": ["MCP server", "Model Context Protocol"],
    "files.md": ["vision", "multimodal", "attachments", "images"],
    "images.md": ["image generation"],
    "decisions.md": ["classification", "labels", "probabilities", "confidence", "moderation", "routing", "logprobs"],
    "embeddings.md": ["embeddings", "semantic search"],
    "batches.md": ["parallel requests", "batch processing"],
    "limits-and-quotas.md": ["rate limit", "quota", "exponential backoff", "retries"],
    "stream.md": ["streaming"],
    "fallback.md": ["fallback"],
    "corporate-networks.md": ["proxy", "certificate"],
    "observing.md": ["logging", "OpenTelemetry"],
    "keys.md": ["API keys"],
    "parameters.md": ["reasoning_effort", "top_k", "max_tokens", "temperature"],
    "costs.md": ["token count", "token usage"],
    "prompt-caching.md": ["prompt caching", "cached tokens"],
}
#: Terms that the documentation must have somewhere.
ANYWHERE = ("token count", "reasoning_effort", "top_k", "timeout", "prompt caching")


def messages(path):
    """Return the texts of a module that people read: all string literals but docstrings of private names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    ]


def prose(text):
    """Return a page without its code."""
    text = re.sub(r"^(?:```.*?^```|<!--.*?-->)$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`", "``", text)


def hits(text):
    """Return each phrase found, with what stands around it."""
    return [
        text[max(0, match.start() - 40) : match.end() + 30] for p in PATTERNS.values() for match in p.finditer(text)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_no_translated_phrase(page):
    assert hits(prose(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_has_no_translated_phrase_in_its_texts(module):
    if module.relative_to(PACKAGE).as_posix() in EXCEPTIONS:
        pytest.skip("a quotation")
    assert [(line, found) for line, text in messages(module) for found in hits(text)] == []


@pytest.mark.parametrize(("page", "terms"), TERMS.items())
def test_a_term_that_people_search_for_is_near_the_top_of_its_page(page, terms):
    top = (ROOT / "docs" / page).read_text(encoding="utf-8")[:900].lower()
    assert [term for term in terms if term.lower() not in top] == []


@pytest.mark.parametrize("term", ANYWHERE)
def test_a_term_that_people_search_for_is_somewhere(term):
    assert any(term.lower() in page.read_text(encoding="utf-8").lower() for page in PAGES)


def test_a_phrase_is_found():
    assert hits("The error tells you, and the key steps aside.") != []
    assert hits("The name stands for a model that, beside others, is chosen by itself.") != []
    assert hits("Use it instead of the key, and `told` is code.".replace("`told`", "``")) == []
