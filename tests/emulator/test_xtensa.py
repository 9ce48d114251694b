"""Runtime, generic kernels and ESP-NN's C by gcc for Xtensa's lx106 on QEMU: an instruction-set check."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.blob import write
from offramp.build.sources import kernel_sources
from offramp.frontends import load_model
from offramp.plan import Options
from offramp.reference import run_all
from tests import xtensa
from tests.fuzz import programs, seeds

pytestmark = pytest.mark.emulator
ROWS = 20
LX106 = boards.load("esp32dev")  # for its core's name alone


@pytest.mark.parametrize("kernels", ["generic", "esp_nn"])
def test_a_small_model_gives_the_references_bits(kernels: str, tmp_path: Path) -> None:
    if (qemu := shutil.which("qemu-system-xtensa")) is None:
        pytest.skip("needs qemu-system-xtensa")
    plan = seeds.plan(seeds.signed_net(), LX106, tmp_path, Options(kernels))
    assert {step.kernel.set for step in plan.steps} == {kernels}
    graph = load_model(next(tmp_path.glob("*.tflite")))
    shape = graph.tensors[graph.inputs[0]].shape
    rows = np.random.default_rng(1).integers(-128, 128, (ROWS, *shape[1:]), np.int8)
    (tmp_path / "inputs.bin").write_bytes(rows.tobytes())
    (tmp_path / "model.ofr").write_bytes(write(plan))
    sources = programs.runtime_sources(seeds.kernels_of({"m": plan}), LX106)
    if kernels == "esp_nn":
        sources += kernel_sources(kernels)
    elf = xtensa.link(tmp_path, sources, xtensa.FOLDER / "sim.ld")
    command = [qemu, "-M", "sim", "-cpu", "lx106", "-semihosting", "-nographic", "-monitor", "none"]
    command += ["-serial", "none", "-kernel", str(elf)]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (expected,) = run_all(graph, rows)
    assert done.stdout == expected.tobytes() and len(np.unique(expected, axis=0)) == ROWS
