"""The C library in a C++17 program: compiled without warnings, linked, run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from offramp.blob import write
from offramp.build.compilers import OURS
from offramp.frontends import load_model
from offramp.plan import Options
from offramp.reference import Reference
from tests.fuzz import programs, seeds

PROGRAM = Path(__file__).parent / "program.cpp"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_cpp_program_runs_a_model(tmp_path: Path) -> None:
    plan = seeds.plan(seeds.keyword_net(), programs.POSIX, tmp_path, Options())
    (tmp_path / "model.ofr").write_bytes(write(plan))
    sources = programs.runtime_sources(seeds.kernels_of({"model": plan}))
    includes = [f"-I{folder}" for folder in sources.include_dirs]
    files = [str(file.path) for file in sources.files]
    subprocess.run(["gcc", *OURS, *includes, "-c", *files], check=True, cwd=tmp_path)
    objects = [str(path) for path in sorted(tmp_path.glob("*.o"))]
    command = ["g++", "-std=c++17", *WARNINGS, *includes, str(PROGRAM), *objects, "-o", "program"]
    subprocess.run(command, check=True, cwd=tmp_path)
    done = subprocess.run(
        ["./program", "model.ofr"], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout
    graph = load_model(tmp_path / "model.tflite")
    shape = graph.tensors[graph.inputs[0]].shape
    samples = np.arange(np.prod(shape)).astype(np.int8).reshape(shape)
    expected = Reference(graph).run([samples])[0].reshape(-1)
    assert [int(word) for word in done.stdout.split()] == [*expected.tolist(), len(plan.steps)]
