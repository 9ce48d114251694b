"""Runtime and generic kernels with gcc for Xtensa's lx106 on QEMU: an instruction-set check of that family.

It is no ESP32: those have LX6 and LX7 with register windows, another memory and their own compiler; none has run.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.blob import write
from offramp.build import Source, Sources, objects
from offramp.build.compilers import Compiler
from offramp.build.image import blob_source, flags
from offramp.frontends import load_model
from offramp.plan import Options
from offramp.reference import run_all
from tests.fuzz import programs, seeds

pytestmark = pytest.mark.emulator
FOLDER = Path(__file__).parent / "xtensa"
ROWS = 20
LX106 = boards.load("esp32dev")  # for its core's name alone
SPECS = Path("/usr/lib/xtensa-lx106-elf/picolibc.specs")
TARGET = ("-mlongcalls", "-mtext-section-literals", f"--specs={SPECS}")


def test_a_small_model_gives_the_references_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcc, qemu = shutil.which("xtensa-lx106-elf-gcc"), shutil.which("qemu-system-xtensa")
    if gcc is None or qemu is None or not SPECS.exists():
        pytest.skip("needs gcc-xtensa-lx106, picolibc-xtensa-lx106-elf and qemu-system-xtensa")
    plan = seeds.plan(seeds.signed_net(), LX106, tmp_path, Options("generic"))
    graph = load_model(next(tmp_path.glob("*.tflite")))
    shape = graph.tensors[graph.inputs[0]].shape
    rows = np.random.default_rng(1).integers(-128, 128, (ROWS, *shape[1:]), np.int8)
    (tmp_path / "inputs.bin").write_bytes(rows.tobytes())
    (tmp_path / "model.ofr").write_bytes(write(plan))
    elf = link(gcc, tmp_path, programs.runtime_sources(seeds.kernels_of({"m": plan}), LX106))
    command = [qemu, "-M", "sim", "-cpu", "lx106", "-semihosting", "-nographic", "-monitor", "none"]
    command += ["-serial", "none", "-kernel", str(elf)]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (expected,) = run_all(graph, rows)
    assert done.stdout == expected.tobytes() and len(np.unique(expected, axis=0)) == ROWS


def link(gcc: str, folder: Path, sources: Sources) -> Path:
    """Flags are the build's own but for the core's."""
    sources += blob_source(folder / "model.ofr")
    sources += Sources((Source(FOLDER / "main.c", "application"),))
    compiler = Compiler(gcc, "xtensa-lx106-elf-gcc", "12.2.0")
    board = boards.load("posix")  # has no flags of its own
    commands = [([gcc, *flags(board, compiler, sources, file), *TARGET], file.path) for file in sources.files]
    compiled = objects.compile_all(commands, str(compiler))
    elf = folder / "xtensa.elf"
    scripts = ["-nostartfiles", "-static", "-Wl,--gc-sections", f"-T{FOLDER / 'sim.ld'}", f"-Wa,-I{folder}"]
    subprocess.run(
        [gcc, *map(str, compiled), str(FOLDER / "start.S"), *TARGET, *scripts, "-o", elf], check=True
    )
    return elf
