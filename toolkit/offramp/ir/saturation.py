"""How much of real numbers an integer tensor cannot hold: rows in other units than the model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.errors import UserError
from offramp.ir.graph import DTYPES

_WARNED, _REFUSED = 0.01, 0.1  # shares
_OTHER_UNITS = 4.0  # widths of the range: outliers of the right unit do not lie so far outside


@dataclass(frozen=True)
class Saturation:
    """`share` of the values, 0 to 1, is clipped to `low` or `high`; all lie in `least` to `most`."""

    share: float
    low: float
    high: float
    least: float
    most: float

    @property
    def in_other_units(self) -> bool:
        outside = max(self.low - self.least, self.most - self.high)
        return self.share >= _REFUSED and outside > _OTHER_UNITS * (self.high - self.low)

    def __str__(self) -> str:
        return (
            f"{100 * self.share:.0f} % of the values saturate: the input takes {self.low:.4g} to {self.high:.4g}, "
            f"they are {self.least:.4g} to {self.most:.4g}"
        )


def saturation(values: NDArray[Any], scale: float, zero_point: int, dtype: str) -> Saturation | None:
    """Of finite real numbers given to a tensor of integers; None where nothing much is lost."""
    kind: Any = np.dtype(DTYPES[dtype])
    if kind.kind == "f" or scale == 0.0 or values.size == 0:
        return None
    low, high = ((int(end) - zero_point) * scale for end in (np.iinfo(kind).min, np.iinfo(kind).max))
    outside = (values < low - scale) | (values > high + scale)  # a step beyond is rounding's
    found = Saturation(float(outside.mean()), low, high, float(values.min()), float(values.max()))
    return found if found.share >= _WARNED else None


def check_saturation(
    values: NDArray[Any], scale: float, zero_point: int, dtype: str, what: str
) -> Saturation | None:
    """What is worth a warning; UserError where the values are clearly of other units than the tensor's."""
    found = saturation(np.asarray(values), scale, zero_point, dtype)
    if found is not None and found.in_other_units:
        raise UserError(
            f"{what}: {found}",
            "give rows in the units that the model was trained on: of pixels 0 to 255 often x / 255 or x / 127.5 - 1",
        )
    return found
