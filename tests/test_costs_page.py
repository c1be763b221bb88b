"""The page on costs: its table is what the script makes, and our figures are the bills."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
SCRIPT = runpy.run_path(str(DOCS / "compare_costs.py"))
PAGE = (DOCS / "costs.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", SCRIPT["CASES"], ids=lambda case: f"{case.name} {case.what}")
def test_the_table_has_our_figure_and_it_is_the_bill(case):
    bill, cost = case.dollars / 1e6 + case.fee, SCRIPT["with_aichatkit"](case)
    assert (cost is None) if math.isnan(bill) else cost == pytest.approx(bill, abs=1e-9)
    figures = "not known | none" if math.isnan(bill) else f"{bill:.7f} | {bill:.7f}"
    assert f"| {case.what} | `{case.name}` | {figures} |" in PAGE
