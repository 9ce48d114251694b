"""One node of an ONNX graph, with what its converter needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from offramp.ops.op import Array

Results = int | list[int]  # tensor indices of a node's outputs


class Node:
    """`b` is the builder that the converter appends to."""

    def __init__(self, reader: Any, proto: Any) -> None:
        import onnx

        self.reader, self.proto, self.b = reader, proto, reader.builder
        self.opset: int = reader.opset
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}

    def has(self, i: int) -> bool:
        return i < len(self.proto.input) and bool(self.proto.input[i])

    def x(self, i: int) -> int:
        """Tensor index of input i."""
        if not self.has(i):
            raise self.b.refuse(f"lacks input {i}", "export the model again")
        return int(self.reader.values[self.proto.input[i]])

    def constant(self, i: int) -> Array:
        """The numbers of an input that must be known."""
        data = self.b.data(self.x(i))
        if data is None:
            raise self.b.refuse(
                f"has a computed input {i} ({self.proto.input[i]}), a constant is needed",
                "export the model with static shapes",
            )
        return np.asarray(data)

    def numbers(self, i: int) -> list[int]:
        return [int(v) for v in self.constant(i).reshape(-1)]

    def number(self, i: int, default: float) -> float:
        return float(self.constant(i).reshape(-1)[0]) if self.has(i) and self.constant(i).size else default

    def get(self, name: str, default: Any) -> Any:
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def axes(self, i: int, default: list[int]) -> list[int]:
        """Axes as an attribute (earlier opsets) or as input i."""
        if "axes" in self.attributes:
            return [int(a) for a in self.attributes["axes"]]
        return self.numbers(i) if self.has(i) else default
