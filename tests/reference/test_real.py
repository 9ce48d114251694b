"""Float references and batches: many rows at once give what each row alone gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offramp import ofg
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.reference import Reference, run_all
from offramp.resources import root

MODEL = root() / "models/fashion_mnist"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return load_model(Path(MODEL / "fashion_mnist_int8.tflite"))


def test_many_rows_equal_each_alone(graph: Graph) -> None:
    x = np.load(MODEL / "test_images.npz")["x"][:70]
    (found,) = run_all(graph, x)
    alone = Reference(graph)
    assert found.shape == (70, 10)
    assert all(np.array_equal(alone.run([row[None]])[0][0], out) for row, out in zip(x, found, strict=True))


def test_members_survive_the_file(graph: Graph) -> None:
    family = Graph(**{**vars(graph), "members": (graph, graph)})
    data = ofg.dump(family)
    again = ofg.load(data, "file")
    assert len(again.members) == 2
    assert ofg.dump(again) == data
