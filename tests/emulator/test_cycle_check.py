"""The Cortex-M4 cycle model stands within 20 % of published silicon, each model predicted from the others alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.cycle_check import LIMIT, cases, predictions


@pytest.mark.emulator
def test_each_model_left_out(shared_data: Path) -> None:
    found = predictions(cases())
    assert list(found) == ["KWS", "IC", "VWW", "AD"]
    assert {name: p.error for name, p in found.items() if abs(p.error) > LIMIT} == {}
