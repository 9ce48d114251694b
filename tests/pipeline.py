"""From a model file to results on a board, as the command line does it: for tests that span the whole way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp import boards, build
from offramp.blob import write
from offramp.boards import Board
from offramp.build.firmware import firmware
from offramp.frontends import load_model
from offramp.ir import DTYPES, Graph
from offramp.passes import optimize
from offramp.plan import Options, Plan, make_plan
from offramp_host.device import Device
from offramp_host.emulator import Emulator

Array = NDArray[Any]


@dataclass(frozen=True)
class Packed:
    """A model packed for a board and the image that holds it, with this model's kernels only.

    `graph` is the model's own, before the graph passes.
    """

    graph: Graph
    board: Board
    plan: Plan
    blob: bytes
    image: build.Image


def pack_and_build(
    model: Path, board_name: str, kernels: str, folder: Path, sanitize: bool = False
) -> Packed:
    graph, board = load_model(model), boards.load(board_name)
    plan = make_plan(optimize(graph)[0], board, Options(kernels=kernels))
    blob = write(plan)
    path = folder / f"{graph.name}-{board_name}-{kernels}.ofr"
    path.write_bytes(blob)
    used = list({step.kernel.id: step.kernel for step in plan.steps}.values())
    image = firmware(board, path.with_suffix(".elf"), kernels=used, blob=path, sanitize=sanitize)
    return Packed(graph, board, plan, blob, image)


@contextmanager
def running(packed: Packed, timeout_s: float = 300) -> Iterator[Device]:
    """A device that runs the packed model in the emulator."""
    with (
        Emulator(packed.board, packed.image.elf, loads=[], timeout_s=timeout_s) as emulator,
        Device(emulator.url, timeout_s=60) as device,
    ):
        yield device


def shaped(graph: Graph, rows: Array) -> list[list[Array]]:
    """Rows of one input as the model takes them."""
    tensor = graph.tensors[graph.inputs[0]]
    return [[row.reshape(tensor.shape).astype(DTYPES[tensor.dtype])] for row in rows]


def outputs_on(packed: Packed, rows: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """Outputs of every row, state carried from row to row."""
    with running(packed) as device:
        return [list(result.outputs) for result in device.stream(rows)]


def differing(found: list[list[Array]], expected: Sequence[Sequence[Array]]) -> list[int]:
    """Rows whose outputs differ in any byte."""
    assert len(found) == len(expected)
    return [
        i
        for i, (a, b) in enumerate(zip(found, expected, strict=True))
        if not all(np.array_equal(x.reshape(-1), y.reshape(-1)) for x, y in zip(a, b, strict=True))
    ]
