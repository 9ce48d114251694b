"""The C code of front ends against their Python references: every input's bytes, raw data coming in any pieces."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.build.sources import Source, Sources, linked_features
from offramp.features import KINDS, TYPES, Quantizer, Stream, header_of
from offramp.resources import root
from tests.front_ends import STREAMS, raw_for
from tests.fuzz import programs

SOURCE = Path(__file__).with_name("features_api.c")
E_ARGUMENT, E_ALIGN, E_STATE, E_FRONT_END = -1, -2, -24, -32
BUILT = tuple(t.kind for t in TYPES)

Array = NDArray[Any]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    main = Sources((Source(SOURCE, "application"),), (root() / "firmware/include",))
    return programs.linked(linked_features(BUILT) + main, tmp_path_factory.mktemp("features") / "program")


def said(program: Path, *arguments: object) -> list[str]:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", STREAMS)
def test_inputs_equal_the_reference(program: Path, tmp_path: Path, name: str) -> None:
    stream = STREAMS[name]
    raw = raw_for(stream)
    (tmp_path / "block").write_bytes(stream.block())
    (tmp_path / "raw").write_bytes(raw.tobytes())
    expected = [row.tobytes().hex() for row in stream.inputs(raw)]
    assert len(set(expected)) > 10
    for seed in range(3):
        lines = said(program, "run", tmp_path / "block", tmp_path / "raw", seed)
        middle = next(i for i, line in enumerate(lines) if line.startswith("reset"))
        assert lines[:middle] == expected
        assert lines[middle + 1 :] == expected, "a reset forgets what was fed"


@pytest.mark.parametrize("name", STREAMS)
def test_hostile_blocks(program: Path, tmp_path: Path, name: str) -> None:
    """Every field at its ends and drawn bytes anywhere: refused, or run within the memory it asked for."""
    stream = STREAMS[name]
    block = stream.block()
    mutants = [*fields_changed(stream, block), *drawn(block, 300)]
    (tmp_path / "raw").write_bytes(raw_for(stream).tobytes()[:6000])
    (tmp_path / "blocks").write_bytes(b"".join(struct.pack("<I", len(m)) + m for m in mutants))
    taken = int(said(program, "hostile", tmp_path / "blocks", tmp_path / "raw")[0])
    assert 0 < taken < len(mutants)


def fields_changed(stream: Stream, block: bytes) -> list[bytes]:
    size = stream.front_end.params.size
    found = []
    for at in range(0, size, 2):
        for value in (0, 1, 2, 3, 255, 256, 0x7FFF, 0x8000, 0xFFFF):
            found.append(block[:at] + struct.pack("<H", value) + block[at + 2 :])
    return found


def drawn(block: bytes, n: int) -> list[bytes]:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(n):
        data = bytearray(block[: len(block) - 4 * int(rng.integers(0, 2) * rng.integers(0, 9))])
        for _ in range(int(rng.integers(1, 30))):
            data[int(rng.integers(24, len(data)))] = int(rng.integers(256))
        found.append(bytes(data))
    return found


def test_misuse(program: Path, tmp_path: Path) -> None:
    (tmp_path / "block").write_bytes(STREAMS["micro_speech"].block())
    found = [int(word) for word in said(program, "misuse", tmp_path / "block")[0].split()]
    assert found == [
        *(E_ARGUMENT, E_ARGUMENT, E_ARGUMENT, E_ALIGN, E_FRONT_END, E_FRONT_END, E_FRONT_END),
        *(E_ARGUMENT, E_ARGUMENT, E_ALIGN, E_STATE),
    ]


@pytest.mark.parametrize(
    ("scale", "zero_point"), [(256 / 666, -128), (0.383, 5), (0.9999, 0), (2.0**-20, -3)]
)
def test_quantizer_rounds_to_the_nearest(scale: float, zero_point: int) -> None:
    x = np.arange(65536)
    exact = np.clip(np.floor(x * scale + 0.5) + zero_point, -128, 127)
    assert np.array_equal(Quantizer(scale, zero_point)(x), exact)


def test_header() -> None:
    head = header_of(STREAMS["micro_speech"].block())
    assert (head["kind"], head["window_rows"], head["hop_rows"]) == (KINDS["micro"], 9, 2)
    assert (head["row_bytes"], head["element_bytes"]) == (40, 2)
