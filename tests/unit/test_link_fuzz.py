"""Runs the link's fuzz target for a share of the time that a longer search gets."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from offramp import boards, resources
from offramp.blob import read, write
from offramp.build.firmware import kernel_table, kernels_named
from offramp.plan import Bound, Certificate, Options, make_plan
from tests.fuzz import seeds

FLAGS = ["-std=c11", "-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
FAMILY = Path(__file__).parents[1] / "golden" / "format_1_1.ofr"
# Requests that a random search would take long to form: a whole model transfer, a run, info, every policy and a run,
# thresholds, exit policies and stages.
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


def request(code: int, payload: bytes) -> bytes:
    """A record of link_fuzz.c."""
    return bytes([len(payload), code]) + payload


RUN, TO_THE_END = request(0x21, bytes(4)), request(0x21, bytes([0, 8, 0, 0]))
OF_EXITS = [
    request(0x31, struct.pack("<BBBxI", 0, 0, exit_, value)) + RUN
    for exit_, value in ((0, 0), (1, 65535), (3, 65536), (4, 0))
]
OF_EXITS += [
    TO_THE_END + request(0x32, struct.pack("<BBBxIIIHHHHBBBx", 0, 0, unit, *numbers)) + RUN * 3
    for unit, *numbers in (
        (0, 60_000, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (0, 0, 90_000, 200_000, 2, 0, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 0, 9, 20, 30, 2, 2, 0),
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2),
        (1, 4000, 9000, 9000, 3, 5, 60, 200, 1, 3, 1),
    )
]
OF_EXITS.append(
    b"".join(request(0x02, bytes([6, 0, stage, 0])) for stage in range(6))
    + RUN
    + request(0x03, b"\0")
    + request(0x22, struct.pack("<BBHII", 0, 0, 0, 3, 252))
)


def linked(name: str) -> bytes:
    """The blob that is linked in: a family, or a model with exits whose stages' costs are stated."""
    if name == "family":
        return FAMILY.read_bytes()
    plan = make_plan(seeds.exits_net(), boards.load("posix"), Options())
    bound = Bound(5000, 1)
    certificate = Certificate((bound,) * len(plan.steps), bound, 100, 200, "a compiler", "0" * 64)
    return write(replace(plan, certificate=certificate))


def linked_source(name: str) -> str:
    """C source of the blob, and of the table of its kernels."""
    data = linked(name)
    table = kernel_table(boards.load("posix"), kernels_named(read(data, name).kernels))
    return (
        f"{table}_Alignas(16) const uint8_t linked_model[] = {{{','.join(map(str, data))}}};\n"
        f"const uint32_t linked_model_bytes = {len(data)};\n"
    )


@pytest.fixture(scope="module", params=["family", "exits"])
def fuzzer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("needs clang (apt-get install clang)")
    folder = tmp_path_factory.mktemp("link_fuzz")
    (folder / "linked.c").write_text(linked_source(request.param))
    firmware = resources.root() / "firmware"
    files = [path for path in sorted((firmware / "app").glob("*.c")) if path.name != "main.c"]
    files += [*sorted((firmware / "src").glob("*.c")), *sorted((firmware / "kernels/generic").glob("*.c"))]
    files.append(folder / "linked.c")
    files.append(Path(__file__).parents[1] / "fuzz" / "link_fuzz.c")
    includes = [f"-I{firmware / name}" for name in ("include", "src", "kernels", "port", "app")]
    subprocess.run([clang, *FLAGS, *includes, *map(str, files), "-o", str(folder / "fuzz")], check=True)
    return folder / "fuzz"


def test_nothing_breaks_the_link(fuzzer: Path, tmp_path: Path) -> None:
    for i, seed in enumerate([*SEEDS, *OF_EXITS]):
        (tmp_path / f"{i}").write_bytes(seed)
    # A fixed seed and number of inputs, so that a failure repeats.
    command = [str(fuzzer), "-seed=1", "-runs=12000", "-max_len=2048", "-timeout=5", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
