"""Training takes constants as they come out of files, read-only, without PyTorch's warning of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from offramp import ofg
from tests.float_nets import FloatNet

torch = pytest.importorskip("torch")
from offramp.compress.train.arrays import tensor_of  # noqa: E402

TRAIN = Path(__file__).resolve().parents[2] / "toolkit" / "offramp" / "compress" / "train"
PROGRAM = """
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

warnings.simplefilter("error")
from offramp import ofg
from offramp.compress.train.module import to_module

graph = ofg.load(Path(sys.argv[1]).read_bytes(), "g")
assert not any(t.data.flags.writeable for t in graph.tensors if t.data is not None)
to_module(graph)(torch.zeros(2, 8, 8, 3))
"""


def test_a_read_only_array_is_copied_and_others_are_not() -> None:
    values = np.arange(6, dtype=np.float32)
    assert tensor_of(values).data_ptr() == values.ctypes.data
    values.flags.writeable = False
    found = tensor_of(values)
    assert found.data_ptr() != values.ctypes.data and found.tolist() == values.tolist()


def test_a_model_out_of_a_file_warns_of_nothing(tmp_path: Path) -> None:
    """In a process of its own: PyTorch warns once."""
    net = FloatNet(8, 8, 3)
    (tmp_path / "g.ofg").write_bytes(ofg.dump(net.graph(net.dense(net.conv(0, 4), 3))))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "g.ofg")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_arrays_become_tensors_in_one_place() -> None:
    assert [path.name for path in TRAIN.glob("*.py") if "from_numpy" in path.read_text()] == ["arrays.py"]
