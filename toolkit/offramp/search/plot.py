"""The front of a study as a picture: accuracy over bytes and over instructions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from offramp.errors import UserError
from offramp.search.study import Trial

TITLES = {
    "blob_bytes": "blob, KB",
    "instructions": "instructions, millions (estimate)",
    "arena_bytes": "arena, KB",
}
UNITS = {"blob_bytes": 1024.0, "instructions": 1e6, "arena_bytes": 1024.0}


def front_png(trials: Sequence[Trial], front: Sequence[Trial], objectives: Sequence[str]) -> bytes:
    """One panel for each cost; trials of the front are filled and joined."""
    plt = import_pyplot()
    costs = [name for name in objectives if name != "accuracy"]
    figure, axes = plt.subplots(1, len(costs), figsize=(5.2 * len(costs), 4), squeeze=False, sharey=True)
    for axis, cost in zip(axes[0], costs, strict=True):
        draw(axis, trials, front, cost)
    axes[0][0].set_ylabel("accuracy on validation rows, %")
    figure.tight_layout()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
    return out.getvalue()


def draw(axis: Any, trials: Sequence[Trial], front: Sequence[Trial], cost: str) -> None:
    on_front = {t.number for t in front}
    for part, style in (
        (
            [t for t in trials if t.values and t.number not in on_front],
            {"facecolors": "none", "edgecolors": "0.6"},
        ),
        (list(front), {"color": "#1f5fa8"}),
    ):
        points = [(t.values[cost] / UNITS[cost], 100 * t.values["accuracy"]) for t in part if t.values]
        axis.scatter(*zip(*points, strict=True) if points else ((), ()), s=28, **style)
    for t in front:
        if t.values:
            spot = (t.values[cost] / UNITS[cost], 100 * t.values["accuracy"])
            axis.annotate(str(t.number), spot, textcoords="offset points", xytext=(4, 4), fontsize=8)
    axis.set_xlabel(TITLES[cost])
    axis.grid(True, linewidth=0.4)


def import_pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise UserError(
            "the plot needs matplotlib, which is not installed", "pip install 'offramp[search]'"
        ) from error
    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot
