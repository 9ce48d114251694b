"""docs/benchmarks.png: instructions a MAC of the model as it stands in its file, ours and TensorFlow Lite Micro's."""

from __future__ import annotations

import json
from collections.abc import Mapping

from matplotlib.figure import Figure

from offramp.resources import root
from tools.benchmarks import CORE_BOARD, MLPERF, PEERS, Figures, Row

CORES = ("cortex-m4f", "cortex-m55")
OURS = ("cmsis_nn", "balanced", "speed")
COLOURS = {"TFLM + CMSIS-NN": "#b0b0b0", "cmsis_nn": "#7fa7d6", "balanced": "#1f5fa8", "speed": "#e07b00"}
LABELS = {"cmsis_nn": "Offramp, set cmsis_nn", "balanced": "Offramp, balanced", "speed": "Offramp, speed"}


def bars(figures: Figures, core: str) -> dict[str, list[float | None]]:
    """Label -> instructions a MAC of each model; None where there is no row."""
    peers = json.loads(PEERS.read_text())
    macs = peers["macs"]  # as the files have them, whatever a system removes
    theirs = next(
        p for p in peers["emulated"] if p["core"] == core and p["system"].endswith("Micro + CMSIS-NN")
    )
    found: dict[str, list[float | None]] = {
        "TFLM + CMSIS-NN": [theirs["rows"][m]["instructions"] / macs[m] for m in MLPERF]
    }
    for variant in OURS:
        rows = [figures.get(m, CORE_BOARD[core], variant) for m in MLPERF]
        if any(rows):
            found[variant] = [
                r["instructions_per_inference"] / macs[m] if r else None
                for m, r in zip(MLPERF, rows, strict=True)
            ]
    return found


def write_plot(budgets: Mapping[str, Mapping[str, Row]]) -> None:
    figures = Figures(budgets)
    picture = Figure(figsize=(11, 3.8), layout="constrained")
    for core, axes in zip(CORES, picture.subplots(1, len(CORES)), strict=True):
        series = bars(figures, core)
        width = 0.8 / len(series)
        for k, (label, values) in enumerate(series.items()):
            for i, value in enumerate(values):
                if value is not None:
                    x = i + (k - (len(series) - 1) / 2) * width
                    axes.bar(
                        x,
                        value,
                        width,
                        color=COLOURS[label],
                        label=LABELS.get(label, label) if i == 0 else None,
                    )
                    axes.text(x, value, f"{value:.2f}", ha="center", va="bottom", fontsize=5.5)
        axes.set_xticks(range(len(MLPERF)), MLPERF)
        axes.set_title(f"{core} ({CORE_BOARD[core]})", fontsize=10)
        axes.set_ylabel("instructions a multiply-accumulate", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, frameon=False)
    picture.savefig(root() / "docs" / "benchmarks.png", dpi=130, metadata={"Software": None})
