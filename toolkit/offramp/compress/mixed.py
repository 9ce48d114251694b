"""Mixed precision: bits for each layer, the cheapest under a floor of accuracy, the best under a ceiling of bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.compress.accuracy import Accuracy, accuracy, classes
from offramp.compress.calibrate import calibrate, checked_rows
from offramp.compress.options import STORED_AT_4, WEIGHTED, QuantizeOptions
from offramp.compress.quantize import as_tuple, quantize
from offramp.compress.sensitivity import Sensitivity, sensitivities
from offramp.compress.size import weight_bytes
from offramp.errors import UserError
from offramp.ir import Graph

Array = NDArray[Any]
Bits = dict[str, int]  # of each layer by its name
POLISH = 6  # layers of the found assignment that are tried at fewer bits after all


@dataclass(frozen=True)
class Trial:
    """An assignment of bits, run."""

    bits: Bits
    graph: Graph
    bytes: int
    accuracy: Accuracy

    def __str__(self) -> str:
        values = list(self.bits.values())
        counts = ", ".join(f"{values.count(b)} at {b} bits" for b in sorted(set(values)))
        return f"{self.accuracy} with {self.bytes:,} bytes ({counts})"


@dataclass(frozen=True)
class Mixed:
    best: Trial
    sensitivities: tuple[Sensitivity, ...]
    trials: tuple[Trial, ...]  # all that were run, in order


def mixed_precision(
    graph: Graph,
    rows: Array | Sequence[Array],
    x: Array | Sequence[Array] | None = None,
    y: Array | None = None,
    *,
    floor: float | None = None,
    ceiling: int | None = None,
    choices: Sequence[int] = (4, 8),
    options: QuantizeOptions = QuantizeOptions(),  # noqa: B008
    size: Callable[[Graph], int] = weight_bytes,
    told: Callable[[Trial], None] = lambda trial: None,
) -> Mixed:
    """A float graph quantized with the cheapest bits for each layer.

    `rows` calibrate. Accuracy is judged on x and y (without y: on the classes that the float graph gives; without x: on
    `rows`); both decide here, so report it on other rows. `floor`: least accuracy, 0 to 1. `ceiling`: most bytes by
    `size`. With neither, all layers have the most bits. `told` hears of each trial. UserError where nothing meets the
    floor or ceiling: it shows the best found.
    """
    checked = checked_rows(graph, as_tuple(rows))
    judged = checked if x is None else as_tuple(x)
    labels = classes(graph, *judged) if y is None else y
    ranges = calibrate(graph, *checked, method=options.method, percentile=options.percentile)
    wanted = sorted(set(choices))
    found = tuple(sensitivities(graph, checked, ranges, wanted, options))
    way = path(graph, found, wanted)
    trials: dict[tuple[int, ...], Trial] = {}

    def trial(bits: Bits) -> Trial:
        key = tuple(bits.values())
        if key not in trials:
            made = quantize(graph, checked, replace(options, bits=8, layers=bits), ranges)
            trials[key] = Trial(bits, made, size(made), accuracy(made, judged, labels))
            told(trials[key])
        return trials[key]

    if ceiling is not None:
        way = way[: within(way, trial, ceiling)]
    best = trial(way[-1]) if floor is None else cheapest(way, trial, floor, ceiling)
    return Mixed(best, found, tuple(trials.values()))


def path(graph: Graph, found: Sequence[Sensitivity], choices: Sequence[int]) -> list[Bits]:
    """Assignments from the fewest bits to the most: at each step the layer that gains most for its bytes gets more."""
    ops = {op.name: op for op in graph.ops if op.kind in WEIGHTED}
    allowed = {s.layer: allowed_bits(ops[s.layer].kind, choices) for s in found}
    bits = {s.layer: allowed[s.layer][0] for s in found}
    way = [dict(bits)]

    def gain(s: Sensitivity) -> float:
        old, new = bits[s.layer], following(s)
        ram = int(np.prod(graph.tensors[ops[s.layer].outputs[0]].shape)) if new == 16 else 0
        return (s.lost[old] - s.lost[new]) / max(1, s.bytes[new] - s.bytes[old] + ram)

    def following(s: Sensitivity) -> int:
        return allowed[s.layer][allowed[s.layer].index(bits[s.layer]) + 1]

    while rest := [s for s in found if bits[s.layer] != allowed[s.layer][-1]]:
        chosen = max(rest, key=gain)
        bits[chosen.layer] = following(chosen)
        way.append(dict(bits))
    return way


def allowed_bits(kind: str, choices: Sequence[int]) -> list[int]:
    """A depthwise layer would take as many bytes at 4 bits as at 8."""
    return [b for b in choices if b != 4 or kind in STORED_AT_4] or [8]


def within(way: Sequence[Bits], trial: Callable[[Bits], Trial], ceiling: int) -> int:
    """How many of the first assignments take no more than `ceiling` bytes."""
    least = trial(way[0])
    if least.bytes > ceiling:
        raise UserError(
            f"no assignment fits {ceiling:,} bytes: the smallest has {least}",
            "raise the ceiling, allow fewer bits, or prune channels first",
        )
    low, high = 1, len(way)  # the first `low` fit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if trial(way[middle - 1]).bytes <= ceiling else (low, middle - 1)
    return low


def cheapest(way: Sequence[Bits], trial: Callable[[Bits], Trial], floor: float, ceiling: int | None) -> Trial:
    """The first assignment on the way that meets the floor, and then with fewer bits where that holds too."""
    low, high = 0, len(way) - 1
    if trial(way[0]).accuracy.value >= floor:
        return trial(way[0])
    if trial(way[-1]).accuracy.value < floor:
        best = max(map(trial, way[:: max(1, len(way) // 4)]), key=lambda t: t.accuracy.value)
        best = max(best, trial(way[-1]), key=lambda t: t.accuracy.value)
        limit = "" if ceiling is None else f" within {ceiling:,} bytes"
        raise UserError(
            f"nothing meets the floor of {100 * floor:.2f} %{limit}; the best found has {best}",
            "lower the floor, allow more bits, or train with quantization",
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if trial(way[middle]).accuracy.value >= floor else (middle, high)
    return polished(trial(way[high]), way[0], trial, floor)


def polished(best: Trial, fewest: Mapping[str, int], trial: Callable[[Bits], Trial], floor: float) -> Trial:
    """Some layers at the fewest bits after all, where the floor still holds."""
    more = [name for name, bits in best.bits.items() if bits != fewest[name]]
    for name in more[:POLISH]:
        tried = trial(best.bits | {name: fewest[name]})
        if tried.accuracy.value >= floor and tried.bytes < best.bytes:
            best = tried
    return best
