"""Real numbers to the integers of a quantization, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.ir import DTYPES, Quantization, Tensor

Array = NDArray[Any]


def nearest(values: Array, q: Quantization, dtype: str) -> Array:
    """Integers nearest to real numbers, halves to even, clipped to the type."""
    steps = np.rint(np.asarray(values, np.float64) / q.scale) + q.zero_point
    ends = np.iinfo(np.dtype(DTYPES[dtype]).name)
    found: Array = np.clip(steps, ends.min, ends.max).astype(DTYPES[dtype])
    return found


def real(values: Array, q: Quantization) -> Array:
    """Real numbers, float32, that an activation's integers stand for."""
    return (values.astype(np.float32) - np.float32(q.zero_point)) * np.float32(q.scale)


def real_values(values: Array, tensor: Tensor) -> Array:
    """A tensor's values in real numbers; those of one without scales as they are."""
    if tensor.dtype == "f32" or tensor.quantization is None:
        return values.astype(np.float32)
    return real(values, tensor.quantization)
