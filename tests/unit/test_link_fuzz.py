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
from offramp.build.sources import linked_features
from offramp.features import Imu, Stream
from offramp.plan import Bound, Certificate, Options, make_plan
from tests.families import family
from tests.fuzz import programs, seeds

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


def feed(n: int, model: int = 0) -> bytes:
    return request(0x24, bytes([model, 0, 0, 0]) + bytes((37 * i >> 2) & 255 for i in range(n)))


def start(blocks: int) -> bytes:
    return request(0x41, struct.pack("<I", blocks))


def other(which: int, seed: int = 0) -> bytes:
    """A record that sends one of `others()`, mutated unless the seed is 0, and activates it."""
    return request(254, struct.pack("<BI", which, seed))


WORDS = {
    "info": request(0x02, bytes([7, 0, 0, 0])),
    "feed": feed(250),
    "run": RUN,
    "profile": request(0x21, bytes([0, 4, 0, 0])),  # the sensor's interrupt comes between the steps
    "reset": request(0x23, b"\0"),
    "cascade": request(0x30, bytes([0, 2, 0, 0, 200, 0, 0, 0])),
    "plan": request(0x30, bytes(8)),
    "activate": request(0x13, b"\0"),
    "source": request(0x40, b""),
    "start": start(0),
    "two": start(2),
    "many": start(0xFFFFFFFF),
    "read": request(0x42, b""),
    "stop": request(0x43, b""),
    "fed": feed(251) + RUN + feed(3) + feed(0) + feed(1, 1) + request(0x24, b"\0\0\0") + feed(250) * 3 + RUN,
}


def script(text: str) -> bytes:
    """Records by their words, repeated by `*N`."""
    words = (word.partition("*") for word in text.split())
    return b"".join(WORDS[word] * int(n or 1) for word, _, n in words)


OF_FRONT_ENDS = [
    script("info fed reset fed"),
    script("source start profile*4 read*4 run read*3 stop read two profile*6 read*4 stop*2 many source"),
    script("start fed profile*9 fed read*30 fed"),
    script("start feed profile feed read cascade read two feed run read*2 plan read"),
    script("cascade start feed profile read feed profile read activate read start fed read"),
    *(other(i) + script("info fed start fed profile*3 read*2 reset fed read*20 fed") for i in range(14)),
    *(
        b"".join(other(i, 99 * i + k) + script("fed start profile read") for k in (1, 2, 3))
        for i in range(14)
    ),
]
SENSING = ["-DAPP_FRONT_ENDS=1", "-DAPP_SOURCE=1"]


def others() -> list[bytes]:
    """Models that the target with front ends sends: of every kind, with the input elsewhere, too large, and without."""
    posix = boards.load("posix")
    plans = [plan for _, plan in seeds.of_front_ends(posix, "generic")]
    stream = seeds.STREAMS["imu"]
    elsewhere = make_plan(seeds.behind(stream), posix, Options(caller_inputs=("t0",)))
    large = Stream(Imu(seeds.AXES * 12), 80, 1)  # what it keeps has no room beside the arena
    plans += [
        replace(make_plan(seeds.behind(large), posix, Options()), front_end=large.block()),
        replace(elsewhere, front_end=stream.block()),
        replace(plans[0], front_end=stream.block()),  # of another size than the input
        make_plan(family(("medium", "small")), posix, Options()),
    ]
    return [write(plan) for plan in plans] + [linked("exits")]


def linked(name: str) -> bytes:
    """The blob that is linked in: a family, a model with exits whose stages' costs are stated, a family that motion
    is fed to."""
    if name == "family":
        return FAMILY.read_bytes()
    if name == "front ends":
        plan = make_plan(family(("medium", "small")), boards.load("posix"), Options())
        stream = Stream(Imu(seeds.AXES * 6), 12, 5)
        first, *members = map(seeds.certified, plan.every)
        return write(replace(first, members=tuple(members), front_end=stream.block()))
    plan = make_plan(seeds.exits_net(), boards.load("posix"), Options())
    bound = Bound(5000, 1)
    certificate = Certificate((bound,) * len(plan.steps), bound, 100, 200, "a compiler", "0" * 64)
    return write(replace(plan, certificate=certificate))


def linked_source(name: str) -> str:
    """C source of the blob and of those that are sent, and of the table of their kernels."""
    blobs = [linked(name), *(others() if name == "front ends" else [])]
    kernels = {kernel for data in blobs for kernel in read(data, name).kernels}
    lines = [kernel_table(boards.load("posix"), kernels_named(sorted(kernels)))]
    names = ["linked_model", *(f"other_{i}" for i in range(1, len(blobs)))]
    for model, data in zip(names, blobs, strict=True):
        lines.append(f"_Alignas(16) const uint8_t {model}[] = {{{','.join(map(str, data))}}};")
    lines += [
        f"const uint32_t linked_model_bytes = {len(blobs[0])};",
        f"const uint8_t *const other_models[] = {{{', '.join(names[1:]) or '0'}}};",
        f"const uint32_t other_bytes[] = {{{', '.join(str(len(data)) for data in blobs[1:]) or '0'}}};",
        f"const uint32_t n_others = {len(names) - 1};",
    ]
    return "\n".join(lines)


def compiled(folder: Path, *arguments: str | Path) -> None:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("needs clang (apt-get install clang)")
    firmware = resources.root() / "firmware"
    names = ("include", "src", "kernels", "port", "app", "features", "source")
    includes = [f"-I{firmware / name}" for name in names]
    subprocess.run([clang, *FLAGS, *includes, *map(str, arguments)], check=True, cwd=folder)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runtime, kernels and front ends, which every target has."""
    folder, firmware = tmp_path_factory.mktemp("objects"), resources.root() / "firmware"
    files = [
        path for name in ("src", "kernels/generic", "features") for path in (firmware / name).glob("*.c")
    ]
    compiled(folder, "-c", *files)
    return sorted(folder.glob("*.o"))


@pytest.fixture(scope="module", params=["family", "exits", "front ends"])
def fuzzer(
    request: pytest.FixtureRequest, objects: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder, firmware = tmp_path_factory.mktemp("link_fuzz"), resources.root() / "firmware"
    table = [file.path for file in linked_features(programs.FRONT_ENDS).files if file.category == "runtime"]
    (folder / "linked.c").write_text(linked_source(request.param))
    files = [path for path in sorted((firmware / "app").glob("*.c")) if path.name != "main.c"]
    files += [folder / "linked.c", Path(__file__).parents[1] / "fuzz" / "link_fuzz.c", *table]
    compiled(
        folder, *(SENSING if request.param == "front ends" else []), *files, *objects, "-o", folder / "fuzz"
    )
    return folder / "fuzz"


def search(fuzzer: Path, corpus: Path, runs: int, seed: int) -> None:
    """A fixed seed and number of inputs, so that a failure repeats."""
    for i, data in enumerate([*SEEDS, *OF_EXITS, *OF_FRONT_ENDS]):
        (corpus / f"{i}").write_bytes(data)
    command = [str(fuzzer), f"-seed={seed}", f"-runs={runs}", "-max_len=2048", "-timeout=5", str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=corpus, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]


def test_nothing_breaks_the_link(fuzzer: Path, tmp_path: Path) -> None:
    search(fuzzer, tmp_path, 6_000, 1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [2, 3])
def test_nothing_breaks_the_link_in_full(fuzzer: Path, tmp_path: Path, seed: int) -> None:
    search(fuzzer, tmp_path, 200_000, seed)
