"""Encodings of weights are lossless, and the generic kernels on them equal the integer references and stay inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from offramp.frontends import tflite
from offramp.ir import Graph
from offramp.ops import Step, compressed
from offramp.ops.conv_2d_tile import KERNELS, NIBBLES, compressed_ways
from offramp.reference import Reference
from tests.kernel_call import Refused, call_kernel
from tests.oracle.compressed import THINNED
from tests.oracle.compressed import compressed as cases

SEED = 3


@st.composite
def weights(draw: st.DrawFn, low: int = -128, high: int = 127) -> np.ndarray:
    """[out_c, taps] with as many zeros as come."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 700)))
    values = draw(arrays.arrays(np.int8, shape, elements=st.integers(low, high), fill=st.just(0)))
    keep = draw(st.floats(0, 1))
    mask = np.random.default_rng(draw(st.integers(0, 1 << 30))).random(shape) < keep
    return np.asarray(values * mask, np.int8)


@given(weights())
def test_blocks_are_lossless(w: np.ndarray) -> None:
    stored = compressed.encode_blocks(w)
    if stored is None:
        assert w.shape[1] >= 256
    else:
        np.testing.assert_array_equal(compressed.decode_blocks(stored, *w.shape), w)


@given(weights())
def test_nibble_streams_are_lossless(w: np.ndarray) -> None:
    stored = compressed.encode_nibbles(w, 8)
    np.testing.assert_array_equal(compressed.decode_nibbles(stored, *w.shape, 8), w)


@given(weights(-8, 7))
def test_nibble_streams_of_nibbles_are_lossless(w: np.ndarray) -> None:
    stored = compressed.encode_nibbles(w, 4)
    np.testing.assert_array_equal(compressed.decode_nibbles(stored, *w.shape, 4), w)
    assert len(stored) <= len(compressed.encode_nibbles(w, 8))


@given(weights(-8, 7), st.integers(0, 1 << 30))
def test_groups_are_found_and_lossless(small: np.ndarray, seed: int) -> None:
    runs = -(-small.shape[1] // compressed.RUN)
    m = np.random.default_rng(seed).integers(1, 16, (len(small), runs)).astype(np.uint8)
    w = compressed.Grouped(small, m).weights()
    found = compressed.grouped(w)
    assert found is not None
    np.testing.assert_array_equal(found.weights(), w)
    assert found.values.min() >= -8 and found.values.max() <= 7
    assert (found.multipliers <= m).all() and found.multipliers.min() >= 1


@given(weights())
def test_groups_are_lossless_where_found(w: np.ndarray) -> None:
    found = compressed.grouped(w)
    if found is not None:
        np.testing.assert_array_equal(found.weights(), w)


@given(weights())
def test_planes_are_lossless(w: np.ndarray) -> None:
    found = compressed.planes(w)
    if found is None:
        assert w.max() > compressed.MOST_IN_PLANES
        return
    high, low = (p.astype(np.int64) for p in found)
    np.testing.assert_array_equal(16 * high + low, w)
    assert min(high.min(), low.min()) >= -8 and max(high.max(), low.max()) <= 7


def test_ninety_percent_zeros_at_four_bits_take_less_than_a_bit() -> None:
    """0.47 bits are the positions' entropy, 0.4 the values: 0.87 at least."""
    rng = np.random.default_rng(1)
    for shape in ((64, 64), (64, 576), (128, 784)):
        w = np.where(rng.random(shape) < 0.9, 0, rng.integers(1, 8, shape)).astype(np.int8)
        assert 8 * len(compressed.encode_nibbles(w, 4)) < 0.95 * w.size


def steps_of(graph: Graph) -> Iterator[Step]:
    for op in graph.ops:
        tensors = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
        yield from compressed_ways(op, tensors, [graph.tensors[i] for i in op.outputs])


@pytest.mark.parametrize("thinned", THINNED)
def test_kernels_equal_the_reference(thinned: str) -> None:
    served = dict.fromkeys(KERNELS, 0)
    for case in (case for name, case in cases(SEED) if name == thinned):
        graph = tflite.load(case.model, case.name)
        right = Reference(graph).run(case.inputs)[0]
        for step in steps_of(graph):
            out = call_kernel(step, [("s8", case.inputs[0].tobytes())], ("s8", bytes(right.nbytes)))
            np.testing.assert_array_equal(
                np.frombuffer(out, np.int8).reshape(right.shape), right, f"{case.name} {step.kernel.name}"
            )
            served[step.kernel] += 1
    wanted = {k for k in KERNELS if ("zeros" in thinned or "blocks" in thinned) == (k is not NIBBLES)}
    assert all(served[k] > 50 for k in wanted), {k.name: n for k, n in served.items()}


@pytest.mark.parametrize("thinned", ["runs", "zeros 90 %", "zeros 90 %, nibbles"])
def test_hostile_weights_stay_inside(thinned: str) -> None:
    """Damaged streams and tables are refused or stay inside their operands; else the fences fault."""
    rng = np.random.default_rng(5)
    refused = ran = 0
    for case in [case for name, case in cases(SEED, 4) if name == thinned]:
        graph = tflite.load(case.model, case.name)
        for step in steps_of(graph):
            out_bytes = graph.tensors[step.outputs[0]].bytes
            for _ in range(4):
                params = bytearray(step.params)
                for _ in range(int(rng.integers(1, 6))):
                    at = int(rng.integers(step.kernel.params.size, len(params)))
                    params[at] = int(rng.choice((0, 1, 15, 127, 128, 240, 255, int(rng.integers(256)))))
                damaged = dataclasses.replace(step, params=bytes(params))
                try:
                    call_kernel(damaged, [("s8", case.inputs[0].tobytes())], ("s8", bytes(out_bytes)))
                    ran += 1
                except Refused:
                    refused += 1
    assert ran > 100 and (refused > 10 or thinned == "runs")
