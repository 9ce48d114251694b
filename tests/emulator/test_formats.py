"""The golden blob of every format version: later readers, hosts and firmware run it, with the bits of its time."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.blob import header, read
from offramp.build.blob_image import blob_image
from offramp_host.device import Device
from offramp_host.emulator import Emulator

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
"""FORMAT.ofr with generic kernels, and FORMAT.npz: inputs x, and outputs y0, y1, … of its plans (but the gate) by
TensorFlow Lite Micro. Where a front end came with the format, raw: samples for it, and heard: outputs for what the
host's reference made of them."""
FORMATS = sorted(path.stem for path in GOLDEN.glob("*.ofr"))


def test_every_version_has_one() -> None:
    assert [f"format_{header.FORMAT_MAJOR}_{minor}" for minor in range(header.FORMAT_MINOR + 1)] == FORMATS


@pytest.mark.emulator
@pytest.mark.parametrize("board_name", ["posix", "mps2_an386"])
@pytest.mark.parametrize("name", FORMATS)
def test_runs_with_the_bits_of_its_time(name: str, board_name: str, tmp_path: Path) -> None:
    data, board = (GOLDEN / f"{name}.ofr").read_bytes(), boards.load(board_name)
    blob = read(data, name)
    assert blob.format == re.sub(r"format_(\d+)_(\d+)", r"\1.\2", name)
    image = blob_image(blob, board, tmp_path / "image.elf", linked=GOLDEN / f"{name}.ofr")
    with (
        np.load(GOLDEN / f"{name}.npz") as golden,
        Emulator(board, image.elf, timeout_s=60) as emulator,
        Device(emulator.url) as device,
    ):
        for plan in range(sum(key[0] == "y" for key in golden)):
            found = [result.outputs[0] for result in device.stream(golden["x"], plan=plan)]
            assert np.array_equal(np.stack(found), golden[f"y{plan}"])
        if "raw" in golden:
            device.reset_state()
            heard = [result.outputs[0] for result in device.feed(golden["raw"])]
            assert np.array_equal(np.stack(heard), golden["heard"])
        info = device.info()
    assert [p.name for p in info.plans] == [p.name for p in blob.plans]
    assert [p.instructions for p in info.plans] == [p.instructions for p in blob.plans]
