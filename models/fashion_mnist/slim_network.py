"""The network that `slim` trains at several widths: three convolutions, 1.2 million MACs, 43,000 parameters, untrained.

`python slim_network.py` writes `slim_network.ofg`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from offramp import ofg
from offramp.frontends.pytorch import from_module

HERE = Path(__file__).resolve().parent
LAYERS = ((1, 32, 2), (32, 48, 2), (48, 64, 2))  # channels in and out, stride


def network() -> nn.Sequential:
    """[n,1,28,28] in 0..1 -> probabilities [n,10]."""
    blocks = [
        part for in_c, out_c, stride in LAYERS for part in (nn.Conv2d(in_c, out_c, 3, stride, 1), nn.ReLU())
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))


if __name__ == "__main__":
    torch.manual_seed(1)
    graph = from_module(network(), (torch.zeros(1, 1, 28, 28),), "slim")
    (HERE / "slim_network.ofg").write_bytes(ofg.dump(graph))
