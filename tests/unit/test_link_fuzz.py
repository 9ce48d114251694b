"""Runs the link's fuzz target for a share of the time that a longer search gets."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from offramp import resources

FLAGS = ["-std=c11", "-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
NO_KERNELS = '#include "offramp.h"\nconst ofr_kernels ofr_linked_kernels = {0};\n'
# Requests that a random search would take long to form: a whole model transfer, a run, info.
SEEDS = [
    bytes([8, 0x10, 1, 0, 0, 0, 4, 0, 0, 0, 8, 0x11, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0x12, 1, 0x13, 1, 0, 0x14]),
    bytes([12, 0x21, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0x02, 1, 0, 0, 0, 0, 0x03, 0, 0x05, 0, 0x04]),
    bytes(
        [12, 0x22, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 9, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 5, 3, 255, 0, 5, 0]
    ),
]


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("needs clang (apt-get install clang)")
    folder = tmp_path_factory.mktemp("link_fuzz")
    (folder / "kernels.c").write_text(NO_KERNELS)
    firmware = resources.root() / "firmware"
    files = [path for path in sorted((firmware / "app").glob("*.c")) if path.name != "main.c"]
    files += [*sorted((firmware / "src").glob("*.c")), folder / "kernels.c"]
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
