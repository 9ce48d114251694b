"""What ofr_load costs on every emulated board: the check of the blob and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.blob import write
from offramp.build.firmware import firmware
from offramp.ir import DTYPES
from offramp.plan import Options, Plan
from offramp_host.device import Device
from offramp_host.emulator import Emulator
from tests.fuzz import seeds

pytestmark = pytest.mark.emulator

BOARDS = [name for name in boards.names() if boards.load(name).emulator is not None and name != "microbit"]
LIMIT = 10_000


def load_and_run(board: boards.Board, plan: Plan, folder: Path) -> tuple[int, int]:
    """Instructions of ofr_load and of an inference."""
    assert board.emulator is not None
    blob = folder / "model.ofr"
    blob.write_bytes(write(plan))
    image = firmware(board, folder / "image.elf", kernels=seeds.kernels_of({"model": plan}), blob=blob)
    tensor = plan.tensors[plan.inputs[0]].tensor
    with Emulator(board, image.elf, timeout_s=60) as emulator, Device(emulator.url) as device:
        result = device.run([np.zeros(tensor.shape, DTYPES[tensor.dtype])], measure=True)
        assert result.ticks is not None
        ticks = device.statistics().load_ticks, result.ticks
    return board.emulator.instructions(ticks[0]), board.emulator.instructions(ticks[1])


@pytest.mark.parametrize("name", BOARDS)
def test_small_model(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    plan = seeds.plan(seeds.keyword_net(), board, tmp_path, Options())
    loaded, _ = load_and_run(board, plan, tmp_path)
    assert 100 < loaded < LIMIT


@pytest.mark.parametrize("kernels", ["generic", "auto"])
@pytest.mark.parametrize("name", BOARDS)
def test_keyword_model(name: str, kernels: str, shared_data: Path, tmp_path: Path) -> None:
    """CMSIS-NN's kernels have their shifts checked, one by one."""
    board = boards.load(name)
    model = (shared_data / "mlperf_tiny" / "kws_ref_model.tflite").read_bytes()
    loaded, ran = load_and_run(board, seeds.plan(model, board, tmp_path, Options(kernels)), tmp_path)
    print(name, kernels, loaded, ran)
    assert 100 < loaded < (LIMIT if kernels == "generic" else max(LIMIT, ran // 100))
