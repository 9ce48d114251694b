"""A sensor's interrupt fills a ping-pong buffer while a model runs: nothing is lost, no output differs by it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import serial

from offramp import boards
from offramp.blob import write
from offramp.build import Sources, build
from offramp.build.firmware import kernels_on, parts
from offramp.build.source import RATE_HZ, SYNTHETIC, drivers_of, source_sources
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.passes import optimize
from offramp.plan import Options, make_plan
from offramp.reference import run_all
from offramp_host.disassembly import objdump
from offramp_host.emulator import Emulator
from tests.fnv import fnv
from tests.small_models import classifier
from tests.synthetic import synthetic

pytestmark = pytest.mark.emulator

APP = Path(__file__).parent / "apps" / "source.c"
AN386 = boards.load("mps2_an386")


@dataclass(frozen=True)
class Said:
    lost: int
    gaps: int
    hash: int
    interruptions: int
    busy: int
    """Ticks, as `all` is."""
    all: int
    outputs: np.ndarray
    """int8 [windows, values]."""


def hash_of(samples: np.ndarray) -> int:
    return fnv(samples.view(np.uint16).tolist())


def ran(graph: Graph, board: boards.Board, folder: Path, window: int, windows: int) -> Said:
    plan = make_plan(optimize(graph)[0], board, Options())
    blob = folder / "model.ofr"
    blob.write_bytes(write(plan))
    kernels = list({step.kernel.id: step.kernel for step in plan.steps}.values())
    sources = parts(board, kernels, 1, False, [APP]) + source_sources(board, SYNTHETIC)
    sources += Sources(defines=(("APP_WINDOW", window), ("APP_WINDOWS", windows)))
    image = build(board, sources, folder / "source.elf", blob=blob)
    with Emulator(board, image.elf, timeout_s=600) as emulator:
        line = serial.serial_for_url(emulator.url, timeout=600).readline()
        assert line.endswith(b"\n"), (line, emulator.wait(10))
    *numbers, outputs = line.decode().split()
    values = np.frombuffer(bytes.fromhex(outputs), np.int8).reshape(windows, -1)
    return Said(*(int(number, 16) for number in numbers), values)


def offline(graph: Graph, window: int, windows: int) -> np.ndarray:
    """Outputs of the reference on the same windows, as apps/source.c makes inputs of them."""
    tensor = graph.tensors[graph.inputs[0]]
    n = int(np.prod(tensor.shape))
    rows = (synthetic(window * windows).reshape(windows, window) >> 8).astype(np.int8)
    inputs = rows[:, : n * (window // n) : window // n]
    [found] = run_all(graph, inputs.reshape(windows, *tensor.shape[1:]))
    return found.reshape(windows, -1)


@pytest.mark.parametrize("seconds", [2.5, pytest.param(60.0, marks=pytest.mark.soak)])
def test_no_sample_is_lost_while_a_model_runs(seconds: float, shared_data: Path, tmp_path: Path) -> None:
    assert AN386.emulator is not None
    graph = load_model(shared_data / "mlperf_tiny" / "kws_ref_model.tflite")
    window = 20_000
    windows = round(seconds * RATE_HZ / window)
    said = ran(graph, AN386, tmp_path, window, windows)
    passed_s = said.all / AN386.clock_hz
    print(
        f"{windows} windows in {passed_s + window / RATE_HZ:.1f} emulated s, lost {said.lost}; "
        f"{said.interruptions / windows:.0f} samples an inference came during it, busy {said.busy / said.all:.0%}"
    )
    assert (said.lost, said.gaps) == (0, 0)
    assert said.hash == hash_of(synthetic(window * windows))
    assert np.array_equal(said.outputs, offline(graph, window, windows))
    assert len(np.unique(said.outputs, axis=0)) > 1
    assert said.interruptions > windows * 10_000
    # The first window began to be worked on when it was full; each other one came when it was due.
    assert passed_s == pytest.approx(
        (windows - 1) * window / RATE_HZ + said.busy / windows / AN386.clock_hz, abs=0.01
    )


QUICK = ("microbit", "mps2_an505")


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.soak)
        for name in boards.runnable()
        if SYNTHETIC in drivers_of(boards.load(name))
    ],
)
def test_every_emulated_board_with_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "small.tflite").write_bytes(classifier())
    graph = load_model(tmp_path / "small.tflite")
    said = ran(graph, boards.load(name), tmp_path, 160, 20)
    assert (said.lost, said.gaps) == (0, 0)
    assert said.hash == hash_of(synthetic(160 * 20))
    assert np.array_equal(said.outputs, offline(graph, 160, 20))


def test_what_is_too_slow_loses_samples_and_says_how_many(shared_data: Path, tmp_path: Path) -> None:
    graph = load_model(shared_data / "mlperf_tiny" / "kws_ref_model.tflite")
    said = ran(graph, AN386, tmp_path, 5_000, 4)
    assert said.gaps > 0 and said.lost >= 5_000
    assert said.hash != hash_of(synthetic(5_000 * 4))


def test_the_longest_masked_section_is_where_the_port_falls_asleep(tmp_path: Path) -> None:
    """Of the whole image: runtime, kernels, port and application."""
    sources = parts(AN386, kernels_on(AN386), 8, True, None) + source_sources(AN386, SYNTHETIC)
    code = objdump(build(AN386, sources, tmp_path / "image.elf").elf, AN386.core)
    function, since, sections = "", None, []
    for line in code.splitlines():
        if line.endswith(">:"):
            function, since = line.split("<")[1][:-2], None
        elif "\tcpsid" in line:
            since = 0
        elif "\tcpsie" in line:
            assert since is not None
            sections.append((function, since))
            since = None
        elif since is not None and ":\t" in line:
            since += 1
        assert not re.search("PRIMASK|BASEPRI|FAULTMASK", line, re.IGNORECASE), line
    print(f"instructions between cpsid and cpsie: {dict(sections)}")
    assert {name for name, _ in sections} == {"port_idle"}
    assert max(n for _, n in sections) <= 10
