"""Runs many rows through a blob on an emulated board: what a board would answer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from offramp.blob import read
from offramp.boards import Board
from offramp.build.blob_image import blob_image
from offramp_host.device import Device
from offramp_host.emulator import Emulator


def outputs_on(
    board: Board,
    data: bytes,
    rows: Sequence[NDArray[Any]],
    told: Callable[[int], None] = lambda done: None,
    time_limit_s: float = 60.0,
    plan: int = 0,
) -> list[NDArray[Any]]:
    """Output 0 of each row of input 0 by a plan, the blob linked into an image of its own."""
    blob = read(data, "blob")
    found = []
    with tempfile.TemporaryDirectory(prefix="offramp-") as folder:
        linked = Path(folder) / "model.ofr"
        linked.write_bytes(data)
        image = blob_image(blob, board, Path(folder) / "image.elf", linked=linked)
        with (
            Emulator(board, image.elf, timeout_s=time_limit_s * (len(rows) + 2)) as emulator,
            Device(emulator.url, timeout_s=time_limit_s) as device,
        ):
            shaped = [[row.reshape(blob.inputs[0].shape)] for row in rows]
            for result in device.stream(shaped, plan=plan):
                found.append(result.outputs[0])
                told(len(found))
    return found
