"""The network of the two-minute recipe: a small residual classifier of 8x8 digits, in PyTorch, untrained.

`python network.py` writes digits.ofg, from which recipe.toml trains.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from offramp import ofg
from offramp.frontends.pytorch import from_module

SEED = 1


class Digits(nn.Module):
    """[n,1,8,8] in 0..1 -> probabilities [n,10]."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width // 2, 3, 1, 1)
        self.down = nn.Conv2d(width // 2, width, 3, 2, 1)
        self.first, self.second = nn.Conv2d(width, width, 3, 1, 1), nn.Conv2d(width, width, 3, 1, 1)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.down(F.relu(self.stem(x))))
        x = F.relu(x + self.second(F.relu(self.first(x))))
        return torch.softmax(self.head(x.mean((2, 3))), 1)


def main() -> None:
    torch.manual_seed(SEED)
    graph = from_module(Digits(), (torch.zeros(1, 1, 8, 8),), "digits")
    Path(__file__).with_name("digits.ofg").write_bytes(ofg.dump(graph))


if __name__ == "__main__":
    main()
