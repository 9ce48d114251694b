"""`offramp doctor`: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import typer
from serial.tools import list_ports

from offramp import boards
from offramp.build import cmsis_nn, compilers, esp_nn
from offramp.build.cache import cache_folder
from offramp.cli.options import Json
from offramp.cli.output import print_json, print_table, stdout
from offramp.errors import UserError
from offramp_host import emulator, platformio

# What the way from a model to an emulated Arm board takes; the rest widens the choice of boards.
NEEDED_TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
_PYTHONS = ((3, 11), (3, 13))


@dataclass(frozen=True)
class Check:
    """`mend` is the command that mends it, empty where nothing is wrong."""

    what: str
    status: Literal["ok", "missing", "optional"]
    found: str
    mend: str = ""


def doctor(as_json: Json = False) -> None:
    """Check what is installed; exit code 1 if something needed is missing."""
    checks = [python(), *folders(), *tools(), *libraries(), flasher(), *ports()]
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        print_table("", ("", "status", "found"), [(c.what, c.status, c.found) for c in checks])
        for check in checks:
            if check.mend:
                stdout.print(f"\n{check.what}:\n  {check.mend}", soft_wrap=True)
    if any(check.status == "missing" for check in checks):
        raise typer.Exit(1)


def python() -> Check:
    low, high = _PYTHONS
    found = f"{sys.version.split()[0]} in {sys.prefix}"
    if low <= sys.version_info[:2] <= high:
        return Check("Python", "ok", found)
    return Check("Python", "missing", found, f"install Python {low[0]}.{low[1]} to {high[0]}.{high[1]}")


def folders() -> Iterator[Check]:
    try:
        yield Check("cache folder", "ok", str(cache_folder()))
    except UserError as error:
        yield Check("cache folder", "missing", error.message, error.hint)
    try:  # gettempdir tries several and whether they can be written
        yield Check("temporary folder", "ok", tempfile.gettempdir())
    except OSError as error:
        yield Check("temporary folder", "missing", str(error), "set TMPDIR to a folder that can be written")


def tools() -> Iterator[Check]:
    """Each compiler and emulator that a board file names, and whether the compiler has its C library."""
    all_boards = [boards.load(name) for name in boards.names()]
    for board in {board.core.toolchain: board for board in all_boards}.values():
        kind = board.core.toolchain
        yield tool(
            compilers.EXECUTABLES[kind], compilers.INSTALL[kind], functools.partial(compiler, board.core)
        )
    for binary in sorted({board.emulator.binary for board in all_boards if board.emulator}):
        package = emulator.PACKAGES.get(binary, binary)
        yield tool(binary, f"sudo apt-get install {package}", version_line)


def tool(name: str, mend: str, describe: Callable[[str], str]) -> Check:
    path = shutil.which(name)
    lacking: Literal["missing", "optional"] = "missing" if name in NEEDED_TOOLS else "optional"
    if path is None:
        return Check(name, lacking, "not installed", mend)
    try:
        return Check(name, "ok", f"{describe(path)} in {path}")
    except (OSError, subprocess.SubprocessError):
        return Check(name, lacking, f"{path} does not work, or lacks its C library", mend)


def compiler(core: boards.Core, path: str) -> str:
    """Its version; SubprocessError unless it compiles a file that uses the C library for `core`."""
    specs = ["--specs=picolibc.specs"] if core.toolchain == "riscv" else []
    command = [path, *core.flags, *specs, "-x", "c", "-fsyntax-only", "-"]
    subprocess.run(command, input=b"#include <string.h>\n", capture_output=True, check=True, timeout=20)
    done = subprocess.run([path, "-dumpfullversion"], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def version_line(path: str) -> str:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.splitlines()[0].rpartition("version ")[2].split(" (")[0]


def libraries() -> Iterator[Check]:
    for name, find in (("CMSIS-NN", cmsis_nn.find), ("ESP-NN", esp_nn.find)):
        try:
            found = find()
        except UserError as error:
            yield Check(name, "optional", error.message, "pip install 'offramp[cmsis-nn]'")
            continue
        headers = ", ".join(str(folder) for folder in found.include_dirs)
        yield Check(name, "ok", f"{found.version} in {found.root}, headers in {headers}")


def flasher() -> Check:
    try:
        return Check("PlatformIO", "ok", f"in {platformio.python()}")
    except UserError as error:
        return Check("PlatformIO", "optional", error.message, error.hint)


def ports() -> Iterator[Check]:
    found = sorted(list_ports.comports(), key=lambda port: port.device)
    for port in found:
        if os.access(port.device, os.R_OK | os.W_OK) or sys.platform == "win32":
            yield Check(port.device, "ok", port.description)
        else:
            yield Check(
                port.device,
                "optional",
                "permission denied",
                "sudo usermod -aG dialout $USER, then log in again",
            )
    if not found:
        yield Check("serial ports", "ok", "none; emulated boards need none")
