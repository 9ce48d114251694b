"""The network for spoken digits: a small residual classifier of log-mel windows, in PyTorch, untrained."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from features import BANDS, FRAMES, LABELS
from torch import nn

from offramp.frontends.pytorch import from_module
from offramp.ir import Graph

WIDTHS = (12, 24, 32)  # each at half of the rows and columns of the one before
WIDE = 40  # channels of the second block


class Block(nn.Module):
    """Two convolutions around which the input is added."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(c, c, 3, 1, 1), nn.Conv2d(c, c, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class Words(nn.Module):
    """[n,1,FRAMES,BANDS] -> probabilities [n,11]."""

    def __init__(self) -> None:
        super().__init__()
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise((1, *WIDTHS)))
        self.first, self.widening = Block(WIDTHS[-1]), nn.Conv2d(WIDTHS[-1], WIDE, 3, 1, 1)
        self.second = Block(WIDE)
        self.head = nn.Linear(2 * WIDE, len(LABELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.downs:
            x = F.relu(layer(x))
        x = self.second(F.relu(self.widening(self.first(x))))
        size = x.shape[2:]
        pooled = torch.cat([F.avg_pool2d(x, size), F.max_pool2d(x, size)], 1)
        return torch.softmax(self.head(pooled.flatten(1)), 1)


def network() -> Graph:
    return from_module(Words(), (torch.zeros(1, 1, FRAMES, BANDS),), "fsdd")
