"""Random changes of training rows that keep their label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from offramp.compress.train.functions import Value
from offramp.errors import UserError


def shift(x: Value, most: float, generator: Any) -> Value:
    """Each image [n, h, w, c] moved by up to `most` pixels both ways, zeros moving in."""
    n, h, w, _ = x.shape
    reach = int(most)
    rows = torch.randint(0, 2 * reach + 1, (n, 1), generator=generator) + torch.arange(h)
    cols = torch.randint(0, 2 * reach + 1, (n, 1), generator=generator) + torch.arange(w)
    padded = F.pad(x, (0, 0, reach, reach, reach, reach))
    return padded[torch.arange(n).view(n, 1, 1), rows[:, :, None], cols[:, None, :]]


def mirror(x: Value, share: float, generator: Any) -> Value:
    """This share of the images [n, h, w, c], left and right exchanged."""
    chosen = torch.rand(len(x), generator=generator) < share
    return torch.where(chosen.view(-1, 1, 1, 1), x.flip(2), x)


def erase(x: Value, side: float, generator: Any) -> Value:
    """A square of zeros somewhere in half of the images [n, h, w, c], partly beyond an edge at times."""
    n, h, w, _ = x.shape
    at = torch.rand(3, n, 1, generator=generator)

    def inside(length: int, place: Value) -> Value:
        first = place * length - side / 2
        return (torch.arange(length) >= first) & (torch.arange(length) < first + side)

    gone = inside(h, at[0])[:, :, None] & inside(w, at[1])[:, None, :] & (at[2] < 0.5)[:, :, None]
    return x.masked_fill(gone[..., None], 0.0)


def noise(x: Value, deviation: float, generator: Any) -> Value:
    """Gaussian noise of this standard deviation on every value."""
    return x + deviation * torch.randn(x.shape, generator=generator)


@dataclass(frozen=True)
class Augmentation:
    function: Callable[[Value, float, Any], Value]
    amount: float  # where none is given
    rank: int  # of a batch; 0: any


AUGMENTATIONS = {
    "shift": Augmentation(shift, 2, 4),
    "mirror": Augmentation(mirror, 0.5, 4),
    "erase": Augmentation(erase, 8, 4),
    "noise": Augmentation(noise, 0.05, 0),
}


def augmentation(names: Sequence[str], rank: int) -> Callable[[Value, Any], Value]:
    """Function of (rows of this rank, generator) for names such as "mirror" or "shift:3", applied in order."""
    chosen = [parsed(name, rank) for name in names]

    def apply(x: Value, generator: Any) -> Value:
        for function, amount in chosen:
            x = function(x, amount, generator)
        return x

    return apply


def parsed(text: str, rank: int) -> tuple[Callable[[Value, float, Any], Value], float]:
    name, _, amount = text.partition(":")
    known = AUGMENTATIONS.get(name)
    if known is None:
        raise UserError(f"augmentation {name} is unknown", f"known: {', '.join(AUGMENTATIONS)}")
    if known.rank not in (0, rank):
        raise UserError(f"augmentation {name} is for images, a row has {rank - 1} axes", "leave it out")
    try:
        return known.function, float(amount) if amount else known.amount
    except ValueError as error:
        raise UserError(
            f"augmentation {text}: {amount} is no number", f"write {name}:{known.amount}"
        ) from error
