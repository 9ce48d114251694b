"""Graph passes keep every bit and remove what can be removed, no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp import ofg
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import DTYPES, Graph, Quantization
from offramp.ops.add import Add
from offramp.ops.op import NoAttributes
from offramp.ops.pad import Pad
from offramp.ops.reshape import Reshape
from offramp.ops.transpose import Transpose
from offramp.passes import optimize
from offramp.passes.bounds import bounds
from offramp.passes.rewrite import macs
from offramp.reference import Reference
from tests.kernel_call import KernelRunner
from tests.random_nets import Net, Q, random_net

SEEDS = range(200)
UNTOUCHED = ("kws_ref_model", "pretrainedResnet_quant", "ad01_int8")


def rows(graph: Graph, n: int, seed: int = 0) -> list[list[NDArray[np.generic]]]:
    """Random inputs, the first two of one value each: the least and the greatest."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        row = []
        for t in (graph.tensors[index] for index in graph.inputs):
            info = np.iinfo(DTYPES[t.dtype])
            low, high = ((info.min, info.min), (info.max, info.max), (info.min, info.max))[min(i, 2)]
            row.append(rng.integers(low, high + 1, t.shape).astype(DTYPES[t.dtype]))
        found.append(row)
    return found


def assert_equal_bits(before: Graph, after: Graph, n: int = 4) -> None:
    first, second = Reference(before), Reference(after)
    for row in rows(before, n):
        for a, b in zip(first.run(row), second.run(row), strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def channels(graph: Graph, tensor: int) -> int:
    """Of the tensor that has the name of this one of a Net."""
    [found] = [t for t in graph.tensors if t.name == f"t{tensor}"]
    return found.shape[-1]


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


@pytest.mark.parametrize("multiple", [1, 4])
def test_random_graphs_keep_their_bits(multiple: int) -> None:
    smaller, changed = 0, set()
    for seed in SEEDS:
        graph = random_net(seed)
        after, changes = optimize(graph, multiple)
        assert_equal_bits(graph, after)
        smaller += macs(after) < macs(graph)
        changed.update(change.name for change in changes)
    assert smaller > len(SEEDS) // 2  # else the planted channels prove little
    assert {"remove channels", "fuse padding", "fuse activations", "merge moves"} <= changed


def test_random_graphs_run_on_the_kernels_and_survive_a_file() -> None:
    for seed in SEEDS[::5]:
        graph = random_net(seed)
        after, _ = optimize(graph)
        stored = ofg.load(ofg.dump(after), "net.ofg")
        assert ofg.dump(stored) == ofg.dump(after)
        reference, kernels = Reference(graph), KernelRunner(stored)
        for row in rows(graph, 3):
            for right, found in zip(reference.run(row), kernels.run(row), strict=True):
                np.testing.assert_array_equal(found, right)


def test_every_value_lies_inside_its_bounds() -> None:
    for seed in SEEDS[::4]:
        graph = random_net(seed)
        found, reference = bounds(graph), Reference(graph)
        for row in rows(graph, 4, seed):
            for i, value in reference.values(row).items():
                if i in found:
                    low, high = found[i]
                    assert low.shape == high.shape == value.shape
                    assert (low <= value).all() and (value <= high).all(), (seed, graph.tensors[i].name)


def test_accumulators_that_overflow_have_no_narrow_bounds() -> None:
    net = Net()
    source = net.input(1, 50)
    x = net.dense(source, 4)
    _, bias = net.constants(x)
    bias[:2] = (1 << 31) - 1, -(1 << 31)
    graph = net.graph([source], [x])
    low, high = bounds(graph)[x]
    assert (low[0, :2] == -128).all() and (high[0, :2] == 127).all()
    assert_equal_bits(graph, optimize(graph)[0], 20)


def test_a_second_run_finds_nothing() -> None:
    for seed in SEEDS[::5]:
        after, _ = optimize(random_net(seed))
        assert optimize(after)[1] == []


# ---- real models ----


def models(folder: Path) -> list[tuple[Path, Graph]]:
    found = []
    for path in sorted(folder.rglob("*.tflite")):
        try:
            found.append((path, load_model(path)))
        except UserError:
            continue
    return found


def test_real_models_keep_their_bits(shared_data: Path) -> None:
    found = [m for m in models(shared_data) if all(m[1].tensors[i].dtype == "s8" for i in m[1].inputs)]
    assert len(found) > 20
    for _, graph in found:
        assert_equal_bits(graph, optimize(graph)[0])


def test_half_of_vww_goes(shared_data: Path) -> None:
    graph = load_model(shared_data / "mlperf_tiny/vww_96_int8.tflite")
    after, changes = optimize(graph)
    assert [change.name for change in changes] == ["settle constants", "remove channels"]
    assert changes[0].macs_before == macs(graph) == 7_489_664
    assert changes[-1].macs_after == macs(after) <= 3_800_000
    assert macs(optimize(graph, 1)[0]) <= 3_750_000


@pytest.mark.parametrize("name", UNTOUCHED)
def test_models_without_such_channels_are_left_alone(shared_data: Path, name: str) -> None:
    graph = load_model(shared_data / f"mlperf_tiny/{name}.tflite")
    after, changes = optimize(graph)
    assert changes == []
    assert after is graph


# ---- constant channels and padding ----


@pytest.mark.parametrize(
    ("value", "kernel", "padding", "goes"),
    [
        (20, 1, "valid", True),
        (20, 3, "valid", True),
        (20, 3, "same", False),  # at the border a tap of it is missing
        (0, 3, "same", True),  # padding's own value
        (20, 1, "same", True),
    ],
)
def test_a_constant_goes_only_where_no_padding_shows_it(
    value: int, kernel: int, padding: str, goes: bool
) -> None:
    net = Net()
    source = net.input(1, 6, 6, 2)
    x = net.conv(source, 5)
    net.make_constant(x, [1, 3], "zero", value)
    graph = net.graph([source], [net.conv(x, 4, kernel, padding=padding)])
    after, _ = optimize(graph, 1)
    assert channels(after, x) == (3 if goes else 5)
    assert_equal_bits(graph, after)


@pytest.mark.parametrize(("value", "padding", "goes"), [(20, "same", 0), (0, "same", 2), (20, "valid", 2)])
def test_a_depthwise_of_a_constant_varies_at_the_border(value: int, padding: str, goes: int) -> None:
    net = Net()
    source = net.input(1, 6, 6, 2)
    x = net.conv(source, 6)
    net.make_constant(x, [0, 5], "zero", value)
    y = net.depthwise(x, padding=padding)
    weights, bias = net.constants(y)
    weights[..., [0, 5]], bias[[0, 5]] = 30, 0
    graph = net.graph([source], [net.conv(y, 4)])
    after, _ = optimize(graph, 1)
    assert channels(after, x) == channels(after, y) == 6 - goes
    assert_equal_bits(graph, after)


def test_explicit_padding_is_padding_too() -> None:
    net = Net()
    source = net.input(1, 6, 6, 2)
    x = net.conv(source, 5)
    net.make_constant(x, [2], "zero")
    graph = net.graph([source], [net.conv(x, 4, 3, padding="explicit", pads=(0, 0, 1, 0))])
    after, _ = optimize(graph, 1)
    assert channels(after, x) == 5
    assert_equal_bits(graph, after)


def test_a_fold_must_leave_the_bias_an_int32() -> None:
    top = Quantization((0.05,), (-128,))
    net = Net()
    source = net.input(1, 1, 1, 4, q=top)
    x = net.conv(source, 800, q=top)
    net.make_constant(x, range(400), "zero", 255)
    y = net.conv(x, 2, q=top)
    weights, bias = net.constants(x)
    weights[400:], bias[400:] = np.abs(weights[400:]) | 1, 0
    weights, bias = net.constants(y)
    weights[..., :400], weights[..., 400:] = 127, -127
    q = Quantization((2e-5, 2.0**-23), (0, 0), 0)
    net.tensors[net.maker(y).inputs[1]] = replace(net.tensors[net.maker(y).inputs[1]], quantization=q)
    graph = net.graph([source], [y])
    assert channels(optimize(graph, 1)[0], x) == 400
    bias[1] = (1 << 31) - 6_000_000
    after, _ = optimize(graph, 1)
    assert channels(after, x) == 800
    assert_equal_bits(graph, after)


# ---- channels that go together ----


def test_addends_lose_the_same_channels() -> None:
    net = Net()
    source = net.input(1, 4, 4, 3)
    a, b = net.conv(source, 8), net.conv(source, 8)
    net.make_constant(a, [0, 1, 2], "saturates")
    net.make_constant(b, [2, 3], "zero")
    total = net.op("add", (a, b), Add())
    last = net.conv(total, 4)
    net.make_dead(total, [6])
    graph = net.graph([source], [last])
    after, _ = optimize(graph, 1)
    # 2 is constant in both addends, 6 is read by nobody.
    assert channels(after, a) == channels(after, b) == channels(after, total) == 6
    assert_equal_bits(graph, after)


def test_dead_channels_are_followed_backwards() -> None:
    net = Net()
    source = net.input(1, 5, 5, 3)
    x = net.conv(source, 6)
    y = net.depthwise(x, 2, padding="same")
    z = net.conv(y, 5, 3, padding="same")
    end = net.conv(z, 3)
    net.make_dead(z, [0, 1, 2, 3])
    weights, _ = net.constants(z)
    weights[4, ..., [2, 3, 4, 7]] = (
        0  # the one channel that stays reads neither half of 1, one half of 2 and 3
    )
    graph = net.graph([source], [end])
    after, _ = optimize(graph, 1)
    assert [channels(after, t) for t in (x, y, z)] == [5, 10, 1]
    assert_equal_bits(graph, after)


@pytest.mark.parametrize(("multiple", "stay"), [(1, 7), (2, 8), (4, 8), (8, 8), (16, 12)])
def test_channels_stay_up_to_a_multiple(multiple: int, stay: int) -> None:
    net = Net()
    source = net.input(1, 4, 4, 3)
    x = net.conv(source, 12)
    net.make_constant(x, [0, 2, 4, 6, 8], "tiny")
    graph = net.graph([source], [net.conv(net.depthwise(x), 4)])
    after, _ = optimize(graph, multiple)
    assert channels(after, x) == stay
    assert_equal_bits(graph, after)


def test_constants_that_stay_hold_no_large_bias() -> None:
    net = Net()
    source = net.input(1, 4, 4, 3)
    x = net.conv(source, 6)
    net.make_constant(x, [1, 4], "saturates")
    graph = net.graph([source], [x])
    after, _ = optimize(graph)
    bias = after.tensors[after.ops[0].inputs[2]].data
    assert bias is not None and np.abs(bias).max() < 1 << 24
    assert_equal_bits(graph, after)


def test_outputs_keep_their_channels() -> None:
    net = Net()
    source = net.input(1, 4, 4, 3)
    x = net.conv(source, 6)
    net.make_constant(x, [1, 4], "zero")
    graph = net.graph([source], [x, net.conv(x, 3)])
    after, _ = optimize(graph, 1)
    assert channels(after, x) == 6
    assert_equal_bits(graph, after)


def test_a_proven_tensor_becomes_a_constant() -> None:
    net = Net()
    source = net.input(1, 4, 4, 3)
    x = net.conv(source, 6)
    net.make_constant(x, range(6), "zero")
    total = net.op("add", (net.conv(source, 6), net.depthwise(x, padding="same")), Add())
    graph = net.graph([source], [total])
    after, _ = optimize(graph)
    assert kinds(after) == ["conv_2d", "add"]
    assert_equal_bits(graph, after)


# ---- fusions ----


@pytest.mark.parametrize("kind", ["conv", "depthwise"])
@pytest.mark.parametrize(
    ("before", "after", "value", "fused"),
    [
        ((0, 1, 1, 0), (0, 1, 1, 0), -11, True),
        ((0, 0, 2, 0), (0, 2, 1, 0), -11, True),
        ((0, 1, 1, 0), (0, 1, 1, 0), 0, False),  # another value than the zero point
        ((0, 3, 0, 0), (0, 0, 0, 0), -11, False),  # a window in padding alone
        ((0, 0, 0, 1), (0, 0, 0, 0), -11, False),  # channels
    ],
)
def test_padding_is_fused_where_it_is_the_windows_own(
    kind: str, before: tuple[int, ...], after: tuple[int, ...], value: int, fused: bool
) -> None:
    net = Net()
    source = net.input(1, 7, 8, 3)
    x = net.op("pad", (source,), Pad(before, after, value))
    y = net.conv(x, 4, 3, stride_h=2) if kind == "conv" else net.depthwise(x, stride_w=2)
    graph = net.graph([source], [y])
    optimized, _ = optimize(graph)
    assert ("pad" not in kinds(optimized)) == fused
    assert_equal_bits(graph, optimized)
    for row in rows(graph, 3):
        [right], [found] = Reference(graph).run(row), KernelRunner(optimized).run(row)
        np.testing.assert_array_equal(found, right)


def test_padding_read_twice_stays() -> None:
    net = Net()
    source = net.input(1, 7, 8, 3)
    x = net.op("pad", (source,), Pad((0, 1, 1, 0), (0, 1, 1, 0), -11))
    graph = net.graph([source], [net.conv(x, 4, 3), net.conv(x, 5)])
    after, _ = optimize(graph)
    assert "pad" in kinds(after)
    assert_equal_bits(graph, after)


@pytest.mark.parametrize(
    ("first", "then", "left"),
    [
        ("none", "relu", "relu"),
        ("none", "relu6", "relu6"),
        ("relu", "relu6", "relu6"),
        ("relu6", "relu", "relu6"),
        ("relu_n1_to_1", "relu", None),  # from 0 to 1: no activation has that name
        ("none", "hard_swish", None),
    ],
)
def test_clamps_are_fused(first: str, then: str, left: str | None) -> None:
    net = Net()
    source = net.input(1, 4, 4, 3)
    x = net.conv(source, 8, activation=first)
    graph = net.graph([source], [net.op(then, (x,), NoAttributes())])
    after, _ = optimize(graph)
    if left is None:
        assert kinds(after) == ["conv_2d", then]
    else:
        assert [op.attributes.activation for op in after.ops] == [left]
    assert_equal_bits(graph, after)


def test_tables_are_composed() -> None:
    net = Net()
    source = net.input(1, 9)
    x = net.op("hard_swish", (source,), NoAttributes())
    x = net.op("logistic", (x,), NoAttributes(), Quantization((1 / 256,), (-128,)))
    graph = net.graph([source], [net.op("quantize", (x,), NoAttributes(), Q)])
    after, _ = optimize(graph)
    assert kinds(after) == ["table"]
    assert_equal_bits(graph, after, 8)
    for row in rows(graph, 4):
        np.testing.assert_array_equal(KernelRunner(after).run(row), Reference(graph).run(row))
    assert ofg.dump(ofg.load(ofg.dump(after), "net.ofg")) == ofg.dump(after)


def test_moves_are_merged_and_dropped() -> None:
    net = Net()
    source = net.input(1, 6, 1, 4)
    x = net.op("transpose", (source,), Transpose((0, 2, 1, 3)))  # moves an axis of length 1
    x = net.op("reshape", (x,), Reshape((1, 24)))
    x = net.op("reshape", (x,), Reshape((1, 6, 4)))
    x = net.op("transpose", (x,), Transpose((0, 2, 1)))
    x = net.op("transpose", (x,), Transpose((0, 2, 1)))
    x = net.op("relu", (net.op("relu", (x,), NoAttributes()),), NoAttributes())
    graph = net.graph([source], [net.dense(net.op("reshape", (x,), Reshape((1, 24))), 3)])
    after, _ = optimize(graph)
    assert kinds(after) == ["reshape", "relu", "reshape", "fully_connected"]
    assert_equal_bits(graph, after)


def test_transposes_are_composed_in_order() -> None:
    net = Net()
    source = net.input(1, 2, 3, 4)
    x = net.op("transpose", (source,), Transpose((0, 2, 3, 1)))
    graph = net.graph([source], [net.op("transpose", (x,), Transpose((0, 1, 3, 2)))])
    after, _ = optimize(graph)
    assert [op.attributes for op in after.ops] == [Transpose((0, 2, 1, 3))]
    assert_equal_bits(graph, after)


def test_outputs_are_not_fused_away() -> None:
    net = Net()
    source = net.input(1, 4, 4, 3)
    x = net.conv(source, 8)
    for last in (net.op("relu", (x,), NoAttributes()), net.op("reshape", (x,), Reshape((1, 4, 4, 8)))):
        graph = replace(net.graph([source], [x, last]), ops=(net.ops[0], net.maker(last)))
        after, changes = optimize(graph)
        assert after is graph and changes == []


def test_an_identity_between_ports_stays() -> None:
    net = Net()
    source = net.input(1, 6)
    graph = net.graph([source], [net.op("reshape", (source,), Reshape((1, 6)))])
    assert kinds(optimize(graph)[0]) == ["reshape"]
