"""The parts of the terminal program's screen, each from one snapshot."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from rich.text import Text

from offramp_host.monitor import draw
from offramp_host.monitor.view import Snapshot

_LABEL = 13


def title(seen: Snapshot) -> Text:
    state = seen.state
    if state is None:
        return Text(seen.status)
    style = "green" if seen.status == "running" else "yellow" if seen.status == "paused" else "red"
    found = Text.assemble((seen.status.partition(":")[0], f"bold {style}"))  # why, the log says
    if state.recording:
        found.append(" · recording", "bold red")
    parts = [f"{seen.per_second:.1f} a second", f"{state.model} on {state.board}", state.source, state.way]
    return found.append(draw.plain(" · " + " · ".join(parts)), "bold")


def source(seen: Snapshot, columns: int, lines: int, color: bool = True) -> Text:
    """The largest input of the last row, its name below."""
    if seen.last is None:
        return Text("no row yet", "dim")
    array = max(seen.last.inputs, key=lambda one: one.size)
    picture = draw.preview(array, columns, max(lines - 1, 1), color)
    shape = "x".join(map(str, array.shape))
    return Text("\n").join(
        [picture, Text(f"{draw.plain(seen.last.item)}  {shape} {array.dtype}"[:columns], "dim")]
    )


def answer(seen: Snapshot, columns: int, lines: int) -> Text:
    """What the board answered, and by which way out."""
    if seen.last is None:
        return Text("")
    last = seen.last
    left = f"left by {last.exit}" if last.exit is not None else "went to the end"
    of = f" of plan {last.plan}" if last.plan != last.model else ""
    count = f", {last.instructions:,} instructions" if last.instructions is not None else ""
    text = draw.plain(f"row {last.row:,} {left}{of}{count}")
    if len(text) > columns:
        text = text.removesuffix(" instructions")
    head = Text(text[:columns])
    return Text("\n").join([head, draw.scores(last, columns, lines - 1)])


def past(seen: Snapshot, columns: int) -> Text:
    return draw.history(seen.history, columns, exit_names(seen))


def spread(seen: Snapshot, columns: int) -> Text:
    """Histograms of latency and instructions, a line each."""
    bins = max(min(columns - 76, 40), 8)
    rows = [_spread("latency, ms", seen.latencies_ms, columns, bins, "{:,.2f}")]
    if seen.instructions:
        rows.append(_spread("instructions", seen.instructions, columns, bins, "{:,.0f}"))
    return Text("\n").join(rows)


def _spread(name: str, values: Sequence[float], columns: int, bins: int, form: str) -> Text:
    """Where the columns are too few, without the median."""
    row = Text.assemble((f"{name:{_LABEL}}", "dim"))
    if not values:
        return row
    median, p95 = np.percentile(values, (50, 95), method="inverted_cdf")
    row.append(f"{form.format(min(values))} ").append(draw.histogram(values, bins), "cyan")
    row.append(f" {form.format(max(values))}")
    most = f"95 % {form.format(p95)}"
    both = f"  median {form.format(median)}, {most}"
    return row.append(both if len(row) + len(both) <= columns else f"  {most}", "dim")


def facts(seen: Snapshot) -> Text:
    """Rows, ways out, memory, and how the line is."""
    names = exit_names(seen)
    ways = ", ".join(f"{name} {seen.exits.get(name, 0):,}" for name in [*names, "end"] if names)
    rows = [_fact("rows", f"{seen.rows:,}" + (f": {draw.plain(ways)}" if ways else ""))]
    if seen.state is not None and seen.state.thresholds:
        limits = ", ".join(f"{name} {value}" for name, value in seen.state.thresholds)
        rows.append(_fact("thresholds", draw.plain(limits)))
    if (found := seen.statistics) is not None:
        stack = f"{found.stack_bytes:,} bytes" if found.stack_bytes else "unknown"
        rows.append(_fact("memory", f"RAM of the model {found.memory_bytes:,} bytes, stack at most {stack}"))
    bad = f", {seen.statistics.bad_frames} damaged frames at the board" if seen.statistics else ""
    line = f"{seen.line_errors} errors{bad}, {seen.reconnects} reconnects"
    rows.append(_fact("line", line, "" if seen.line_errors + seen.reconnects == 0 else "yellow"))
    return Text("\n").join(rows)


def log(seen: Snapshot, columns: int, lines: int) -> Text:
    """The newest messages, folded; of one that is longer than all lines, its beginning."""
    shown: list[str] = []
    for text in reversed(seen.log):
        folded = textwrap.wrap(draw.plain(text), columns) or [""]
        shown = [*folded, *shown] if shown else folded[:lines]
        if len(shown) >= lines:
            break
    return Text("\n".join(shown[-lines:]), "dim")


def exit_names(seen: Snapshot) -> list[str]:
    """Of the model's exits, in their order; empty if it has none."""
    return [name for name, _ in seen.state.thresholds] if seen.state is not None else []


def _fact(name: str, value: str, style: str = "") -> Text:
    return Text.assemble((f"{name:{_LABEL}}", "dim"), (value, style))
