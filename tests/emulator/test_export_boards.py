"""Exported trees on emulated boards: built by CMake without this repository, with the bits of `offramp build`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import serial

from offramp import boards
from offramp.blob import read
from offramp.build.blob_image import blob_image
from offramp.build.compilers import compile_flags, compiler_for
from offramp.build.firmware import firmware, firmware_sources, kernels_named, kernels_on
from offramp.build.image import macros
from offramp.build.objects import compile_all
from offramp.export import closure
from offramp.frontends import tflite
from offramp.plan import Options
from offramp.reference import Reference
from offramp.resources import root
from offramp_host.device import Device
from offramp_host.emulator import Emulator
from tests import exported
from tests.front_ends import raw_for
from tests.fuzz.seeds import STREAMS, behind, keyword_net

pytestmark = pytest.mark.emulator
N_ROWS = 5
# `pack` lets a run take whole images only: else the elements between runs differ, which the link tells once for all.
PARTS_OF_IMAGES = "image_rows"
PROJECT = """cmake_minimum_required(VERSION 3.20)
project(mine LANGUAGES C)
add_subdirectory(vendor/offramp)
add_subdirectory(vendor/offramp/port)
add_executable(mine main.c)
target_link_libraries(mine PRIVATE offramp::offramp offramp_port)
"""


def printed(board: boards.Board, elf: Path, n_lines: int = N_ROWS) -> tuple[int, bytes]:
    """Exit code and what came over the serial port."""
    with (
        Emulator(board, elf, timeout_s=60) as emulator,
        serial.serial_for_url(emulator.url, timeout=30) as port,
    ):
        text = b"".join(port.read_until(b"\n") for _ in range(n_lines))
        return emulator.wait(30), text


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("mps2_an386", "auto"),
        ("mps2_an386", "cmsis_nn"),
        ("mps3_an547", "auto"),
        ("rv32_virt", "auto"),
        ("rv32_virt", "esp_nn"),
    ],
)
def test_a_users_project_gives_the_bits_of_build(name: str, kernels: str, tmp_path: Path) -> None:
    board = boards.load(name)
    graph = tflite.load(keyword_net(), Path("net.tflite"))
    project, build = tmp_path / "project", tmp_path / "build"
    data = exported.export(graph, board, project / "vendor" / "offramp", Options(kernels))
    shape = graph.tensors[graph.inputs[0]].shape
    rows = np.random.default_rng(5).integers(-128, 128, (N_ROWS, *shape)).astype(np.int8)
    (project / "rows.h").write_text(exported.rows_header([row.tobytes() for row in rows]))
    (project / "main.c").write_text(exported.program(exported.ON_BOARD))
    (project / "CMakeLists.txt").write_text(PROJECT)
    toolchain = project / "vendor" / "offramp" / "cmake" / "toolchain.cmake"
    exported.cmake(project, build, f"--toolchain={toolchain}")
    assert str(root()) not in (build / "compile_commands.json").read_text()
    code, text = printed(board, build / "mine")
    assert code == 0
    assert text.split() == [row.tobytes().hex().encode() for row in of_build(board, data, rows, tmp_path)]
    reference = Reference(graph)
    assert text.split() == [reference.run([row])[0].tobytes().hex().encode() for row in rows]


@pytest.mark.parametrize("name", ["mps2_an386", "rv32_virt"])
@pytest.mark.parametrize("kind", [kind for kind in STREAMS if kind != PARTS_OF_IMAGES])
def test_raw_samples_give_the_bits_of_build(name: str, kind: str, tmp_path: Path) -> None:
    """Runs that the front end makes due, as `Device.feed` on an image of `offramp build` gives them."""
    board, stream = boards.load(name), STREAMS[kind]
    graph, raw = behind(stream), raw_for(stream)[:2000]
    project, build = tmp_path / "project", tmp_path / "build"
    data = exported.export(graph, board, project / "vendor" / "offramp", stream=stream)
    (project / "rows.h").write_text(exported.rows_header([raw.tobytes()]))
    (project / "main.c").write_text(exported.program(exported.ON_BOARD, exported.OF_RAW))
    (project / "CMakeLists.txt").write_text(PROJECT)
    exported.cmake(project, build, f"--toolchain={project / 'vendor/offramp/cmake/toolchain.cmake'}")
    (tmp_path / "model.ofr").write_bytes(data)
    image = blob_image(read(data, kind), board, tmp_path / "image.elf", linked=tmp_path / "model.ofr")
    with Emulator(board, image.elf, timeout_s=60) as emulator, Device(emulator.url, timeout_s=30) as device:
        expected = [result.outputs[0].tobytes().hex().encode() for result in device.feed(raw)]
    code, text = printed(board, build / "mine", len(expected))
    assert code == 0 and len(expected) > 1
    assert text.split() == expected
    reference, shape = Reference(graph), graph.tensors[graph.inputs[0]].shape
    rows = [row.reshape(shape) for row in stream.inputs(raw)]
    assert text.split() == [reference.run([row])[0].tobytes().hex().encode() for row in rows]


def of_build(
    board: boards.Board, data: bytes, rows: Iterable[np.ndarray], folder: Path
) -> Iterable[np.ndarray]:
    blob = folder / "model.ofr"
    blob.write_bytes(data)
    image = firmware(
        board, folder / "image.elf", kernels=kernels_named(read(data, blob).kernels), blob=blob, plans=1
    )
    with Emulator(board, image.elf, timeout_s=60) as emulator, Device(emulator.url, timeout_s=30) as device:
        return [result.outputs[0] for result in device.stream([[row] for row in rows])]


@pytest.mark.parametrize("name", ["microbit", "mps2_an386", "rv32_virt"])
def test_the_trees_own_example_runs(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    source, build = tmp_path / "tree", tmp_path / "build"
    exported.export(tflite.load(keyword_net(), Path("net.tflite")), board, source)
    exported.cmake(source, build, "--toolchain=cmake/toolchain.cmake")
    with (
        Emulator(board, build / "offramp_example", timeout_s=30) as emulator,
        serial.serial_for_url(emulator.url),
    ):
        assert emulator.wait(30) == 0


SOAK = pytest.mark.soak


@pytest.mark.parametrize(
    "name",
    ["mps2_an386", "mps3_an547", *(pytest.param(name, marks=SOAK) for name in ("microbit", "rv32_virt"))],
)
def test_the_files_of_each_kernel_are_those_that_the_compiler_says(name: str) -> None:
    """nm of the objects is the oracle: nothing is missing, and what is taken beside it are helpers, no kernels."""
    board = boards.load(name)
    sources = firmware_sources(board)  # as universal images are built, so that objects are in the cache
    compiler = compiler_for(board.core)
    files = [file for file in sources.files if file.category == "kernels"]
    folders = [f"-I{folder}" for folder in sources.include_dirs]
    commands = [
        ([compiler.path, *compile_flags(board, compiler, f, False), *folders, *macros(sources, f)], f.path)
        for f in files
    ]
    nm = compiler.path.removesuffix("gcc") + "nm"
    objects = compile_all(commands, str(compiler))
    defines, wants = {}, {}
    for file, built in zip(files, objects, strict=True):
        text = subprocess.run([nm, built], capture_output=True, text=True, check=True).stdout
        path = file.path.resolve()
        defines |= dict.fromkeys(re.findall(r" [A-TV-Z] (\w+)", text), path)
        wants[path] = re.findall(r" U (\w+)", text)
    for kernel in kernels_on(board):
        exact, waiting = set(), [defines[kernel.symbol]]
        while waiting:
            path = waiting.pop()
            if path not in exact:
                exact.add(path)
                waiting += [defines[name] for name in wants[path] if name in defines]
        found = set(closure.needed([kernel.symbol], list(wants), sources.include_dirs))
        assert exact <= found, kernel
        assert len(found - exact) <= 6, (kernel, found - exact)
