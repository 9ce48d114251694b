"""Every operator's float reference, and what the canonical passes make of it, computes what tflite-runtime does."""

from __future__ import annotations

import numpy as np
import pytest

from offramp.frontends import tflite
from offramp.ops.real import REAL
from offramp.reference import Reference
from tests.oracle.cases import OPS
from tests.oracle.real import outputs, real

SEED = 5
EVERY = 3  # case in so many
# Of integers alone, or of a batch that is no row.
LEFT_OUT = ("QUANTIZE", "DEQUANTIZE", "VARIABLES")
KINDS: set[str] = set()


@pytest.mark.parametrize("op", [op for op in OPS if op not in LEFT_OUT])
def test_float_operator(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = list(OPS[op](SEED))[::EVERY]
    for case in cases:
        model = real(case.model)
        row = [np.asarray(x / 16, np.float32) for x in case.inputs]
        expected = outputs(model, row)
        for canonical in (True, False):
            with monkeypatch.context() as patch:
                if not canonical:
                    patch.setattr(tflite, "canonical", lambda graph: graph)
                graph = tflite.load(model, case.name)
            KINDS.update(op.kind for op in graph.ops)
            for found, wanted in zip(Reference(graph).run(row), expected, strict=True):
                assert found.shape == wanted.shape, case.name
                apart = np.abs(found - wanted).max(initial=0)
                assert apart <= 1e-5 * max(1, np.abs(wanted).max(initial=0)), (case.name, canonical, apart)
    assert len(cases) >= 15


def test_none_is_left_out() -> None:
    """Runs behind the grids of this file; two ops have a specification of our own, and no outside oracle."""
    if not KINDS:
        pytest.skip("no grid ran")
    assert set(REAL) - KINDS <= {"dynamic_fully_connected", "binary_conv_2d"}
