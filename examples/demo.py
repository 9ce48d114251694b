"""The main job in one go: a float classifier, what compression made of it, and 200 images over a Cortex-M4's UART.

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
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.pack import pack
from offramp.reference import run_all
from offramp_host.device import Device
from offramp_host.emulator import Emulator

MODEL = Path(__file__).resolve().parents[1] / "models" / "fashion_mnist"
BOARD = "mps2_an386"
VARIANTS = {"int8": "8-bit integers", "small": "a tenth of the parameters, 4 bits"}


@dataclass(frozen=True)
class Column:
    """What one variant does on the board."""

    title: str
    accuracy: Accuracy
    equal: str
    instructions: str
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
    return Column("float", accuracy(graph, x, y), "", "", "", f"{weights:,}", "", "")


def on_board(
    console: Console, board: Board, graph: Graph, title: str, x: np.ndarray, y: np.ndarray
) -> tuple[Column, list[np.ndarray]]:
    """Packs a graph, builds its firmware and runs all rows on the emulated board."""
    plan, data = pack(graph, board)
    given = input_rows(graph, x)[0]
    with tempfile.TemporaryDirectory() as folder:
        blob = Path(folder) / "model.ofr"
        blob.write_bytes(data)
        image = blob_image(read(data, blob), board, blob.with_suffix(".elf"), linked=blob)
        console.print(f"Packed {graph.name} for {board.name} and built the firmware with {image.compiler}.")
        rows = [[row[None]] for row in given]
        with Emulator(board, image.elf, timeout_s=240) as emulator, Device(emulator.url) as device:
            ticks = device.run(rows[0], measure=True).ticks
            outputs = stream(console, device, rows)
            stack = device.statistics().stack_bytes
    assert board.emulator is not None and ticks is not None
    wanted = run_all(graph, given)[0]
    equal = sum(np.array_equal(a.ravel(), b.ravel()) for a, b in zip(outputs, wanted, strict=True))
    right = np.array([out.argmax() for out in outputs]) == y
    flash = image.footprint.flash_bytes
    return (
        Column(
            title,
            Accuracy(right),
            f"{equal} of {len(rows)}",
            f"{board.emulator.instructions(ticks):,}",
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
    lines: list[tuple[str, Any]] = [
        (
            f"accuracy, {samples} test images",
            lambda c: f"{100 * c.accuracy.value:.1f} {sign} {100 * c.accuracy.stderr:.1f} %",
        ),
        ("outputs equal to the reference", lambda c: c.equal),
        ("instructions an inference (exact, emulator)", lambda c: c.instructions),
        ("multiply-accumulates", lambda c: c.macs),
        ("model, bytes (of float: the weights)", lambda c: c.model),
        ("rest of the image, bytes of flash", lambda c: c.image),
        ("RAM, bytes: arena, stack, static", lambda c: c.ram),
    ]
    for name, text in lines:
        table.add_row(name, *(text(column) for column in columns))
    console.print(table)


def stream(console: Console, device: Device, rows: list[list[np.ndarray]]) -> list[np.ndarray]:
    """First output of every row, with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Streaming images over the serial line", total=len(rows))
        outputs = []
        for result in device.stream(rows):
            outputs.append(result.outputs[0])
            progress.advance(task)
    return outputs


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
