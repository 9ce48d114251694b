"""The C code of docs/integrate.md: it compiles without warnings, and the family's runs each plan."""

from __future__ import annotations

import re
import subprocess
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offramp.build.compilers import OURS
from offramp.pack import pack
from offramp.reference import Reference
from offramp.resources import root
from tests.families import SHAPE, family
from tests.fuzz import programs, seeds

PAGE = (root() / "docs" / "integrate.md").read_text()
SNIPPETS = [
    textwrap.dedent(text) for text in re.findall(r"^ *```c\n(.+?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
]
(FAMILY,) = (text for text in SNIPPETS if "ofr_model plans[" in text)
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
MAIN = """
#include <stdio.h>

static _Alignas(OFR_ALIGN) uint8_t blob[1 << 16];
static int8_t pixels[1 << 10];

int main(int argc, char **argv) {
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL, *row = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (file == NULL || row == NULL || fread(pixels, 1, sizeof pixels, row) == 0) return 1;
    ofr_fault fault;
    if (load_plans(blob, fread(blob, 1, sizeof blob, file), &fault) != OFR_OK) return 2;
    for (unsigned plan = N_PLANS; plan-- > 0;) {
        ofr_buffer scores;
        if (classify(plan, pixels, &scores) != OFR_OK) return 3;
        for (uint32_t i = 0; i < scores.bytes; i++)
            printf("%d ", ((const int8_t *)scores.data)[i]);
    }
    return 0;
}
"""


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_it_compiles(snippet: str, tmp_path: Path) -> None:
    (tmp_path / "snippet.c").write_text(snippet)
    includes = [f"-I{folder}" for folder in programs.runtime_sources([]).include_dirs]
    command = ["gcc", "-std=c11", *WARNINGS, *includes, "-c", "snippet.c"]
    subprocess.run(command, check=True, cwd=tmp_path)


def test_every_plan_of_a_family_runs(tmp_path: Path) -> None:
    graph = family()
    plan, data = pack(graph, programs.POSIX)
    (tmp_path / "family.ofr").write_bytes(data)
    (tmp_path / "program.c").write_text(FAMILY + MAIN)
    pixels = np.random.default_rng(2).integers(-128, 128, SHAPE, np.int8)
    (tmp_path / "row").write_bytes(pixels.tobytes())
    sources = programs.runtime_sources(seeds.kernels_of({"family": plan}))
    includes = [f"-I{folder}" for folder in sources.include_dirs]
    files = [str(file.path) for file in sources.files]
    subprocess.run(["gcc", *OURS, *includes, *files, "program.c", "-o", "program"], check=True, cwd=tmp_path)
    done = subprocess.run(
        ["./program", "family.ofr", "row"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    alone = [replace(member, members=()) for member in (graph, *graph.members)]
    expected = np.concatenate([Reference(g).run([pixels])[0].ravel() for g in reversed(alone)])
    assert [int(word) for word in done.stdout.split()] == expected.tolist()
