"""Runs the link's fuzz target for a share of the time that a longer search gets."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from offramp import boards, resources
from offramp.blob import read
from offramp.build.firmware import kernel_table, kernels_named

FLAGS = ["-std=c11", "-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
FAMILY = Path(__file__).parents[1] / "golden" / "format_1_1.ofr"
# Requests that a random search would take long to form: a whole model transfer, a run, info, every policy and a run.
SEEDS = [
    bytes([8, 0x10, 1, 0, 0, 0, 4, 0, 0, 0, 8, 0x11, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0x12, 1, 0x13, 1, 0, 0x14]),
    bytes([12, 0x21, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0x02, 1, 0, 0, 0, 0, 0x03, 0, 0x05, 0, 0x04]),
    bytes(
        [12, 0x22, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 9, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 5, 3, 255, 0, 5, 0]
    ),
    bytes([8, 0x30, 0, 2, 0, 0, 255, 255, 255, 255, 4, 0x21, 0, 0, 0, 0, 8, 0x30, 0, 0, 2, 0, 0, 0, 0, 0]),
    bytes(
        [
            8,
            0x30,
            0,
            1,
            0,
            0,
            200,
            200,
            0,
            0,
            4,
            0x21,
            0,
            0x24,
            0,
            0,
            4,
            0x02,
            5,
            0,
            1,
            0,
            4,
            0x21,
            0,
            0x30,
            0,
            0,
        ]
    ),
]


def family() -> str:
    """C source of the family that is linked in, and of the table of its kernels."""
    data = FAMILY.read_bytes()
    table = kernel_table(boards.load("posix"), kernels_named(read(data, FAMILY).kernels))
    return (
        f"{table}_Alignas(16) const uint8_t linked_family[] = {{{','.join(map(str, data))}}};\n"
        f"const uint32_t linked_family_bytes = {len(data)};\n"
    )


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("needs clang (apt-get install clang)")
    folder = tmp_path_factory.mktemp("link_fuzz")
    (folder / "family.c").write_text(family())
    firmware = resources.root() / "firmware"
    files = [path for path in sorted((firmware / "app").glob("*.c")) if path.name != "main.c"]
    files += [*sorted((firmware / "src").glob("*.c")), *sorted((firmware / "kernels/generic").glob("*.c"))]
    files.append(folder / "family.c")
    files.append(Path(__file__).parents[1] / "fuzz" / "link_fuzz.c")
    includes = [f"-I{firmware / name}" for name in ("include", "src", "kernels", "port", "app")]
    subprocess.run([clang, *FLAGS, *includes, *map(str, files), "-o", str(folder / "fuzz")], check=True)
    return folder / "fuzz"


def test_nothing_breaks_the_link(fuzzer: Path, tmp_path: Path) -> None:
    for i, seed in enumerate(SEEDS):
        (tmp_path / f"{i}").write_bytes(seed)
    # A fixed seed and number of inputs, so that a failure repeats.
    command = [str(fuzzer), "-seed=1", "-runs=30000", "-max_len=2048", "-timeout=5", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
