"""The float network that compression starts from: a residual network of 278,000 parameters, in PyTorch.

This is what a user brings. `python baseline.py` trains it and writes `baseline.ofg`; `recipe.toml` compresses it.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from images import as_float, augment, read_idx
from torch import nn

from offramp import ofg
from offramp.frontends.pytorch import from_module

HERE = Path(__file__).resolve().parent
SEED = 1
VALIDATION_SAMPLES = 5000
BATCH = 128
PEAK_LEARNING_RATE = 0.15
WEIGHT_DECAY = 5e-4
LABEL_SMOOTHING = 0.05
ERASED = 8  # side of the square that later cycles blacken in half of the images
CYCLES, EPOCHS = 2, 16
WIDTHS = (16, 32, 64, 80)


def conv(in_c: int, out_c: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_c, out_c, 3, stride, 1, bias=False), nn.BatchNorm2d(out_c))


class Block(nn.Module):
    """Two convolutions around which the input is added."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.first, self.second = conv(c, c), conv(c, c)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class Baseline(nn.Module):
    """[n,1,28,28] in 0..1 -> logits [n,10]."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.stem = conv(1, widths[0])
        self.downs = nn.ModuleList(conv(a, b, 2) for a, b in itertools.pairwise(widths))
        self.blocks = nn.ModuleList(Block(c) for c in widths[1:])
        self.head = nn.Linear(widths[-1], 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        for down, block in zip(self.downs, self.blocks, strict=True):
            x = block(F.relu(down(x)))
        return self.head(x.mean((2, 3)))


class WithSoftmax(nn.Module):
    """[n,1,28,28] -> probabilities [n,10]: what is deployed."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.net(x), 1)


def erase(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A square anywhere set to the images' mean, in half of them."""
    n, side = len(images), images.shape[-1]
    top, left = torch.randint(-ERASED // 2, side - ERASED // 2, (2, n, 1), generator=generator)
    at = torch.arange(side)
    rows, columns = ((at >= first) & (at < first + ERASED) for first in (top, left))
    chosen = torch.rand(n, 1, 1, generator=generator) < 0.5
    return torch.where((rows[:, :, None] & columns[:, None, :] & chosen).unsqueeze(1), 0.286, images)


def train(net: nn.Module, images: torch.Tensor, labels: torch.Tensor, cycle: int, epochs: int) -> None:
    """One cycle of the learning rate."""
    generator = torch.Generator().manual_seed(SEED + cycle)
    steps = len(images) // BATCH
    optimizer = torch.optim.SGD(
        net.parameters(), PEAK_LEARNING_RATE, momentum=0.9, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, total_steps=epochs * steps, pct_start=0.2
    )
    net.train()
    start = time.monotonic()
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        total = 0.0
        for step in range(steps):
            batch = order[step * BATCH : (step + 1) * BATCH]
            x = augment(images[batch], generator)
            x = erase(x, generator) if cycle else x
            x = x.contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(net(x), labels[batch], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(
            f"epoch {epoch + 1}/{epochs} loss {total / steps:.4f} {time.monotonic() - start:.0f} s",
            flush=True,
        )
    net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    logits = torch.cat([net(part) for part in as_float(images).split(500)])
    return float((logits.argmax(1).numpy() == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: this file's)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each of the two cycles")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # sums are split by thread, so the count is part of what makes a run repeatable
    torch.use_deterministic_algorithms(True)
    images, labels = read_idx("train-images-idx3-ubyte.gz"), read_idx("train-labels-idx1-ubyte.gz")
    order = np.random.default_rng(SEED).permutation(len(images))
    held_out, kept = order[:VALIDATION_SAMPLES], order[VALIDATION_SAMPLES:]
    net = Baseline().to(memory_format=torch.channels_last)
    print(sum(p.numel() for p in net.parameters()), "parameters", flush=True)
    for cycle in range(CYCLES):
        train(
            net,
            as_float(images[kept]),
            torch.from_numpy(labels[kept].astype(np.int64)),
            cycle,
            arguments.epochs,
        )
        print(f"validation {100 * accuracy(net, images[held_out], labels[held_out]):.2f} %", flush=True)
    graph = from_module(WithSoftmax(net), (torch.zeros(1, 1, 28, 28),), "fashion_mnist")
    (arguments.out / "baseline.ofg").write_bytes(ofg.dump(graph))


if __name__ == "__main__":
    main()
