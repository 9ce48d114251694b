"""Checks that a blob is for a board, and builds the firmware that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from offramp.blob.read import Blob
from offramp.boards import Board
from offramp.build.firmware import MOST_PLANS, firmware, kernels_named, kernels_on, takes_exits
from offramp.build.footprint import Footprint
from offramp.build.image import Image
from offramp.build.memory_map import usable
from offramp.build.mlperf import defines as defines_of
from offramp.errors import UserError
from offramp.features import header_of, kind_of
from offramp.ops import Kernel
from offramp.plan.arena import aligned


def check_board(blob: Blob, board: Board, name: str) -> None:
    """UserError unless the blob, called `name`, is packed for the board's core and kernel sets."""
    mend = f"pack the model again with --board {board.name}"
    if blob.core not in ("any", board.core.name):
        made_for = blob.metadata.get("board", "another board")
        raise UserError(
            f"{name} is packed for {blob.core} ({made_for}); {board.name} has {board.core.name}", mend
        )
    known = {f"{k.set}/{k.name}" for k in kernels_on(board)}
    for plan in blob.plans:
        of = f" of plan {plan.name}" if len(blob.plans) > 1 else ""
        for i, step in enumerate(plan.steps):
            if step.kernel not in known:
                raise UserError(
                    f"{name}: step {i}{of} ({step.op} {step.name}) needs {step.kernel}, which {board.name} lacks",
                    mend,
                )


def check_slot(n_bytes: int, board: Board, name: str) -> None:
    """UserError unless a blob of `n_bytes`, called `name`, fits the model slot."""
    if n_bytes > board.model_slot.size:
        raise UserError(
            f"{name}: the blob takes {n_bytes} bytes, {board.name} takes {board.model_slot.size} bytes",
            "choose a board with more memory (`offramp boards`)",
        )


def memory_bytes(blob: Blob) -> int:
    """What a running model takes: arena, states, inputs in the caller's memory, and its front end."""
    features = aligned(header_of(blob.front_end)["memory_bytes"]) if blob.front_end else 0
    return blob.arena_bytes + aligned(blob.state_bytes) + caller_bytes(blob) + features


def caller_bytes(blob: Blob) -> int:
    """What the application reserves for inputs that stay in the caller's memory."""
    return sum(aligned(port.bytes) for port in blob.inputs if port.memory == "input")


def blob_image(
    blob: Blob,
    board: Board,
    out_elf: Path,
    *,
    linked: Path | None = None,
    others: Sequence[Kernel] = (),
    mlperf: bool = False,
    source: str | None = None,
) -> Image:
    """The firmware with the blob's kernels and plans, or with `others` for what later blobs need.

    `linked` is the blob's file if it is to be part of the image; `mlperf` adds MLPerf Tiny's protocol for it, `source`
    the board's sensor (offramp.build.source). UserError where flash or RAM do not hold it.
    """
    kernels, plans, exits = contents(blob, others)
    image = firmware(
        board,
        out_elf,
        kernels=kernels,
        blob=linked,
        plans=plans,
        exits=exits,
        front_ends=front_ends_of(blob),
        defines=defines_of(blob, board) if mlperf else (),
        source=source,
    )
    check_ram(blob, board, image.footprint)
    return image


def front_ends_of(blob: Blob) -> tuple[str, ...]:
    """The kind of front end that the blob names, if it names one."""
    kind = kind_of(blob.front_end)
    return () if kind is None else (kind,)


def contents(blob: Blob, others: Sequence[Kernel]) -> tuple[tuple[Kernel, ...], int, bool]:
    """Of a blob's image: kernels, `others` among them, of how many plans it keeps instances, whether it has exits."""
    if len(blob.plans) > MOST_PLANS:
        raise UserError(
            f"{blob.name} has {len(blob.plans)} plans, the application keeps instances of {MOST_PLANS} at most",
            "pack a family with fewer members",
        )
    kernels = tuple(dict.fromkeys((*kernels_named(blob.kernels), *others)))
    exits = takes_exits(others) or any(plan.exits for plan in blob.plans)
    return kernels, MOST_PLANS if others else len(blob.plans), exits


def check_ram(blob: Blob, board: Board, sizes: Footprint) -> None:
    wanted, there = memory_bytes(blob), usable(board, board.arena)
    if board.core.toolchain == "host":  # a process reserves the whole region beside all else
        there = board.arena.size
    elif board.data == board.arena:
        there -= sizes.static_ram_bytes + sizes.link_buffer_bytes + sizes.stack_bytes
    if wanted > there:
        raise UserError(
            f"{blob.name} does not fit {board.name}: arena and state need {wanted} bytes, "
            f"region {board.arena.name} has {there} bytes beside the firmware's own data, {wanted - there} too few",
            "choose a board with more RAM (`offramp boards`) or a smaller model; "
            "`offramp inspect` shows what lies in the arena at which step",
        )
