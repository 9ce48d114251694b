"""Holds estimates of time and energy against published results: `python -m tools.estimate_check` measures and records.

Kernels that we have too (CMSIS-NN, ESP-NN) are counted in the emulator. ST's own are not known: their time on the
STM32L4R5 is taken, and the model predicts by what factor another chip differs. No point has a part in its estimate.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from offramp import boards
from offramp.advice import digits
from offramp.estimate import BYTES_A_READ, CACHED_READ, POINTS, TARGET, Point, points, summary
from offramp.pack import pack
from offramp.plan import Options
from offramp_host.profile import profile
from tools.bench import MODELS
from tools.cycle_check import Case, predictions, read_cost

PUBLISHED = Path(__file__).with_name("estimate_check.json")
REFERENCE_MS = {"KWS": 43.2, "IC": 165.0, "VWW": 88.9, "AD": 4.05}
"""ST's own kernels on the STM32L4R5: MLPerf Tiny closed, best a board."""
REFERENCE_CLOCK_HZ = 120e6
REFERENCE_BOARD = "mps2_an386"
REFERENCE_WAIT_STATES = 5  # RM0432, at 120 MHz
Counted = dict[tuple[str, str], tuple[int, int, int]]
"""(model, board) -> instructions, cycles of the core, bytes read from flash."""


def counted(rows: list[dict[str, Any]]) -> Counted:
    """Every model on the board that stands in for each chip."""
    found: Counted = {}
    for row in rows:
        board = boards.load(row["board"])
        for model in row["ms"]:
            if (model, board.name) not in found:
                _, blob = pack(MODELS[model], board, Options(kernels=row["kernels"], passes=False))
                cost = profile(board, blob, name=model, time_limit_s=600).cost
                found[model, board.name] = cost.instructions, cost.cycles, cost.flash_bytes
    return found


def cycles_of(row: dict[str, Any], counts: Counted) -> Mapping[str, float]:
    """Estimated cycles of each model of a row."""
    if row["flash"] != "cached":  # its read cost is fitted on the row's other models
        cases = {m: Case(ms / 1e3 * row["clock_hz"], *counts[m, row["board"]]) for m, ms in row["ms"].items()}
        return {model: p.cycles for model, p in predictions(cases).items()}
    return {model: priced(counts[model, row["board"]], CACHED_READ) for model in row["ms"]}


def priced(count: tuple[int, int, int], read_cycles_per_byte: float) -> float:
    return count[1] + read_cycles_per_byte * count[2]


def latency_ms(row: dict[str, Any], counts: Counted) -> dict[str, float]:
    found = {model: n / row["clock_hz"] * 1e3 for model, n in cycles_of(row, counts).items()}
    if not row["how"].startswith("other kernels"):
        return found
    read = REFERENCE_WAIT_STATES / BYTES_A_READ
    ours = {m: priced(counts[m, REFERENCE_BOARD], read) / REFERENCE_CLOCK_HZ * 1e3 for m in found}
    return {model: REFERENCE_MS[model] * ms / ours[model] for model, ms in found.items()}


def rows_of(row: dict[str, Any], counts: Counted) -> Iterator[Point]:
    estimated = latency_ms(row, counts)
    for model, ms in row["ms"].items():
        yield Point(
            row["core"], row["chip"], model, row["system"], row["how"], "ms", ms, round(estimated[model], 4)
        )
    for model, energy in row.get("uJ", {}).items():
        milliwatts = row["power"]["supply_v"] * row["power"]["run_ma"]
        value = round(estimated[model] * milliwatts, 2)
        yield Point(row["core"], row["chip"], model, row["system"], row["how"], "uJ", energy, value)


def table() -> str:
    """What docs/estimates.md says of every point."""
    rows, found = json.loads(PUBLISHED.read_text()), points()
    latency, energy = ([p for p in found if p.unit == unit] for unit in ("ms", "uJ"))
    lines = [f"**Time:** {within(latency)}. **Energy:** {within(energy)}.", ""]
    for unit, some in (("ms", latency), ("µJ", energy)):
        lines += [
            f"| chip | model | code | published, {unit} | estimate, {unit} | error |",
            "|---|---|---|---|---|---|",
        ]
        lines += [*map(line, some), ""]
    lines += ["The published results:", ""]
    lines += [f"- {row['chip']}: {row['source']}." for row in rows]
    lines += [f"- {row['chip']}, current: {row['power']['source']}." for row in rows if "power" in row]
    return "\n".join(lines)


def within(found: Sequence[Point]) -> str:
    beyond = [
        f"{p.model} on {p.chip.split(',')[0]} {100 * p.error:+.0f} %" for p in found if abs(p.error) > TARGET
    ]
    text = f"{len(found) - len(beyond)} of {len(found)} results within {100 * TARGET:.0f} %"
    return f"{text}; beyond are {', '.join(beyond)}".replace("-", "−") if beyond else text


def line(p: Point) -> str:
    error = f"{100 * p.error:+.1f} %".replace("-", "−")
    return f"| {p.chip} | {p.model} | {p.system}: {p.how} | {digits(p.published)} | {digits(p.estimated)} | {error} |"


def main() -> int:
    rows = json.loads(PUBLISHED.read_text())
    counts = counted(rows)
    found = [point for row in rows for point in rows_of(row, counts)]
    POINTS.write_text(json.dumps([asdict(p) for p in found], indent=1, ensure_ascii=False) + "\n")
    for p in found:
        print(f"{p.chip:20} {p.model:14} {p.unit} {p.published:10.2f} {p.estimated:10.2f} {p.error:+7.1%}")
    for unit in ("ms", "uJ"):
        print(f"{unit}: {summary('all cores', [p for p in found if p.unit == unit])}")
    for row in rows:
        if row["flash"] != "cached":
            cases = [
                Case(ms / 1e3 * row["clock_hz"], *counts[m, row["board"]]) for m, ms in row["ms"].items()
            ]
            print(f"{row['chip']}: {read_cost(cases):.2f} cycles a byte fit all its models best")
    print(f"{sum(abs(p.error) <= TARGET for p in found)} of {len(found)} within {TARGET:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
