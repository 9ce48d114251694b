"""Measures every model on every board and records the figures: tests/budgets.json and the tables made from it.

Models of the test data folder are left out where it is absent; their rows then stay as they are.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import track

from offramp import boards
from offramp.errors import UserError
from offramp.pack import pack
from offramp.plan import Options
from offramp_host.measure import Measurement, measure

ROOT = Path(__file__).resolve().parents[1]
BUDGETS = ROOT / "tests" / "budgets.json"
DATA = Path(os.environ.get("OFFRAMP_TEST_DATA", ROOT.parent / "shared" / "data"))
MODELS = {
    "KWS": DATA / "mlperf_tiny/kws_ref_model.tflite",
    "IC": DATA / "mlperf_tiny/pretrainedResnet_quant.tflite",
    "VWW": DATA / "mlperf_tiny/vww_96_int8.tflite",
    "AD": DATA / "mlperf_tiny/ad01_int8.tflite",
    "mnist_valid_q": DATA / "tinymaix/mnist_valid_q.tflite",
    "fashion_mnist": ROOT / "models/fashion_mnist/fashion_mnist_int8.tflite",
}


def cells() -> list[tuple[str, str, str]]:
    """(model, board, kernel set) of every row; posix counts no instructions."""
    return [
        (model, board, kernels)
        for model, path in MODELS.items()
        if path.exists()
        for board in boards.names()
        if boards.load(board).emulator is not None
        for kernels in boards.load(board).kernels
    ]


def measured(model: str, board_name: str, kernels: str) -> Measurement | None:
    """None where the model does not fit the board."""
    board = boards.load(board_name)
    try:
        _, blob = pack(MODELS[model], board, Options(kernels=kernels))
        return measure(board, blob, name=model)
    except UserError as error:
        if "fit" in error.message:
            return None
        raise


def row(m: Measurement) -> dict[str, Any]:
    """What a budget holds of a measurement."""
    fields = asdict(m)
    image = sum(m.flash_bytes.values()) - m.flash_bytes["model"]
    keep = (
        "instructions_per_inference",
        "instructions_init",
        "macs",
        "blob_bytes",
        "arena_bytes",
        "state_bytes",
        "static_ram_bytes",
        "stack_bytes",
    )
    return {key: fields[key] for key in keep} | {"image_bytes_without_model": image}


def main() -> int:
    budgets = json.loads(BUDGETS.read_text()) if BUDGETS.exists() else {}
    for model, board, kernels in track(cells(), description="Measuring"):
        m = measured(model, board, kernels)
        if m is not None:
            budgets.setdefault(m.compiler, {})[f"{model}/{board}/{kernels}"] = row(m)
    budgets = {compiler: dict(sorted(rows.items())) for compiler, rows in sorted(budgets.items())}
    BUDGETS.write_text(json.dumps(budgets, indent=1) + "\n")
    print(f"{BUDGETS.relative_to(ROOT)}: {sum(map(len, budgets.values()))} rows; now run make generate")
    return 0


if __name__ == "__main__":
    sys.exit(main())
