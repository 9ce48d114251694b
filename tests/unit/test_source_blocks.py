"""Blocks of samples against a list: what is kept, in which block, under which number, and how much is lost."""

from __future__ import annotations

import random
import subprocess
from collections import deque
from pathlib import Path

import pytest

from tests.fuzz import programs

SOURCE = Path(__file__).with_name("source_api.c")
E_ARGUMENT, OK = -1, 0


class Model:
    """What offramp_source.h promises, by sample numbers."""

    def __init__(self, n_blocks: int, block_samples: int, sample_bytes: int, limit: int) -> None:
        self.n_blocks, self.block_samples, self.sample_bytes = n_blocks, block_samples, sample_bytes
        self.limit = limit
        self.blocks: deque[list[int]] = deque()
        self.under_way: list[int] = []
        self.next = self.full = self.taken = self.lost = 0

    @property
    def ended(self) -> bool:
        return self.limit != 0 and self.full == self.limit

    def put(self, n: int) -> str:
        for _ in range(n):
            if self.ended:
                break
            if not self.under_way and len(self.blocks) == self.n_blocks:
                self.lost += 1
            else:
                self.under_way.append(self.next)
            self.next += 1
            if len(self.under_way) == self.block_samples:
                self.blocks.append(self.under_way)
                self.under_way = []
                self.full += 1
        return self.counts()

    def lose(self, n: int) -> str:
        if not self.ended:
            self.lost += n + len(self.under_way)
            self.next += n
            self.under_way = []
        return self.counts()

    def release(self) -> str:
        if self.blocks:
            self.blocks.popleft()
            self.taken += 1
        return self.counts()

    def block(self) -> str:
        if not self.blocks:
            return "none"
        bytes_ = bytes((n + b) % 256 for n in self.blocks[0] for b in range(self.sample_bytes))
        return f"{self.blocks[0][0]} {bytes_.hex()}"

    def counts(self) -> str:
        return f"{self.full} {self.taken} {self.lost}"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs.host_program(SOURCE, [], tmp_path_factory.mktemp("source") / "program")


def said(program: Path, lines: list[str]) -> list[str]:
    done = subprocess.run(
        [program], input="\n".join(lines) + "\n", text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("n_blocks", [2, 3, 5])
@pytest.mark.parametrize("block_samples", [1, 4, 7])
@pytest.mark.parametrize("sample_bytes", [1, 2, 6])
@pytest.mark.parametrize("limit", [0, 9])
def test_any_order_of_calls(
    program: Path, n_blocks: int, block_samples: int, sample_bytes: int, limit: int
) -> None:
    draw = random.Random(f"{n_blocks} {block_samples} {sample_bytes} {limit}")
    model = Model(n_blocks, block_samples, sample_bytes, limit)
    lines, expected = [f"start {n_blocks} {block_samples} {sample_bytes} {limit}"], [str(OK)]
    for _ in range(400):
        n = draw.choice([1, 1, 2, block_samples, 3 * block_samples + 1])
        call = draw.choices(["put", "lose", "block", "release"], [8, 0.3, 3, 3])[0]
        if call in ("put", "lose"):
            lines.append(f"{call} {n}")
            expected.append(model.put(n) if call == "put" else model.lose(n))
        else:
            lines.append(call)
            expected.append(model.block() if call == "block" else model.release())
    assert said(program, lines) == expected
    assert model.taken > 0 and (model.lost > 0 or limit)


@pytest.mark.parametrize("sizes", ["1 4 2 0", "0 4 2 0", "2 0 2 0", "2 4 0 0"])
def test_sizes_that_cannot_be(program: Path, sizes: str) -> None:
    assert said(program, [f"start {sizes}"]) == [str(E_ARGUMENT)]
