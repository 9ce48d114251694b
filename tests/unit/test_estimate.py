"""Time, energy and battery from cycles: sums by hand, and the recorded errors against published results."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from offramp import boards
from offramp.boards import Power
from offramp.estimate import TARGET, Duty, average_ma, battery_days, estimate, points, uncertainty
from tools.estimate_check import PUBLISHED

BEYOND = {("STM32U575", "AD"), ("STM32U385", "AD")}


def test_milliseconds_and_microjoules() -> None:
    board = replace(
        boards.load("nano33ble"), power=Power(3.0, 5.0, 2.0, "")
    )  # 64 MHz, 2 wait states, no cache
    found = estimate(board, 6_400_000, 1_280_000)
    assert found is not None and found.cycles == 6_400_000 + 0.5 * 1_280_000
    assert found.latency_ms == pytest.approx(110.0)
    assert found.energy_uj == pytest.approx(110.0 * 15.0)
    assert "2 wait states" in found.lower_bound


@pytest.mark.parametrize(
    ("name", "ms", "bound"),
    [
        ("pico", (12e6 + 0.53 * 1e6) / 12e3, False),
        ("nucleo_f446re", 12e6 / 16e3, False),
        ("nucleo_h743zi", (12e6 + 7 / 4 * 1e6) / 64e3, True),
        ("mps2_an386", 12e6 / 25e3, False),
    ],
)
def test_reading_flash(name: str, ms: float, bound: bool) -> None:
    """Behind a cache, without waits, with waits, in an emulator."""
    found = estimate(boards.load(name), 12e6, 1e6)
    assert found is not None and found.latency_ms == pytest.approx(ms)
    assert found.energy_uj is None
    assert bool(found.lower_bound) == bound


@pytest.mark.parametrize("name", ["esp32dev", "esp32-s3-devkitc-1", "posix"])
def test_cores_without_a_model(name: str) -> None:
    assert estimate(boards.load(name), 1e6, 0) is None


def test_mean_current_and_battery() -> None:
    board = replace(boards.load("nano33ble"), power=Power(3.0, 10.0, 5.0, ""))
    # 1 ms + 49 ms at 10 mA, 50 ms at 20 mA, 900 ms at 0.005 mA
    mean = average_ma(board, 49.0, Duty(1000.0, sample_ms=50.0, sample_ma=20.0))
    assert mean == pytest.approx((500 + 1000 + 4.5) / 1000)
    assert battery_days(240.0, 2.0) == 5.0
    with pytest.raises(ValueError, match="1 ms too many"):
        average_ma(board, 100.0, Duty(100.0))
    assert average_ma(boards.load("pico"), 1.0, Duty(1000.0)) is None


def test_every_published_result_is_recorded() -> None:
    wanted = {
        (row["chip"], model, unit, value)
        for row in json.loads(PUBLISHED.read_text())
        for unit in ("ms", "uJ")
        for model, value in row.get(unit, {}).items()
    }
    assert {(p.chip, p.model, p.unit, p.published) for p in points()} == wanted


def test_times_beyond_the_target_are_those_that_the_page_names() -> None:
    beyond = {(p.chip.split(",")[0], p.model) for p in points() if p.unit == "ms" and abs(p.error) > TARGET}
    assert beyond == BEYOND


def test_a_core_with_few_results_gets_the_errors_of_all() -> None:
    assert uncertainty("cortex-m4f", "ms").of == "cortex-m4f"
    every = uncertainty("rv32imc", "ms")
    assert every == uncertainty("cortex-m55", "ms") and every.of == "all cores" and every.points == 21
    low, high = every.interval(100.0)
    assert low == 100 / (1 + every.greatest) < 100 < high == 100 / (1 + every.least)
