"""Token counts."""

from __future__ import annotations

import pytest

from aichatkit.catalog.tokens import estimate_tokens


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("世界", 2), ("\ud83d", 1)])
def test_four_bytes_are_about_a_token(text, tokens):
    assert estimate_tokens(text) == tokens
