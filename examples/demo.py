"""The main job in one go: a float classifier, what compression and early exits made of it, and 200 images over a
Cortex-M4's UART.

`make demo` runs this. Nothing here is special to the demo: `offramp pack`, `build` and `run` do the same, and
`offramp compress models/fashion_mnist/recipe.toml` made the compressed models.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from offramp import boards
from offramp.blob import read
from offramp.boards import Board
from offramp.build.blob_image import blob_image
from offramp.cli.output import drawn
from offramp.compress.accuracy import Accuracy, accuracy, input_rows
from offramp.exits import LAST, answers
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.pack import pack
from offramp_host.device import Device, Result
from offramp_host.emulator import Emulator

MODEL = Path(__file__).resolve().parents[1] / "models" / "fashion_mnist"
BOARD = "mps2_an386"
VARIANTS = {
    "int8": "int8",
    "exits": "int8, two exits",
    "small": "pruned, int4",
}


@dataclass(frozen=True)
class Column:
    """What one variant does on the board."""

    title: str
    accuracy: Accuracy
    accuracy_at_the_end: Accuracy | None
    equal: str
    left: str
    mean: str
    worst: str
    macs: str
    model: str
    image: str
    ram: str


def main() -> None:
    console = Console()
    board = boards.load(BOARD)
    images = np.load(MODEL / "test_images.npz")
    x = (images["x"].astype(np.float32) + 128) / 255
    y, labels = images["y"], [str(name) for name in images["labels"]]
    real = load_model(MODEL / "baseline.ofg")
    columns = [float_column(real, x, y)]
    outputs: list[np.ndarray] = []
    for name, title in VARIANTS.items():
        column, outputs = on_board(console, board, load_model(MODEL / f"{name}.ofg"), title, x, y)
        columns.append(column)
    show_images(console, images["x"], outputs, y, labels)
    show(console, board, columns, len(x))
    if any(column.equal.split()[0] != str(len(x)) for column in columns[1:]):
        raise SystemExit("outputs differ from the reference")


def float_column(graph: Graph, x: np.ndarray, y: np.ndarray) -> Column:
    weights = sum(t.bytes for t in graph.tensors if t.data is not None and t.dtype == "f32")
    return Column("float", accuracy(graph, x, y), None, "", "", "", "", "", f"{weights:,}", "", "")


def on_board(
    console: Console, board: Board, graph: Graph, title: str, x: np.ndarray, y: np.ndarray
) -> tuple[Column, list[np.ndarray]]:
    """Packs a graph, builds its firmware and runs all rows on the emulated board: each leaves where it is sure."""
    plan, data = pack(graph, board)
    given = input_rows(graph, x)[0]
    with tempfile.TemporaryDirectory() as folder:
        blob = Path(folder) / "model.ofr"
        blob.write_bytes(data)
        image = blob_image(read(data, blob), board, blob.with_suffix(".elf"), linked=blob)
        console.print(f"Packed {graph.name} for {board.name} and built the firmware with {image.compiler}.")
        rows = [[row[None]] for row in given]
        with Emulator(board, image.elf, timeout_s=240) as emulator, Device(emulator.url) as device:
            results = stream(console, device, rows)
            stack = device.statistics().stack_bytes
    assert board.emulator is not None
    instructions = np.array([board.emulator.instructions(r.ticks) for r in results if r.ticks is not None])
    expected = answers(graph, given)
    left = expected.left([e.threshold for e in graph.exits])
    wanted = [[*expected.exits, expected.last][exit_][i] for i, exit_ in enumerate(left)]
    outputs = [r.outputs[0] for r in results]
    equal = sum(
        np.array_equal(r.outputs[0].ravel(), w.ravel()) and (LAST if r.exit is None else r.exit) == exit_
        for r, w, exit_ in zip(results, wanted, left, strict=True)
    )
    ways = [int((left == exit_).sum()) for exit_ in (*range(len(graph.exits)), LAST)]
    flash = image.footprint.flash_bytes
    return (
        Column(
            title,
            Accuracy(np.array([out.argmax() for out in outputs]) == y),
            Accuracy(expected.last.reshape(len(y), -1).argmax(axis=1) == y) if graph.exits else None,
            f"{equal} of {len(rows)}",
            ", ".join(map(str, ways)) if graph.exits else "",
            f"{instructions.mean():,.0f}",
            f"{instructions.max():,}",
            f"{plan.macs:,}",
            f"{flash['model']:,}",
            f"{sum(flash.values()) - flash['model']:,}",
            f"{plan.arena_bytes + stack + image.footprint.static_ram_bytes:,}",
        ),
        outputs,
    )


def show(console: Console, board: Board, columns: list[Column], samples: int) -> None:
    table = Table(title=f"fashion_mnist on {board.description}", title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(column.title, justify="right")
    sign = drawn("±", "+/-")

    def shown(found: Accuracy | None) -> str:
        return "" if found is None else f"{100 * found.value:.1f} {sign} {100 * found.stderr:.1f} %"

    lines: list[tuple[str, Any]] = [
        (f"accuracy, {samples} test images", lambda c: shown(c.accuracy)),
        ("accuracy if all went to the end", lambda c: shown(c.accuracy_at_the_end)),
        ("outputs equal to the reference", lambda c: c.equal),
        ("images that left by exit 0, by exit 1, at the end", lambda c: c.left),
        ("instructions an image, mean (exact, emulator)", lambda c: c.mean),
        ("instructions an image, most", lambda c: c.worst),
        ("multiply-accumulates", lambda c: c.macs),
        ("model, bytes (of float: the weights)", lambda c: c.model),
        ("rest of the image, bytes of flash", lambda c: c.image),
        ("RAM, bytes: arena, stack, static", lambda c: c.ram),
    ]
    for name, text in lines:
        table.add_row(name, *(text(column) for column in columns))
    console.print(table)


def stream(console: Console, device: Device, rows: list[list[np.ndarray]]) -> list[Result]:
    """Every row's result, measured, with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Streaming images over the serial line", total=len(rows))
        results = []
        for result in device.stream(rows, measure=True):
            results.append(result)
            progress.advance(task)
    return results


def show_images(
    console: Console,
    x: np.ndarray,
    outputs: list[np.ndarray],
    y: np.ndarray,
    labels: list[str],
    count: int = 5,
) -> None:
    """The first images as blocks, with the board's answer and the label."""
    shades = drawn(" ░▒▓█", " .:*#")
    pictures = []
    for image in x[:count].reshape(count, 28, 28):
        brightness = (image.astype(int) + 128)[1::4, ::2] * (len(shades) - 1) // 255
        pictures.append(["".join(shades[v] for v in row) for row in brightness])
    for line in zip(*pictures, strict=True):
        console.print(" ".join(line), highlight=False)
    names = [
        f"{labels[int(out.argmax())]}" + ("" if out.argmax() == t else f" ({labels[t]}!)")
        for out, t in zip(outputs, y, strict=False)
    ]
    console.print(" ".join(f"{name:14}" for name in names[:count]), highlight=False)


if __name__ == "__main__":
    main()
