"""The cmsis_nn adapters on the host, with UBSan and fences, over the oracle's grids: equal to the references."""

from __future__ import annotations

import numpy as np
import pytest

from offramp import boards
from offramp.frontends import tflite
from offramp.ir import DTYPES
from offramp.kernels import cmsis_nn
from offramp.reference import Reference
from tests.emulator.test_dsp_shapes import depthwise_case
from tests.kernel_call import call_kernel
from tests.oracle.case import SAME, VALID, Cases, Grid
from tests.oracle.cases import OPS
from tests.reference.test_ops import SEED, at_edges

CORE = boards.load("mps2_an385").core  # without DSP, as the host
OF_HELIUM = {cmsis_nn.ROW}
EXPECTED = {
    "CONV_2D": {cmsis_nn.CONV, cmsis_nn.POINTWISE},
    "DEPTHWISE_CONV_2D": {cmsis_nn.DEPTHWISE, cmsis_nn.DEPTHWISE_3X3},
    "FULLY_CONNECTED": {cmsis_nn.FULLY_CONNECTED, cmsis_nn.POINTWISE},
    "AVERAGE_POOL_2D": {cmsis_nn.AVERAGE},
    "MAX_POOL_2D": {cmsis_nn.MAX},
}


def drawn(op: str) -> Cases:
    yield from OPS[op](SEED)
    grid = Grid(op, SEED)
    for i in (1, 2, 4, 5) if op == "DEPTHWISE_CONV_2D" else ():  # multipliers that the grid has dilated only
        yield depthwise_case(grid, i, 1 + i, 4 * i, (3, 2), (SAME, VALID)[i % 2])


@pytest.mark.parametrize("op", EXPECTED)
def test_adapters_equal_the_reference(op: str) -> None:
    used = set()
    for case in drawn(op):
        graph = tflite.load(case.model, case.name)
        tensors = [graph.tensors[i] if i >= 0 else None for i in graph.ops[0].inputs]
        out = graph.tensors[graph.outputs[0]]
        for [step] in cmsis_nn.candidates(graph.ops[0], tensors, [out], CORE):
            [x] = at_edges(graph, case.rows[0])
            raw = call_kernel(step, [("s8", x.tobytes())], ("s8", bytes(out.bytes)))
            found = np.frombuffer(raw, DTYPES["s8"]).reshape(out.shape)
            np.testing.assert_array_equal(found, Reference(graph).run([x])[0], case.name)
            used.add(step.kernel)
    assert used == EXPECTED[op]


def test_no_adapter_is_left_out() -> None:
    assert set().union(*EXPECTED.values()) | OF_HELIUM | {cmsis_nn.DEPTHWISE_OPT} == set(cmsis_nn.KERNELS)
