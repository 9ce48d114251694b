"""What is recorded of estimates against published results is what the emulator gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offramp.estimate import points
from tools.estimate_check import PUBLISHED, counted, rows_of


@pytest.mark.emulator
@pytest.mark.parametrize(
    "chip", ["ESP32-C3", *(pytest.param(chip, marks=pytest.mark.soak) for chip in ("STM32L4R5", "nRF5340"))]
)
def test_recorded_points(chip: str, shared_data: Path) -> None:
    """To 2 %: another compiler counts a little differently."""
    rows = [row for row in json.loads(PUBLISHED.read_text()) if row["chip"].startswith(chip)]
    found = {(p.model, p.unit): p.estimated for row in rows for p in rows_of(row, counted(rows))}
    recorded = {(p.model, p.unit): p.estimated for p in points() if p.chip.startswith(chip)}
    assert found == pytest.approx(recorded, rel=0.02)
