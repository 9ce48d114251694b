"""An emulated board that stays on, as a real one does after flashing: `python -m offramp_host.detached start|stop`.

Its folder holds `pid` (number and image) and `log`. A start ends what an earlier one in the same folder left.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from offramp import boards
from offramp.boards import Board
from offramp.errors import UserError
from offramp_host import child_process
from offramp_host.emulator import LISTENING, START_TIMEOUT_S, command


def start(board: Board, elf: Path, folder: Path, url: str) -> None:
    """Starts the image with its serial line at `url`; it runs from the first connection on.

    UserError where the port is in use or the emulator does not start.
    """
    stop(folder)
    port = _port(url)
    if _is_taken(port):
        raise UserError(
            f"port {port} of this machine is in use by another program",
            f"close that program, or give another --port such as socket://127.0.0.1:{_free_port()}",
        )
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    process = child_process.start_detached(command(board, elf.resolve(), port=port), log)
    (folder / "pid").write_text(f"{process.pid}\n{elf.resolve()}\n")
    limit = time.monotonic() + START_TIMEOUT_S
    while not LISTENING.search(log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > limit:
            stop(folder)
            said = log.read_text(errors="replace").strip() or "it said nothing"
            raise UserError(f"the emulator of {board.name} did not start: {said}", f"its log is {log}")
        time.sleep(0.05)


def stop(folder: Path) -> bool:
    """Ends what runs by this folder's `pid`; False if nothing did."""
    try:
        pid, elf = (folder / "pid").read_text().splitlines()
    except (OSError, ValueError):
        return False
    there = child_process.runs(int(pid), elf)
    child_process.end(int(pid), elf)
    (folder / "pid").unlink(missing_ok=True)
    return there


def _port(url: str) -> int:
    try:
        parts = urlsplit(url)
        if parts.scheme == "socket" and parts.hostname in ("127.0.0.1", "localhost") and parts.port:
            return parts.port
    except ValueError:
        pass
    raise UserError(f"{url}: an emulated board's port is on this machine", "write socket://127.0.0.1:5610")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="offramp_host.detached")
    verbs = parser.add_subparsers(dest="verb", required=True)
    starting = verbs.add_parser("start")
    for name, kind in (("board", str), ("elf", Path), ("folder", Path), ("url", str)):
        starting.add_argument(name, type=kind)
    verbs.add_parser("stop").add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    try:
        if given.verb == "stop":
            print("stopped" if stop(given.folder) else "nothing was running")
        else:
            start(boards.load(given.board), given.elf, given.folder, given.url)
            print(f"{given.board} runs {given.elf.name}; its serial line is {given.url}")
    except UserError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
