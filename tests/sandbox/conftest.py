from __future__ import annotations

import pytest

from aichatkit.sandbox import Sandbox


@pytest.fixture
def box():
    with Sandbox() as sandbox:
        yield sandbox
