"""One network from PyTorch, ONNX and TensorFlow Lite: one graph, one quantized graph, one blob."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offramp import boards, ofg
from offramp.compress.quantize import quantize
from offramp.frontends import lite, load_model, pytorch
from offramp.ir import Graph
from offramp.pack import pack
from offramp.reference import run_all
from tests import three_forms
from tests.three_forms import images, torch

FORMS = ("PyTorch", "ONNX", "TensorFlow Lite")


@pytest.fixture(scope="module")
def net() -> three_forms.Net:
    return three_forms.network()


@pytest.fixture(scope="module")
def graphs(net: three_forms.Net, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Graph]:
    folder = tmp_path_factory.mktemp("forms")
    example = torch.zeros(1, 1, 28, 28)
    torch.export.save(torch.export.export(net, (example,)), str(folder / "net.pt2"))
    (folder / "net.onnx").write_bytes(three_forms.as_onnx(net))
    (folder / "net.tflite").write_bytes(three_forms.as_tflite(net))
    return {
        form: load_model(folder / f"net.{s}")
        for form, s in zip(FORMS, ("pt2", "onnx", "tflite"), strict=True)
    }


def bare(graph: Graph) -> bytes:
    """The graph without what it tells of its source."""
    return ofg.dump(replace(graph, name="", metadata={}))


def logits(graph: Graph) -> Graph:
    """The graph up to what softmax reads."""
    return replace(graph, ops=graph.ops[:-1], outputs=graph.ops[-1].inputs[:1])


def test_graphs_are_equal(graphs: dict[str, Graph], net: three_forms.Net) -> None:
    assert {bare(g) for g in graphs.values()} == {bare(graphs["ONNX"])}
    assert bare(pytorch.from_module(net, (torch.zeros(1, 1, 28, 28),), "net")) == bare(graphs["ONNX"])
    kinds = [op.kind for op in graphs["PyTorch"].ops]
    layers = ["conv_2d", "depthwise_conv_2d", "conv_2d", "add", "depthwise_conv_2d", "conv_2d"]
    assert kinds == [*layers, "mean", "fully_connected", "softmax"]
    assert graphs["PyTorch"].tensors[0].shape == (1, 28, 28, 1)


def test_torch_exporter(graphs: dict[str, Graph], net: three_forms.Net, tmp_path: Path) -> None:
    """What PyTorch itself writes as ONNX: batch normalization folded in float32, so weights differ in the last bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(net, (torch.zeros(1, 1, 28, 28),), str(tmp_path / "net.onnx"), dynamo=False)
        except (ImportError, TypeError, RuntimeError) as error:
            pytest.skip(f"this torch exports no ONNX without further packages: {error}")
    found, ours = load_model(tmp_path / "net.onnx"), graphs["ONNX"]
    assert [(op.kind, op.name, op.inputs, op.attributes) for op in found.ops] == [
        (op.kind, op.name, op.inputs, op.attributes) for op in ours.ops
    ]
    for mine, theirs in zip(ours.tensors, found.tensors, strict=True):
        assert (mine.name, mine.shape) == (theirs.name, theirs.shape)
        if mine.data is not None and theirs.data is not None:
            np.testing.assert_allclose(mine.data, theirs.data, rtol=1e-5, atol=1e-6)


def test_float_outputs(graphs: dict[str, Graph], net: three_forms.Net, tmp_path: Path) -> None:
    x = images(64, 3)
    with torch.no_grad():
        wanted = net(torch.from_numpy(x)).numpy()
    ort = pytest.importorskip("onnxruntime")
    by_onnx = ort.InferenceSession(three_forms.as_onnx(net)).run(None, {"image": x})[0]
    by_lite = lite.run(three_forms.as_tflite(net), x.reshape(-1, 28, 28, 1))[0]
    for found in (by_onnx, by_lite, *(run_all(g, x.reshape(-1, 28, 28, 1))[0] for g in graphs.values())):
        assert np.abs(found - wanted).max() <= 1e-4
    assert len(set(wanted.argmax(1))) >= 8


def agreement(graphs: dict[str, Graph], rows: int) -> None:
    calibration, x = images(100, 4).reshape(-1, 28, 28, 1), images(rows, 5).reshape(-1, 28, 28, 1)
    quantized = {form: quantize(graph, calibration) for form, graph in graphs.items()}
    first, *others = quantized.values()
    whole = [rounded(g, x) for g in quantized.values()]
    results = [run_all(g, q)[0].astype(int) for g, q in zip(quantized.values(), whole, strict=True)]
    for other in results[1:]:
        assert (other.argmax(1) == results[0].argmax(1)).sum() >= 0.999 * rows
        assert np.abs(other - results[0]).max() <= 1
    board = boards.load("mps2_an386")
    blobs = {pack(replace(g, name="net", metadata={}), board)[1] for g in quantized.values()}
    assert all(bare(g) == bare(first) for g in others)
    assert len(blobs) == 1


def rounded(graph: Graph, x: np.ndarray) -> np.ndarray:
    q = graph.tensors[graph.inputs[0]].quant
    return np.clip(np.rint(x / np.float32(q.scale)) + q.zero_point, -128, 127).astype(np.int8)


def test_quantized(graphs: dict[str, Graph]) -> None:
    agreement(graphs, 200)


@pytest.mark.soak
def test_quantized_on_ten_thousand(graphs: dict[str, Graph]) -> None:
    agreement(graphs, 10_000)


def test_files_as_streams(net: three_forms.Net) -> None:
    """A .pt2 file's bytes need no path."""
    stream = io.BytesIO()
    torch.export.save(torch.export.export(net, (torch.zeros(1, 1, 28, 28),)), stream)
    assert len(pytorch.load(stream.getvalue(), "net.pt2").ops) == 9
