"""Instances side by side on an emulated board, one in an interrupt handler: the bits of separate runs."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import serial

from offramp import boards
from offramp.blob import write
from offramp.build import Image
from offramp.build.firmware import firmware, kernels_on
from offramp.plan import Options
from offramp_host.emulator import Emulator
from tests.fuzz import seeds

pytestmark = pytest.mark.emulator

BOARD = boards.load("mps2_an386")
APP = Path(__file__).parent / "apps" / "instances.c"
ROUNDS = 40


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("instances")
    return firmware(BOARD, folder / "instances.elf", kernels=kernels_on(BOARD), app=[APP])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("models")
    options = Options(kernels="auto")
    nets = {"keyword": seeds.keyword_net(1), "larger": seeds.keyword_net(2, channels=24, rows=25)}
    nets["streaming"] = seeds.streaming_net()
    return {name: write(seeds.plan(net, BOARD, folder, options)) for name, net in nets.items()}


def run(image: Image, blobs: list[bytes], folder: Path, share_arena: bool = False) -> list[int]:
    """Mismatches, interrupts, interrupts during a step, rounds of the third instance."""
    path = folder / "slot.bin"
    assert BOARD.emulator is not None
    ticks_per_1000 = 1000 * BOARD.emulator.denominator // BOARD.emulator.numerator
    parts = [struct.pack("<4I", len(blobs), ROUNDS, share_arena, ticks_per_1000)]
    for blob in blobs:
        parts += [struct.pack("<4I", len(blob), 0, 0, 0), blob, bytes(-len(blob) % 16)]
    path.write_bytes(b"".join(parts))
    with Emulator(BOARD, image.elf, loads=[(path, BOARD.model_slot.address)], timeout_s=60) as emulator:
        said = serial.serial_for_url(emulator.url, timeout=60).readline()
        assert said.endswith(b"\n"), (said, emulator.wait(10))
        return [int(n) for n in said.split()]


@pytest.mark.parametrize(
    "names",
    [
        ("keyword", "keyword", "keyword"),
        ("keyword", "larger", "streaming"),
        ("streaming", "streaming", "streaming"),
        ("larger", "streaming", "keyword"),
    ],
    ids="-".join,
)
def test_instances_are_independent(
    image: Image, models: dict[str, bytes], names: tuple[str, ...], tmp_path: Path
) -> None:
    mismatches, interrupts, inside, third_rounds = run(image, [models[name] for name in names], tmp_path)
    assert mismatches == 0
    assert interrupts > 50 and inside > interrupts // 4 and third_rounds > 5


def test_a_shared_arena_is_found_out(image: Image, models: dict[str, bytes], tmp_path: Path) -> None:
    """So that the test above is known to bite."""
    assert run(image, [models["keyword"]] * 3, tmp_path, share_arena=True)[0] > 0
