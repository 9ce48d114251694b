"""`offramp monitor --web` in headless Chromium: what the page shows equals what `--json` prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp import ofg
from tests.digits_exits import N_FITTED, classifier, digits

pytest.importorskip("websockets")
browser = pytest.importorskip("tests.browser")

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="needs chromium"),
]
ROWS = 120
CELLS = (
    "[...document.querySelectorAll('#results tr')].map(r => [...r.cells].map(c => c.textContent)).reverse()"
)


def shown(line: dict[str, Any]) -> list[str]:
    """A line of JSON as a row of the page's table."""
    values = [line["row"], line["item"], line["label"], line["confidence"], line["exit"] or "end"]
    values += [line["instructions"], line["latency_ms"], line["outputs_crc32"]]
    return [f"{value:g}" if isinstance(value, float) else str(value) for value in values]


def test_page_equals_the_lines_of_json(tmp_path: Path) -> None:
    (tmp_path / "d.ofg").write_bytes(ofg.dump(classifier()))
    np.save(tmp_path / "d.npy", digits()[0][N_FITTED : N_FITTED + 50])
    command = [sys.executable, "-c", "from offramp.cli import main; main()", "monitor", "d.ofg"]
    command += ["--board", "mps2_an386", "--source", "d.npy", "--rate", "20", "--count", str(ROWS)]
    command += ["--json", "--web", "--web-port", "0"]
    with (tmp_path / "out").open("w") as out, browser.Browser(tmp_path) as page:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            address = next(filter(None, (re.search(r"http://\S+", text) for text in process.stderr)))[0]
            page.open(address)
            page.wait("document.querySelectorAll('#results tr').length > 5")
            page.evaluate("document.querySelector('[data-ask=pause]').click()")
            page.wait("document.getElementById('status').textContent == 'paused'")
            page.evaluate("document.querySelector('[data-ask=\"threshold+\"]').click()")
            page.wait("document.getElementById('facts').innerText.includes('exit0 67')")
            page.evaluate("document.querySelector('[data-ask=pause]').click()")
            page.wait("document.getElementById('status').textContent == 'ended: no more rows'")
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()
        rows = page.evaluate(CELLS)
        facts = page.evaluate("document.getElementById('facts').innerText")
        best = page.evaluate(
            "[...document.querySelectorAll('#scores .name, #scores .value')].map(e => e.textContent)"
        )
        marks = page.evaluate("document.querySelectorAll('#history i').length")
        pixels = page.evaluate(
            "(() => { const c = document.getElementById('input'); return [c.width, c.height, "
            "...c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 == 0)] })()"
        )
        page.picture(tmp_path / "page.png")
    lines = [json.loads(text) for text in (tmp_path / "out").read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(ROWS))
    assert rows == [shown(line) for line in lines]
    exits = [sum(line["exit"] == name for line in lines) for name in ("exit0", "exit1", None)]
    assert f"{ROWS}: exit0 {exits[0]}, exit1 {exits[1]}, end {exits[2]}" in facts
    assert best == [text for label, value in lines[-1]["scores"] for text in (label, f"{100 * value:.1f} %")]
    assert marks == ROWS
    last = digits()[0][N_FITTED + (ROWS - 1) % 50].reshape(-1).astype(int) + 128
    assert pixels == [8, 8, *last.tolist()]
