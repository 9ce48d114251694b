"""What the command line writes: data on stdout, all else on stderr, files whole or not at all."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from offramp.build.cache import write_atomically
from offramp.errors import UserError

# Rich keeps bold and dim under NO_COLOR; whoever sets it wants plain text.
_COLORS: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
_UNLIMITED_COLUMNS = 10_000
_TEXT_COLUMNS = 8  # the least that a column of text is folded to
_WHOLE = re.compile(r"[-+\d.,x%]*|[·█.#]+")  # numbers, shapes and bars


class Stdout(Console):
    """As wide as the terminal, or as COLUMNS says; what goes to a file or a pipe is not cut at all."""

    @property
    def size(self) -> ConsoleDimensions:
        if self.file.isatty() or os.environ.get("COLUMNS"):
            return super().size
        return ConsoleDimensions(_UNLIMITED_COLUMNS, 25)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def on_broken_pipe(self) -> None:
        raise  # what `offramp` does then, it does in one place


stdout = Stdout(highlight=False, markup=False, color_system=_COLORS)
stderr = Console(stderr=True, highlight=False, markup=False, color_system=_COLORS)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A column whose cells are all numbers stands to the right; None reads "-".

    Where the columns are too few, text is folded and numbers are not: sooner the terminal breaks the line.
    """
    print_title(title)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    least = 0
    for i, name in enumerate(columns):
        numbers = all(isinstance(row[i], int | float | None) for row in rows)
        cells = [cell(row[i]) for row in rows]
        whole = all(_WHOLE.fullmatch(text) for text in cells)
        width = max(map(len, (name, *cells)))
        table.add_column(
            name,
            justify="right" if numbers else "left",
            header_style="dim",
            overflow="fold",
            no_wrap=whole,
            min_width=width if whole else None,
        )
        least += 2 + (width if whole else min(width, _TEXT_COLUMNS))
    if least > stdout.width:
        table.width = least
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    stdout.print(table, crop=False)


def print_facts(title: str, facts: Sequence[tuple[str, Any]]) -> None:
    """Names and values in two columns."""
    print_title(title)
    table = Table(box=None, show_header=False, pad_edge=False)
    words = [word for _, value in facts for word in cell(value).split()]
    table.add_column(style="dim", overflow="fold")
    table.add_column(
        overflow="fold", min_width=max((len(w) for w in words if _WHOLE.fullmatch(w)), default=1)
    )
    for name, value in facts:
        table.add_row(name, Text(cell(value)))
    stdout.print(table)


def print_title(title: str) -> None:
    if title:
        stdout.print(Text(title, "bold"), soft_wrap=True)


def cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def drawn(text: str, plain: str) -> str:
    """`text` where stdout can encode it, else `plain`."""
    try:
        text.encode(stdout.encoding)
    except UnicodeEncodeError:
        return plain
    return text


def replace_what_cannot_be_encoded() -> None:
    """So that a name in letters that stdout does not know is printed with question marks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def note(text: str) -> None:
    """For the person, not for the program that reads stdout."""
    stderr.print(text, soft_wrap=True)


def say_error(message: str, hint: str) -> None:
    """One line each; what a tool said before, on further lines of the message, goes above them."""
    first, *rest = message.strip().splitlines() or [""]
    for line in rest:
        note(line)
    stderr.print(Text.assemble(("error: ", "bold red"), first), soft_wrap=True)
    if hint:
        stderr.print(Text.assemble(("hint: ", "bold cyan"), " ".join(hint.split())), soft_wrap=True)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while the body runs, where stderr is a terminal; the body tells how much is done.

    Without a total the bar only shows that work goes on.
    """
    columns = [TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()]
    if total is not None:
        columns.insert(2, MofNCompleteColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def check_output(path: Path, *inputs: Path, option: str = "-o") -> None:
    """Refuses a place where no file can be written or an input lies, before any work is done for it."""
    another = f"name another file with {option}"
    if str(path) == "-":
        raise UserError(
            f"{option} -: the output is a file, it does not go to stdout", f"name a file with {option}"
        )
    if path.is_dir():
        raise UserError(f"{path} is a folder", f"name a file in it with {option}")
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no regular file", another)
    for read in inputs:
        if path.exists() and read.exists() and path.samefile(read):
            raise UserError(f"{path} is an input and would be overwritten", another)
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise cannot_write(path, error, option) from error


def check_folder(path: Path) -> None:
    """Refuses a folder that cannot be made or written into, before any work is done for it."""
    there = next(p for p in (path, *path.parents) if p.exists())
    if not there.is_dir():
        raise UserError(f"{there} is no folder", "name another folder with -o")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise cannot_write(path, error) from error


def write_output(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError, option: str = "-o") -> UserError:
    return UserError(f"{path} cannot be written: {error.strerror}", f"name another file with {option}")
