"""Ranges of a float graph's activations, found by running it on sample rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.errors import UserError
from offramp.ir import Graph, Tensor, without_batch
from offramp.reference import Reference, run_rows

Array = NDArray[Any]
Range = tuple[float, float]

FEW_ROWS = 32  # fewer leave ranges to chance; a warning says so
WANTED = "100 to 500 rows like those the board will see are wanted"
BINS = 4096
CLIPS = np.linspace(0.1, 1.0, 91)  # shares of an end of the range that the search for the least error tries


@dataclass(frozen=True)
class Ranges:
    """What calibration found; of every activation of a graph by its tensor index."""

    of: Mapping[int, Range]  # (low, high) in real numbers, 0 between or at the ends
    whole: Mapping[int, Range]  # the same from the smallest to the largest value: int16 has room for them
    rows: int = 0
    warnings: tuple[str, ...] = ()


@dataclass
class Histogram:
    """Counts over [-reach, reach], which doubles when a value lies outside."""

    reach: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    counts: Array = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, values: Array) -> None:
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        most = max(-self.low, self.high)
        self.reach = self.reach or most
        while self.reach < most:
            self.double()
        if self.reach > 0:
            self.counts += np.histogram(values.astype(np.float64), BINS, (-self.reach, self.reach))[0]

    def double(self) -> None:
        half = self.counts.reshape(-1, 2).sum(axis=1)
        rest = np.zeros(BINS // 4, np.int64)
        self.counts = np.concatenate([rest, half, rest])
        self.reach *= 2

    @property
    def centers(self) -> Array:
        return np.asarray((np.arange(BINS) + 0.5) * (2 * self.reach / BINS) - self.reach)

    @property
    def span(self) -> Range:
        """Smallest and largest value; 0 is always inside, because padding and rectifiers need it exactly."""
        return min(self.low, 0.0), max(self.high, 0.0)


def percentile_range(found: Histogram, share: float) -> Range:
    """Without the outermost values: (100 - share) percent of all at each end."""
    total = np.cumsum(found.counts)
    outside = total[-1] * (1 - share / 100)
    low = found.centers[np.searchsorted(total, outside, "right")]
    high = found.centers[np.searchsorted(total, total[-1] - outside)]
    return max(found.span[0], min(float(low), 0.0)), min(found.span[1], max(float(high), 0.0))


def mse_range(found: Histogram, levels: int = 256) -> Range:
    """The range whose rounding and clipping give the least squared error, each end searched in turn."""
    low, high = found.span
    used = found.counts > 0
    x, n = found.centers[used], found.counts[used]

    def error(low: float, high: float) -> float:
        scale = (high - low) / (levels - 1) or 1.0
        nearest = np.round(np.clip(x, low, high) / scale) * scale
        return float((n * (x - nearest) ** 2).sum())

    for _ in range(2):
        high = min((float(high * c) for c in CLIPS), key=lambda h: error(low, h)) if high > 0 else high
        low = min((float(low * c) for c in CLIPS), key=lambda e: error(e, high)) if low < 0 else low
    return low, high


METHODS: dict[str, Callable[[Histogram, float], Range]] = {
    "minmax": lambda found, share: found.span,
    "percentile": percentile_range,
    "mse": lambda found, share: mse_range(found),
}


def calibrate(graph: Graph, *rows: Array, method: str = "mse", percentile: float = 99.99) -> Ranges:
    """Ranges of a float graph's activations over rows [n, ...] in real numbers, one array an input.

    `method` is minmax, percentile (of all values, at each end) or mse (least squared error at 8 bits). What decides a
    class (outputs, and what softmax reads) is never clipped. UserError where rows are missing, of a wrong shape, not
    finite, or where an input never changes.
    """
    if method not in METHODS:
        raise UserError(f"calibration method {method} is unknown", f"known: {', '.join(METHODS)}")
    rows = checked_rows(graph, rows)
    found: dict[int, Histogram] = {}
    for index, value in values_of(graph, rows):
        found.setdefault(index, Histogram()).add(value)
    whole = {i for op in graph.ops if op.kind == "softmax" for i in op.inputs} | set(graph.outputs)
    ranges, warnings = {}, []
    for index, histogram in found.items():
        constant = histogram.low == histogram.high
        chosen = "minmax" if constant or index in whole else method
        ranges[index] = METHODS[chosen](histogram, percentile)
        if constant:
            name = graph.tensors[index].name
            warnings.append(f"tensor {name} is {histogram.low:g} in all {len(rows[0])} rows: a dead layer")
    if len(rows[0]) < FEW_ROWS:
        warnings.append(f"calibrated on {len(rows[0])} rows only: {WANTED}")
    spans = {index: histogram.span for index, histogram in found.items()}
    return Ranges(ranges, spans, len(rows[0]), tuple(warnings))


def values_of(graph: Graph, rows: Sequence[Array]) -> Iterator[tuple[int, Array]]:
    """Tensor index and values of every activation, some rows at a time; UserError where one is not finite."""
    done = 0
    for part in streamed(graph, rows) if graph.variables else run_rows(graph, *rows, every=True):
        n = 0
        for index, value in part.items():
            n = len(value)
            if value.dtype == np.float32:
                refuse_not_finite(graph.tensors[index].name, value, done, "its weights or inputs overflow")
                yield index, value
        done += n


def streamed(graph: Graph, rows: Sequence[Array]) -> Iterator[dict[int, Array]]:
    """As run_rows, row by row, the state kept from each to the next."""
    one = Reference(graph)
    for i in range(len(rows[0])):
        given = [x[i].reshape(graph.tensors[t].shape) for t, x in zip(graph.inputs, rows, strict=True)]
        yield {t: v[None] for t, v in one.values(given).items() if graph.tensors[t].data is None}


def checked_rows(graph: Graph, rows: Sequence[Array]) -> tuple[Array, ...]:
    """Calibration rows as float32 [n, *input shape without batch]; UserError where they cannot serve."""
    inputs = [graph.tensors[i] for i in graph.inputs]
    if not rows or any(len(x) == 0 for x in rows):
        raise UserError("no calibration rows", WANTED)
    if len(rows) != len(inputs):
        raise UserError(
            f"calibration rows for {len(rows)} inputs, the model has {len(inputs)}",
            f"give one array for each of {', '.join(t.name for t in inputs)}",
        )
    if len({len(x) for x in rows}) > 1:
        raise UserError(
            f"inputs have {', '.join(str(len(x)) for x in rows)} calibration rows",
            "each input needs as many rows as the others",
        )
    return tuple(checked_input(t, x) for t, x in zip(inputs, rows, strict=True))


def checked_input(tensor: Tensor, x: Array) -> Array:
    x = shaped_rows(tensor, x)
    refuse_not_finite(tensor.name, x, 0, "remove or repair this row")
    if (x == x.flat[0]).all():
        raise UserError(
            f"calibration rows of input {tensor.name} are {x.flat[0]:g} throughout",
            f"a range cannot be found from one value: {WANTED}",
        )
    if len(x) > 1 and (x == x[0]).all():
        raise UserError(
            f"all {len(x)} calibration rows of input {tensor.name} are equal", f"different rows: {WANTED}"
        )
    return x


def shaped_rows(tensor: Tensor, x: Array) -> Array:
    """Rows in real numbers as float32 [n, *shape of the input without batch]; UserError where sizes differ.

    Rows may be flat, or channels-first ([n, c, h, w] for an input [h, w, c]) as PyTorch and ONNX have them.
    """
    shape = without_batch(tensor.shape)
    first = (*shape[-1:], *shape[:-1])
    if x.shape[1:] == first != shape and len(shape) > 1:
        x = np.moveaxis(x, 1, -1)
    scrambled = x.ndim > 2 and lengths(x.shape[1:]) != lengths(shape)
    if x.dtype.kind not in "fiub" or x[0].size != np.prod(shape, dtype=int) or scrambled:
        raise UserError(
            f"rows of input {tensor.name} are {x.dtype} {list(x.shape[1:])}, the model takes {list(shape)}",
            "an array of n rows of that shape is needed",
        )
    return np.asarray(x, np.float32).reshape(len(x), *shape)


def lengths(shape: tuple[int, ...]) -> list[int]:
    """Axes that are longer than 1."""
    return [n for n in shape if n > 1]


def refuse_not_finite(name: str, x: Array, first: int, hint: str) -> None:
    ok = np.isfinite(x).reshape(len(x), -1)
    if not ok.all():
        row, at = map(int, np.argwhere(~ok)[0])
        raise UserError(f"tensor {name} is {x[row].flat[at]} in calibration row {first + row}", hint)
