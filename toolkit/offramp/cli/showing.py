"""Where the results of `offramp monitor` go: lines of JSON, the terminal program, a page."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence

from offramp.cli.output import note
from offramp.errors import UserError
from offramp_host.monitor.events import Event, Reading, told
from offramp_host.monitor.server import Page
from offramp_host.monitor.stream import Monitor
from offramp_host.monitor.view import View, Watch

_END_S = 3.0


def stream(monitor: Monitor, takers: Sequence[Callable[[Event], None]]) -> None:
    """Hands every event to each of `takers`; what is no result is also told on stderr, and at last a summary."""
    began, rows, last = time.monotonic(), 0, None
    with contextlib.closing(monitor.events()) as events:
        for event in events:
            for take in takers:
                take(event)
            if isinstance(event, Reading):
                rows, last = rows + 1, event
            elif text := told(event):
                note(text)
    took_s = time.monotonic() - began
    errors, reconnects = (last.line_errors, last.reconnects) if last else (0, 0)
    note(
        f"{rows:,} results in {took_s:.1f} s, {rows / max(took_s, 1e-9):.0f} a second; "
        f"{errors} line errors, {reconnects} reconnects"
    )


def print_line(event: Event) -> None:
    """Of a result; at once, for whoever reads the pipe."""
    if isinstance(event, Reading):
        sys.stdout.write(json.dumps(event.as_json()) + "\n")
        sys.stdout.flush()


def serve(monitor: Monitor, page: Page, as_json: bool) -> None:
    """The page, until the rows end; beside it the lines of JSON where they are wanted."""
    page.ask = monitor.ask
    takers = [page.feed.take, *([print_line] if as_json else [])]
    with page:
        note(f"the page is at {page.url}")
        try:
            stream(monitor, takers)
        except UserError as error:
            page.feed.close(error.message)
            raise
        finally:
            page.feed.close("no more rows")


def check_screen() -> None:
    """UserError where the terminal program cannot be, before anything is built for it."""
    try:
        from offramp_host.monitor import app
    except ModuleNotFoundError as error:
        if error.name != "textual":
            raise
        raise UserError(
            "the terminal program needs Textual, which is not installed",
            "pip install 'offramp[monitor]', or use --json or --web",
        ) from error
    app.check_terminal()


def show_screen(monitor: Monitor) -> None:
    from offramp_host.monitor.app import MonitorApp

    view = View()
    watch = Watch(monitor.events(), view)
    try:
        MonitorApp(view, monitor.ask).run_until_signalled()
    finally:
        monitor.ask("quit")
        watch.join(_END_S)
        for text in view.snapshot().wrote:
            note(text)
    if watch.failure is not None:
        raise watch.failure
