"""Real numbers that an integer tensor cannot hold: counted, told, refused where they are of other units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offramp.blob.read import Port
from offramp.errors import UserError
from offramp.ir.saturation import check_saturation, saturation
from offramp_host.rows import read_rows

NORMAL = np.random.default_rng(0).normal(0, 1, 10_000)
PIXELS = np.random.default_rng(0).integers(0, 256, 10_000).astype(np.float32)
# Ranges as (scale, zero point, type): [-1, 1), [0, 1], [-4, 4).
SIGNED, UNIT, WIDE = (1 / 128, 0, "s8"), (1 / 255, -128, "s8"), (1 / 8192, 0, "s16")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (PIXELS, SIGNED),
        (PIXELS, UNIT),
        (np.where(np.arange(10_000) % 5 == 0, PIXELS, 0), UNIT),  # digits are mostly background
        (PIXELS - 128, UNIT),
        (100 * NORMAL, WIDE),
    ],
)
def test_other_units_are_refused(values: np.ndarray, kind: tuple[float, int, str]) -> None:
    low, high = ((end - kind[1]) * kind[0] for end in ((-128, 127) if kind[2] == "s8" else (-32768, 32767)))
    share = ((values < low - kind[0]) | (values > high + kind[0])).mean()
    with pytest.raises(UserError) as caught:
        check_saturation(values, *kind, "x.npz: x")
    assert f"x.npz: x: {100 * share:.0f} % of the values saturate" in caught.value.message
    assert f"takes {low:.4g} to {high:.4g}, they are {values.min():.4g} to" in caught.value.message


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        (NORMAL, WIDE, False),
        (NORMAL / 4, SIGNED, False),
        (np.where(NORMAL > 3, 1000, NORMAL), WIDE, False),  # a few outliers
        (NORMAL, SIGNED, True),  # a model that was trained on clipped values
        (PIXELS / 255, SIGNED, False),
        (PIXELS / 255 * (256 / 255), UNIT, False),  # a step beyond is rounding's
        (PIXELS, (1.0, -128, "s8"), False),
        (PIXELS, (0.0, 0, "s8"), False),  # no quantization
        (PIXELS, (1.0, 0, "f32"), False),
    ],
)
def test_the_right_units_are_not(values: np.ndarray, kind: tuple[float, int, str], told: bool) -> None:
    assert (check_saturation(values, *kind, "x") is not None) == told
    assert (saturation(values, *kind) is not None) == told


def test_what_run_and_bench_and_test_say_of_real_numbers(tmp_path: Path) -> None:
    port = Port("image", (1, 4), "s8", 4, "arena", *UNIT[:2])
    np.save(tmp_path / "x.npy", PIXELS.reshape(-1, 4))
    with pytest.raises(UserError, match="float32, int8 is needed") as caught:
        read_rows(tmp_path / "x.npy", [port])
    assert "% of the values saturate: the input takes 0 to 1, they are 0 to 255" in caught.value.hint
