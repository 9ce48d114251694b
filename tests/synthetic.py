"""The synthetic source, as docs/source.md says it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def synthetic(n: int, first: int = 0) -> NDArray[Any]:
    """int16 [n]: samples first, first + 1, …"""
    x = np.arange(first, first + n, dtype=np.uint32) * np.uint32(2654435761)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(2246822519)
    return (x >> np.uint32(16)).astype(np.uint16).view(np.int16)
