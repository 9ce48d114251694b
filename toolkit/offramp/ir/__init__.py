"""The graph: what every frontend yields and every later stage reads."""

from offramp.ir.graph import (
    CASCADE_MARGIN,
    CONFIDENCES,
    DTYPES,
    IN_PLANES,
    MAX_EXITS,
    Exit,
    Graph,
    Op,
    Quantization,
    Tensor,
    Variable,
)

__all__ = [
    "CASCADE_MARGIN",
    "CONFIDENCES",
    "DTYPES",
    "IN_PLANES",
    "MAX_EXITS",
    "Exit",
    "Graph",
    "Op",
    "Quantization",
    "Tensor",
    "Variable",
]
