"""The terminal program (extra `monitor`, Textual): a screen over a view that a thread keeps up to date."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable

from rich.text import Span, Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.widgets import Footer, Static

from offramp.errors import UserError
from offramp_host.monitor import panels
from offramp_host.monitor.view import View

LEAST = (70, 20)
"""Columns and lines below which there is only a line that says so."""
_REDRAW_S = 0.2
_WAY_OUT = "enlarge it, or use --json or --web"


def check_terminal() -> None:
    """UserError where the screen would have no place."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("monitor draws on a terminal, and this is none", "add --json or --web")
    size = shutil.get_terminal_size()
    if size.columns < LEAST[0] or size.lines < LEAST[1]:
        raise UserError(too_small(size.columns, size.lines), _WAY_OUT)


def too_small(columns: int, lines: int) -> str:
    return f"the terminal is too small: {columns} x {lines}, monitor needs {LEAST[0]} x {LEAST[1]}"


def _signals() -> list[signal.Signals]:
    return [
        signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__
    ]


class MonitorApp(App[None]):
    """`ask` takes the monitor's commands."""

    CSS = """
    Screen { layout: vertical; }
    #title { height: 1; background: $surface; }
    #now { height: 1fr; min-height: 7; }
    #source { width: 2fr; height: 100%; padding: 0 1; }
    #answer { width: 3fr; height: 100%; padding: 0 1; }
    #past { height: 2; padding: 0 1; }
    #spread { height: auto; max-height: 2; padding: 0 1; }
    #facts { height: auto; max-height: 4; padding: 0 1; }
    #log { height: 3; padding: 0 1; }
    #small { display: none; height: auto; }
    """
    BINDINGS = [  # noqa: RUF012 - Textual's own way
        Binding("space", "ask('pause')", "Pause"),
        Binding("plus,equals_sign", "ask('threshold+')", "Thresholds", key_display="+ -"),
        Binding("minus", "ask('threshold-')", "Thresholds down", show=False),
        Binding("p", "ask('policy')", "Policy"),
        Binding("m", "ask('model')", "Model"),
        Binding("r", "ask('record')", "Record"),
        Binding("q,ctrl+c", "quit", "Quit", key_display="q", priority=True),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, view: View, ask: Callable[[str], None]) -> None:
        super().__init__()
        self._view, self._ask = view, ask
        self._shown: dict[str, tuple[str, list[Span]]] = {}
        self._received: signal.Signals | None = None
        self._color = not os.environ.get("NO_COLOR")

    def compose(self) -> ComposeResult:
        yield Static(id="small")
        with Vertical(id="all"):
            yield Static(id="title")
            with Horizontal(id="now"):
                yield Static(id="source")
                yield Static(id="answer")
            for name in ("past", "spread", "facts", "log"):
                yield Static(id=name)
            yield Footer()

    def run_until_signalled(self) -> None:
        """As `run`; a signal that asks for an end is raised again once the terminal is as it was.

        Left to itself, asyncio would drop what a handler raises.
        """
        before = {number: signal.getsignal(number) for number in _signals()}
        try:
            self.run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._received is not None:
            signal.raise_signal(self._received)

    def _end_by(self, number: signal.Signals) -> None:
        self._received = number
        self.exit()

    def on_mount(self) -> None:
        with contextlib.suppress(NotImplementedError, RuntimeError):  # Windows; a test's thread
            for number in _signals():
                asyncio.get_running_loop().add_signal_handler(number, self._end_by, number)
        self.set_interval(_REDRAW_S, self.redraw)
        self.redraw()

    def on_resize(self, event: Resize) -> None:
        self.redraw()
        self.call_after_refresh(self.redraw)  # once the parts have their sizes

    def action_ask(self, command: str) -> None:
        self._ask(command)

    def redraw(self) -> None:
        columns, lines = self.size
        small = columns < LEAST[0] or lines < LEAST[1]
        self._part("small").display = small
        self.query_one("#all").display = not small
        if small:
            self._part("small").update(f"{columns} x {lines} of {LEAST[0]} x {LEAST[1]}: enlarge, or q")
            return
        seen = self._view.snapshot()
        left, right = self._part("source").content_size, self._part("answer").content_size
        self._show("title", panels.title(seen))
        self._show("source", panels.source(seen, left.width, left.height, self._color))
        self._show("answer", panels.answer(seen, right.width, right.height))
        self._show("past", panels.past(seen, columns - 2))
        self._show("spread", panels.spread(seen, columns - 2))
        self._show("facts", panels.facts(seen))
        self._show("log", panels.log(seen, columns - 2, 3))

    def _show(self, name: str, text: Text) -> None:
        """Where it differs from what is there: drawing is most of what the program takes."""
        if self._shown.get(name) != (text.plain, text.spans):
            self._shown[name] = (text.plain, text.spans)
            self._part(name).update(text)

    def _part(self, name: str) -> Static:
        return self.query_one(f"#{name}", Static)
