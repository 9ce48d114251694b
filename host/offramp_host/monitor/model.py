"""The model as a person sees it: what its inputs take, what its answers mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.blob.read import Blob, Port
from offramp.features.front_end import header_of
from offramp.ir import DTYPES
from offramp_host.device import Info, TensorInfo

Array = NDArray[Any]
_LEAST_PROBABILITY, _MOST_PROBABILITY = -0.01, 1.01


@dataclass(frozen=True)
class Plan:
    """`exits`: name and answer of each way out but the end, whose answer is the model's output 0."""

    name: str
    exits: tuple[Port, ...]


@dataclass(frozen=True)
class FrontEnd:
    """Makes input 0 of raw samples on the board; runs are due after so many of them."""

    element_bytes: int
    rate_hz: int
    """Elements a second; 0: any."""
    first_run: int
    next_run: int


@dataclass(frozen=True)
class Score:
    """A class and its confidence, 0 to 1; of a model that does not classify, an element and its value."""

    index: int
    label: str
    value: float


@dataclass(frozen=True)
class Model:
    """`data` is the blob that a board without it is sent; None: whatever runs on the board."""

    name: str
    data: bytes | None
    crc: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    plans: tuple[Plan, ...]
    labels: tuple[str, ...]
    front_end: FrontEnd | None = None

    @property
    def classifies(self) -> bool:
        """Whether output 0 is a list of scores; one as long as the input is taken for a reconstruction."""
        values, taken = _size(self.outputs[0].shape), [_size(port.shape) for port in self.inputs]
        flat = max(self.outputs[0].shape, default=1) == values
        return flat and values > 1 and values not in taken

    def answer(self, plan: int, exit_: int | None) -> Port:
        """What output 0 of a run is that left there."""
        return self.outputs[0] if exit_ is None else self.plans[plan].exits[exit_]

    def scores(self, output: Array, port: Port, most: int) -> list[Score]:
        """Up to `most`: classes by falling confidence, or the first elements where the model does not classify."""
        values = real(output.reshape(-1), port)
        order = np.arange(len(values))
        if self.classifies:
            values = confidences(values, port)
            order = np.argsort(-values, kind="stable")
        return [Score(int(i), self.label(int(i)), float(values[i])) for i in order[:most]]

    def label(self, index: int) -> str:
        return self.labels[index] if index < len(self.labels) else str(index)


def model_of(blob: Blob, data: bytes) -> Model:
    plans = tuple(Plan(plan.name, tuple(e.port for e in plan.exits)) for plan in blob.plans)
    named = header_of(blob.front_end) if blob.front_end else None
    front_end = (
        FrontEnd(**{field.name: int(named[field.name]) for field in fields(FrontEnd)}) if named else None
    )
    return Model(blob.name, data, blob.crc, blob.inputs, blob.outputs, plans, blob.labels, front_end)


def model_on(info: Info) -> Model:
    """What the board says of its model: no labels, and integers that stand for themselves."""
    plans = []
    for plan in info.plans:
        ways = [stage.exit for stage in plan.stages if stage.exit is not None]
        exits = [_port(e.name, TensorInfo(e.shape, np.dtype(e.dtype), e.n_bytes)) for e in ways]
        plans.append(Plan(plan.name, tuple(exits)))
    found = info.front_end
    return Model(
        *(info.model.name, None, info.model.crc),
        tuple(_port(f"input{i}", tensor) for i, tensor in enumerate(info.inputs)),
        tuple(_port(f"output{i}", tensor) for i, tensor in enumerate(info.outputs)),
        *(tuple(plans), ()),
        FrontEnd(found.element_bytes, found.rate_hz, found.first_run, found.next_run) if found else None,
    )


def integers(port: Port) -> tuple[int, int] | None:
    """The least and largest that the port's type holds; None: it holds real numbers."""
    kind: Any = np.dtype(DTYPES[port.dtype])
    return None if kind.kind == "f" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))


def real(values: Array, port: Port) -> Array:
    """The real numbers float64 that a tensor's integers stand for."""
    return (values.astype(np.float64) - port.zero_point) * (port.scale or 1.0)


def quantized(values: Array, port: Port) -> Array:
    """Integers of the port's type for real numbers: to the nearest, halves to even, clipped."""
    range_ = integers(port)
    if range_ is None:
        return values.astype(DTYPES[port.dtype])
    whole = np.rint(values.astype(np.float64) / (port.scale or 1.0)) + port.zero_point
    return np.asarray(np.clip(whole, *range_).astype(DTYPES[port.dtype]))


def confidences(values: Array, port: Port) -> Array:
    """Of real scores: themselves where the type holds nothing but 0 to 1, else their softmax."""
    if (range_ := integers(port)) is not None:
        least, most = real(np.array(range_), port)
        if least >= _LEAST_PROBABILITY and most <= _MOST_PROBABILITY:
            return values
    grown = np.exp(values - values.max())
    return np.asarray(grown / grown.sum())


def _size(shape: Sequence[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _port(name: str, tensor: TensorInfo) -> Port:
    dtype = next(key for key, kind in DTYPES.items() if np.dtype(kind) == tensor.dtype)
    return Port(name, tensor.shape, dtype, tensor.n_bytes, "arena", 1.0, 0)
