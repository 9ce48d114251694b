"""Shapes of recorded rows: whole samples, with the sensor's channels last or all values in one axis."""

from __future__ import annotations

import numpy as np
import pytest

from offramp.cli.record import row_shape
from offramp.errors import UserError
from offramp_host.source import SourceInfo


def sensor(channels: int) -> SourceInfo:
    return SourceInfo("imu", 100, channels, np.dtype(np.int16), 8, 64)


@pytest.mark.parametrize(
    ("channels", "text", "row"),
    [
        (1, None, (100,)),
        (3, None, (100, 3)),
        (1, "128", (128,)),
        (1, "1,128", (1, 128)),
        (1, "16,8,1", (16, 8, 1)),
        (3, "128, 3", (128, 3)),
        (3, "16,8,3", (16, 8, 3)),
        (3, "384", (384,)),
    ],
)
def test_rows_of_whole_samples(channels: int, text: str | None, row: tuple[int, ...]) -> None:
    assert row_shape(text, sensor(channels)) == row


@pytest.mark.parametrize(
    ("channels", "text", "found", "hint"),
    [
        (1, "128,3", "3 values side by side, a sample of imu has 1", "--shape N"),
        (3, "128,1", "128 values, a sample of imu has 3", "--shape N,3"),
        (3, "3,128", "128 values side by side, a sample of imu has 3", "--shape N,3"),
        (3, "100", "100 values, a sample of imu has 3", "--shape N,3"),
        (1, "12,x", "sizes from 1 on", "--shape 490"),
        (1, "0", "sizes from 1 on", "--shape 490"),
        (1, "", "sizes from 1 on", "--shape 490"),
    ],
)
def test_rows_of_others_are_refused(channels: int, text: str, found: str, hint: str) -> None:
    with pytest.raises(UserError) as refused:
        row_shape(text, sensor(channels))
    assert refused.value.message.startswith(f"--shape {text}: {found}")
    assert hint in refused.value.hint
