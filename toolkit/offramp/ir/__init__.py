"""The graph: what every frontend yields and every later stage reads."""

from offramp.ir.graph import CASCADE_MARGIN, DTYPES, IN_PLANES, Graph, Op, Quantization, Tensor, Variable

__all__ = ["CASCADE_MARGIN", "DTYPES", "IN_PLANES", "Graph", "Op", "Quantization", "Tensor", "Variable"]
