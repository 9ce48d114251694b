"""Four networks with exits, each for one speaker whom it never heard: trained jointly, quantized, judged on him.

`python train.py` writes fsdd_{speaker}.ofg and figures.json; FSDD is read from the archive that --data names.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from features import LABELS, SPEAKERS, changed, clips, judged
from network import network

from offramp import ofg
from offramp.compress.exits.calibrate import (
    Calibrated,
    Evidence,
    calibrate,
    judge,
    leaving,
    with_thresholds,
)
from offramp.compress.exits.judging import evidence_on, macs_by_exit
from offramp.compress.exits.maps import with_map_heads
from offramp.compress.exits.points import choose
from offramp.compress.quantize import quantize
from offramp.compress.train.joint import train_jointly
from offramp.compress.train.module import initialize
from offramp.compress.training import Shares, Training
from offramp.ir import Graph

HERE = Path(__file__).resolve().parent
EXITS = ("conv_2d_2", "add_5")
COPIES = 12  # of each clip, changed at random
LOST_POINTS = 3.0  # most points lost in the training part, with 95 % confidence
TRAINING = Training(
    epochs=8,
    batch=64,
    rate=0.05,
    weight_decay=5e-3,
    label_smoothing=0.1,
    augment=("noise:0.03", "erase:8"),
    validation=0.0,
    threads=1,
)
Clips = dict[str, list[tuple[np.ndarray, int]]]


def trained(found: Clips, speakers: tuple[str, ...]) -> Graph:
    """The integer graph that heard these speakers; its exits never fire yet."""
    x, y = changed([clip for speaker in speakers for clip in found[speaker]], COPIES, 0)
    graph = initialize(network(), 1)
    graph = with_map_heads(graph, choose(graph, EXITS))
    real = train_jointly(graph, x.astype(np.float32), y, TRAINING, Shares(taught=0.7))
    return quantize(real, x[:500].astype(np.float32))


def together(parts: list[Evidence]) -> Evidence:
    """Of all rows; answers are in the same unit, probabilities in 1/256."""
    estimates = [np.concatenate([p.estimates[e] for p in parts]) for e in range(len(EXITS))]
    return Evidence(estimates, np.concatenate([p.right for p in parts], axis=1))


def outcomes(evidence: Evidence, costs: list[float], chosen: Calibrated) -> np.ndarray:
    """[3, n] of each row: whether it came out right, whether the end is right, what it cost of a run to the end."""
    left = leaving(evidence.confidences(chosen.confidence), chosen.thresholds)
    right = evidence.right[left, np.arange(evidence.rows)]
    return np.stack([right, evidence.right[-1], np.array(costs)[left] / costs[-1]])


def summary(rows: np.ndarray) -> dict[str, float | list[float]]:
    """Of all folds' outcomes [3, n], with the paired bootstrap's 95 % interval of what is lost."""
    lost = rows[1] - rows[0]
    drawn = np.random.default_rng(0).integers(0, len(lost), (4000, len(lost)))
    return {
        "rows": len(lost),
        "accuracy": float(rows[0].mean()),
        "accuracy_without_exits": float(rows[1].mean()),
        "lost": float(lost.mean()),
        "lost_stderr": float(lost.std() / len(lost) ** 0.5),
        "lost_interval": [float(v) for v in np.percentile(lost[drawn].mean(axis=1), [2.5, 97.5])],
        "macs_saved": float(1 - rows[2].mean()),
    }


def table(figures: dict[str, Any]) -> str:
    """README.md's, in Markdown."""
    rows = [
        "| speaker | clips | accuracy | without exits | lost, points | 95 % | MACs saved |",
        "|" + "---|" * 7,
    ]
    for name, f in figures.items():
        low, high = (100 * v for v in f["lost_interval"])
        rows.append(
            f"| {name} | {f['rows']} | {f['accuracy']:.2%} | {f['accuracy_without_exits']:.2%} "
            f"| {100 * f['lost']:+.2f} ± {100 * f['lost_stderr']:.2f} | {low:+.2f} to {high:+.2f} "
            f"| {f['macs_saved']:.1%} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="fsdd.zip")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: this file's)")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    found = clips(arguments.data)
    heard: dict[tuple[str, ...], Graph] = {}
    for speakers in (*itertools.combinations(SPEAKERS, 2), *itertools.combinations(SPEAKERS, 3)):
        heard[speakers] = trained(found, speakers)
        print("trained on", *speakers, flush=True)
    figures, every = dict[str, Any](), list[np.ndarray]()
    for speaker in SPEAKERS:
        others = tuple(s for s in SPEAKERS if s != speaker)
        # Thresholds: from those who trained the network, each judged by a network of the other two.
        inner = [
            evidence_on(heard[tuple(s for s in others if s != other)], *judged(found[other]))
            for other in others
        ]
        graph = heard[others]
        costs = macs_by_exit(graph)
        chosen = calibrate(together(inner), costs, LOST_POINTS)
        graph = with_thresholds(graph, chosen)
        evidence = evidence_on(graph, *judged(found[speaker]))
        result = judge(evidence, costs, chosen.confidence, chosen.thresholds)
        every.append(outcomes(evidence, costs, chosen))
        figures[speaker] = summary(every[-1]) | {"shares": list(result.shares)}
        print(speaker, chosen.confidence, chosen.thresholds, figures[speaker], flush=True)
        named = replace(graph, name=f"fsdd_{speaker}", labels=LABELS)
        (arguments.out / f"fsdd_{speaker}.ofg").write_bytes(ofg.dump(named))
    figures["all"] = summary(np.concatenate(every, axis=1))
    (arguments.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(table(figures))


if __name__ == "__main__":
    main()
