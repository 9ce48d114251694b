"""A profile as a static SVG: the model over its steps over their functions, as wide as their instructions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from offramp_host.profile import Cost, Profile, StepProfile

WIDTH, MARGIN = 1200, 12
LINE, ROW = 18, 22
FUNCTIONS = 10  # listed, the dearest
LETTER = 6.7  # of 11 pixels' monospace type, about
COLORS = ("#f4a261", "#e9c46a", "#8ab17d", "#7fb7be", "#b5a4d6", "#e58f8f")
STYLE = (
    "text{font:11px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#222}"
    ".title{font-size:15px;font-weight:bold}.head{fill:#666}rect{stroke:#fff;stroke-width:.6}"
)
COLUMNS = (0, 34, 250, 520, 630, 700, 820)
"""Where the list's columns begin: number, step, kernel, instructions, share, cycles, bar."""


@dataclass(frozen=True)
class Box:
    x: float
    width: float
    label: str
    """What fits is written into it; all of it is its tooltip."""
    title: str
    color: str


def flame(found: Profile) -> str:
    """Width is instructions, exact; under the picture every step with its counts, so that nothing needs a pointer."""
    y = MARGIN + 2 * LINE
    parts = [
        text(MARGIN, MARGIN + 12, f"{found.model} on {found.board}: instructions of one inference", "title"),
        text(MARGIN, MARGIN + LINE + 12, subtitle(found), "head"),
    ]
    for level in levels(found):
        y += ROW
        parts += [drawn(box, y) for box in level]
    y += 2 * ROW
    parts += step_list(found, y)
    y += (len(found.steps) + 3) * LINE
    parts += function_list(found, y)
    height = y + (min(len(found.functions), FUNCTIONS) + 1) * LINE + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img"><title>{escape(f"{found.model} on {found.board}")}</title><style>{STYLE}</style>'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def subtitle(found: Profile) -> str:
    cost = found.cost
    return (
        f"{cost.instructions:,} instructions (exact), {cost.cycles:,} cycles (estimate), {found.compiler}; "
        "model, steps, functions"
    )


def levels(found: Profile) -> Iterator[list[Box]]:
    """From the model down to functions."""
    whole = found.cost
    scale = (WIDTH - 2 * MARGIN) / max(whole.instructions, 1)
    yield [Box(MARGIN, WIDTH - 2 * MARGIN, found.model, told(found.model, whole, whole), "#dddddd")]
    steps, functions = [], []
    x = float(MARGIN)
    for i, step in enumerate(found.steps):
        name, width = named(i, step), step.cost.instructions * scale
        steps.append(Box(x, width, name, told(name, step.cost, whole), color(i)))
        at = x
        for part in step.functions:
            title = told(f"{part.function} in {name}", part.cost, whole)
            functions.append(Box(at, part.cost.instructions * scale, part.function, title, color(i)))
            at += part.cost.instructions * scale
        x += width
    yield steps
    yield functions


def named(i: int, step: StepProfile) -> str:
    return f"{i} {step.name or step.op} {step.kernel}".replace("  ", " ")


def color(i: int) -> str:
    return COLORS[i % len(COLORS)]


def told(name: str, cost: Cost, whole: Cost) -> str:
    instructions, share, cycles = counts(cost, whole)
    return f"{name}: {instructions} instructions, {share} %, {cycles} cycles (estimate)"


def drawn(box: Box, y: float) -> str:
    """A box with its tooltip and as much of its label as it holds."""
    label = label_of(box)
    return (
        f'<g><title>{escape(box.title)}</title><rect x="{box.x:.2f}" y="{y}" width="{box.width:.2f}" '
        f'height="{ROW}" fill="{box.color}"/>{text(box.x + 3, y + 15, label) if label else ""}</g>'
    )


def label_of(box: Box) -> str:
    letters = int((box.width - 6) / LETTER)
    for whole in (box.title, box.label, box.label.split(" ")[0]):
        if len(whole) <= letters:
            return whole
    return box.label[: letters - 1] + "…" if letters >= 4 else ""


def step_list(found: Profile, y: float) -> Iterator[str]:
    heads = ("", "step", "kernel", "instructions", "%", "cycles, est.")
    steps = [
        (f"{i}", step.name or step.op, step.kernel, step.cost, color(i)) for i, step in enumerate(found.steps)
    ]
    yield from listed(heads, [*steps, ("", "in all", "", found.cost, "none")], found.cost, y)


def function_list(found: Profile, y: float) -> Iterator[str]:
    heads = ("", "function", "", "instructions", "%", "cycles, est.")
    functions = [("", f.function, "", f.cost, "#aaaaaa") for f in found.functions[:FUNCTIONS]]
    yield from listed(heads, functions, found.cost, y)


def listed(
    heads: tuple[str, ...], lines: list[tuple[str, str, str, Cost, str]], whole: Cost, y: float
) -> Iterator[str]:
    """A line each: its counts, and a bar unless its color is none."""
    yield row_of(heads, y, "head")
    most = max((cost.instructions for *_, cost, fill in lines if fill != "none"), default=1) or 1
    for i, (number, name, kernel, cost, fill) in enumerate(lines):
        at = y + (i + 1) * LINE
        yield row_of((number, name, kernel, *counts(cost, whole)), at)
        if fill != "none":
            width = (WIDTH - 2 * MARGIN - COLUMNS[-1]) * cost.instructions / most
            yield (
                f'<rect x="{MARGIN + COLUMNS[-1]}" y="{at - 11}" width="{width:.2f}" height="{LINE - 5}" '
                f'fill="{fill}"/>'
            )


def counts(cost: Cost, whole: Cost) -> tuple[str, str, str]:
    """Instructions, percent of the whole, cycles: as text."""
    share = 100 * cost.instructions / max(whole.instructions, 1)
    return f"{cost.instructions:,}", f"{share:.1f}", f"{cost.cycles:,}"


def row_of(cells: tuple[str, ...], y: float, kind: str = "") -> str:
    """Numbers end where the next column begins; names keep their end."""
    found = []
    for i, cell in enumerate(cells):
        if i >= 3:
            found.append(text(MARGIN + COLUMNS[i + 1] - 12, y, cell, kind, "end"))
            continue
        end = COLUMNS[i + 1] if any(cells[i + 1 : 3]) else COLUMNS[3]
        room = int((end - COLUMNS[i] - 8) / LETTER)
        found.append(
            text(MARGIN + COLUMNS[i], y, cell if len(cell) <= room else "…" + cell[1 - room :], kind)
        )
    return "".join(found)


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "") -> str:
    of = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{of}>{escape(content)}</text>'
