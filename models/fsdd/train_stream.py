"""The network for streams, for a speaker whom it never heard: trained on windows of streams, quantized, judged on him.

`python train_stream.py` writes fsdd_stream.ofg and stream.json; FSDD is read from the archive that --data names.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from features import LABELS, clips
from heads import with_stream_heads
from hearing import windows
from network import network
from patience import Heard, Patience, choose, judge
from stream import DETECTOR, Stream, stream
from train import TRAINING, Clips

from offramp import boards, ofg
from offramp.compress.accuracy import input_rows
from offramp.compress.exits.judging import without_exits
from offramp.compress.quantize import quantize
from offramp.compress.train.joint import train_jointly
from offramp.compress.train.module import initialize
from offramp.compress.training import Shares
from offramp.exits import answers
from offramp.ir import Graph
from offramp.pack import pack

HERE = Path(__file__).resolve().parent
SPEAKER, OTHERS = "jackson", ("george", "nicolas", "lucas")  # who is judged, who is heard
COPIES = 12  # streams of all clips to learn from
SEEDS = (0, 1)  # of the streams by which settings are chosen
DIGITS = 150  # of a stream
LEAST_SAVED = 0.63  # of what runs to the end take, on streams that settings are chosen by
BOARD = "mps2_an386"


def trained(found: Clips, speakers: tuple[str, ...]) -> Graph:
    """The integer graph that heard these speakers; its exits never fire yet."""
    torch.manual_seed(0)
    x, y = windows([clip for speaker in speakers for clip in found[speaker]], COPIES, 0)
    real = train_jointly(
        with_stream_heads(initialize(network(), 1)), x, y, TRAINING, Shares(exits=1.5, taught=0.7)
    )
    return quantize(real, x[:500])


def heard(graph: Graph, of: Stream) -> Heard:
    return Heard.of(answers(graph, input_rows(graph, of.x)[0]))


def costs(graph: Graph) -> tuple[list[int], int]:
    """Instructions on BOARD, estimated: up to each way out, and of the network without heads."""
    target = boards.load(BOARD)
    stages = pack(graph, target)[0].stages
    return list(itertools.accumulate(s.instructions for s in stages)), pack(without_exits(graph), target)[
        0
    ].instructions


def with_patience(graph: Graph, p: Patience) -> Graph:
    exits = tuple(replace(e, threshold=t) for e, t in zip(graph.exits, p.thresholds, strict=True))
    return replace(graph, name="fsdd_stream", labels=LABELS, exits=exits)


def rightly(found: list[tuple[int, int]], of: Stream) -> int:
    """Digits that were detected as what they are, no earlier than 3 hops before they are whole, at most 8 after."""
    left, right = list(found), 0
    for hop, digit in of.spoken:
        near = [d for d in left if d[1] == digit and -3 <= d[0] - hop <= 8]
        if near:
            left.remove(near[0])
            right += 1
    return right


def figures(graph: Graph, p: Patience, of: Stream) -> dict[str, Any]:
    """On a stream that chose nothing."""
    found, (each, plain) = heard(graph, of), costs(graph)
    [classes], [ways] = found.run([p])
    [judged] = judge([found], [p], each, plain, DETECTOR)
    return {
        "digits": len(of.spoken),
        "hops": len(ways),
        "saved": judged.saved,
        "detections": judged.detections,
        "different": judged.wrong,
        "right": rightly(DETECTOR(classes.tolist()), of),
        "right_without_exits": rightly(DETECTOR(found.last), of),
        "shares": (np.bincount(ways, minlength=len(each)) / len(ways)).tolist(),
    }


def table(f: dict[str, Any], chosen: dict[str, Any]) -> str:
    """README.md's, in Markdown."""
    rows = ["| streams | detections to the end | differ | saved |", "|---|---|---|---|"]
    for name, part in (("that chose the settings", chosen), (f"of {SPEAKER}, never heard", f)):
        rows.append(f"| {name} | {part['detections']} | {part['different']} | {part['saved']:.1%} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="fsdd.zip")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: this file's)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = clips(arguments.data)
    graph = trained(found, OTHERS)
    each, plain = costs(graph)
    inner = list[Heard]()
    for speaker in OTHERS:
        part = trained(found, tuple(s for s in OTHERS if s != speaker))
        inner += [heard(part, stream(found[speaker], DIGITS, seed)) for seed in SEEDS]
        print("trained without", SPEAKER, speaker, flush=True)
    p, judged = choose(inner, each, plain, DETECTOR, LEAST_SAVED)
    chosen = {"detections": judged.detections, "different": judged.wrong, "saved": judged.saved}
    result = figures(graph, p, stream(found[SPEAKER], DIGITS))
    every = {"patience": asdict(p), "chosen": chosen, SPEAKER: result}
    (arguments.out / "fsdd_stream.ofg").write_bytes(ofg.dump(with_patience(graph, p)))
    (arguments.out / "stream.json").write_text(json.dumps(every, indent=2) + "\n")
    print(json.dumps(every), table(result, chosen), sep="\n")


if __name__ == "__main__":
    main()
