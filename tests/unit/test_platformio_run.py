"""Running PlatformIO: a tool behind it that hangs is stopped, with all that it started."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from offramp.errors import UserError
from offramp_host import platformio

HANGS = """import subprocess, sys, time
print("Uploading", flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("child", "w").write(str(child.pid))
time.sleep(600)
"""
TALKS = """import time
for i in range(10):
    print(i, flush=True)
    time.sleep(1)
"""


def launcher(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    (folder / "pio.py").write_text(text)
    monkeypatch.setattr(platformio, "LAUNCHER", str(folder / "pio.py"))


def test_a_hanging_tool_is_stopped_with_its_children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    launcher(monkeypatch, tmp_path, HANGS)
    with pytest.raises(UserError, match=r"said nothing for 8 s and was stopped; its last line: Uploading"):
        platformio.run([], project=tmp_path, silence_s=8)
    stat = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    for _ in range(100):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the child of the hanging tool lives on")


def test_a_tool_that_talks_may_take_longer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    launcher(monkeypatch, tmp_path, TALKS)
    heard: list[str] = []
    done = platformio.run([], project=tmp_path, silence_s=8, told=heard.append)
    assert done.code == 0 and heard == [str(i) for i in range(10)]
