"""The main job in one go: pack an int8 image classifier, build firmware for a Cortex-M4, run 200 images over its UART.

`make demo` runs this. Nothing here is special to the demo: `offramp pack`, `build` and `run` do the same.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from offramp import boards
from offramp.blob import read
from offramp.build.blob_image import blob_image
from offramp.cli.output import drawn
from offramp.frontends import load_model
from offramp.pack import pack
from offramp.reference import Reference
from offramp_host.device import Device
from offramp_host.emulator import Emulator

MODEL = Path(__file__).resolve().parents[1] / "models" / "fashion_mnist"
BOARD = "mps2_an386"


def main() -> None:
    console = Console()
    board = boards.load(BOARD)
    model = load_model(MODEL / "fashion_mnist_int8.tflite")
    plan, data = pack(model, board)
    images = np.load(MODEL / "test_images.npz")
    with tempfile.TemporaryDirectory() as folder:
        blob = Path(folder) / "fashion_mnist.ofr"
        blob.write_bytes(data)
        image = blob_image(read(data, blob), board, blob.with_suffix(".elf"), linked=blob)
        console.print(f"Packed {model.name} for {board.name} and built the firmware with {image.compiler}.")
        labels = [str(name) for name in images["labels"]]
        rows = [[x.reshape(model.tensors[model.inputs[0]].shape)] for x in images["x"]]
        with Emulator(board, image.elf, timeout_s=120) as emulator, Device(emulator.url) as device:
            ticks = device.run(rows[0], measure=True).ticks
            outputs = stream(console, device, rows)
            stack = device.statistics().stack_bytes
    reference = Reference(model)
    equal = sum(np.array_equal(out, reference.run(row)[0]) for out, row in zip(outputs, rows, strict=True))
    right = np.array([out.argmax() for out in outputs]) == images["y"]
    assert board.emulator is not None and ticks is not None
    show_images(console, images["x"], outputs, images["y"], labels)
    flash = image.footprint.flash_bytes
    error = np.sqrt(right.mean() * (1 - right.mean()) / len(right))
    table = Table(title=f"fashion_mnist on {board.description}", title_justify="left", show_header=False)
    for name, value in (
        ("accuracy", f"{right.mean():.1%} {drawn('±', '+/-')} {error:.1%} of {len(rows)} test images"),
        ("equal to the reference", f"{equal} of {len(rows)} outputs, in every byte"),
        ("instructions an inference", f"{board.emulator.instructions(ticks):,} (exact, emulator)"),
        ("multiply-accumulates", f"{plan.macs:,}"),
        ("flash", f"{sum(flash.values()):,} bytes: " + ", ".join(f"{k} {v:,}" for k, v in flash.items())),
        ("arena", f"{plan.arena_bytes:,} bytes, input and output included"),
        ("stack, other static RAM", f"{stack:,} bytes, {image.footprint.static_ram_bytes:,} bytes"),
    ):
        table.add_row(name, value)
    console.print(table)
    if equal != len(rows):
        raise SystemExit("outputs differ from the reference")


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
