"""Fixtures for the tests of MCP servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mcp_server import HTTPServer


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A server of the current revision."""
    running = HTTPServer()
    yield running
    running.close()
