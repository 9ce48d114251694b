"""The graph: what every frontend yields and every later stage reads."""

from offramp.ir.graph import DTYPES, Graph, Op, Quantization, Tensor, Variable

__all__ = ["DTYPES", "Graph", "Op", "Quantization", "Tensor", "Variable"]
