"""Packs a model for a board: model file or graph -> passes -> plan -> blob, the one way that every command takes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from offramp import __version__
from offramp.blob import write
from offramp.boards import Board
from offramp.build.memory_map import arena_region, usable
from offramp.errors import UserError
from offramp.features import stream_for
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.kernels import SETS, cmsis_nn, esp_nn, refuse_float
from offramp.passes import optimize
from offramp.plan import Options, Plan, make_plan

LONGEST_NAME = 40
GRAPH_ONLY = (
    "steps",
)  # metadata that stay in the graph: flash is dear, and what made a model is in its .ofg


def pack(model: Path | Graph, board: Board, options: Options = Options()) -> tuple[Plan, bytes]:  # noqa: B008
    """The plan of a model and its blob; equal models, boards and options give equal bytes.

    UserError where the model cannot be read, an op has no kernel, or flash or RAM do not hold it.
    """
    graph = load_model(model) if isinstance(model, Path) else model
    refuse_float(graph)
    if options.passes:
        graph = with_passes(graph)
    members = tuple(with_short_names(member) for member in graph.members)
    graph, on_board = (
        replace(with_short_names(graph), members=members),
        replace(board, arena=arena_region(board)),
    )
    room = blob_room(board)
    most = room if options.flash_limit is None else min(options.flash_limit, room)
    constants = most
    while True:
        plan = make_plan(graph, on_board, replace(options, flash_limit=constants))
        plan = replace(plan, metadata={**plan.metadata, **provenance(plan, board), **source(model)})
        if options.front_end is not None:
            plan = with_front_end(plan, options.front_end)
        plan = plan if options.names else without_names(plan, provenance(plan, board))
        blob = write(plan)
        excess = len(blob) - most
        if excess <= 0 or len(plan.constants) > constants:
            break
        constants = max(0, len(plan.constants) - excess)  # what stands beside them is known only now
    check_flash(plan.name, len(blob), board, options)
    return plan, blob


def blob_room(board: Board) -> int:
    """Bytes that a blob may take in the image or in the model slot."""
    return max(usable(board, board.constants), board.model_slot.size)


def with_passes(graph: Graph) -> Graph:
    """The graph and its members after their passes; their metadata say what was done."""
    after, changes = optimize(replace(graph, members=()))
    told = {}
    if changes:
        told = {"macs_before": str(changes[0].macs_before), "passes": "; ".join(map(str, changes))}
    members = tuple(with_passes(member) for member in graph.members)
    return replace(after, metadata={**after.metadata, **told}, members=members)


def flash_lack(blob_bytes: int, board: Board) -> int:
    """Bytes by which a blob alone exceeds the flash that an image may use; 0 or less: it may fit."""
    return blob_bytes - usable(board, board.constants)


def with_front_end(plan: Plan, text: str) -> Plan:
    """The plan with the parameters of what makes its first input."""
    stream = stream_for(text, plan.tensors[plan.inputs[0]].tensor, plan.state_bytes > 0)
    return replace(plan, front_end=stream.block(), metadata={**plan.metadata, "front_end": text})


def without_names(plan: Plan, metadata: dict[str, str]) -> Plan:
    """With this metadata alone, members with none."""
    members = tuple(replace(member, metadata={}, names=False) for member in plan.members)
    return replace(plan, metadata=metadata, names=False, members=members)


def provenance(plan: Plan, board: Board) -> dict[str, str]:
    """What the blob says of its making; no dates, so that packing again gives the same bytes."""
    kernels = [step.kernel for member in plan.every for step in member.steps]
    used = {kernel.set for kernel in kernels}
    found = {
        "offramp": __version__,
        "board": board.name,
        "kernel_sets": ",".join(s for s in SETS if s in used),
    }
    return found | cmsis_nn.metadata(kernels) | esp_nn.metadata(kernels)


def source(model: Path | Graph) -> dict[str, str]:
    """Of a model file."""
    if not isinstance(model, Path):
        return {}
    data = model.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return {"source": model.name, "source_bytes": str(len(data)), "source_sha256": digest}


def check_flash(name: str, blob_bytes: int, board: Board, options: Options) -> None:
    """Refuses what neither the image's flash nor the model slot holds; the build checks the image exactly."""
    region, slot = board.constants, board.model_slot
    there = blob_room(board)
    limit = options.flash_limit
    if limit is not None and limit < blob_bytes <= there:
        raise UserError(
            f"{name}: the blob takes {blob_bytes} bytes, --flash-limit allows {limit} bytes, "
            f"{blob_bytes - limit} too few",
            "raise --flash-limit, or compress the model further",
        )
    if blob_bytes > there:
        raise UserError(
            f"{name} does not fit {board.name}: the blob takes {blob_bytes} bytes, region {region.name} has "
            f"{usable(board, region)} bytes for the image and the model slot in {slot.region.name} {slot.size} bytes, "
            f"{blob_bytes - there} too few",
            "choose a board with more flash (`offramp boards`) or a smaller model",
        )


def with_short_names(graph: Graph) -> Graph:
    """Names fit for tables and messages; inputs and outputs keep theirs, and nothing else takes one."""
    ports = {graph.tensors[i].name for i in (*graph.inputs, *graph.outputs)}
    tensors = []
    for tensor in graph.tensors:
        name = short_name(tensor.name)
        keep = tensor.name in ports or name in ports
        tensors.append(tensor if keep else replace(tensor, name=name))
    ops = tuple(replace(op, name=short_name(op.name)) for op in graph.ops)
    told = {key: text for key, text in graph.metadata.items() if key not in GRAPH_ONLY}
    return replace(graph, tensors=tuple(tensors), ops=ops, metadata=told)


def short_name(name: str) -> str:
    """The end of a tensor's path, of the first where several were fused: a/b/c;d/e -> b/c."""
    parts = [part for part in name.split(";")[0].split("/") if part]
    return "/".join(parts[-2:])[-LONGEST_NAME:]
