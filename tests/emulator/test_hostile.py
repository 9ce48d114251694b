"""Hostile blobs on emulated boards: the MPU holds the runtime to its memory; the host gets the same bits."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import serial

from offramp import boards
from offramp.build.firmware import firmware, kernels_on
from offramp.kernels import cmsis_nn
from offramp.ops import fully_connected
from offramp_host.emulator import Emulator
from tests.fuzz import programs, seeds

pytestmark = pytest.mark.emulator

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"
APP = Path(__file__).parent / "apps" / "hostile.c"
N_CONTROLS = 19
# Kernels that the planner chooses for other cores than one of these boards', or that the library's replace
# there; mutants name them all the same.
OTHER_CORES = {
    k.name for k in (cmsis_nn.ROW, cmsis_nn.DEPTHWISE_OPT, cmsis_nn.DEPTHWISE_3X3, fully_connected.KERNEL)
}
TIMEOUT_S = 240


class Bench:
    """Seeds for one kernel set, the image that tries their mutants, the host program that makes these."""

    def __init__(self, board_name: str, kernels: str, folder: Path) -> None:
        self.board = board = boards.load(board_name)
        self.folder = folder
        sets = dict.fromkeys((kernels, "generic"))
        plans = {
            f"{s}-{name}": plan
            for s in sets
            for name, plan in seeds.all_seeds(board, s, folder / f"models-{s}", None).items()
        }
        self.blobs = seeds.write_seeds(plans, folder / "seeds")
        self.kernels = [k for k in kernels_on(board) if k.set in (kernels, "generic")]
        unused = {k.name for k in self.kernels} - {k.name for k in seeds.kernels_of(plans)}
        assert unused <= OTHER_CORES
        portable = [k for k in self.kernels if k.set == "generic"]
        self.image = firmware(
            board, folder / "hostile.elf", kernels=self.kernels, app=[APP], front_ends=programs.FRONT_ENDS
        )
        self.mutants = programs.host_program(
            FUZZ / "mutants.c", portable, folder / "mutants", packed_for=board
        )

    def batch(self, count: int, seed: int) -> Path:
        path = self.folder / f"batch{seed}.bin"
        command = [str(self.mutants), "write", str(count), str(seed), str(path), *map(str, self.blobs)]
        subprocess.run(command, check=True, timeout=60)
        return path

    def on_board(self, batch: Path) -> list[str]:
        """The lines of one emulator's run."""
        loads = [(batch, self.board.model_slot.address)]
        with Emulator(self.board, self.image.elf, loads=loads, timeout_s=TIMEOUT_S) as emulator:
            line = serial.serial_for_url(emulator.url, timeout=TIMEOUT_S)
            said: list[str] = []
            while not said or not said[-1].startswith(("end", "fault")):
                got = line.readline()
                assert got.endswith(b"\n"), f"{emulator.stderr} after {said[-3:]}"
                said.append(got.decode().strip())
            return said

    def on_host(self, batch: Path) -> list[str]:
        done = subprocess.run(
            [self.mutants, "replay", batch], check=True, timeout=60, capture_output=True, text=True
        )
        return done.stdout.splitlines()


Benches = Callable[[str, str], Bench]


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Benches:
    """A bench by board and kernel set, made once."""
    made = functools.cache(lambda *name: Bench(*name, tmp_path_factory.mktemp("-".join(name))))
    return lambda board, kernels: made(board, kernels)


def attempt(bench: Bench, count: int, seed: int) -> list[str]:
    """ "STATUS HASH" of each mutant, after the controls were all caught and no mutant left its bounds."""
    batch = bench.batch(count, seed)
    said = bench.on_board(batch)
    controls = [line for line in said if line.startswith("control ")]
    assert len(controls) == N_CONTROLS
    assert all(line.endswith(" caught") for line in controls), controls
    results = [line.split(" ", 1)[1] for line in said[len(controls) : -1]]
    assert said[-1].startswith("end "), said[-3:]
    assert len(results) == count
    faults = [line for line in said if " fault " in line]
    assert faults == [], (faults[:5], bench.image.elf)
    return results


def check_statuses(results: list[str]) -> None:
    """Some ran, and refusals are of many kinds: else the mutants would test little."""
    statuses = [int(line.split()[0]) for line in results]
    assert statuses.count(2) > len(statuses) // 10
    assert len(set(statuses)) > 8
    assert all(status == 2 or -32 <= status < 0 for status in statuses)


def check(bench: Bench, kernels: str, count: int, seed: int) -> None:
    """With generic kernels the host, which has no others, must come to the same status and output bits."""
    results = attempt(bench, count, seed)
    check_statuses(results)
    if kernels == "generic":
        host = bench.on_host(bench.folder / f"batch{seed}.bin")
        pairs = enumerate(zip(results, host, strict=True))
        assert [(i, here, there) for i, (here, there) in pairs if here != there] == []


each_set = pytest.mark.parametrize(
    ("board", "kernels"),
    [
        ("mps2_an386", "generic"),
        ("mps2_an386", "cmsis_nn"),
        ("mps2_an386", "dsp"),
        ("mps3_an547", "generic"),
        ("mps3_an547", "cmsis_nn"),
        ("mps3_an547", "mve"),
    ],
)


@each_set
def test_mutants(benches: Benches, board: str, kernels: str) -> None:
    check(benches(board, kernels), kernels, 500, 1)


@pytest.mark.soak
@each_set
@pytest.mark.parametrize("seed", range(2, 7))
def test_mutants_in_full(benches: Benches, board: str, kernels: str, seed: int) -> None:
    check(benches(board, kernels), kernels, 1000, seed)
