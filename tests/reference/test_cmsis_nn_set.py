"""What kernel set cmsis_nn declares: versions, metadata, which kernels it picks by shape and core."""

from __future__ import annotations

from pathlib import Path

import pytest

from offramp import boards
from offramp.build import cmsis_nn as library
from offramp.errors import UserError
from offramp.frontends import tflite
from offramp.kernels import candidates, cmsis_nn
from offramp.ops import GENERIC
from tests.oracle.case import SAME, Case, Grid
from tests.oracle.cases import OPS
from tests.oracle.weighted import conv_case


def kernel_of(case: Case, board: str, sets: tuple[str, ...] = ("cmsis_nn", "generic")) -> str:
    graph = tflite.load(case.model, case.name)
    [step] = next(candidates(graph, graph.ops[0], boards.load(board).core, sets))
    return f"{step.kernel.set}/{step.kernel.name}"


def conv(size: tuple[int, int], in_c: int, out_c: int, kernel: tuple[int, int], groups: int = 1) -> Case:
    grid = Grid("CONV_2D", 0)
    return conv_case(grid, 0, size, in_c, groups, size, out_c, kernel, (1, 1), (1, 1), SAME)


def test_the_supported_library_is_the_one_with_adapters() -> None:
    assert library.SUPPORTED == (cmsis_nn.VERSION,)
    assert {k.packing for k in cmsis_nn.KERNELS} == {0x0400}


def test_another_version_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Include").mkdir()
    (tmp_path / "Include" / "arm_nnfunctions.h").touch()
    (tmp_path / "ARM.CMSIS-NN.pdsc").write_text('<release version="7.0.0" date="2025-01-01">')
    monkeypatch.setenv("OFFRAMP_CMSIS_NN", str(tmp_path))
    with pytest.raises(UserError, match=r"version 7\.0\.0; supported is 4\.0\.0"):
        library.find()


def test_metadata_names_the_version_only_where_the_set_is_used() -> None:
    assert cmsis_nn.metadata(cmsis_nn.KERNELS[:1]) == {"cmsis_nn_version": "4.0.0"}
    assert cmsis_nn.metadata(GENERIC) == {}


@pytest.mark.parametrize(
    ("board", "case", "kernel"),
    [
        ("mps2_an386", conv((8, 8), 4, 4, (3, 3)), "cmsis_nn/conv_2d"),
        ("mps2_an386", conv((8, 8), 4, 1, (3, 3)), "cmsis_nn/conv_2d"),
        ("mps2_an386", conv((8, 8), 4, 4, (3, 3), groups=2), "generic/conv_2d_pair"),
        ("mps2_an386", conv((8, 8), 4, 4, (1, 1)), "cmsis_nn/pointwise_conv_2d"),
        ("mps2_an386", conv((1, 8), 4, 4, (1, 3)), "cmsis_nn/conv_2d"),
        ("mps3_an547", conv((1, 8), 4, 4, (1, 3)), "cmsis_nn/row_conv_2d"),
        ("mps3_an547", conv((1, 9), 4, 4, (1, 3)), "cmsis_nn/conv_2d"),
        ("mps2_an385", conv((8, 8), 4, 4, (3, 3)), "cmsis_nn/conv_2d"),
    ],
)
def test_kernel_by_shape(board: str, case: Case, kernel: str) -> None:
    assert kernel_of(case, board) == kernel
    assert kernel_of(case, board, ("generic",)).startswith("generic/")


def test_ops_and_types_that_the_library_lacks_go_to_generic() -> None:
    assert kernel_of(next(OPS["SOFTMAX"](0)), "mps2_an386") == "generic/softmax"
