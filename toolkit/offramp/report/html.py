"""A report as one HTML file: no scripts, no other files; on a phone, on paper, in the dark."""

from __future__ import annotations

from html import escape
from typing import Any

from offramp.report.page import Report, Section, Table, cell

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5b6570; --paper: #ffffff; --line: #d9dee3;
  --p0: #2f6db3; --p1: #d9822b; --p2: #3c9a5f; --p3: #8e5bb5; --p4: #8a8f98; --p5: #c2476a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --dim: #9aa4af; --paper: #14171a; --line: #343a41;
  --p0: #6ba4e0; --p1: #e8a35c; --p2: #6cc48e; --p3: #b691d6; --p4: #9aa0a8; --p5: #e07f9b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 66rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 0.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p, ul { margin: 0.5rem 0; color: var(--dim); max-width: 44rem; } ul { padding-left: 1.1rem; font-size: 0.85rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1rem; margin: 1rem 0; }
dt { color: var(--dim); } dd { margin: 0; min-width: 0; }
figure { margin: 1rem 0; max-width: 38rem; } svg { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.85rem; }
caption { text-align: left; color: var(--dim); padding-bottom: 0.25rem; }
th { text-align: left; font-weight: 600;
  border-bottom: 1px solid var(--line); vertical-align: bottom; }
th, td { padding: 0.2rem 0.9rem 0.2rem 0; } td { border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; } td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.w { white-space: nowrap; } td.t { min-width: 14rem; max-width: 28rem; }
.key { display: inline-block; width: 0.7em; height: 0.7em; margin-right: 0.5em; }
.p0 { fill: var(--p0); background: var(--p0); } .p1 { fill: var(--p1); background: var(--p1); }
.p2 { fill: var(--p2); background: var(--p2); } .p3 { fill: var(--p3); background: var(--p3); }
.p4 { fill: var(--p4); background: var(--p4); } .p5 { fill: var(--p5); background: var(--p5); }
svg text { fill: var(--ink); font: 9px system-ui, sans-serif; } svg .dim { fill: var(--dim); }
svg .axis { stroke: var(--line); stroke-width: 0.7; }
svg .stroke { stroke: var(--ink); stroke-width: 0.8; fill: none; }
svg .edge { stroke: var(--paper); stroke-width: 0.5; } svg .band { fill: var(--p0); opacity: 0.18; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: 0.4rem; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } h2 { break-after: avoid; }
  .scroll { overflow: visible; }
  figure { max-width: 26rem; } table { font-size: 7pt; }
  td.w, td.t { white-space: normal; min-width: 0; } th, td { padding-right: 0.5em; }
  figure, tr { break-inside: avoid; } .key, svg * { print-color-adjust: exact; } }
"""


def as_html(report: Report) -> str:
    title = escape(report.title)
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{data(value)}</dd>" for name, value in report.facts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<dl>{facts}</dl>\n"
        + "\n".join(section(s) for s in report.sections)
        + "\n</body>\n</html>\n"
    )


def section(s: Section) -> str:
    parts = [f"<h2>{escape(s.title)}</h2>", *(f"<p>{escape(text)}</p>" for text in s.text)]
    if s.picture:
        parts.append(f"<figure>{s.picture}</figure>")
    notes = "".join(f"<li>{escape(note)}</li>" for note in s.notes)
    after = [f"<ul>{notes}</ul>"] if notes else []
    return "\n".join(["<section>", *parts, *map(table, s.tables), *after, "</section>"])


def table(t: Table) -> str:
    kinds = ["n" if t.is_number(i) else "t" if t.is_prose(i) else "w" for i in range(len(t.columns))]
    head = "".join(
        f'<th class="{kind}">{escape(name)}</th>' for kind, name in zip(kinds, t.columns, strict=True)
    )
    rows = []
    for i, row in enumerate(t.rows):
        key = f'<span class="key p{i % 6}"></span>' if t.marked else ""
        cells = [
            f'<td class="{kind}">{data(value, name)}</td>'
            for kind, value, name in zip(kinds, row, t.columns, strict=True)
        ]
        rows.append("<tr>" + "".join(cells).replace(">", f">{key}", 1) + "</tr>")
    caption = f"<caption>{escape(t.title)}</caption>" if t.title else ""
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>"
    return f'<div class="scroll"><table>{caption}{body}</table></div>'


def data(value: Any, column: str = "") -> str:
    """A number keeps its exact value beside what is shown of it."""
    text = escape(cell(value, column))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<data value="{value!r}">{text}</data>'
    return text
