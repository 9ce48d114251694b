"""What an operator declares: attributes, shape rule, integer reference, and its steps for the generic kernels."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from offramp.ir import Op, Tensor

Array = NDArray[Any]
Shape = tuple[int, ...]


class ShapeError(ValueError):
    """An operator's inputs or attributes do not agree; the verifier adds op and tensor names."""


class Params:
    """Layout of the fixed part of a step's parameter block: C struct `ofr_<name>_params`, little-endian."""

    FORMATS: ClassVar[dict[str, str]] = {"u8": "B", "s8": "b", "u16": "H", "s16": "h", "u32": "I", "s32": "i"}

    def __init__(self, name: str, fields: Sequence[tuple[str, str]]) -> None:
        """`fields` are (name, type) with type such as u16, or u16[4] for an array."""
        self.name = name
        self.fields = tuple(fields)
        offset = 0
        for field, kind in self.fields:
            size = struct.calcsize(self.FORMATS[self.base(kind)])
            if offset % size:
                raise AssertionError(f"{name}.{field} is not aligned to {size}")
            offset += size * self.count(kind)
        self.size = -(-offset // 4) * 4
        self.tail = self.size - offset

    @staticmethod
    def base(kind: str) -> str:
        return kind.split("[")[0]

    @staticmethod
    def count(kind: str) -> int:
        return int(kind.split("[")[1][:-1]) if "[" in kind else 1

    def pack(self, **values: int | Sequence[int]) -> bytes:
        """The struct's bytes. Every field must be given; ShapeError names one that is out of range."""
        if set(values) != {field for field, _ in self.fields}:
            raise AssertionError(f"{self.name}: fields differ: {sorted(values)}")
        out = b""
        for field, kind in self.fields:
            value = values[field]
            items = [value] if isinstance(value, int | np.integer) else list(value)
            assert len(items) == self.count(kind), (self.name, field, items)
            code = self.FORMATS[self.base(kind)]
            bits = 8 * struct.calcsize(code)
            low, high = (
                (0, (1 << bits) - 1) if code.isupper() else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
            )
            for item in items:
                if not low <= item <= high:
                    raise ShapeError(f"{field} is {item}, the kernel {self.name} takes {low} to {high}")
            out += struct.pack(f"<{len(items)}{code}", *map(int, items))
        return out + bytes(self.tail)

    def unpack(self, data: bytes) -> dict[str, Any]:
        """The fields of the struct that `data` begins with; arrays as tuples."""
        found: dict[str, Any] = {}
        offset = 0
        for field, kind in self.fields:
            layout = f"<{self.count(kind)}{self.FORMATS[self.base(kind)]}"
            values = struct.unpack_from(layout, data, offset)
            found[field] = values if "[" in kind else values[0]
            offset += struct.calcsize(layout)
        return found


# A step's numbers -> what its time goes into, counted: rows, products, outputs, … The cost table gives each a price.
Work = Callable[[Mapping[str, Any]], Mapping[str, int]]


def elementwise(n: Mapping[str, Any]) -> dict[str, int]:
    return {"elements": n["elements"]}


SAME_START, SCRATCH_ON_INPUT = 0x10, 0x80


@dataclass(frozen=True)
class Kernel:
    """The C code of an operator: `const ofr_kernel ofr_kernel_<set>_<name>` in kernels/<set>/<name>.c."""

    set: str
    name: str
    id: int  # set number * 256 + number in the set; never reused
    packing: int  # version of the parameter block's layout
    params: Params
    # Bit i: the output may lie exactly over input i; SAME_START << i: it may begin where input i begins, whatever
    # their lengths; SCRATCH_ON_INPUT: scratch may begin where input 0 begins (firmware/src/kernel.h).
    in_place: int = 0
    # What follows the fixed struct in the parameter block, each part padded to 4 bytes.
    tables: str = ""
    # From the fields of the fixed struct, the output's `elements` and `scratch_bytes`.
    work: Work = elementwise
    group: str = "dense"  # or compressed, …: what `build --universal` leaves out
    stores: str = (
        ""  # how weights lie in the block where that is not at int8 size: nibbles, sparse, packed, …
    )

    @property
    def symbol(self) -> str:
        return f"ofr_kernel_{self.set}_{self.name}"


@dataclass(frozen=True)
class Step:
    """One kernel call: tensor indices, the parameter block's bytes, scratch in the arena."""

    kernel: Kernel
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    params: bytes
    scratch_bytes: int = 0
    macs: int = 0
    overlaps: int = 0xFF  # of the kernel's in_place bits, those that this step's numbers allow

    def work(self, elements: int) -> dict[str, int]:
        """Units of work; `elements` are the output's. The call itself is one."""
        numbers = self.kernel.params.unpack(self.params)
        numbers |= {"elements": elements, "scratch_bytes": self.scratch_bytes}
        return {"calls": 1, **self.kernel.work(numbers)}


@dataclass(frozen=True)
class OpType:
    """A row of the op table."""

    kind: str
    attributes: type
    # (attributes, inputs) -> shapes of the outputs; raises ShapeError
    shapes: Callable[[Any, list[Tensor | None]], list[Shape]]
    # (op, inputs, outputs, input values) -> output values, bit-exact
    reference: Callable[[Any, list[Tensor | None], list[Tensor], list[Array | None]], list[Array]]
    # (op, inputs, outputs) -> steps for the generic kernels; None: no such kernel for these types
    steps: Callable[[Op, list[Tensor | None], list[Tensor]], list[Step] | None]
    macs: Callable[[Any, list[Tensor | None], list[Tensor]], int] = lambda a, i, o: 0
    # (op, inputs, outputs) -> a step with smaller constants and more instructions, for blobs that must be small
    compact: Callable[[Op, list[Tensor | None], list[Tensor]], Step | None] = lambda op, i, o: None
    # The output is the input's bytes under another shape: no step, one place in memory.
    is_view: bool = False


@dataclass(frozen=True)
class NoAttributes:
    """For operators without attributes."""


def present(tensor: Tensor | None) -> Tensor:
    """An input that the verifier has shown to be there."""
    assert tensor is not None
    return tensor


def constant(tensor: Tensor | None) -> Array:
    """The data of an input that must be constant."""
    assert tensor is not None and tensor.data is not None
    return tensor.data


def int8_only(*tensors: Tensor | None) -> None:
    """Refuses other types than s8, where arithmetic is specified for it alone; a float graph's are f32."""
    if all(t is None or t.dtype == "f32" for t in tensors):
        return
    for t in tensors:
        if t is not None and t.dtype != "s8":
            raise ShapeError(f"tensor {t.name} is {t.dtype}, s8 is needed")


def integers_only(*tensors: Tensor | None) -> None:
    """Refuses other types than s8 and s16, and a mixture of the two; a float graph's are f32."""
    found = {t.dtype: t for t in tensors if t is not None}
    for dtype, tensor in found.items():
        if dtype not in ("s8", "s16", "f32"):
            raise ShapeError(f"tensor {tensor.name} is {dtype}, s8 or s16 is needed")
    if len(found) > 1:
        pair = " and ".join(f"{t.name} ({dtype})" for dtype, t in found.items())
        raise ShapeError(f"{pair}: one type is needed")


def block(*parts: bytes | Array) -> bytes:
    """Parts of a parameter block, each aligned to 4 bytes."""
    out = b""
    for part in parts:
        raw = part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes()
        out += raw + bytes(-len(raw) % 4)
    return out


def elements(shape: Shape) -> int:
    return math.prod(shape)
