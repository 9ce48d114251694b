"""Exports models and builds the trees as a stranger would: with CMake, in a folder of their own."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from offramp.blob import read, write
from offramp.boards import Board
from offramp.export import tree
from offramp.export import write as write_tree
from offramp.features import Stream
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

static int answer(void) {
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
ROW
int main(void) {
    const ofr_status loaded =
        ofr_load(&model, ofr_blob, sizeof ofr_blob, 0, &ofr_linked_kernels, arena, sizeof arena, NULL, 0, NULL);
    if (loaded != OFR_OK || !start()) return 1;
    for (unsigned i = 0; i < ROWS; i++)
        if (row(rows[i])) return 2;
    return 0;
}
"""
OF_INPUTS = """
static int start(void) { return 1; }

static int row(const uint8_t *values) {
    const ofr_buffer input = ofr_input(&model, 0);
    memcpy(input.data, values, input.bytes);
    return answer();
}
"""
# A row is raw bytes of any number of runs, which come in pieces.
OF_RAW = """
static uint32_t kept[OFR_BLOB_FEATURES_BYTES / 4];
static ofr_features features;

static int start(void) {
    uint32_t bytes;
    const void *params = ofr_front_end(&model, &bytes);
    return ofr_features_open(&features, params, bytes, &ofr_linked_features, kept, sizeof kept) == OFR_OK;
}

static int row(const uint8_t *values) {
    for (uint32_t at = 0, taken = 1; at < sizeof rows[0] && taken != 0; at += taken) {
        const uint32_t left = sizeof rows[0] - at;
        bool due;
        taken = ofr_features_feed(&features, values + at, left < 999 ? left : 999, ofr_input(&model, 0).data, &due);
        if (due && answer()) return 2;
    }
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


def program(headers: str, row: str = OF_INPUTS) -> str:
    """OF_INPUTS or OF_RAW, for a board or in C++."""
    return PROGRAM.replace("HEADERS", headers).replace("ROW\n", row)


def export(
    graph: Graph, board: Board, folder: Path, options: Options | None = None, stream: Stream | None = None
) -> bytes:
    """Plans a graph as it is, behind a front end or none, and exports it into the folder; the blob."""
    plan = make_plan(graph, board, options or Options())
    data = write(replace(plan, front_end=stream.block()) if stream else plan)
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
