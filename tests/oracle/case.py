"""One test case of the oracle, and the draws of quantization and data that all grids share."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tflite

from . import micro
from .tflite_writer import Operator, Subgraph, Tensor, write

NONE = tflite.ActivationFunctionType.NONE
RELU = tflite.ActivationFunctionType.RELU
RELU_N1_TO_1 = tflite.ActivationFunctionType.RELU_N1_TO_1
RELU6 = tflite.ActivationFunctionType.RELU6
ACTIVATIONS = (NONE, RELU, RELU6, RELU_N1_TO_1)
SAME = tflite.Padding.SAME
VALID = tflite.Padding.VALID


@dataclass(frozen=True)
class Case:
    """A model and what to feed it; `later_rows` are further inferences with state carried over."""

    name: str
    op: str
    model: bytes
    inputs: list[np.ndarray]
    later_rows: list[list[np.ndarray]] = field(default_factory=list)

    @property
    def rows(self) -> list[list[np.ndarray]]:
        return [self.inputs, *self.later_rows]

    def expected(self) -> list[list[np.ndarray]]:
        """The oracle's outputs, one list a row."""
        return micro.run_rows(self.model, self.rows)


# Makes of drawn weights what a test wants: zeros, few bits.
Thin = Callable[[np.random.Generator, np.ndarray], np.ndarray]


class Grid:
    """Names and numbers the cases of one op and owns their random numbers.

    `dtype` is the activations', `weights` and `bias` those of layers; int16 has the zero point 0.
    """

    def __init__(
        self,
        op: str,
        seed: int,
        dtype: str = "int8",
        weights: str = "int8",
        bias: str = "int32",
        thin: Thin | None = None,
    ) -> None:
        self.op, self.thin = op, thin
        self.dtype, self.weights, self.bias = dtype, weights, bias
        self.rng = np.random.default_rng((seed, zlib.crc32(op.encode())))
        self.count = 0

    def case(
        self,
        detail: str,
        inputs: Sequence[Tensor | None],
        outputs: Sequence[Tensor],
        options: str = "",
        near: int | None = None,
        **attributes: Any,
    ) -> Case:
        """A case of one operator; inputs without data are the graph's, filled with random numbers.

        `near` keeps those within so many steps of their zero point, for multipliers above 1.
        """
        tensors = [t for t in (*inputs, *outputs) if t is not None]
        fed = [t for t in inputs if t is not None and t.data is None]
        operator = Operator(
            self.op, [t.name if t else None for t in inputs], [t.name for t in outputs], options, attributes
        )
        model = write(Subgraph(tensors, [operator], [t.name for t in fed], [t.name for t in outputs]))
        return self.finish(detail, model, [[self.data(t, near) for t in fed]])

    def finish(self, detail: str, model: bytes, rows: list[list[np.ndarray]]) -> Case:
        name = f"{self.op.lower()}_{self.count:03d}_{detail}"
        self.count += 1
        return Case(name, self.op, model, rows[0], rows[1:])

    def data(self, tensor: Tensor, near: int | None = None) -> np.ndarray:
        """Random contents over the type's whole range, the two ends often."""
        if tensor.dtype == "float32":
            return self.rng.normal(0, 4, tensor.shape).astype(np.float32)
        values = self.ints(tensor.shape, tensor.dtype)
        if near is None:
            return values
        zero_point, info = int(np.min(tensor.zero_point)), np.iinfo(tensor.dtype)
        low, high = max(zero_point - near, info.min), min(zero_point + near, info.max)
        return np.clip(values, low, high).astype(tensor.dtype)

    def ints(self, shape: Sequence[int], dtype: str = "") -> np.ndarray:
        info = np.iinfo(dtype or self.dtype)
        values = self.rng.integers(info.min, info.max + 1, shape)
        ends = self.rng.choice((info.min, info.max), shape)
        return np.where(self.rng.random(shape) < 0.15, ends, values).astype(info.dtype)

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def scale(self, low: float = 2e-3, high: float = 0.5) -> float:
        """Log-uniform, rounded to float32 as the file will hold it."""
        if self.dtype == "int16":
            low, high = low / 16, high / 16
        return float(np.float32(np.exp(self.rng.uniform(np.log(low), np.log(high)))))

    def zero_point(self, dtype: str = "int8") -> int:
        if dtype in ("int16", "float32"):
            return 0
        info = np.iinfo(dtype)
        middle = (info.min + info.max + 1) // 2
        return int(
            self.pick(
                (
                    info.min,
                    info.min,
                    middle,
                    info.max,
                    *self.rng.integers(info.min, info.max + 1, 2),
                    *self.rng.integers(middle - 40, middle + 40, 2),
                )
            )
        )

    def tensor(self, name: str, shape: Sequence[int], dtype: str = "", **quantization: Any) -> Tensor:
        """An activation with random scale and zero point unless given."""
        dtype = dtype or self.dtype
        quantization.setdefault("scale", self.scale())
        quantization.setdefault("zero_point", self.zero_point(dtype))
        return Tensor(name, tuple(int(n) for n in shape), dtype, **quantization)


def like(tensor: Tensor, name: str, shape: Sequence[int]) -> Tensor:
    """An output with the input's type and quantization, as data-moving ops demand."""
    return Tensor(name, tuple(int(n) for n in shape), tensor.dtype, tensor.scale, tensor.zero_point)


def constant(name: str, values: Any, dtype: str = "int32") -> Tensor:
    data = np.asarray(values, dtype)
    return Tensor(name, data.shape, dtype, data=data)


def dims(shape: Sequence[int]) -> str:
    return "x".join(str(n) for n in shape) or "scalar"


Cases = Iterator[Case]
# (op, seed) -> a grid of some types.
NewGrid = Callable[[str, int], Grid]
