"""Measures every model on every board and records the figures: tests/budgets.json and the pages made from it.

Models of the test data folder are left out where it is absent; their rows then stay as they are.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import track

from offramp import boards
from offramp.boards import Board
from offramp.build.firmware import firmware, universal_kernels
from offramp.cycles import cycle_model
from offramp.errors import UserError
from offramp.pack import pack
from offramp.plan import Options
from offramp_host.measure import Measurement, measure
from offramp_host.profile import profile
from tools.bench_plot import write_plot

ROOT = Path(__file__).resolve().parents[1]
BUDGETS = ROOT / "tests" / "budgets.json"
DATA = Path(os.environ.get("OFFRAMP_TEST_DATA", ROOT.parent / "shared" / "data"))
MLPERF = {
    "KWS": DATA / "mlperf_tiny/kws_ref_model.tflite",
    "IC": DATA / "mlperf_tiny/pretrainedResnet_quant.tflite",
    "VWW": DATA / "mlperf_tiny/vww_96_int8.tflite",
    "AD": DATA / "mlperf_tiny/ad01_int8.tflite",
}
EVERYWHERE = {
    **MLPERF,
    "mnist_valid_q": DATA / "tinymaix/mnist_valid_q.tflite",
    "fashion_mnist": ROOT / "models/fashion_mnist/fashion_mnist_int8.tflite",
}
FURTHER = {
    "micro_speech": DATA / "tflm_models/micro_speech_quantized.tflite",
    "person_detect": DATA / "tflm_models/person_detect.tflite",
    "cifar10_q": DATA / "tinymaix/cifar10_q.tflite",
    "wand_imu": DATA / "wand_imu/quantized_model.tflite",
    "vww96_q": DATA / "tinymaix/vww96_q.tflite",
}
MODELS = {**EVERYWHERE, **FURTHER}
FURTHER_BOARDS = ("mps2_an386", "mps3_an547")

# How a row's blob was packed: balanced is the default. Sets stand for --kernels SET.
BALANCED = "balanced"
OPTIONS = {
    BALANCED: Options(),
    "speed": Options(optimize="speed"),
    "--ram-limit 32768": Options(ram_limit=32768),
    "balanced, --no-passes": Options(passes=False),
    "cmsis_nn, --no-passes": Options(kernels="cmsis_nn", passes=False),
}


def options(variant: str) -> Options:
    return OPTIONS.get(variant) or Options(kernels=variant)


def cells() -> list[tuple[str, str, str]]:
    """(model, board, variant) of every row; posix counts no instructions."""
    emulated = [boards.load(name) for name in boards.names()]
    return [
        (model, board.name, variant)
        for board in emulated
        if board.emulator is not None
        for model, path in MODELS.items()
        if path.exists() and (model in EVERYWHERE or board.name in FURTHER_BOARDS)
        for variant in variants(model, board)
    ]


def variants(model: str, board: Board) -> list[str]:
    """Balanced and the portable kernels and Arm's library beside it; the rest where it tells something."""
    found = [BALANCED, *(s for s in board.kernels if s in ("generic", "cmsis_nn", "esp_nn"))]
    if model in MLPERF and "dsp" in board.kernels:
        found.append("speed")
    if model == "VWW" and board.name == "mps2_an386":
        found += ["--ram-limit 32768", "balanced, --no-passes", "cmsis_nn, --no-passes"]
    return found


def measured(model: str, board_name: str, variant: str) -> Measurement | None:
    """None where the model does not fit the board."""
    board = boards.load(board_name)
    try:
        _, blob = pack(MODELS[model], board, options(variant))
        return measure(board, blob, name=model)
    except UserError as error:
        if "fit" in error.message:
            return None
        raise


def row(m: Measurement) -> dict[str, Any]:
    """What a budget holds of a measurement."""
    fields = asdict(m)
    image = {f"{part}_bytes": n for part, n in m.flash_bytes.items() if part != "model"}
    keep = (
        "instructions_per_inference",
        "instructions_init",
        "macs",
        "model_file_bytes",
        "blob_bytes",
        "arena_bytes",
        "state_bytes",
        "static_ram_bytes",
        "stack_bytes",
    )
    return {key: fields[key] for key in keep} | {"image_bytes_without_model": sum(image.values())} | image


def cycles_estimate(model: str, board_name: str, variant: str) -> int | None:
    """Of the same blob; None for a core without a cycle model."""
    board = boards.load(board_name)
    if cycle_model(board.core.name) is None:
        return None
    _, blob = pack(MODELS[model], board, options(variant))
    return profile(board, blob, name=model).cost.cycles


def entry(cell: tuple[str, str, str]) -> tuple[str, str, dict[str, Any] | None]:
    """(compiler, key, row) of a cell; no row where the model does not fit."""
    m = measured(*cell)
    if m is None:
        return "", "/".join(cell), None
    return m.compiler, "/".join(cell), row(m) | {"cycles_estimate": cycles_estimate(*cell)}


def universal_row(board: Board) -> tuple[str, dict[str, int]]:
    """(compiler, flash of the image that `build --universal` makes, without a model)."""
    with tempfile.TemporaryDirectory(prefix="offramp-") as folder:
        image = firmware(board, Path(folder) / "image.elf", kernels=universal_kernels(board), exits=False)
    parts = {f"{part}_bytes": n for part, n in image.footprint.flash_bytes.items() if part != "model"}
    return image.compiler, {"image_bytes_without_model": sum(parts.values()), **parts}


def main() -> int:
    budgets = json.loads(BUDGETS.read_text()) if BUDGETS.exists() else {}
    wanted = {"/".join(cell) for cell in cells()}
    if MODELS.keys() == {m for m, path in MODELS.items() if path.exists()}:
        budgets = {c: {k: r for k, r in rows.items() if k in wanted} for c, rows in budgets.items()}
    with ProcessPoolExecutor() as pool:
        for compiler, key, found in track(pool.map(entry, cells()), "Measuring", len(cells())):
            if found is not None:
                budgets.setdefault(compiler, {})[key] = found
    for name in boards.names():
        if (board := boards.load(name)).emulator is not None:
            compiler, found = universal_row(board)
            budgets.setdefault(compiler, {})[f"universal/{name}"] = found
    budgets = {compiler: dict(sorted(rows.items())) for compiler, rows in sorted(budgets.items())}
    BUDGETS.write_text(json.dumps(budgets, indent=1) + "\n")
    write_plot(budgets)
    print(f"{BUDGETS.relative_to(ROOT)}: {sum(map(len, budgets.values()))} rows; now run make generate")
    return 0


if __name__ == "__main__":
    sys.exit(main())
