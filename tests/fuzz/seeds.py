"""Small models of every operator, packed: what the mutants of the hostile tests start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from offramp.blob import write
from offramp.boards import Board
from offramp.features import Axis, Image, Imu, Mfcc, Micro, Quantizer, Stream
from offramp.frontends import load_model
from offramp.ir import CONFIDENCES, Graph
from offramp.kernels import dsp
from offramp.kernels.mve import compressed as mve_compressed
from offramp.ops import Kernel, conv_2d_tile
from offramp.ops.mean import Mean
from offramp.plan import Bound, Certificate, Options, Plan, make_plan
from tests import random_nets
from tests.dynamic_layers import layers
from tests.families import family
from tests.net import Net
from tests.oracle import cases, compressed_layers, int16
from tests.oracle.binary import binary
from tests.oracle.case import NONE, RELU, SAME, VALID, Grid, NewGrid, constant, like
from tests.oracle.compressed import compressed
from tests.oracle.planes import planes
from tests.oracle.tflite_writer import Tensor
from tests.slim_family import SMALL, slim_family
from tests.ways import DSP_WAYS, preferring, taking
from tests.weights import small_layers
from tests.with_exits import with_exits

SEED = 2
MAX_BLOB_BYTES = 6000
# Operators whose kernel depends on their shape and numbers.
SEVERAL_KERNELS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD")
# Real models where the shared data is there; below that size, so that a mutation is likely to hit something.
SHARED = (
    "tinymaix/mnist_valid_q.tflite",
    "tflm_models/hello_world_int8.tflite",
)


def keyword_net(
    seed: int = 1, channels: int = 8, rows: int = 13, activation: int = RELU, new: NewGrid = Grid
) -> bytes:
    """A keyword net in small, as a .tflite file: convolutions of each kind, pool, dense layer, softmax."""
    net = Net(seed, (1, rows, 10, 1), new)
    half = (rows + 1) // 2
    out = (1, half, 5, channels)
    strides = {"StrideH": 2, "StrideW": 2}
    ones = {"StrideH": 1, "StrideW": 1}
    dilation = {"DilationHFactor": 1, "DilationWFactor": 1}
    relu = {"Padding": SAME, "FusedActivationFunction": activation}
    conv, depthwise = "Conv2DOptions", "DepthwiseConv2DOptions"
    net.weighted("CONV_2D", (channels, 5, 4, 1), out, conv, **strides, **dilation, **relu)
    net.weighted(
        "DEPTHWISE_CONV_2D",
        (1, 3, 3, channels),
        out,
        depthwise,
        **ones,
        **dilation,
        **relu,
        DepthMultiplier=1,
    )
    net.weighted("CONV_2D", (channels, 1, 1, channels), out, conv, **ones, **dilation, **relu)
    pooled = like(net.last, "pooled", (1, 1, 1, channels))
    window = {"FilterHeight": half, "FilterWidth": 5, "Padding": VALID, "FusedActivationFunction": NONE}
    net.add("AVERAGE_POOL_2D", [], pooled, "Pool2DOptions", **window, **ones)
    flat = like(net.last, "flat", (1, channels))
    net.add("RESHAPE", [constant("shape", [1, channels])], flat, "ReshapeOptions", NewShape=[1, channels])
    net.weighted(
        "FULLY_CONNECTED", (12, channels), (1, 12), "FullyConnectedOptions", FusedActivationFunction=NONE
    )
    scale, zero = (1 / 32768, 0) if net.grid.dtype == "int16" else (1 / 256, -128)
    net.add("SOFTMAX", [], Tensor("scores", (1, 12), net.grid.dtype, scale, zero), "SoftmaxOptions", Beta=1.0)
    return net.model()


def signed_net(seed: int = 3) -> bytes:
    """Layers without activation, zero points inside int8: 3x3 over 16 channels, depthwise 3x3 at stride 2."""
    net, none = Net(seed, (1, 6, 7, 16)), {"Padding": SAME, "FusedActivationFunction": NONE}
    net.weighted("CONV_2D", (5, 3, 3, 16), (1, 6, 7, 5), "Conv2DOptions", **none, StrideH=1, StrideW=1)
    options = {**none, "StrideH": 2, "StrideW": 2, "DepthMultiplier": 1}
    net.weighted("DEPTHWISE_CONV_2D", (1, 3, 3, 5), (1, 3, 4, 5), "DepthwiseConv2DOptions", **options)
    return net.model()


def streaming_net(seed: int = 1) -> bytes:
    """The largest of the oracle's models with variables: two rings of frames."""
    return max((case.model for case in cases.OPS["VARIABLES"](seed)), key=len)


def exits_net() -> Graph:
    """A net with exits on all of its convolutions, a confidence of each kind among them."""
    net = random_nets.Net(5)
    first = x = net.input(1, 9, 9, 1)
    for channels in (4, 8, 12, 16):
        x = net.conv(x, channels, 3, padding="same")
    pooled = net.op("mean", [x], Mean((1, 2), False))
    graph = net.graph([first], [net.dense(pooled, 7)])
    return with_exits(graph, [op.outputs[0] for op in graph.ops if op.kind == "conv_2d"], CONFIDENCES)


# Small front ends of every kind, with rows that are used once and several times: what mutants hit is small too.
SHORT = Micro(rate_hz=2000, window=60, step=60, channels=5, lower_hz=100, upper_hz=900, log_shift=3)
SHORT_MFCC = Mfcc(Quantizer(0.00002, -20), 8000, 50, 33, 7, 4, lower_hz=100, upper_hz=4000)
AXES = (Axis(Quantizer(1 / 300, 3), 0), Axis(Quantizer(0.9, -100), -5000))
PIXELS = tuple(range(-128, 128))
STREAMS = {
    "micro": Stream(SHORT, 6, 2),
    "micro_once": Stream(SHORT, 4, 4),
    "mfcc": Stream(SHORT_MFCC, 5, 3),
    "mfcc_once": Stream(SHORT_MFCC, 3, 3),
    "image": Stream(Image("gray8", 13, 11, (2, 1, 9, 8), 6, 7, 1, PIXELS), 7, 7),
    "image_565": Stream(Image("rgb565", 9, 7, (0, 0, 9, 7), 12, 9, 3, PIXELS), 9, 9),
    "image_rows": Stream(Image("rgb888", 8, 8, (1, 1, 5, 6), 5, 6, 1, PIXELS), 6, 1),
    "imu": Stream(Imu(AXES), 9, 4),
    "imu_once": Stream(Imu(AXES, average=7), 6, 6),
}


def behind(stream: Stream) -> Graph:
    """A small net that takes what a front end makes."""
    net = random_nets.Net(3)
    x = net.input(1, stream.window_rows, stream.front_end.row_bytes, 1)
    pooled = net.op("mean", [net.conv(x, 3, 3, padding="same")], Mean((1, 2), False))
    return net.graph([x], [net.dense(pooled, 4)])


def of_front_ends(board: Board, kernels: str) -> Iterator[tuple[str, Plan]]:
    for name, stream in STREAMS.items():
        packed = make_plan(behind(stream), board, Options(kernels=kernels))
        yield name, dataclasses.replace(packed, front_end=stream.block())


def of_every_storage(board: Board, folder: Path) -> Iterator[tuple[str, Plan]]:
    """A small model for each kernel with compressed weights and form of them."""
    hit: set[tuple[int, int]] = set()
    for thinned, case in compressed(SEED, 12):
        for kernel in conv_2d_tile.KERNELS:
            with taking(f"generic/{kernel.name}"):
                packed = plan(case.model, board, folder, Options(kernels="generic"))
            [step] = packed.steps
            form = step.kernel.id, len(thinned)
            small = len(packed.constants) < MAX_BLOB_BYTES and packed.arena_bytes < MAX_BLOB_BYTES
            if step.kernel is kernel and small and form not in hit and step.macs > 1000:
                hit.add(form)
                yield f"{case.name}_{kernel.name}_{len(hit)}", packed


def without_tables(board: Board, folder: Path) -> Iterator[tuple[str, Plan]]:
    """A small model for each kernel that computes what others look up."""
    for op, kernel in (("ADD", "add"), ("SOFTMAX", "softmax_exp")):
        with taking(f"generic/{kernel}"):
            yield (
                kernel,
                plan(next(iter(cases.OPS[op](SEED))).model, board, folder, Options(kernels="generic")),
            )


def of_our_own(board: Board) -> Iterator[tuple[str, Plan]]:
    """Small layers that no file of another's holds: binary, and with weights in planes."""
    hit: set[tuple[int, int]] = set()
    graphs = [(c.name, c.graph) for c in binary(SEED)] + [(c.name, g) for c, g in planes(SEED)]
    for name, graph in graphs:
        packed = make_plan(graph, board, Options(kernels="generic"))
        [step] = packed.steps
        form = step.kernel.id, step.scratch_bytes > 0
        small = len(packed.constants) < MAX_BLOB_BYTES and packed.arena_bytes < MAX_BLOB_BYTES
        if small and form not in hit and step.macs > 1000:
            hit.add(form)
            yield f"{name}_{step.kernel.name}", packed


def plan(model: bytes, board: Board, folder: Path, options: Options) -> Plan:
    path = folder / "model.tflite"
    path.write_bytes(model)
    return make_plan(load_model(path), board, options)


def of_every_op(board: Board, kernels: str, folder: Path) -> Iterator[tuple[str, Plan]]:
    """Per operator up to three small models, spread over its grid, and the first of each further kernel."""
    hit: set[int] = set()
    for op, grid in cases.OPS.items():
        taken = 0
        for i, case in enumerate(grid(SEED)):
            spread = i % 5 == 1 and taken < 3
            if not spread and op not in SEVERAL_KERNELS:
                continue
            for way in range(DSP_WAYS if kernels == "dsp" else 1):
                with preferring(way):
                    packed = plan(case.model, board, folder, Options(kernels=kernels))
                used = {step.kernel.id for step in packed.steps}
                small = len(packed.constants) < MAX_BLOB_BYTES and packed.arena_bytes < MAX_BLOB_BYTES
                if small and ((spread and way == 0) or not used <= hit):
                    yield f"{case.name}_{way}", packed
                    hit |= used
                    taken += spread and way == 0
        assert taken, f"{op} has no small case"


def of_int16(board: Board, kernels: str, folder: Path) -> Iterator[tuple[str, Plan]]:
    """A small model of each operator on int16, and a dynamic layer."""
    for grid in int16.OPS.values():
        for case in grid(SEED):
            packed = plan(case.model, board, folder, Options(kernels=kernels))
            if len(packed.constants) < MAX_BLOB_BYTES and packed.arena_bytes < MAX_BLOB_BYTES:
                yield f"{case.name}_int16", packed
                break
    graph, _ = next(layers(SEED))
    yield graph.name, make_plan(graph, board, Options(kernels=kernels))


# Set -> kernels that store weights smaller, and small layers of which each serves one.
STORED_SMALLER = {
    "dsp": (dsp.COMPRESSED_KERNELS, compressed_layers.small_cases),
    "mve": (mve_compressed.KERNELS, small_layers),
}


def of_compressed_weights(board: Board, kernels: str, folder: Path) -> Iterator[tuple[str, Plan]]:
    """One for each kernel of the set that stores weights smaller."""
    stored_smaller, cases_of = STORED_SMALLER[kernels]
    small = list(cases_of(SEED))
    for kernel in stored_smaller:
        with taking(f"{kernels}/{kernel.name}"):
            plans = (plan(case.model, board, folder, Options(kernels=kernels)) for case in small)
            yield kernel.name, next(p for p in plans if p.steps[0].kernel is kernel)


def all_seeds(board: Board, kernels: str, folder: Path, shared: Path | None) -> dict[str, Plan]:
    """Every operator alone, whole nets with inputs in each place, and real models where `shared` has them."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = dict(of_every_op(board, kernels, folder)) | dict(of_int16(board, kernels, folder))
    if kernels == "generic":
        seeds |= of_every_storage(board, folder)
        seeds |= without_tables(board, folder)
        seeds |= of_our_own(board)
    if kernels in STORED_SMALLER:
        seeds |= of_compressed_weights(board, kernels, folder)
    if kernels == "mve":
        seeds["signed"] = plan(signed_net(), board, folder, Options(kernels))
    for n, options in enumerate(
        (Options(kernels), Options(kernels, True), Options(kernels, False, ("input",)))
    ):
        net = keyword_net(n, activation=(RELU, NONE, RELU)[n])
        seeds[f"keyword{n}"] = plan(net, board, folder, options)
    seeds["keyword_int16"] = plan(keyword_net(new=int16.S16), board, folder, Options(kernels))
    seeds["family"] = make_plan(family(("medium", "small")), board, Options(kernels))
    seeds["widths"] = make_plan(slim_family((1.0, 0.5), SMALL), board, Options(kernels))
    seeds["exits"] = make_plan(exits_net(), board, Options(kernels))
    seeds |= of_front_ends(board, kernels)
    seeds["streaming"] = plan(streaming_net(), board, folder, Options(kernels))
    for name in SHARED if shared is not None else ():
        assert shared is not None
        if (shared / name).is_file():
            seeds[Path(name).stem] = make_plan(load_model(shared / name), board, Options(kernels))
    return seeds


def kernels_of(plans: dict[str, Plan]) -> list[Kernel]:
    steps = [step for plan in plans.values() for p in plan.every for step in p.steps]
    return list({step.kernel.id: step.kernel for step in steps}.values())


def write_seeds(plans: dict[str, Plan], folder: Path) -> list[Path]:
    """The blobs, one a file, as if certified."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, packed in plans.items():
        paths.append(folder / f"{name}.ofr")
        first, *members = map(certified, packed.every)
        paths[-1].write_bytes(write(dataclasses.replace(first, members=tuple(members))))
    return paths


def certified(packed: Plan) -> Plan:
    bounds = tuple(Bound(1000 + i, 1) for i in range(len(packed.steps)))
    certificate = Certificate(bounds, Bound(9000, 1), 100, 200, "a compiler", "0" * 64)
    return dataclasses.replace(packed, certificate=certificate)
