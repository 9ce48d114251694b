"""A report as Markdown for a pull request: the tables; long ones are folded."""

from __future__ import annotations

from offramp.report.page import Report, Section, Table, cell

LONG = 15


def as_markdown(report: Report) -> str:
    facts = [f"- {name}: {escaped(cell(value))}" for name, value in report.facts]
    parts = [f"## {report.title}", "\n".join(facts), *(section(s) for s in report.sections)]
    return "\n\n".join(parts) + "\n"


def section(s: Section) -> str:
    notes = ["\n".join(f"- {note}" for note in s.notes)] if s.notes else []
    return "\n\n".join([f"### {s.title}", *s.text, *map(table, s.tables), *notes])


def table(t: Table) -> str:
    sides = ["---:" if t.is_number(i) else "---" for i in range(len(t.columns))]
    rows = [t.columns, *([cell(v, c) for v, c in zip(row, t.columns, strict=True)] for row in t.rows)]
    lines = ["| " + " | ".join(map(escaped, row)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join(sides) + "|")
    text = "\n".join(lines)
    title = t.title or f"{len(t.rows)} rows"
    if len(t.rows) > LONG:
        return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"
    return f"{t.title}\n\n{text}" if t.title else text


def escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
