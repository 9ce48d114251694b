"""Exports models and builds the trees as a stranger would: with CMake, in a folder of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from offramp.blob import read, write
from offramp.boards import Board
from offramp.export import tree
from offramp.export import write as write_tree
from offramp.ir import Graph
from offramp.plan import Options, make_plan

BUILD_S = 120
# What the outputs of some rows look like on the serial port: as hex, a line a row.
PROGRAM = """/* Runs rows of inputs and prints each answer in hex. */
#include "offramp.h"
#include "offramp_blob.h"
#include "rows.h"
HEADERS

ALIGN static uint8_t arena[OFR_BLOB_ARENA_BYTES];
static ofr_model model;

static int row(const uint8_t *values) {
    const ofr_buffer input = ofr_input(&model, 0);
    memcpy(input.data, values, input.bytes);
    ofr_buffer output;
    if (ofr_run(&model) != OFR_DONE || ofr_result(&model, 0, &output) != OFR_OK) return 2;
    for (uint32_t i = 0; i < output.bytes; i++) {
        const uint8_t byte = ((const uint8_t *)output.data)[i];
        const char hex[] = "0123456789abcdef";
        put(hex[byte >> 4]);
        put(hex[byte & 15]);
    }
    put(10);
    return 0;
}

int main(void) {
    const ofr_status loaded =
        ofr_load(&model, ofr_blob, sizeof ofr_blob, 0, &ofr_linked_kernels, arena, sizeof arena, NULL, 0, NULL);
    if (loaded != OFR_OK) return 1;
    for (unsigned i = 0; i < ROWS; i++)
        if (row(rows[i])) return 2;
    return 0;
}
"""
ON_BOARD = """#include "port.h"
#include <string.h>
#define ALIGN _Alignas(OFR_ALIGN)
static void put(char c) { port_write((const uint8_t *)&c, 1); }"""
IN_CPP = """#include <cstdio>
#include <cstring>
#include <string_view> // C++17
#define ALIGN alignas(OFR_ALIGN)
static void put(char c) { std::putchar(c); }"""


def export(graph: Graph, board: Board, folder: Path, options: Options | None = None) -> bytes:
    """Plans a graph as it is and exports it into the folder; the blob."""
    data = write(make_plan(graph, board, options or Options()))
    write_tree(tree(read(data, folder), data, board), folder)
    return data


def rows_header(rows: list[bytes]) -> str:
    lines = ("{" + ",".join(map(str, row)) + "}" for row in rows)
    return f"enum {{ ROWS = {len(rows)} }};\nstatic const uint8_t rows[][{len(rows[0])}] = {{{','.join(lines)}}};\n"


def cmake(source: Path, build: Path, *arguments: str) -> None:
    """Configures and builds, with nothing in the environment that leads to Offramp."""
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(build)}
    build.mkdir(parents=True)
    log = build / "log.txt"
    with log.open("w") as out:
        for command in (
            ["cmake", "-S", str(source), "-B", str(build), "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", *arguments],
            ["cmake", "--build", str(build), "-j2"],
        ):
            done = subprocess.run(command, env=environment, stdout=out, stderr=out, timeout=BUILD_S)
            assert done.returncode == 0, log.read_text()[-3000:]
