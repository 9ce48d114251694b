"""Sounds that go to the ends of what 16 bits hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sounds(n: int, seed: int = 0) -> Array:
    """int16[n]: silence, noise of many strengths, a tone, a square wave, clicks at both ends of the range."""
    rng = np.random.default_rng(seed)
    parts = [np.zeros(n // 8), *(rng.integers(-a, a + 1, n // 8) for a in (1, 40, 3000, 32767))]
    t = np.arange(n // 8)
    parts += [
        20000 * np.sin(t * 0.2),
        np.where(t % 40 < 20, 32767, -32768),
        np.where(t % 997 == 5, -32768, 0),
    ]
    return np.concatenate(parts).astype(np.int16)
