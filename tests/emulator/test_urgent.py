"""A queue on an emulated board: an urgent request, pushed by an interrupt, begins within the longest step and a bit."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
import serial

from offramp import boards
from offramp.blob import write
from offramp.build.firmware import firmware, kernels_on
from offramp.plan import Options
from offramp_host.emulator import Emulator
from tests.fuzz import seeds

pytestmark = pytest.mark.emulator

BOARD = boards.load("mps2_an386")
APP = Path(__file__).parent / "apps" / "queue.c"
HEADER = Path(__file__).parents[2] / "firmware/include/offramp_queue.h"
PUSHES = 300


def ran(folder: Path, urgent: bytes, other: bytes) -> list[int]:
    """Refused, finished, mismatches, waits, and the worst wait and the longest step in instructions."""
    assert BOARD.emulator is not None
    image = firmware(BOARD, folder / "queue.elf", kernels=kernels_on(BOARD), app=[APP])
    ticks_per_1000 = 1000 * BOARD.emulator.denominator // BOARD.emulator.numerator
    parts = [struct.pack("<4I", 2, PUSHES, ticks_per_1000, 0)]
    for net in (urgent, other):
        blob = write(seeds.plan(net, BOARD, folder, Options()))
        parts += [struct.pack("<4I", len(blob), 0, 0, 0), blob, bytes(-len(blob) % 16)]
    (folder / "slot.bin").write_bytes(b"".join(parts))
    loads = [(folder / "slot.bin", BOARD.model_slot.address)]
    with Emulator(BOARD, image.elf, loads=loads, timeout_s=60) as emulator:
        said = serial.serial_for_url(emulator.url, timeout=60).readline()
        assert said.endswith(b"\n"), (said, emulator.wait(10))
    *counts, worst, longest = (int(n) for n in said.split())
    return [*counts, BOARD.emulator.instructions(worst), BOARD.emulator.instructions(longest)]


def test_an_urgent_request_begins_within_the_longest_step(tmp_path: Path) -> None:
    urgent = seeds.keyword_net(1)
    other = seeds.keyword_net(2, channels=24, rows=25)
    refused, finished, mismatches, waits, worst, longest = ran(tmp_path, urgent, other)
    allowed = int(re.findall(r"OFR_QUEUE_INSTRUCTIONS (\d+)u", HEADER.read_text())[0])
    print(f"{refused} refused, {waits} waits, {worst} instructions at most, longest step {longest}")
    assert (finished, mismatches) == (PUSHES, 0) and refused > 5
    assert waits > PUSHES // 4 and longest > 20_000
    assert longest // 2 < worst <= longest + allowed
