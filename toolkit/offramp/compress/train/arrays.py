"""Arrays as PyTorch's tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def tensor_of(values: NDArray[Any]) -> Any:
    """Shares the array's memory unless that is read-only, as constants out of files are: PyTorch would warn of it."""
    return torch.from_numpy(values if values.flags.writeable else np.array(values))
