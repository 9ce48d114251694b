"""SEANet's layers on int16, one a file: references and kernels against what their authors recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offramp.frontends import load_model
from offramp.reference import Reference
from tests.kernel_call import KernelRunner

# Files of each operator; TRANSPOSE_CONV and QUANTIZE of int32 are not ours. The recorded leaky_relu is off by one
# here and there.
LAYERS = {"add": 9, "conv": 11, "leaky_relu": 12, "pad": 10, "strided_slice": 17, "sub": 3}
OFF = {"leaky_relu": 1}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers(shared_data: Path, kind: str) -> None:
    models = sorted((shared_data / "tflm_seanet" / kind).glob("*.tflite"))
    assert len(models) == LAYERS[kind]
    for model in models:
        graph = load_model(model)
        inputs = [
            np.loadtxt(model.with_name(f"{model.stem}_input{i}_int16.csv"), np.int16, delimiter=",").reshape(
                graph.tensors[tensor].shape
            )
            for i, tensor in enumerate(graph.inputs)
        ]
        [golden] = model.parent.glob(f"{model.stem}_golden*.csv")
        found = Reference(graph).run(inputs)[0]
        right = np.loadtxt(golden, found.dtype, delimiter=",").reshape(found.shape)
        assert np.abs(found.astype(int) - right).max() <= OFF.get(kind, 0), model.name
        np.testing.assert_array_equal(KernelRunner(graph).run(inputs)[0], found)
