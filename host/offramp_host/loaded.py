"""A model on a board: started in the emulator with it, or sent to a board at a port."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from offramp.blob import read
from offramp.boards import Board
from offramp.build.blob_image import blob_image, check_board, check_slot
from offramp_host.device import Device
from offramp_host.emulator import Emulator
from offramp_host.flash import check_kernels


@contextmanager
def started(
    board: Board, data: bytes, *, name: str = "blob", limit_s: float, time_limit_s: float
) -> Iterator[Device]:
    """The emulated board with the blob `data` in its model slot, which every board has.

    `name` is for messages; the emulator is killed after `limit_s`, `time_limit_s` holds for one inference.
    """
    blob = read(data, name)
    check_board(blob, board, name)
    check_slot(len(data), board, name)
    with tempfile.TemporaryDirectory(prefix="offramp-") as folder:
        model = Path(folder) / "model.ofr"
        model.write_bytes(data)
        image = blob_image(blob, board, Path(folder) / "image.elf")
        loads = [(model, board.model_slot.address)]
        with (
            Emulator(board, image.elf, loads=loads, timeout_s=limit_s) as emulator,
            Device(emulator.url, timeout_s=time_limit_s) as device,
        ):
            yield device


def send(
    device: Device, data: bytes, *, name: str = "blob", told: Callable[[int], None] = lambda sent: None
) -> None:
    """The board runs the blob `data` from now on; nothing is sent if it is there already. `told` gets bytes sent.

    UserError unless the firmware was linked with its kernels.
    """
    blob, info = read(data, name), device.info()
    if not info.model.source or info.model.crc != blob.crc:
        check_kernels(blob, info.board, name)
        device.load_model(data, progress=lambda done, _: told(done))
