"""The data set's images as PyTorch takes them, and the random changes under which they are learnt."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

DATA = Path("/usr/share/datasets/fashion-mnist")
MAX_SHIFT = 2


def read_idx(name: str) -> np.ndarray:
    """Images uint8[n,28,28] or labels uint8[n] from the data set's own format."""
    raw = gzip.decompress((DATA / name).read_bytes())
    dims = raw[3]
    shape = np.frombuffer(raw, ">u4", dims, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def as_float(images: np.ndarray) -> torch.Tensor:
    """float32 [n,1,28,28] in 0..1."""
    return torch.from_numpy(images.astype(np.float32) / 255).unsqueeze(1)


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image mirrored at random and shifted by up to MAX_SHIFT pixels, black moving in."""
    n, side = len(images), images.shape[-1]
    mirrored = torch.rand(n, 1, generator=generator) < 0.5
    rows, columns = torch.randint(0, 2 * MAX_SHIFT + 1, (2, n, 1), generator=generator) + torch.arange(side)
    columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(images[:, 0], (MAX_SHIFT,) * 4)
    return padded[torch.arange(n).view(n, 1, 1), rows[:, :, None], columns[:, None, :]].unsqueeze(1)
