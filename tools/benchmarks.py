"""docs/benchmarks.md: our figures of tests/budgets.json beside those of peers in tools/peers.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from offramp import boards
from offramp.kernels import cmsis_nn
from offramp.resources import root

Row = Mapping[str, int]

PEERS = Path(__file__).with_name("peers.json")
CORE_BOARD = {
    "cortex-m4f": "mps2_an386",
    "cortex-m7": "mps2_an500",
    "cortex-m55": "mps3_an547",
    "cortex-m3": "mps2_an385",
}
MLPERF = ("KWS", "IC", "VWW", "AD")
BALANCED = "balanced"


class Figures:
    """The rows of tests/budgets.json by model, board and variant, whichever compiler made them."""

    def __init__(self, budgets: Mapping[str, Mapping[str, Row]]) -> None:
        self.compilers = list(budgets)
        self.rows = {key: row for rows in budgets.values() for key, row in rows.items()}

    @classmethod
    def recorded(cls) -> Figures:
        return cls(json.loads((root() / "tests" / "budgets.json").read_text()))

    def get(self, model: str, board: str, variant: str = BALANCED) -> Row | None:
        return self.rows.get(f"{model}/{board}/{variant}")

    def models(self) -> list[str]:
        return list(dict.fromkeys(key.split("/")[0] for key in self.rows if not key.startswith("universal/")))

    def of_board(self, board: str) -> list[tuple[str, str, Row]]:
        """(model, variant, row) of every row of a board."""
        found = []
        for key, row in self.rows.items():
            model, at, *variant = key.split("/", 2)
            if at == board and variant:
                found.append((model, variant[0], row))
        return found


def total_flash(row: Row) -> int:
    """Code and blob."""
    return row["image_bytes_without_model"] + row["blob_bytes"]


def ratio(theirs: float | None, ours: float) -> str:
    return f"{theirs / ours:.2f}" if theirs else ""


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    cells = list(head)
    return [
        f"| {' | '.join(cells)} |",
        f"|{'---|' * len(cells)}",
        *(f"| {' | '.join(r)} |" for r in rows),
        "",
    ]


def against_peer(figures: Figures, peer: dict[str, Any]) -> list[str]:
    """One peer on one core: instructions, arena, flash, load, each with the ratio theirs / ours."""
    board = CORE_BOARD[peer["core"]]
    rows = []
    for model, theirs in peer["rows"].items():
        for variant in (BALANCED, "speed"):
            ours = figures.get(model, board, variant)
            if ours is None:
                continue
            flash = theirs.get("flash_without_model")
            their_flash = flash + ours["model_file_bytes"] if flash else None
            rows.append(
                [
                    model,
                    variant,
                    number(ours["instructions_per_inference"]),
                    number(theirs["instructions"]),
                    f"**{ratio(theirs['instructions'], ours['instructions_per_inference'])}**",
                    number(total_flash(ours)),
                    number(their_flash),
                    ratio(their_flash, total_flash(ours)),
                    number(ours["arena_bytes"]),
                    number(theirs.get("arena")),
                    ratio(theirs.get("arena"), ours["arena_bytes"]),
                    number(ours["instructions_init"]),
                    number(theirs.get("init")),
                ]
            )
    return [
        f"### {peer['system']}, {peer['core']} ({board})",
        "",
        f"{peer['version']}; {peer['source']}, {peer['date']}.",
        "",
        *table(
            [
                "model", "packed for", "instructions", "theirs", "theirs / ours", "flash", "theirs", "theirs / ours",
                "arena", "theirs", "theirs / ours", "load", "theirs",
            ],
            rows,
        ),
    ]  # fmt: skip


def all_rows(figures: Figures, board_name: str) -> list[str]:
    board = boards.load(board_name)
    lines = []
    for model, variant, row in figures.of_board(board_name):
        count = row["instructions_per_inference"]
        shown = variant.replace("cmsis_nn", f"cmsis_nn {cmsis_nn.VERSION}")
        lines.append(
            [
                model,
                shown,
                number(count),
                f"{count / row['macs']:.2f}",
                number(row.get("cycles_estimate")),
                number(total_flash(row)),
                number(row["image_bytes_without_model"]),
                number(row["blob_bytes"]),
                f"{row['blob_bytes'] / row['model_file_bytes']:.2f}",
                number(row["arena_bytes"] + row["state_bytes"]),
                number(row["stack_bytes"]),
                number(row["instructions_init"]),
            ]
        )
    universal = figures.rows.get(f"universal/{board_name}")
    note = (
        f" Image of `build --universal`, no model: {number(universal['image_bytes_without_model'])} B."
        if universal
        else ""
    )
    return [
        f"### {board_name}, {board.core.name}",
        "",
        f"{board.description}.{note}",
        "",
        *table(
            [
                "model", "packed for", "instructions", "a MAC", "cycles (estimate)", "flash", "image", "blob",
                "blob / file", "arena + state", "stack", "load",
            ],
            lines,
        ),
    ]  # fmt: skip


def channels(figures: Figures) -> list[str]:
    """VWW with and without the removal of constant and dead channels."""
    rows = []
    for board in CORE_BOARD.values():
        on, off = figures.get("VWW", board), figures.get("VWW", board, "balanced, --no-passes")
        if on and off:
            cells = [
                number(r[key])
                for key in ("macs", "instructions_per_inference", "blob_bytes")
                for r in (off, on)
            ]
            rows.append([board, *cells])
    return table(
        ["board", "MACs without", "MACs with", "instructions without", "with", "blob without", "with"], rows
    )


def silicon(peers: dict[str, Any]) -> list[str]:
    rows = [
        [p["system"], p["board"], *(f"{p['latency_ms'][m]:g}" for m in MLPERF), f"{p['source']}, {p['date']}"]
        for p in peers["silicon"]
    ]
    return table(["system", "board", *MLPERF, "source"], rows)


def page() -> str:
    figures, peers = Figures.recorded(), json.loads(PEERS.read_text())
    emulated = [name for name in boards.names() if boards.load(name).emulator is not None]
    lines = [
        "# Benchmarks",
        "",
        "Generated by `make bench`, which packs every model for every emulated board, builds the minimal application",
        "and runs it; `tests/budgets.json` holds the figures and `make test` holds the code to them. All figures of a",
        "row come from one blob and one image. Compilers: " + ", ".join(figures.compilers) + ".",
        "",
        "- **instructions** of one inference are exact counts of the emulator (QEMU, `-icount`); they repeat.",
        "- **cycles (estimate)** come from the same run's instruction classes and the core's timings, memory without",
        "  wait states ([cycles.md](cycles.md)). They are never set in a ratio with a figure measured on silicon.",
        "- **flash** is the image, start-up, link and application included, and the blob. **arena** holds inputs and",
        "  outputs. **stack** is the most that was used. **load** is the blob's structural check, in instructions.",
        "- `balanced` is the default; `speed` is `--optimize speed`; a set's name is `--kernels`.",
        f"- Rows of the cmsis_nn set are Arm's CMSIS-NN {cmsis_nn.VERSION} under our runtime and our plan.",
        "",
        "![Instructions a MAC on Cortex-M4 and Cortex-M55](benchmarks.png)",
        "",
        "## Against peers",
        "Ratios above 1 are in our favour. Their flash is their image without the model and the .tflite file.",
        "",
    ]
    for peer in peers["emulated"]:
        lines += against_peer(figures, peer)
    lines += [
        "## Constant and dead channels",
        "vww_96_int8 has channels that interval analysis proves constant; they are removed, bit-exactly.",
        "`--no-passes` keeps them: compare that column with systems that compute them.",
        "",
        *channels(figures),
        "## Published on silicon",
        "Milliseconds, as published; not ours, and no physical board has run this version.",
        "",
        *silicon(peers),
        "## Every row",
        "",
    ]
    for name in emulated:
        lines += all_rows(figures, name)
    return "\n".join(lines).rstrip() + "\n"
