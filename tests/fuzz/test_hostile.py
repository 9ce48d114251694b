"""Hostile blobs on this machine: mutants and libFuzzer under ASan and UBSan, each area its own allocation."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from offramp.build import Source, Sources
from offramp.build.firmware import kernels_on
from offramp.ops import Kernel
from tests.fuzz import programs, seeds

FOLDER = Path(__file__).parent
LONGEST_MS = 1000.0
# A conversation with one blob at a time cannot lead to these.
OTHER = {"OFR_E_ARGUMENT", "OFR_E_ALIGN", "OFR_E_CRC", "OFR_E_UNBOUND", "OFR_E_ORDER"}
OTHER |= {"OFR_E_BUDGET", "OFR_E_COST", "OFR_E_CLOCK", "OFR_E_FULL"}  # of policies and queues
# Takes the place of a kernel and believes whatever it is told.
TRUSTING = """
#include "kernel.h"
extern const ofr_kernel {symbol};
static ofr_status check(const ofr_call *call) {{ (void)call; return OFR_OK; }}
static void run(const ofr_call *call) {{ {symbol}.run(call); }}
static const ofr_kernel trusting = {{{id}, {packing}, {params_bytes}, 1, 1, 0, check, run}};
static const ofr_kernel *const table[] = {{&trusting}};
const ofr_kernels ofr_linked_kernels = {{table, 1, 0}};
"""


@dataclass(frozen=True)
class Workshop:
    """Seeds with the kernels they use."""

    folder: Path
    blobs: list[Path]
    kernels: list[Kernel]

    def run(self, program: Path, *arguments: object, timeout_s: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=self.folder,
            env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=16"},  # what is freed here is small
        )


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("hostile")
    named = os.environ.get("OFFRAMP_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
    plans = seeds.all_seeds(programs.POSIX, "generic", folder / "models", Path(named))
    kernels = seeds.kernels_of(plans)
    assert {k.id for k in kernels} == {k.id for k in kernels_on(programs.POSIX)}
    return Workshop(folder, seeds.write_seeds(plans, folder / "seeds"), kernels)


@pytest.fixture(scope="module")
def mutants(workshop: Workshop) -> Path:
    return programs.host_program(FOLDER / "mutants.c", workshop.kernels, workshop.folder / "mutants")


def check_mutants(workshop: Workshop, mutants: Path, count: int, seed: int) -> dict[str, float]:
    """Counts by status; the sum is the number of mutants."""
    done = workshop.run(mutants, "try", count, seed, *workshop.blobs, timeout_s=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found = {name: float(n) for name, n in (line.split() for line in done.stdout.splitlines())}
    print(found)
    assert found.pop("longest_ms") < LONGEST_MS
    assert sum(found.values()) == count
    assert found["ran"] > count / 10
    return found


def test_mutants(workshop: Workshop, mutants: Path) -> None:
    check_mutants(workshop, mutants, 100_000, 1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_mutants_in_full(workshop: Workshop, mutants: Path, seed: int) -> None:
    """And every status that a blob can lead to does occur."""
    found = check_mutants(workshop, mutants, 1_000_000, seed)
    assert {name for name, n in found.items() if n == 0} <= OTHER


def test_a_kernel_without_check_is_found_out(workshop: Workshop) -> None:
    """The same mutants against a convolution that checks nothing: so that this test is known to bite."""
    kernel = next(k for k in workshop.kernels if k.name == "conv_2d")
    text = TRUSTING.format(
        symbol=kernel.symbol, id=kernel.id, packing=kernel.packing, params_bytes=kernel.params.size
    )
    program = trusting_program(text, workshop.kernels, workshop.folder / "trusting")
    blobs = [path for path in workshop.blobs if path.stem.startswith("conv_2d")]
    done = workshop.run(program, "try", 20_000, 1, *blobs, timeout_s=60)
    assert done.returncode == 3
    assert "finding at mutant" in done.stderr


def trusting_program(table: str, kernels: Sequence[Kernel], out: Path) -> Path:
    sources = programs.runtime_sources(kernels)
    files = tuple(file for file in sources.files if file.path.name != "kernel_table.c")
    ours = Sources((*files, Source(FOLDER / "mutants.c", "application")), (*sources.include_dirs, FOLDER))
    return programs.linked(ours + Sources.from_text("trusting.c", table, "runtime"), out)


def fuzz(workshop: Workshop, runs: int) -> None:
    program = programs.fuzzer(FOLDER / "blob_fuzz.c", workshop.kernels, workshop.folder / "blob_fuzz")
    corpus = workshop.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    limits = [
        f"-runs={runs}",
        "-seed=1",
        "-timeout=5",
        "-rss_limit_mb=2048",
        "-malloc_limit_mb=64",
        "-max_len=8192",
    ]
    done = workshop.run(program, *limits, corpus, workshop.folder / "seeds", timeout_s=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {runs} runs" in done.stderr


def test_fuzz(workshop: Workshop) -> None:
    fuzz(workshop, 20_000)


@pytest.mark.soak
def test_fuzz_in_full(workshop: Workshop) -> None:
    fuzz(workshop, 2_000_000)
