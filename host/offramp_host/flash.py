"""Writes firmware to a board through PlatformIO or a model over the link, and asks the board what it now holds."""

from __future__ import annotations

import configparser
import time
from collections.abc import Callable
from dataclasses import dataclass

from serial.tools import list_ports

from offramp import __version__
from offramp.blob import header
from offramp.blob.read import CORE_NAMES, KERNEL_NAMES, Blob
from offramp.boards import Board
from offramp.build.cache import write_atomically
from offramp.build.firmware import kernels_named, takes_exits
from offramp.build.listing import KernelChoice
from offramp.build.mlperf import benchmark_of
from offramp.errors import UserError
from offramp_host import platformio
from offramp_host.device import BoardInfo, Device, Info
from offramp_host.flash_messages import PLUG_IN, explain
from offramp_host.mlperf import Identity, TextDevice

Told = Callable[[str], None]
APPEARS_S = 10.0
"""How long a board's port may be away after flashing: USB devices come back under their name."""


@dataclass(frozen=True)
class Model:
    """What is to be on the board. `name` is for messages."""

    name: str
    blob: Blob
    data: bytes

    @property
    def crc(self) -> int:
        return header.parse(self.data).crc


def write_firmware(
    board: Board,
    model: Model | None,
    port: str | None,
    *,
    kernels: KernelChoice = "universal",
    mlperf: bool = False,
    source: str | None = None,
    offline: bool = False,
    told: Told = lambda line: None,
) -> None:
    """Builds the firmware with these kernels, `model` and its own linked in, and writes it; UserError if that fails.

    `port` is where PlatformIO writes: None leaves it to its own search, or to the board's debug probe. `mlperf` and
    `source` are those of `offramp build`.
    """
    linked = platformio.workspace() / "model" / f"{board.name}.ofr"
    variables = {
        "OFFRAMP_MODEL": "",
        "OFFRAMP_KERNELS": kernels,
        "OFFRAMP_MLPERF": "1" if mlperf else "",
        "OFFRAMP_SOURCE": source or "",
        "PLATFORMIO_WORKSPACE_DIR": str(platformio.workspace()),
    }
    if model is not None:
        write_atomically(linked, model.data)
        variables["OFFRAMP_MODEL"] = str(linked)
    arguments = ["run", "-e", board.name, "-t", "upload"]
    arguments += ["--upload-port", port] if port else []
    # Nothing of an emulated board is ever fetched.
    offline = offline or board.platformio is None
    done = platformio.run(arguments, variables=variables, offline=offline, told=told)
    if done.code != 0:
        raise explain(done.output, board.name)


def kernels_for(blob: Blob) -> KernelChoice:
    """Of firmware without the blob that takes it later: all only where those for int8 models are too few."""
    others = takes_exits(kernels_named(blob.kernels)) or any(plan.exits for plan in blob.plans)
    return "all" if others else "universal"


def write_model(device: Device, board: Board, model: Model, progress: Callable[[int, int], None]) -> None:
    """Sends the blob into the model slot; UserError or RefusedError if the board cannot take it.

    A transfer that broke off leaves no model active, and the next one begins anew.
    """
    info = device.info()
    check_identity(info, board, device.url)
    check_kernels(model.blob, info.board, model.name)
    if len(model.data) > info.board.slot_bytes:
        raise UserError(
            f"{model.name}: the blob takes {len(model.data)} bytes, the model slot of {board.name} takes "
            f"{info.board.slot_bytes} bytes",
            "flash it with the firmware (without --model-only), or choose a smaller model",
        )
    device.load_model(model.data, progress=progress)


def connect(url: str, timeout_s: float) -> Device:
    """Waits for a board's port, and then for its banner or its answer; UserError if there is none in time."""
    limit = time.monotonic() + APPEARS_S
    while True:
        try:
            return Device(url, timeout_s=timeout_s)
        except UserError as error:
            away = "there is no such port" in error.message or "nobody answers there" in error.message
            if not away or time.monotonic() > limit:
                raise
        time.sleep(0.2)


def check(device: Device, board: Board, model: Model | None, *, fresh: bool) -> Info:
    """What the board says of itself, once that is what was flashed; UserError names the first difference.

    `fresh`: the firmware is new, so its version is to be this one and the model that is linked in is to run, even
    where RAM still holds another.
    """
    info = device.info()
    check_identity(info, board, device.url)
    if fresh and info.board.firmware_version != __version__:
        raise UserError(
            f"{device.url}: the firmware says version {info.board.firmware_version}, {__version__} was flashed",
            "press RESET and flash again; if it stays, another board is at that port",
        )
    if model is None:
        return info
    if fresh and info.model.source == "slot":
        info = device.roll_back()
    if info.model.refused is not None:
        raise info.model.refused
    found = (info.model.name, info.model.crc)
    if found != (model.blob.name, model.crc):
        raise UserError(
            f"{device.url}: the board runs {found[0] or 'no model'} (CRC {found[1]:08x}), "
            f"flashed was {model.blob.name} (CRC {model.crc:08x})",
            "flash again; it writes everything anew",
        )
    return info


def check_mlperf(url: str, blob: Blob, timeout_s: float) -> Identity:
    """What a board says over MLPerf Tiny's protocol; UserError unless it runs the blob's benchmark."""
    with TextDevice(url, timeout_s=timeout_s) as device:
        found = device.identify()
    if found.model != (wanted := benchmark_of(blob).name):
        raise UserError(
            f"{url}: the board speaks MLPerf Tiny's protocol for {found.model}, not for {wanted}",
            "flash again",
        )
    return found


def check_identity(info: Info, board: Board, url: str) -> None:
    if info.board.board != board.name:
        raise UserError(
            f"{url}: the board there is {info.board.board}, not {board.name}",
            f"--board {info.board.board}, or name the port of {board.name} with --port",
        )


def check_kernels(blob: Blob, there: BoardInfo, name: str) -> None:
    """UserError unless the firmware that answers was linked with the blob's kernels."""
    core = CORE_NAMES.get(there.core, f"core {there.core}")
    if blob.core not in ("any", core):
        raise UserError(
            f"{name} is packed for {blob.core}; {there.board} has {core}",
            f"pack the model again with --board {there.board}",
        )
    held = {KERNEL_NAMES.get(number) for number in there.kernels}
    if lacking := sorted({*blob.kernels} - held):
        raise UserError(
            f"{name} needs {', '.join(lacking)}, which the firmware of {there.board} does not hold",
            "build it for this model, or with --universal or --universal-all (`offramp build`)",
        )


def link_port(board: Board, port: str | None) -> str:
    """Where the board talks: `port`, an emulated board's own, or the one serial port there is; UserError else."""
    if port is not None:
        return port
    if board.platformio is None:
        return own_port(board)
    found = sorted((p for p in list_ports.comports() if p.vid is not None), key=lambda p: p.device)
    if len(found) == 1:
        return str(found[0].device)
    if not found:
        raise UserError(f"no board is connected: no serial port of a {board.name} was found", PLUG_IN)
    listed = ", ".join(f"{p.device} ({p.description})" for p in found)
    raise UserError(
        f"{len(found)} boards are connected: {listed}", f"name that of {board.name}: --port {found[0].device}"
    )


def own_port(board: Board) -> str:
    """The port of an emulated board, as firmware/platformio.ini says."""
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(platformio.firmware() / "platformio.ini", encoding="utf-8")
    section = f"env:{board.name}"
    if section not in ini:
        raise UserError(
            f"{board.name} has no [platformio] in its board file, so that nothing is known of how to write it",
            "add the table (docs/new-board.md), or build the image and write it with your own tool: offramp build",
        )
    return ini[section]["upload_port"]
