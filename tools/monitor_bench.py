"""Prints what the monitor itself takes of a core at 50 results a second: `python -m tools.monitor_bench [SECONDS]`.

The board is a process of its own (posix) and does not count. Linux only (/proc).
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from offramp_host.monitor.server import PORT

ROOT = Path(__file__).resolve().parents[1]
RATE = 50
MODEL = "models/fsdd/fsdd_jackson.ofg"  # input 48 x 16, two exits
WARM_S = 5.0
MODES = {"--json": ["--json"], "--web, one reader": ["--web"], "terminal, 120 x 40": []}


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    print(f"{'mode':20} {'results/s':>9} {'% of a core':>11} {'ms a result':>11}")
    for name, options in MODES.items():
        used_s, rows = measured(options, seconds)
        print(f"{name:20} {rows / seconds:9.1f} {100 * used_s / seconds:11.1f} {1e3 * used_s / rows:11.2f}")


def measured(options: list[str], seconds: float) -> tuple[float, int]:
    """Seconds of CPU time, and results, in so many seconds."""
    command = [
        sys.executable,
        "-c",
        "from offramp.cli import main; main()",
        "monitor",
        MODEL,
    ]
    command += ["--board", "posix", "--rate", str(RATE), "--loop", *options]
    master, slave = pty.openpty()
    os.set_inheritable(slave, True)
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    said = bytearray()
    threading.Thread(target=drain, args=(master, said), daemon=True).start()
    try:
        ready = {"--json": rb'"row": \d+', "--web": rb"http://"}.get("".join(options), rb"went to")
        while not re.search(ready, said):
            if process.poll() is not None:
                raise SystemExit(said.decode(errors="replace"))
            time.sleep(0.1)
        if "--web" in options:
            threading.Thread(target=read_page, daemon=True).start()
        time.sleep(WARM_S)
        before, start = cpu_s(process.pid), len(said)
        first = rows_told(said, options)
        time.sleep(seconds)
        used = cpu_s(process.pid) - before
        if rates := re.findall(rb"([\d.]+) a second", said[start:]):
            return used, round(float(rates[-1]) * seconds)  # as the terminal program says
        return used, rows_told(said, options) - first
    finally:
        process.terminate()
        process.wait()
        os.close(master)


def drain(master: int, said: bytearray) -> None:
    try:
        while data := os.read(master, 65536):
            said += data
    except OSError:
        pass


def rows_told(said: bytearray, options: list[str]) -> int:
    """The number of the last row, in JSON."""
    found = re.findall(rb'"row": (\d+)', (_page if "--web" in options else said)[-200_000:])
    return int(found[-1]) if found else 0


_page = bytearray()


def read_page() -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/events") as stream:
        while data := stream.read1():
            _page.extend(data)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
