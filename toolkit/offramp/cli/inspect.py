"""`offramp inspect`: what a blob or a model file holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from offramp.blob import read
from offramp.blob.memory import arena_map
from offramp.blob.read import Blob
from offramp.build.blob_image import caller_bytes
from offramp.build.firmware import kernels_named
from offramp.cli import stages
from offramp.cli.blob_file import is_blob
from offramp.cli.certificate import as_data, show_certificate
from offramp.cli.licenses import licenses_of
from offramp.cli.options import Json
from offramp.cli.output import drawn, print_facts, print_json, print_table, stdout
from offramp.features import kind_of
from offramp.frontends import load_model
from offramp.ir import Graph, Op, Tensor
from offramp.ops import OPS
from offramp.pack import short_name
from offramp_host.rows import read_file

LIFE_COLUMNS = 24
NARROW_COLUMNS = 72


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .ofr, .ofg or .tflite file.")],
    licenses: Annotated[
        bool, typer.Option("--licenses", help="Licences of what a build of it links.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show inputs, outputs, steps, memory and metadata of a blob or a model file."""
    found = of_blob(file) if is_blob(file) else of_graph(file)
    if licenses:
        found = {"file": found["file"], "licenses": licenses_of(found)}
    if as_json:
        print_json(found)
    elif licenses:
        rows = [(row["part"], row["license"], row["linked"]) for row in found["licenses"]]
        print_table(f"{file}: licences", ("part", "licence", "linked"), rows)
    else:
        show(found)


def of_blob(path: Path) -> dict[str, Any]:
    return of_data(path, read_file(path))


def of_data(path: Path, data: bytes) -> dict[str, Any]:
    """`path` is for messages."""
    blob = read(data, path)
    return {
        "file": str(path),
        "model": blob.name,
        "format": f"ofr {blob.format}",
        "core": blob.core,
        "crc": f"{blob.crc:08x}",
        "bytes": blob.bytes,
        "constants_bytes": blob.constants_bytes,
        "arena_bytes": blob.arena_bytes + caller_bytes(blob),
        "caller_bytes": caller_bytes(blob),
        "state_bytes": blob.state_bytes,
        "macs": blob.plans[0].macs,
        "inputs": [asdict(port) for port in blob.inputs],
        "outputs": [asdict(port) for port in blob.outputs],
        "steps": [asdict(step) for step in blob.steps],
        "stages": stages.of_record(blob.plans[0]),
        "plans": [of_plan(data, blob, i) for i in range(len(blob.plans))],
        "kernels": of_kernels(blob),
        "arena": [asdict(extent) for extent in arena_map(data)],
        "labels": list(blob.labels),
        "metadata": blob.metadata,
        "certificate": as_data(
            blob.plans[0].certificate, [step.kernel for step in blob.steps], kind_of(blob.front_end)
        ),
    }


def of_plan(data: bytes, blob: Blob, index: int) -> dict[str, Any]:
    """A plan's own figures; steps and arena of plan 0 stand above, once."""
    plan = blob.plans[index]
    found = {
        "name": plan.name,
        "instructions": plan.instructions or None,
        "macs": plan.macs,
        "own_bytes": plan.own_bytes,
        "shared_bytes": plan.shared_bytes,
        "arena_bytes": plan.arena_bytes,
        "state_bytes": plan.state_bytes,
        "accuracy": plan.metadata.get("accuracy"),
    }
    if index == 0:
        return found
    return found | {
        "stages": stages.of_record(plan),
        "steps": [asdict(step) for step in plan.steps],
        "arena": [asdict(extent) for extent in arena_map(data, index)],
        "metadata": plan.metadata,
    }


def of_kernels(blob: Blob) -> list[dict[str, Any]]:
    """What a table of linked kernels must hold, in its order."""
    kernels = sorted(kernels_named(blob.kernels), key=lambda k: k.id)
    return [{"id": k.id, "kernel": f"{k.set}/{k.name}", "symbol": k.symbol} for k in kernels]


def of_graph(path: Path) -> dict[str, Any]:
    graph = load_model(path)
    steps = [of_op(graph, op) for op in graph.ops]
    state = [graph.tensors[v.initial] for v in graph.variables]
    return {
        "file": str(path),
        "model": graph.name,
        "format": path.suffix.lower()[1:],
        "bytes": path.stat().st_size,
        "constants_bytes": sum(t.bytes for t in graph.tensors if t.data is not None),
        "state_bytes": sum(t.bytes for t in state),
        "macs": sum(step["macs"] for step in steps),
        "inputs": [of_tensor(graph.tensors[i]) for i in graph.inputs],
        "outputs": [of_tensor(graph.tensors[i]) for i in graph.outputs],
        "steps": steps,
        "members": [of_member(m) for m in (graph, *graph.members)] if graph.members else [],
        "labels": list(graph.labels),
        "metadata": graph.metadata,
    }


def of_member(graph: Graph) -> dict[str, Any]:
    """A graph of a family by itself; weights that members share count for each."""
    return {
        "name": graph.name,
        "macs": sum(of_op(graph, op)["macs"] for op in graph.ops),
        "params_bytes": sum(t.bytes for t in graph.tensors if t.data is not None),
        "accuracy": graph.metadata.get("accuracy"),
    }


def of_tensor(tensor: Tensor) -> dict[str, Any]:
    q = tensor.quantization
    return {
        "name": tensor.name,
        "shape": tensor.shape,
        "dtype": tensor.dtype,
        "bytes": tensor.bytes,
        "scale": q.scale if q else None,
        "zero_point": q.zero_point if q else None,
    }


def of_op(graph: Graph, op: Op) -> dict[str, Any]:
    inputs = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
    outputs = [graph.tensors[i] for i in op.outputs]
    return {
        "op": op.kind,
        "name": op.name,
        "shape": outputs[0].shape if outputs else (),
        "macs": OPS[op.kind].macs(op.attributes, inputs, outputs),
        "params_bytes": sum(t.bytes for t in inputs if t is not None and t.data is not None),
    }


def show(found: dict[str, Any]) -> None:
    names = {key: key.replace("_bytes", "") for key in ("format", "core", "crc", "bytes", "constants_bytes")}
    names |= {
        "arena_bytes": "arena, inputs and outputs included",
        "caller_bytes": "of it in the caller's memory",
        "state_bytes": "state",
        "macs": "macs",
    }
    facts = [
        (name, found[key])
        for key, name in names.items()
        if key in found and (found[key] or key != "caller_bytes")
    ]
    print_facts(f"{found['file']}: {found['model']}", facts)
    packed = "arena" in found
    show_plans(found.get("plans", []))
    show_members(found.get("members", []))
    for which in ("inputs", "outputs"):
        memory = packed and which == "inputs"
        rows = [
            (
                p["name"],
                "x".join(map(str, p["shape"])),
                p["dtype"],
                number(p["scale"]),
                p["zero_point"],
                p["bytes"],
                *(["caller's" if p["memory"] == "input" else p["memory"]] if memory else []),
            )
            for p in found[which]
        ]
        columns = ("name", "shape", "type", "scale", "zero point", "bytes", *(["memory"] if memory else []))
        print_table(f"\n{which}", columns, rows)
    steps = [
        (
            i,
            s["kernel"] if packed else s["op"],
            short_name(s["name"])[:24],
            s["macs"],
            s["params_bytes"],
            *([] if packed else ["x".join(map(str, s["shape"]))]),
        )
        for i, s in enumerate(found["steps"])
    ]
    columns = ("", "kernel" if packed else "op", "name", "MACs", "bytes", *([] if packed else ["output"]))
    print_table("\nsteps" if packed else "\nops", columns, steps)
    if packed:
        kernels = [(f"{k['id']:#06x}", k["symbol"]) for k in found["kernels"]]
        print_table("\nkernels, in the order of a table of linked kernels", ("id", "symbol"), kernels)
        show_arena(found["arena"], len(found["steps"]))
    stages.show_stages(found.get("stages", []), bool(found.get("certificate")))
    if found["labels"]:
        print_facts("\nlabels", [(str(i), label) for i, label in enumerate(found["labels"])])
    if found.get("certificate"):
        show_certificate(found["certificate"])
    print_facts("\nmetadata", sorted(found["metadata"].items()))


def show_plans(plans: Sequence[dict[str, Any]]) -> None:
    """Of a family."""
    columns = ("", "plan", "instructions", "MACs", "own bytes", "shared", "arena", "state", "accuracy")
    keys = (
        "name",
        "instructions",
        "macs",
        "own_bytes",
        "shared_bytes",
        "arena_bytes",
        "state_bytes",
        "accuracy",
    )
    if len(plans) > 1:
        rows = [(i, *(plan[key] for key in keys)) for i, plan in enumerate(plans)]
        print_table("\nplans; what follows is of the first", columns, rows)


def show_members(members: Sequence[dict[str, Any]]) -> None:
    """Of a family that is a graph still."""
    columns = ("", "member", "MACs", "bytes", "accuracy")
    if members:
        rows = [(i, *member.values()) for i, member in enumerate(members)]
        print_table("\nmembers, shared weights counted in each; what follows is of the first", columns, rows)


def show_arena(extents: Sequence[dict[str, Any]], n_steps: int) -> None:
    columns = min(n_steps + 1, LIFE_COLUMNS if stdout.width >= NARROW_COLUMNS else LIFE_COLUMNS // 2)
    idle, alive = drawn("·", "."), drawn("█", "#")
    rows = []
    for e in extents:
        start, end = (e[key] * columns // (n_steps + 1) for key in ("first", "last"))
        life = idle * start + alive * (end - start + 1) + idle * (columns - end - 1)
        rows.append((e["offset"], e["bytes"], life, e["what"][:36]))
    print_table(
        f"\narena, in time from step 0 to {n_steps - 1} and the end",
        ("offset", "bytes", "life", "what"),
        rows,
    )


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.9g}"
