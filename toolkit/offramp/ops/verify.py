"""Checks a graph: indices, order, types and shapes. Runs after every frontend and between passes."""

from __future__ import annotations

import math

from offramp.errors import UserError
from offramp.ir import CONFIDENCES, MAX_EXITS, Graph, Op, Tensor
from offramp.ops import OPS, ShapeError


def verify(graph: Graph, where: str) -> None:
    """Raises UserError naming the op and tensor that are wrong; `where` is the file or pass."""

    known = set(graph.inputs) | {i for i, t in enumerate(graph.tensors) if t.data is not None}
    for index in (*graph.inputs, *graph.outputs):
        if not 0 <= index < len(graph.tensors):
            raise UserError(
                f"{where}: tensor {index} does not exist, {len(graph.tensors)} tensors", "export it again"
            )
    for op in graph.ops:
        if op.kind not in OPS:
            raise UserError(
                f"{where}: op {op.kind} ({op.name}) is unknown", f"known: {', '.join(sorted(OPS))}"
            )
        check_operands(graph, op, known, where)
        tensors = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
        outputs = [graph.tensors[i] for i in op.outputs]
        try:
            expected = OPS[op.kind].shapes(op.attributes, tensors) if op.kind not in STATE else None
        except ShapeError as error:
            raise UserError(f"{where}: {op.kind} ({op.name}): {error}", "export the model again") from error
        except (ValueError, IndexError, AssertionError, AttributeError) as error:
            shapes = [t.shape if t else None for t in tensors]
            raise UserError(
                f"{where}: {op.kind} ({op.name}): inputs {shapes} have a wrong rank", "export it again"
            ) from error
        if expected is not None and expected != [t.shape for t in outputs]:
            raise UserError(
                f"{where}: {op.kind} ({op.name}): output has shape {[t.shape for t in outputs]}, {expected} computed",
                "export the model with static shapes",
            )
        known.update(op.outputs)
    for index in graph.outputs:
        if index not in known:
            raise UserError(
                f"{where}: output {graph.tensors[index].name} is never computed", "export it again"
            )
    check_exits(graph, where)


def check_exits(graph: Graph, where: str) -> None:
    """Places of exits in the outputs, behind the graph's own; a quantized graph's estimates are bytes."""
    if len(graph.exits) > MAX_EXITS:
        raise UserError(
            f"{where}: {len(graph.exits)} exits, a plan holds {MAX_EXITS} at most", "leave out some"
        )
    places = [i for e in graph.exits for i in dict.fromkeys((e.answer, e.estimate))]
    own = len(graph.outputs) - len(places)
    if sorted(places) != list(range(own, len(graph.outputs))) or (graph.exits and own < 1):
        raise UserError(
            f"{where}: exits refer to the outputs {places} of {len(graph.outputs)}", "make the file again"
        )
    for e in graph.exits:
        dtype = graph.tensors[graph.outputs[e.estimate]].dtype
        if (
            e.confidence not in CONFIDENCES
            or not 0 <= e.threshold <= 0xFFFF
            or dtype not in ("s8", "u8", "f32")
        ):
            raise UserError(
                f"{where}: exit {e.name} compares the {e.confidence} of a tensor of type {dtype} with {e.threshold}",
                f"{', '.join(CONFIDENCES)} of s8 or u8, with a threshold from 0 to 65535",
            )


STATE = ("read_variable", "assign_variable")


def check_operands(graph: Graph, op: Op, known: set[int], where: str) -> None:
    for i in (*op.inputs, *op.outputs):
        if i >= len(graph.tensors) or i < -1:
            raise UserError(
                f"{where}: {op.kind} ({op.name}): tensor {i} does not exist", "export the model again"
            )
    for i in op.inputs:
        if i >= 0 and i not in known:
            raise UserError(
                f"{where}: {op.kind} ({op.name}): input {graph.tensors[i].name} is read before it is computed",
                "ops must stand in execution order",
            )
    for i in op.outputs:
        if i in known:
            raise UserError(
                f"{where}: {op.kind} ({op.name}): {graph.tensors[i].name} is written twice", "export it again"
            )
    for i in (*op.inputs, *op.outputs):
        if (
            i >= 0
            and graph.tensors[i].dtype in RANGES
            and graph.tensors[i].quantization is None
            and i in known
        ):
            raise UserError(
                f"{where}: {op.kind} ({op.name}): tensor {graph.tensors[i].name} has no scale and zero point",
                "export the model with full integer quantization",
            )
    for i in (*op.inputs, *op.outputs):
        if i >= 0:
            check_quantization(graph.tensors[i], f"{where}: {op.kind} ({op.name})")


RANGES = {"s8": (-128, 127), "u8": (0, 255), "s16": (0, 0)}  # of zero points


def check_quantization(tensor: Tensor, where: str) -> None:
    """Scales are positive and finite, zero points lie in the type's range."""
    if tensor.quantization is None or tensor.dtype not in RANGES:
        return
    low, high = RANGES[tensor.dtype]
    for scale in tensor.quantization.scales:
        if not 0 < scale < math.inf:
            raise UserError(
                f"{where}: tensor {tensor.name} has the scale {scale}, it must be above 0",
                "export the model again",
            )
    for zero in tensor.quantization.zero_points:
        if not low <= zero <= high:
            raise UserError(
                f"{where}: tensor {tensor.name} has the zero point {zero}, {tensor.dtype} allows {low} to {high}",
                "export the model again",
            )
