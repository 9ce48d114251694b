"""The board-independent graph: tensors, ops with typed attributes, state variables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Name of a data type -> numpy type. The names are those of `DType` in firmware/offramp.fbs.
DTYPES: dict[str, type[np.generic]] = {
    "s8": np.int8,
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "f32": np.float32,
    "bool8": np.bool_,
    "s64": np.int64,
}


def without_batch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a row in an array [rows, …]: a leading axis of 1 is the batch's."""
    return shape[1:] if shape[:1] == (1,) else shape


IN_PLANES = "planes"  # Tensor.storage of weights that the blob is to hold as two planes of nibbles
OF_WIDEST = (
    "widest"  # … of weights that are the first channels of those of the same name in the family's first graph
)
GATE = "gate"  # Graph.metadata entry: name of the last member, whose largest output is the place of the graph to run
CASCADE_MARGIN = "cascade_margin"  # Graph.metadata entry: the margin below which a member's answer is unsure


@dataclass(frozen=True)
class Quantization:
    """real = scale * (q - zero_point); one scale a tensor, or one for each index of `axis`."""

    scales: tuple[float, ...]  # float32 values
    zero_points: tuple[int, ...]
    axis: int | None = None

    @property
    def scale(self) -> float:
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        return self.zero_points[0]


@dataclass(frozen=True, eq=False)
class Tensor:
    """An activation, or with `data` a constant. Activations are NHWC, convolution weights OHWI."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    data: NDArray[Any] | None = None
    storage: str = ""  # of weights: how the blob is to hold them: IN_PLANES, OF_WIDEST, or as it likes

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(DTYPES[self.dtype]).itemsize

    @property
    def quant(self) -> Quantization:
        """The quantization of a tensor that must have one; the verifier has checked it."""
        assert self.quantization is not None, self.name
        return self.quantization


@dataclass(frozen=True)
class Op:
    """One operator; `attributes` is the dataclass that offramp.ops declares for `kind`."""

    kind: str
    name: str
    inputs: tuple[int, ...]  # tensor indices; -1: an optional input that is absent
    outputs: tuple[int, ...]
    attributes: Any


@dataclass(frozen=True)
class Variable:
    """Persistent state, kept between runs; `initial` is the constant tensor with its first value."""

    name: str
    initial: int


CONFIDENCES = ("margin", "maximum", "entropy", "error")  # codes of `Confidence` in firmware/offramp.fbs
MAX_EXITS = 8  # OFR_MAX_EXITS of offramp.h


@dataclass(frozen=True)
class Exit:
    """A way out before the last layer. `answer` and `estimate` are places in Graph.outputs, behind the graph's own."""

    name: str  # of the layer behind which its head begins
    answer: int  # what the exit gives in place of output 0
    estimate: int  # what its confidence is read from: s8 or u8; mostly the answer itself
    confidence: str  # one of CONFIDENCES, see offramp.exits
    threshold: int  # 0..65535: an input leaves where the confidence is at least this


@dataclass(frozen=True)
class Graph:
    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    variables: tuple[Variable, ...] = ()
    labels: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    # Alternatives with equal inputs and outputs, each with its own accuracy and cost; they have no members.
    members: tuple[Graph, ...] = ()
    # In the order in which a run reaches them. What they give stands in `outputs` behind the graph's own.
    exits: tuple[Exit, ...] = ()

    @property
    def own_outputs(self) -> tuple[int, ...]:
        """Outputs of a run that goes to its end: without those of exits."""
        of_exits = {i for e in self.exits for i in (e.answer, e.estimate)}
        return tuple(t for i, t in enumerate(self.outputs) if i not in of_exits)

    def with_ops(self, ops: tuple[Op, ...]) -> Graph:
        return replace(self, ops=ops)

    @property
    def is_float(self) -> bool:
        """Whether activations are real numbers, as a frontend gives them before quantization."""
        return any(
            self.tensors[i].dtype == "f32" for op in self.ops for i in (*op.inputs, *op.outputs) if i >= 0
        )

    def producers(self) -> dict[int, int]:
        """Tensor index -> index of the op that makes it."""
        return {tensor: i for i, op in enumerate(self.ops) for tensor in op.outputs}

    def consumers(self) -> dict[int, list[int]]:
        """Tensor index -> indices of the ops that read it, in order."""
        found: dict[int, list[int]] = {}
        for i, op in enumerate(self.ops):
            for tensor in op.inputs:
                if tensor >= 0:
                    found.setdefault(tensor, []).append(i)
        return found
