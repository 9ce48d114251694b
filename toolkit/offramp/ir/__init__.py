"""The graph: what every frontend yields and every later stage reads."""

from offramp.ir.graph import (
    CASCADE_MARGIN,
    CONFIDENCES,
    DTYPES,
    GATE,
    IN_PLANES,
    MAX_EXITS,
    OF_WIDEST,
    Exit,
    Graph,
    Op,
    Quantization,
    Tensor,
    Variable,
    without_batch,
)

__all__ = [
    "CASCADE_MARGIN",
    "CONFIDENCES",
    "DTYPES",
    "GATE",
    "IN_PLANES",
    "MAX_EXITS",
    "OF_WIDEST",
    "Exit",
    "Graph",
    "Op",
    "Quantization",
    "Tensor",
    "Variable",
    "without_batch",
]
