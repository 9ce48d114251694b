"""Pictures as inline SVG, 360 units wide: as wide as a phone, so that nine units are readable text there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 360
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 30
TICKS = 4
LABEL = 22  # characters of a bar's name


@dataclass(frozen=True)
class Box:
    """Something that takes [y0, y1] during [x0, x1]; `part` is its colour."""

    x0: float
    x1: float
    y0: float
    y1: float
    part: int
    title: str


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    label: str
    spread: float = 0.0
    """Up and down."""
    part: int = 0
    hollow: bool = False


def svg(height: float, parts: Iterable[str], label: str) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label, quote=True)}">{body}</svg>'


def text(x: float, y: float, words: str, anchor: str = "start", dim: bool = False) -> str:
    kind = ' class="dim"' if dim else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(words)}</text>'


def rect(x: float, y: float, width: float, height: float, part: int, title: str) -> str:
    return (
        f'<rect class="p{part % 6} edge" x="{x:.2f}" y="{y:.2f}" width="{max(width, 0.6):.2f}" '
        f'height="{max(height, 0.6):.2f}"><title>{escape(title)}</title></rect>'
    )


def line(x0: float, y0: float, x1: float, y1: float, kind: str = "axis") -> str:
    return f'<line class="{kind}" x1="{x0:.2f}" y1="{y0:.2f}" x2="{x1:.2f}" y2="{y1:.2f}"/>'


def short(value: float) -> str:
    """For an axis."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.3g}"


def shortened(name: str) -> str:
    """A bar's name: what is too long loses its middle, for names differ at their ends."""
    half = LABEL // 2
    return name if len(name) <= LABEL else f"{name[: half - 1]}…{name[-half:]}"


def nice_ticks(low: float, high: float, about: int = TICKS) -> list[float]:
    """Round numbers within [low, high]."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def boxes(found: Sequence[Box], x_name: str, y_name: str, height: float = 200) -> str:
    """Time to the right, bytes upwards."""
    x_most, y_most = max(b.x1 for b in found), max(b.y1 for b in found)
    wide, high = WIDTH - LEFT - RIGHT, height - TOP - BOTTOM

    def x(value: float) -> float:
        return LEFT + value / x_most * wide

    def y(value: float) -> float:
        return TOP + high - value / y_most * high

    parts = levels([(y(tick), short(tick)) for tick in nice_ticks(0, y_most)])
    parts += [rect(x(b.x0), y(b.y1), x(b.x1) - x(b.x0), y(b.y0) - y(b.y1), b.part, b.title) for b in found]
    for tick in nice_ticks(0, x_most - 1):
        if tick == int(tick):
            parts.append(text((x(tick) + x(tick + 1)) / 2, height - BOTTOM + 11, f"{tick:.0f}", "middle"))
    parts += [text(WIDTH / 2, height - 4, x_name, "middle", True), text(2, TOP - 2, y_name, dim=True)]
    return svg(height, parts, f"{y_name} over {x_name}")


def stack(found: Sequence[tuple[str, float]], label: str) -> str:
    """One bar of parts."""
    whole, at, parts = sum(value for _, value in found) or 1, 0.0, []
    for i, (name, value) in enumerate(found):
        width = value / whole * WIDTH
        parts.append(rect(at, 2, width, 26, i, f"{name}: {value:,.0f}"))
        at += width
    return svg(30, parts, label)


def bars(found: Sequence[tuple[str, Sequence[float]]], heads: Sequence[str]) -> str:
    """A row a thing with a bar in each column; a column's longest bar fills it."""
    first, gap, high = 122, 8, 13
    wide = (WIDTH - first - gap * len(heads)) / len(heads)
    most = [max((values[i] for _, values in found), default=0) or 1 for i in range(len(heads))]
    parts = [text(first + i * (wide + gap), 9, head, dim=True) for i, head in enumerate(heads)]
    for row, (name, values) in enumerate(found):
        top = 14 + row * high
        parts.append(text(0, top + 9, shortened(name)))
        for i, value in enumerate(values):
            width = value / most[i] * wide
            parts.append(
                rect(first + i * (wide + gap), top + 1.5, width, high - 3, i, f"{name}: {value:,.0f}")
            )
    return svg(16 + len(found) * high, parts, ", ".join(heads))


def ranges(found: Sequence[tuple[str, float, float, float]], unit: str) -> str:
    """(name, low, value, high) on a logarithmic scale."""
    first, high = 122, 15
    low_end = math.floor(math.log10(min(low for _, low, _, _ in found)))
    high_end = math.ceil(math.log10(max(top for *_, top in found)))
    wide = (WIDTH - first - 14) / max(high_end - low_end, 1)

    def x(value: float) -> float:
        return first + (math.log10(value) - low_end) * wide

    bottom = 6 + len(found) * high
    parts = []
    for power in range(low_end, high_end + 1):
        at = x(10.0**power)
        parts += [line(at, 4, at, bottom), text(at, bottom + 10, f"{10.0**power:g}", "middle")]
    for row, (name, low, value, top) in enumerate(found):
        y = 6 + row * high
        title = f"{name}: {value:.3g} {unit}, {low:.3g} to {top:.3g}"
        parts.append(text(0, y + 9, shortened(name)))
        parts.append(rect(x(low), y + 4, x(top) - x(low), 5, 4, title))
        parts.append(rect(x(value) - 1.5, y + 1, 3, 11, 0, title))
    parts.append(text(WIDTH, bottom + 20, unit, "end", True))
    return svg(bottom + 24, parts, unit)


def scatter(
    dots: Sequence[Dot],
    x_name: str,
    y_name: str,
    joined: Sequence[tuple[float, float]] = (),
    band: Sequence[tuple[float, float, float]] = (),
    height: float = 230,
) -> str:
    """Dots with labels and vertical spreads, a line through `joined`, a band (x, low, high) behind."""
    xs = [d.x for d in dots] + [x for x, _ in joined]
    ys = [v for d in dots for v in (d.y - d.spread, d.y + d.spread)] + [v for _, a, b in band for v in (a, b)]
    x_low, x_high = padded(min(xs), max(xs))
    y_low, y_high = padded(min(ys), max(ys))
    wide, high = WIDTH - LEFT - RIGHT, height - TOP - BOTTOM

    def x(value: float) -> float:
        return LEFT + (value - x_low) / (x_high - x_low) * wide

    def y(value: float) -> float:
        return TOP + high - (value - y_low) / (y_high - y_low) * high

    parts = levels([(y(tick), f"{tick:.4g}") for tick in nice_ticks(y_low, y_high)])
    for tick in nice_ticks(x_low, x_high):
        parts += [
            line(x(tick), TOP, x(tick), TOP + high),
            text(x(tick), height - BOTTOM + 11, short(tick), "middle"),
        ]
    if band:
        edge = [(x(a), y(top)) for a, _, top in band] + [(x(a), y(low)) for a, low, _ in reversed(band)]
        parts.append(f'<polygon class="band" points="{points(edge)}"/>')
    if joined:
        parts.append(f'<polyline class="stroke" points="{points([(x(a), y(b)) for a, b in joined])}"/>')
    for d in dots:
        parts += [line(x(d.x), y(d.y - d.spread), x(d.x), y(d.y + d.spread), "stroke")] if d.spread else []
        parts.append(circle(x(d.x), y(d.y), d))
    parts += labels([(x(d.x), y(d.y), d.label) for d in dots])
    parts += [text(WIDTH / 2, height - 4, x_name, "middle", True), text(2, TOP - 2, y_name, dim=True)]
    return svg(height, parts, f"{y_name} over {x_name}")


def circle(x: float, y: float, dot: Dot) -> str:
    """At its place in the picture; its numbers are its tooltip."""
    kind = "stroke" if dot.hollow else f"p{dot.part % 6} edge"
    title = f"<title>{escape(dot.label)}: {dot.x:,.0f}, {dot.y:.4g}</title>"
    return f'<circle class="{kind}" cx="{x:.2f}" cy="{y:.2f}" r="3.5">{title}</circle>'


def levels(ticks: Sequence[tuple[float, str]]) -> list[str]:
    """A line across the picture for each tick of the vertical axis, (place, label)."""
    found = []
    for y, label in ticks:
        found += [line(LEFT, y, WIDTH - RIGHT, y), text(LEFT - 4, y + 3, label, "end")]
    return found


def labels(dots: Sequence[tuple[float, float, str]]) -> list[str]:
    """Beside each dot; those of dots so near that one would hide the other stand in one place."""
    places: list[tuple[float, float, list[str]]] = []
    for x, y, label in dots:
        near = next((names for a, b, names in places if abs(a - x) < 8 and abs(b - y) < 8), None)
        if near is None:
            places.append((x, y, [label]))
        else:
            near.append(label)
    found = []
    for x, y, names in places:
        end = x > WIDTH * 0.75
        found.append(text(x + (-6 if end else 6), y - 4, ", ".join(names), "end" if end else "start"))
    return found


def points(of: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{a:.2f},{b:.2f}" for a, b in of)


def padded(low: float, high: float) -> tuple[float, float]:
    room = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    return low - room, high + room
