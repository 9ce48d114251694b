"""What a user may choose about quantization."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from offramp.errors import UserError
from offramp.ir import Graph, Quantization

WEIGHTED = ("conv_2d", "depthwise_conv_2d", "fully_connected")
BINARY = "binary_conv_2d"  # weights and inputs of one bit, whatever the options say
DYNAMIC = "dynamic_fully_connected"  # on int16, its input brought to int8 by its own range at run time
LAYERS = (*WEIGHTED, BINARY, DYNAMIC)
STORED_AT_4 = ("conv_2d", "fully_connected")  # whose weights the blob can hold two a byte
IMAGE = Quantization((1 / 255,), (-128,))  # of pixels 0 to 255 that were divided by 255: int8 = pixel - 128


@dataclass(frozen=True)
class QuantizeOptions:
    """Bits are 8 (weights and activations), 4 (weights; activations 8) or 16 (activations; weights 8)."""

    bits: int = 8  # of every layer; at 4, depthwise layers stay at 8: their weights would take as many bytes
    layers: Mapping[str, int] = field(default_factory=dict)  # bits of single layers by the name of the op
    method: str = "mse"  # of calibration: minmax | percentile | mse
    percentile: float = 99.99
    per_group: bool = False  # at 4 bits: a factor 1 to 15 for each run of 32 taps; generic kernels only
    per_channel_dense: bool = True  # a scale for each output of fully connected layers, not one for all
    compensation: bool = True  # int4 weights are rounded by the error of their layer's outputs on the rows
    bias_correction: bool = True  # the mean error of each channel is taken out in its bias
    dynamic: Collection[str] = ()  # fully connected layers, by name, whose input's range is found at run time
    inputs: Mapping[str, Quantization] = field(default_factory=dict)  # of inputs, by name; else from the rows


def layer_bits(graph: Graph, options: QuantizeOptions) -> dict[int, int]:
    """Bits of each op with weights, by its index; UserError where options name none or other bits."""
    by_name = {op.name: i for i, op in enumerate(graph.ops) if op.kind in WEIGHTED}
    for name, bits in [("all layers", options.bits), *options.layers.items()]:
        if bits not in (4, 8, 16):
            raise UserError(f"{name}: {bits} bits", "4, 8 and 16 are possible")
    for name in options.layers:
        check_name(graph, name, by_name, "with weights")
    found = {i: 16 if op.kind == DYNAMIC else 8 for i, op in enumerate(graph.ops) if op.kind in LAYERS}
    for i in by_name.values():
        op = graph.ops[i]
        usual = 8 if options.bits == 4 and op.kind not in STORED_AT_4 else options.bits
        found[i] = options.layers.get(op.name, usual)
    return found


def check_name(graph: Graph, name: str, known: Iterable[str], what: str) -> None:
    known = sorted(known)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1) or known or ["none"]
        raise UserError(f"{graph.name} has no layer {name} {what}", f"did you mean {', '.join(near)}?")


def with_dynamic(graph: Graph, options: QuantizeOptions) -> Graph:
    """The float graph with the layers of `options.dynamic` as such; UserError where one is not fully connected."""
    names = [op.name for op in graph.ops if op.kind in ("fully_connected", DYNAMIC)]
    for name in options.dynamic:
        check_name(graph, name, names, "that is fully connected")
    ops = [replace(op, kind=DYNAMIC) if op.name in options.dynamic else op for op in graph.ops]
    return graph.with_ops(tuple(ops))
