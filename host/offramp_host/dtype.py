"""Data types as they go over the link: their codes, and arrays of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from offramp.ir import DTYPES
from offramp.ofg import DTYPE_CODES

DTYPE_OF: dict[int, np.dtype[Any]] = {
    code: np.dtype(DTYPES[name]).newbyteorder("<") for name, code in DTYPE_CODES.items()
}
"""By a code of `DType` in firmware/offramp.fbs; little-endian, as every board sends them."""
