"""Runs PlatformIO on the firmware or on another project, offline if asked, and passes on what it says."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from offramp import resources
from offramp.build.cache import cache_folder
from offramp.errors import UserError
from offramp_host import child_process

LAUNCHER = "pio.py"
SILENCE_S = 600.0  # a framework may take minutes to compile without a word


@dataclass(frozen=True)
class Done:
    """What a run of PlatformIO said, stdout and stderr as they came."""

    code: int
    output: str


def firmware() -> Path:
    """The project that builds Offramp's own firmware."""
    return resources.root() / "firmware"


def python() -> str:
    """The Python that has PlatformIO: this one, or that of the `pio` on PATH; UserError if there is none."""
    if importlib.util.find_spec("platformio") is not None:
        return sys.executable
    if (command := shutil.which("pio") or shutil.which("platformio")) is not None:
        folder = Path(command).resolve().parent
        for name in ("python", "python3", "python.exe"):
            if (folder / name).is_file():
                return str(folder / name)
    raise UserError("PlatformIO is not installed", "pip install 'offramp[flash]'")


def run(
    arguments: Sequence[str],
    *,
    project: Path | None = None,
    variables: Mapping[str, str] | None = None,
    offline: bool = False,
    told: Callable[[str], None] = lambda line: None,
    silence_s: float = SILENCE_S,
) -> Done:
    """Runs `pio ARGUMENTS` in a project, the firmware's by default; `told` gets each line as it comes.

    Build folders of the firmware lie in Offramp's cache, so that an installed Offramp can be read-only. UserError
    after `silence_s` without a line: a tool behind PlatformIO hangs. All that it started ends with it.
    """
    folder = project or firmware()
    cache = cache_folder() / "platformio"
    given = {"PLATFORMIO_BUILD_CACHE_DIR": str(cache / "objects"), "PLATFORMIO_NO_ANSI": "true"}
    if project is None:
        given["PLATFORMIO_WORKSPACE_DIR"] = str(workspace())
    environment = {
        **given,
        **os.environ,
        **({"OFFRAMP_OFFLINE": "1"} if offline else {}),
        "OFFRAMP_PYTHON": sys.executable,
        **(variables or {}),
    }
    command = [python(), str(firmware() / LAUNCHER), *arguments]
    lines = []
    with child_process.start_group(command, folder, environment) as process:
        assert process.stdout is not None
        watch = Watch(process, silence_s)
        try:
            for line in process.stdout:
                watch.again()
                lines.append(line)
                told(line.rstrip())
        except BaseException:
            child_process.end_group(process)
            raise
        finally:
            watch.end()
    if watch.hung:
        raise UserError(
            f"PlatformIO said nothing for {silence_s:g} s and was stopped; its last line: {last_of(lines)}",
            "is the probe plugged in, the board powered and in its boot loader? Then try again.",
        )
    return Done(process.returncode, "".join(lines))


class Watch:
    """Ends a process that goes without a line for too long."""

    def __init__(self, process: subprocess.Popen[str], silence_s: float) -> None:
        self.process, self.silence_s, self.hung = process, silence_s, False
        self.timer = self.started()

    def started(self) -> threading.Timer:
        timer = threading.Timer(self.silence_s, self.expire)
        timer.daemon = True
        timer.start()
        return timer

    def expire(self) -> None:
        self.hung = True
        child_process.end_group(self.process)

    def again(self) -> None:
        self.timer.cancel()
        self.timer = self.started()

    def end(self) -> None:
        self.timer.cancel()


def last_of(lines: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "none")


def workspace() -> Path:
    """Where the firmware is built, one folder for each checkout or installation."""
    named = os.environ.get("PLATFORMIO_WORKSPACE_DIR")
    mark = str(firmware()).strip("/\\").replace("/", "-").replace("\\", "-").replace(":", "")
    return Path(named) if named else cache_folder() / "platformio" / mark


def program(board: str) -> Path:
    """The image that `run -e BOARD` leaves."""
    return workspace() / "build" / board / "program.elf"
