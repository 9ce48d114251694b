"""PyTorch's operators: the canonical graph computes what the module does, and runs no transpose that need not be."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp.errors import UserError
from offramp.frontends import pytorch
from offramp.ir import Graph
from offramp.reference import Reference
from tests.three_forms import torch

nn, f = torch.nn, torch.nn.functional
IMAGE, LINE, ROW = (1, 6, 9, 8), (1, 6, 20), (1, 12)


class Calls(nn.Module):  # type: ignore[misc]
    """A function of the input and of named layers."""

    def __init__(self, function: Callable[..., Any], **layers: Any) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleDict(layers)

    def forward(self, x: Any) -> Any:
        return self.function(x, **self.layers)


def calls(function: Callable[..., Any], **layers: Any) -> Callable[[], Any]:
    return lambda: Calls(function, **{name: layer() for name, layer in layers.items()})


def conv(c_in: int, c_out: int, k: int = 3, **more: Any) -> Callable[[], Any]:
    return lambda: nn.Conv2d(c_in, c_out, k, **more)


CASES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "conv": (conv(6, 4, stride=2, padding=1), IMAGE),
    "conv same": (conv(6, 4, padding="same", dilation=2), IMAGE),
    "conv groups": (conv(6, 9, groups=3, bias=False), IMAGE),
    "depthwise": (conv(6, 12, groups=6, padding=(1, 0)), IMAGE),
    "conv 1d": (lambda: nn.Conv1d(6, 4, 5, stride=2, padding=2), LINE),
    "conv norm relu": (lambda: nn.Sequential(nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)), IMAGE),
    "norm conv": (lambda: nn.Sequential(nn.BatchNorm2d(6, affine=False), nn.ReLU6(), nn.Conv2d(6, 4, 3)), IMAGE),
    "line norm": (lambda: nn.Sequential(nn.Conv1d(6, 4, 3), nn.BatchNorm1d(4), nn.Hardtanh(0, 6)), LINE),
    "dense norm": (lambda: nn.Sequential(nn.Linear(12, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)), ROW),
    "max pool": (lambda: nn.MaxPool2d(3, 2, padding=1), IMAGE),
    "max pool ceil": (lambda: nn.MaxPool2d(3, 2, ceil_mode=True), IMAGE),
    "max pool 1d": (lambda: nn.MaxPool1d(3), LINE),
    "average pool": (lambda: nn.AvgPool2d(3, 2, padding=1), IMAGE),
    "average pool excludes": (lambda: nn.AvgPool2d(3, 1, padding=1, count_include_pad=False), IMAGE),
    "average pool ceil": (lambda: nn.AvgPool2d(2, 2, ceil_mode=True), IMAGE),
    "average pool 1d": (lambda: nn.AvgPool1d(2), LINE),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d(1), IMAGE),
    "adaptive 3x4": (lambda: nn.AdaptiveAvgPool2d((3, 4)), IMAGE),
    "adaptive 1d": (lambda: nn.AdaptiveAvgPool1d(1), LINE),
    "mean": (calls(lambda x: x.mean((2, 3))), IMAGE),
    "mean after mean": (calls(lambda x: x.mean(3).mean(2)), IMAGE),
    "flatten linear": (lambda: nn.Sequential(nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(168, 5)), IMAGE),
    "flatten norm": (lambda: nn.Sequential(nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Dropout(), nn.Linear(168, 5)), IMAGE),
    "view": (
        calls(lambda x, c, d: d(f.relu(c(x)).view(x.size(0), -1)), c=conv(6, 4), d=lambda: nn.Linear(168, 3)), IMAGE,
    ),
    "linear of a sequence": (lambda: nn.Linear(20, 5), LINE),
    "residual": (calls(lambda x, c: f.relu_(c(x) + x), c=conv(6, 6, padding=1)), IMAGE),
    "in place": (calls(lambda x, c: c(x).relu_().add_(1).mul_(2), c=conv(6, 6)), IMAGE),
    "arithmetic": (calls(lambda x: 3 - (x * 2 + 1) / 4 - 0.5 * x), IMAGE),
    "add alpha": (calls(lambda x: torch.add(x, x, alpha=2)), ROW),
    "square": (calls(lambda x: x**2 - (-x)), ROW),
    "relu6": (lambda: nn.ReLU6(), IMAGE),
    "clamp": (calls(lambda x: x.clamp(min=0) + x.clamp(-1, 1)), ROW),
    "sigmoid tanh": (calls(lambda x: torch.sigmoid(x) * torch.tanh(x)), IMAGE),
    "silu": (lambda: nn.SiLU(), IMAGE),
    "hard swish": (lambda: nn.Hardswish(), IMAGE),
    "hard sigmoid": (lambda: nn.Hardsigmoid(), IMAGE),
    "leaky relu": (lambda: nn.LeakyReLU(0.2), IMAGE),
    "p relu": (lambda: nn.PReLU(), IMAGE),
    "softmax": (lambda: nn.Softmax(1), ROW),
    "softmax channels": (lambda: nn.Softmax(1), IMAGE),
    "cat": (calls(lambda x: torch.cat([x, x * 2], 1)), IMAGE),
    "chunk": (calls(lambda x: torch.cat(x.chunk(2, 1)[::-1], 1)), IMAGE),
    "split": (calls(lambda x: torch.cat([p * (i + 1) for i, p in enumerate(x.split([1, 2, 3], 1))], 1)), IMAGE),
    "slice": (calls(lambda x: x[:, 1:5, ::2, :-1]), IMAGE),
    "select": (calls(lambda x: x[:, :, 2] + x[:, :, -1]), IMAGE),
    "narrow": (calls(lambda x: x.narrow(2, 1, 3)), IMAGE),
    "pad": (calls(lambda x: f.pad(x, (1, 2, 0, 3))), IMAGE),
    "pad crops": (calls(lambda x: f.pad(x, (1, -2), value=1.0)), LINE),
    "zero pad conv": (lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(6, 4, 3, stride=2)), IMAGE),
    "permute": (calls(lambda x: x.permute(0, 2, 3, 1).mean(1)), IMAGE),
    "transpose": (calls(lambda x, d: d(x.transpose(1, 2)), d=lambda: nn.Linear(6, 3)), LINE),
    "unsqueeze": (calls(lambda x, c: c(x.unsqueeze(2)).squeeze(2), c=lambda: nn.Conv2d(6, 4, (1, 3))), LINE),
    "nearest": (lambda: nn.Upsample(scale_factor=2), IMAGE),
    "bilinear": (lambda: nn.Upsample(size=(13, 20), mode="bilinear"), IMAGE),
    "bilinear corners": (lambda: nn.UpsamplingBilinear2d(scale_factor=3), IMAGE),
    "matmul": (calls(lambda x, d: x @ d.weight.t() + d.bias, d=lambda: nn.Linear(12, 3)), ROW),
    "gate": (
        calls(
            lambda x, a, b: x * torch.sigmoid(b(f.relu(a(x.mean((2, 3)))))).view(1, -1, 1, 1),
            a=lambda: nn.Linear(6, 2), b=lambda: nn.Linear(2, 6),
        ), IMAGE,
    ),
    "tokens": (
        calls(lambda x, c, d: d(c(x).flatten(2).transpose(1, 2)).mean(1), c=conv(6, 4), d=lambda: nn.Linear(4, 3)),
        IMAGE,
    ),
}  # fmt: skip


def module(name: str) -> Any:
    torch.manual_seed(3)
    made = CASES[name][0]().eval()
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return made


def laid(graph: Graph, x: np.ndarray, port: str) -> np.ndarray:
    moved = port in graph.metadata.get("channels_last", "").split(",")
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)) if moved else x


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str) -> None:
    made, x = module(name), torch.randn(CASES[name][1])
    graph = pytorch.from_module(made, (x,), name)
    with torch.no_grad():
        wanted = laid(graph, made(x.clone()).numpy(), "output")
    (found,) = Reference(graph).run([laid(graph, x.numpy(), "input")])
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5)
    assert not any(op.kind == "transpose" for op in graph.ops)


def test_open_batch() -> None:
    made = module("view")
    shapes = ({0: torch.export.Dim("batch")},)
    # The function's own parameter is what dynamic_shapes names.
    program = torch.export.export(made, (torch.zeros(2, 6, 9, 8),), dynamic_shapes=shapes)
    graph = pytorch.from_program(program, "view", "view", {})
    assert graph.tensors[graph.inputs[0]].shape == (1, 9, 8, 6)


REFUSED: dict[str, tuple[Callable[[], Any], tuple[int, ...], str]] = {
    "op": (calls(lambda x: torch.erf(x)), ROW, r"erf \(erf\) is not supported"),
    "log softmax": (lambda: nn.LogSoftmax(1), ROW, "log_softmax .* is not supported"),
    "transposed": (lambda: nn.ConvTranspose2d(6, 4, 3), IMAGE, "conv_transpose2d .* is not supported"),
    "batch": (lambda: nn.ReLU(), (2, 12), "input .* has a batch of 2, allowed is 1"),
    "double": (lambda: nn.Linear(12, 3).double(), ROW, "float64, float32 is needed"),
    "branch": (calls(lambda x: x if x.sum() > 0 else -x), ROW, "torch.export cannot take the module in"),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d(4), IMAGE, r"makes \[4, 4\] of \[9, 8\]"),
    "reflect": (calls(lambda x: f.pad(x, (1, 1), mode="reflect")), LINE, "pads by reflect"),
    "clamp": (calls(lambda x: x.clamp(0, 3)), ROW, "clips to 0 .. 3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_the_culprit(name: str) -> None:
    make, shape, message = REFUSED[name]
    made = make()
    example = torch.zeros(shape, dtype=torch.float64 if name == "double" else torch.float32)
    with pytest.raises(UserError, match=message) as caught:
        pytorch.from_module(made, (example,), "net")
    assert caught.value.message.startswith("net: ") and "\n" not in caught.value.message


class Intruder:
    """Unpickling it would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("intruder"),)


def test_a_file_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.export.save(torch.export.export(module("conv"), (torch.zeros(IMAGE),)), "net.pt2")
    stream = io.BytesIO()
    torch.save(Intruder(), stream)
    with zipfile.ZipFile("net.pt2") as whole, zipfile.ZipFile("bad.pt2", "w") as bad:
        for name in whole.namelist():
            bad.writestr(name, stream.getvalue() if name.endswith("model.pt") else whole.read(name))
    assert sum(name.endswith("model.pt") for name in zipfile.ZipFile("bad.pt2").namelist()) == 1
    with pytest.raises(UserError, match=r"damaged \.pt2 file"):
        pytorch.load(Path("bad.pt2").read_bytes(), "bad.pt2")
    assert not Path("intruder").exists()


def test_damaged_files(tmp_path: Any) -> None:
    torch.export.save(torch.export.export(module("conv"), (torch.zeros(IMAGE),)), str(tmp_path / "net.pt2"))
    whole = (tmp_path / "net.pt2").read_bytes()
    random = np.random.default_rng(4)
    cut = [whole[: len(whole) * i // 12] for i in range(12)]
    mutants = []
    for _ in range(25):
        data = np.frombuffer(whole, np.uint8).copy()
        data[random.integers(len(data), size=20)] = random.integers(256, size=20)
        mutants.append(data.tobytes())
    refused = 0
    for data in [b"x", b"PK\3\4", *cut, *mutants, *[b"PK" + random.bytes(300) for _ in range(20)]]:
        try:
            pytorch.load(data, "net.pt2")
        except UserError:
            refused += 1
    assert refused >= 14 + 20
