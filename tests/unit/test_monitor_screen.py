"""The terminal program, driven by Textual's pilot, and the parts that it draws."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from offramp import cli
from offramp.errors import UserError
from offramp_host.monitor import draw
from offramp_host.monitor.events import Back, Lost, Message, Wrote
from offramp_host.monitor.view import View
from tests import readings, small_models

app = pytest.importorskip("offramp_host.monitor.app", reason="needs Textual")


def filled(n: int = 30) -> View:
    view = View()
    view.take(readings.state())
    for row in range(n):
        view.take(readings.reading(row))
    view.take(readings.statistics())
    return view


def lines_of(shown: Any) -> list[str]:
    """The screen's text by line, of its picture in SVG."""
    found: dict[float, list[tuple[float, str]]] = {}
    for x, y, text in re.findall(
        r'<text[^>]*-r\d+"[^>]*?x="([\d.]+)"[^>]*?y="([\d.]+)"[^>]*>([^<]*)</text>', shown.export_screenshot()
    ):
        found.setdefault(float(y), []).append((float(x), html.unescape(text).replace("\xa0", " ")))
    rows = []
    for y in sorted(found):
        row = ""
        for x, text in sorted(found[y]):
            row = row.ljust(round(x / 12.2)) + text
        rows.append(row)
    return rows


def driven(
    view: View, act: Callable[[Any, Any], Awaitable[None]], size: tuple[int, int] = (100, 30)
) -> list[str]:
    """Commands that were asked while `act` had the program and its pilot."""
    asked: list[str] = []

    async def run() -> None:
        program = app.MonitorApp(view, asked.append)
        async with program.run_test(size=size) as pilot:
            await pilot.pause(0.2)
            await act(program, pilot)

    asyncio.run(run())
    return asked


def test_screen_shows_what_came() -> None:
    async def look(program: Any, pilot: Any) -> None:
        text = "\n".join(lines_of(program))
        for part in (
            "running",
            "pets on mps2_an386",
            "exits by confidence",
            "row 29 left by early, 1,029 instructions",
            "row 29  1x8x8x1 int8",
            "75.0 %",
            "012012012",
            "·0·0·0",
            "latency, ms",
            "rows         30: early 15, end 15",
            "thresholds   early 60",
            "RAM of the model 17,344 bytes, stack at most 692 bytes",
            "0 errors, 0 damaged frames at the board, 0 reconnects",
        ):
            assert part in text, f"{part!r} in\n{text}"
        assert any(re.search(r"bird █+.* 75\.0 %", line) for line in lines_of(program))

    driven(filled(), look)


def test_the_smallest_screen_loses_no_figure() -> None:
    view = View()
    view.take(readings.state())
    for row in range(30):
        view.take(readings.reading(row, instructions=9_863_388 + row, latency_ms=1000.0 + row, exit=None))

    async def look(program: Any, pilot: Any) -> None:
        rows = lines_of(program)
        text = "\n".join(rows)
        for part in ("9,863,388 █", " 9,863,417  95 % 9,863,416", " 1,029.00  95 % 1,028.00", "r Record"):
            assert part in text, f"{part!r} in\n{text}"
        assert any(re.search(r"row 29 went to the end, 9,863,417$", row.rstrip()) for row in rows), text

    driven(view, look, app.LEAST)


def test_the_newest_message_is_seen_whole() -> None:
    view = filled()
    why = "socket://127.0.0.1:34745: the line was closed while 'input' waited for its reply; the firmware stopped"

    async def look(program: Any, pilot: Any) -> None:
        for text in ("one", "two", "three"):
            view.take(Message("board", text))
        view.take(Lost(why))
        await pilot.pause(0.3)
        rows = [row.strip() for row in lines_of(program)]
        assert rows[0].startswith("lost · ") and "pets on mps2_an386" in rows[0]
        assert rows[-4] == "board: three" and " ".join(rows[-3:-1]) == f"lost: {why}"
        view.take(Message("board", "a " * 200 + "b"))
        await pilot.pause(0.3)
        rows = [row.strip() for row in lines_of(program)]
        assert rows[-4].startswith("board: a a") and "lost" not in rows[-4]

    driven(view, look, app.LEAST)


def test_keys_ask_for_commands() -> None:
    async def press(program: Any, pilot: Any) -> None:
        await pilot.press("space", "+", "-", "p", "m", "r")
        assert program.is_running
        await pilot.press("q")
        await pilot.pause(0.1)
        assert not program.is_running

    assert driven(filled(), press) == ["pause", "threshold+", "threshold-", "policy", "model", "record"]


def test_lost_line_messages_and_the_end_are_told() -> None:
    view = filled()

    async def look(program: Any, pilot: Any) -> None:
        view.take(Lost("/dev/ttyACM0: the line was closed"))
        view.take(Message("board", "hot\x1b[31m"))
        await pilot.pause(0.3)
        text = "\n".join(lines_of(program))
        assert "lost: /dev/ttyACM0: the line was closed" in text
        assert "board: hot [31m" in text and "\x1b" not in text
        view.take(Back(2.0, True))
        view.take(readings.reading(30, line_errors=4, reconnects=1))
        await pilot.pause(0.3)
        text = "\n".join(lines_of(program))
        assert "reconnected after 2.0 s; it had started again" in text
        assert "4 errors" in text and "1 reconnects" in text and "running" in lines_of(program)[0]
        view.end("no more rows")
        await pilot.pause(0.3)
        assert lines_of(program)[0].startswith("ended · ")
        assert "ended: no more rows" in "\n".join(lines_of(program))

    driven(view, look)


@pytest.mark.parametrize("size", [(69, 30), (100, 19), (20, 4)])
def test_terminal_too_small(size: tuple[int, int]) -> None:
    async def look(program: Any, pilot: Any) -> None:
        said = [line for line in lines_of(program) if line.strip()]
        assert said[0].startswith(f"{size[0]} x {size[1]} of 70 x 20"[: size[0]])
        assert " ".join(line.strip() for line in said).endswith("enlarge, or q")
        await pilot.resize_terminal(70, 20)
        await pilot.pause(0.3)
        text = "\n".join(lines_of(program))
        assert "running" in text and "q" in text and "thresholds" in text and "rows" in text
        assert "row 29 left by early" in text
        await pilot.resize_terminal(*size)
        await pilot.pause(0.3)
        await pilot.press("q")
        assert not program.is_running

    driven(filled(), look, size)


def test_no_terminal_or_one_too_small_is_said_before_any_work(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    assert cli.call(["monitor", "m.tflite", "--board", "mps2_an386"]) == 1
    assert "this is none\nhint: add --json or --web" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "30")
    with pytest.raises(UserError, match="too small: 60 x 30, monitor needs 70 x 20"):
        app.check_terminal()


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((1, 28, 28, 1), "image"),
        ((1, 96, 96, 3), "image"),
        ((1, 49, 10, 1), "image"),
        ((1, 16000), "wave"),
        ((1, 128, 3, 1), "wave"),
        ((1, 640), "wave"),
        ((1, 20), "bars"),
        ((1, 1), "bars"),
    ],
)
def test_inputs_are_looked_at_by_their_shape(shape: tuple[int, ...], kind: str) -> None:
    assert draw.kind_of(shape) == kind
    values = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    for color in (True, False):
        shown = draw.preview(values, 40, 10, color).plain.split("\n")
        assert 1 <= len(shown) <= 10 and max(map(len, shown)) <= 40
    flat = draw.preview(np.zeros(shape, np.float32), 40, 10).plain
    assert flat


def test_shades_follow_brightness() -> None:
    ramp = np.tile(np.array([-128, -64, 0, 64, 127], np.int8), (5, 1))
    image = np.repeat(np.repeat(ramp, 2, axis=0), 2, axis=1)[None, :, :, None]
    assert draw.preview(image, 20, 10, color=False).plain.split("\n")[0] == "    ░░░░▒▒▒▒▓▓▓▓████"
    halves = draw.preview(image, 10, 10).plain.split("\n")
    assert halves == ["▀" * 10] * 5


@pytest.mark.parametrize("size", [(28, 14), (40, 90), (80, 20), (131, 50)])
@pytest.mark.parametrize("color", [True, False])
def test_an_image_fills_its_place(size: tuple[int, int], color: bool) -> None:
    """In the direction that ends first, as wide as high; each pixel of the image is there."""
    columns, lines = size
    image = np.arange(28 * 28, dtype=np.float32).reshape(1, 28, 28, 1)
    shown = draw.preview(image, columns, lines, color)
    side = min(columns, 2 * lines) if color else min(columns // 2, lines)
    assert len(shown.plain.split("\n")) == (-(-side // 2) if color else side)
    assert {len(line) for line in shown.plain.split("\n")} == {side if color else 2 * side}
    if color and side >= 28:
        shades = np.clip(np.arange(28 * 28) / (28 * 28 - 1) * 255, 0, 255).astype(int)
        drawn = {name for span in shown.spans for name in re.findall("#(..)", str(span.style))}
        assert drawn >= {f"{shade:02x}" for shade in shades}


def test_bars_and_histograms() -> None:
    assert draw.bar(0.5, 4) == "██  " and draw.bar(1.5, 2) == "██" and draw.bar(0.0, 2) == "  "
    assert draw.bar(5 / 16, 2) == "▌ ".replace("▌", draw.bar(5 / 8, 1))
    assert draw.histogram([1, 1, 1, 1, 2], 4) == "█  ▂"
    assert draw.histogram([], 4) == "" and draw.histogram([3.0], 3).strip()
    assert draw.columns_of(np.array([0.0, 0.5, 1.0]), 3, 1).plain == " ▄█"


def test_recordings_are_remembered_longer_than_the_log() -> None:
    view = View()
    view.take(Wrote("monitor", "wrote a.npz: 5 rows"))
    for n in range(300):
        view.take(Message("board", f"wrote {n}"))
    assert view.snapshot().wrote == ("monitor: wrote a.npz: 5 rows",)
    assert len(view.snapshot().log) == 200 and view.snapshot().log[-1] == "board: wrote 299"


def test_throughput_forgets_and_a_new_model_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("offramp_host.monitor.view.time.monotonic", lambda: now[0])
    view = View()
    view.take(readings.state())
    for row in range(100):
        now[0] += 0.1
        view.take(readings.reading(row))
    assert view.snapshot().per_second == pytest.approx(10, rel=0.05)
    now[0] += 6
    assert view.snapshot().per_second == 0
    view.take(readings.state(model="other"))
    assert view.snapshot().history == () and view.snapshot().rows == 100
