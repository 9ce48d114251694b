"""What front ends of sound share: frames of samples, and sums of frequency bins under triangles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def frames_of(samples: Array, window: int, step: int) -> Array:
    """int64[frames, window]: whole frames, one every `step` samples."""
    n = max(0, (len(samples) - window) // step + 1)
    return samples[np.arange(window) + step * np.arange(n)[:, None]].astype(np.int64)


def triangle_sums(bins: Array, starts: Array, falling: Array, rising: Array) -> Array:
    """int64[frames, channels] of bins [frames, starts[-1] - starts[0]], the first being bin starts[0].

    Band i holds the bins starts[i] to starts[i + 1]; channel c takes what rises in band c and what falls in band c + 1.
    """
    at = starts - starts[0]
    falls, rises = bins * falling, bins * rising
    sums = np.zeros((len(bins), len(starts) - 2), np.int64)
    for c in range(sums.shape[1]):
        sums[:, c] = rises[:, at[c] : at[c + 1]].sum(axis=1) + falls[:, at[c + 1] : at[c + 2]].sum(axis=1)
    return sums
