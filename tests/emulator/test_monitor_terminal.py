"""`offramp monitor` in a pseudo-terminal (tmux), over an emulated board."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import small_models

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]
pytest.importorskip("textual")
WAIT_S = 120.0


class Terminal:
    """A tmux server of its own, with one window of 100 x 30."""

    def __init__(self, folder: Path, command: str) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        start = ["new-session", "-d", "-x", "100", "-y", "30", f"{command}; echo EXIT $?; sleep 60"]
        self.call(*start, cwd=folder)

    def call(self, *arguments: str, cwd: Path | None = None) -> str:
        environment = {**os.environ, "TERM": "screen-256color"}
        return subprocess.run(
            [*self._tmux, *arguments], check=True, capture_output=True, text=True, cwd=cwd, env=environment
        ).stdout

    def press(self, *keys: str) -> None:
        self.call("send-keys", *keys)

    def wait(self, pattern: str) -> re.Match[str]:
        """What the screen shows once it matches."""
        limit = time.monotonic() + WAIT_S
        while time.monotonic() < limit:
            screen = self.call("capture-pane", "-p")
            if found := re.search(pattern, screen):
                return found
            time.sleep(0.1)
        raise AssertionError(f"no {pattern!r} on\n{screen}")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        program = f"{sys.executable} -c 'from offramp.cli import main; main()' monitor {' '.join(arguments)}"
        opened.append(Terminal(tmp_path, program))
        return opened[-1]

    yield start
    for one in opened:
        one.call("kill-server")


def test_a_session_at_the_keyboard(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    np.save(tmp_path / "x.npy", np.zeros((3, 20), np.int8))
    one = terminal("m.tflite", "--board", "mps2_an386", "--source", "x.npy", "--rate", "20")
    first = int(one.wait(r"row (\d+) went to the end, [\d,]+ instructions")[1])
    assert int(one.wait(rf"row (?!{first} )(\d+) went")[1]) > first
    assert re.search(r"stack at most [\d,]+ bytes", one.wait(r"(?s).*stack at most.*")[0])
    one.press("Space")
    one.wait("paused")
    one.press("Space")
    one.wait("running")
    one.press("+")
    one.wait("has no exits, there are no thresholds")
    one.press("r")
    one.wait("running · recording")
    one.call("resize-window", "-x", "60", "-y", "10")
    one.wait("60 x 10 of 70 x 20: enlarge, or q")
    one.call("resize-window", "-x", "100", "-y", "30")
    one.wait("running · recording")
    one.press("q")
    one.wait(r"monitor: wrote monitor-\d+-\d+\.npz: \d+ rows")
    one.wait("EXIT 0")
    [recording] = tmp_path.glob("monitor-*.npz")
    assert len(np.load(recording)["monitor/output0"]) > 0


@pytest.mark.parametrize(("name", "code"), [("TERM", 143), ("HUP", 129)])
def test_signals_end_it_and_give_the_terminal_back(
    terminal: Callable[..., Terminal], tmp_path: Path, name: str, code: int
) -> None:
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    one = terminal("m.tflite", "--board", "mps2_an386", "--rate", "20")
    one.wait(r"row \d+ went to the end")
    shell = int(one.call("list-panes", "-F", "#{pane_pid}"))
    [pid] = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(shell)], capture_output=True, text=True, check=True
    ).stdout.split()
    subprocess.run(["kill", f"-{name}", pid], check=True)
    one.wait(f"(?s)^error: interrupted.*EXIT {code}")
