"""Grids of the ops that move, pick, pad, average or resample values along axes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from .case import Cases, Grid, NewGrid, constant, dims, like
from .tflite_writer import Tensor

SHAPES = ((13,), (1, 17), (3, 5), (1, 3, 7), (1, 5, 7, 3), (1, 8, 8, 4), (2, 1, 5, 9), (1, 13, 1, 5))
IMAGES = ((1, 1, 1, 3), (1, 3, 3, 1), (1, 5, 7, 3), (1, 2, 9, 4), (1, 8, 8, 5), (1, 1, 13, 2))


def pad(op: str, new: NewGrid = Grid) -> Callable[[int], Cases]:
    """PAD fills with the zero point, PADV2 with a constant given by its third input."""

    def cases(seed: int) -> Cases:
        grid = new(op, seed)
        for shape, kind in itertools.product(
            SHAPES, ("none", "small", "before", "after", "inner", "last", "wide")
        ):
            source = grid.tensor("input", shape)
            amounts = paddings(grid, len(shape), kind)
            inputs = [source, constant("paddings", amounts)]
            if op == "PADV2":
                inputs.append(
                    Tensor("value", (), source.dtype, source.scale, source.zero_point, data=grid.ints(()))
                )
            out = [n + int(a.sum()) for n, a in zip(shape, amounts, strict=True)]
            yield grid.case(
                f"{dims(shape)}_{kind}",
                inputs,
                [like(source, "output", out)],
                "PadOptions" if op == "PAD" else "PadV2Options",
            )

    return cases


def paddings(grid: Grid, rank: int, kind: str) -> np.ndarray:
    amounts = grid.rng.integers(0, {"none": 1, "wide": 6}.get(kind, 3), (rank, 2))
    if kind == "before":
        amounts[:, 1] = 0
    elif kind == "after":
        amounts[:, 0] = 0
    elif kind == "inner":  # rows and columns of an image alone, the usual case
        amounts[[0, -1]] = 0
        amounts[1:-1] += 1
    elif kind == "last":
        amounts[:-1] = 0
        amounts[-1] += 1
    if rank == 4:
        amounts[0] = 0
    return amounts


def mean(seed: int, new: NewGrid = Grid) -> Cases:
    grid = new("MEAN", seed)
    grids = (
        ((1, 5, 7, 3), ((1, 2), (2, 1), (1,), (2,), (3,), (-1,), (1, 2, 3), (0, 1, 2, 3), (-3, -2))),
        ((1, 8, 8, 16), ((1, 2), (3,), (1, 3))),
        ((1, 25, 5, 13), ((1, 2), (2, 3))),
        ((1, 1, 1, 7), ((1, 2),)),
        ((1, 3, 7), ((1,), (2,), (-1,), (1, 2))),
        ((1, 17), ((1,), (0,))),
        ((13,), ((0,),)),
    )
    for shape, axes, keep, same in (
        (s, a, k, q) for s, sets in grids for a in sets for k in (True, False) for q in (True, False)
    ):
        source = grid.tensor("input", shape)
        kept = {a % len(shape) for a in axes}
        out = [1 if i in kept else n for i, n in enumerate(shape) if keep or i not in kept]
        scale = float(np.float32(source.scale * 2.0 ** grid.rng.uniform(-4, 1)))
        output = like(source, "output", out) if same else grid.tensor("output", out, scale=scale)
        yield grid.case(
            f"{dims(shape)}_axes{'_'.join(map(str, axes))}{'_keep' if keep else ''}{'_same' if same else ''}",
            [source, constant("axes", axes)],
            [output],
            "ReducerOptions",
            KeepDims=keep,
        )


def reshape(seed: int, new: NewGrid = Grid) -> Cases:
    grid = new("RESHAPE", seed)
    targets = ((60,), (1, 60), (1, -1), (1, 5, 12), (1, 3, 4, 5), (1, -1, 5), (1, 1, 60), (1, 2, 30), (5, 12))
    for shape, target in itertools.product(
        ((1, 60), (1, 3, 4, 5), (1, 1, 1, 60), (60,), (1, 12, 5), (3, 20)), targets
    ):
        source = grid.tensor("input", shape)
        out = [60 // -int(np.prod(target)) if n == -1 else n for n in target]
        # The new shape stands in a second input, in the options, or in both.
        by_input, by_options = ((True, True), (True, False), (False, True))[grid.count % 3]
        yield grid.case(
            f"{dims(shape)}_to_{dims(target)}",
            [source] + [constant("shape", target)] * by_input,
            [like(source, "output", out)],
            "ReshapeOptions",
            **({"NewShape": list(target)} if by_options else {}),
        )


def squeeze(seed: int, new: NewGrid = Grid) -> Cases:
    grid = new("SQUEEZE", seed)
    for shape in (
        (1, 1, 13),
        (1, 5, 1),
        (1, 1, 1, 7),
        (1, 5, 1, 3),
        (1, 13, 1, 1),
        (1, 1, 5, 1),
        (1, 1, 1, 1),
        (5, 1, 1, 7),
        (1, 17),
    ):
        ones = [i for i, n in enumerate(shape) if n == 1]
        sets = [[]] + [list(c) for r in range(1, len(ones) + 1) for c in itertools.combinations(ones, r)]
        for axes, sign in itertools.product(sets, (1, -1)):
            source = grid.tensor("input", shape)
            out = [n for i, n in enumerate(shape) if i not in (axes or ones)]
            listed = axes if sign > 0 else [a - len(shape) for a in axes]
            yield grid.case(
                f"{dims(shape)}_axes{'_'.join(map(str, listed))}",
                [source],
                [like(source, "output", out)],
                "SqueezeOptions",
                SqueezeDims=listed,
            )


def concatenation(seed: int, new: NewGrid = Grid) -> Cases:
    """A fused activation and inputs of other quantization than the output's are refused."""
    grid = new("CONCATENATION", seed)
    for shape, count in itertools.product(SHAPES, (2, 3, 4)):
        for axis in range(-1, len(shape)):
            if len(shape) == 4 and axis == 0:
                continue
            first = grid.tensor("input0", shape)
            lengths = [grid.pick((1, 2, 3, 5)) for _ in range(count)]
            parts = [
                like(first, f"input{i}", [n if d == axis % len(shape) else m for d, m in enumerate(shape)])
                for i, n in enumerate(lengths)
            ]
            if grid.count % 3 == 1:
                last = parts[-1]
                parts[-1] = Tensor(
                    last.name, last.shape, last.dtype, last.scale, last.zero_point, data=grid.data(last)
                )
            out = [sum(lengths) if d == axis % len(shape) else m for d, m in enumerate(shape)]
            yield grid.case(
                f"{dims(shape)}_n{count}_axis{axis}",
                parts,
                [like(first, "output", out)],
                "ConcatenationOptions",
                Axis=axis,
            )


def transpose(seed: int, new: NewGrid = Grid) -> Cases:
    """Rank 6 and negative axes are refused."""
    grid = new("TRANSPOSE", seed)
    shapes = ((13,), (3, 5), (1, 17), (1, 3, 7), (2, 3, 5), (1, 5, 7, 3), (2, 3, 4, 5))
    pairs = [(s, p) for s in shapes for p in itertools.permutations(range(len(s)))]
    five = list(itertools.permutations(range(5)))
    pairs += [((1, 2, 3, 5, 4), five[i]) for i in range(0, 120, 13)]
    for shape, order in pairs:
        source = grid.tensor("input", shape)
        yield grid.case(
            f"{dims(shape)}_{''.join(map(str, order))}",
            [source, constant("order", order)],
            [like(source, "output", [shape[i] for i in order])],
            "TransposeOptions",
        )


def strided_slice(seed: int, new: NewGrid = Grid) -> Cases:
    """Ellipsis and new-axis masks, fewer indices than axes and rank 5 are refused."""
    grid = new("STRIDED_SLICE", seed)
    for shape, kind in itertools.product(
        SHAPES, ("plain", "begin", "end", "both", "shrink", "stride", "negative", "reverse", "beyond")
    ):
        rank, rng = len(shape), grid.rng
        begin = np.array([rng.integers(0, n) for n in shape])
        end = np.array([rng.integers(b + 1, n + 1) for b, n in zip(begin, shape, strict=True)])
        stride = np.ones(rank, int)
        masks = {"Begin": 0, "End": 0, "Shrink": 0}
        if kind in ("begin", "both"):
            masks["Begin"] = int(rng.integers(1, 1 << rank))
        if kind in ("end", "both"):
            masks["End"] = int(rng.integers(1, 1 << rank))
        if kind == "shrink":
            masks["Shrink"] = int(rng.integers(1, 1 << rank))
        if kind in ("stride", "both"):
            stride = rng.integers(1, 4, rank)
        if kind == "negative":
            begin, end = begin - shape, np.where(end < shape, end - shape, end)
        if kind == "reverse":
            begin, end, stride = np.array(shape) - 1, np.full(rank, -100), -rng.integers(1, 3, rank)
        if kind == "beyond":
            begin, end = begin - 50, end + 50
        picked = tuple(
            int(b)
            if masks["Shrink"] >> i & 1
            else slice(
                None if masks["Begin"] >> i & 1 else int(b), None if masks["End"] >> i & 1 else int(e), int(s)
            )
            for i, (b, e, s) in enumerate(zip(begin, end, stride, strict=True))
        )
        out = np.zeros(shape)[picked].shape
        source = grid.tensor("input", shape)
        yield grid.case(
            f"{dims(shape)}_{kind}",
            [source, constant("begin", begin), constant("end", end), constant("strides", stride)],
            [like(source, "output", out)],
            "StridedSliceOptions",
            BeginMask=masks["Begin"],
            EndMask=masks["End"],
            ShrinkAxisMask=masks["Shrink"],
        )


def resize(op: str, options: str) -> Callable[[int], Cases]:
    def cases(seed: int) -> Cases:
        grid = Grid(op, seed)
        modes = (
            (False, False),
            (True, False),
            (False, True),
        )  # align_corners and half_pixel_centers exclude each other
        for shape, size, (align, half) in itertools.product(
            IMAGES, ((1, 1), (2, 3), (7, 5), (13, 16), (10, 14)), modes
        ):
            source = grid.tensor("input", shape)
            yield grid.case(
                f"{dims(shape)}_to_{dims(size)}{'_align' if align else ''}{'_half' if half else ''}",
                [source, constant("size", size)],
                [like(source, "output", (1, *size, shape[3]))],
                options,
                AlignCorners=align,
                HalfPixelCenters=half,
            )

    return cases


def split(seed: int, new: NewGrid = Grid) -> Cases:
    grid = new("SPLIT", seed)
    for shape, count in itertools.product(
        ((12,), (1, 12), (1, 3, 12), (1, 4, 6, 12), (1, 12, 5, 3), (2, 6, 1, 4)), (1, 2, 3, 4, 6)
    ):
        for axis in range(-len(shape), len(shape)):
            if shape[axis] % count or (count == 1 and axis < 0):
                continue
            source = grid.tensor("input", shape)
            out = [n // count if i == axis % len(shape) else n for i, n in enumerate(shape)]
            yield grid.case(
                f"{dims(shape)}_n{count}_axis{axis}",
                [constant("axis", axis), source],
                [like(source, f"output{i}", out) for i in range(count)],
                "SplitOptions",
                NumSplits=count,
            )


def split_v(seed: int, new: NewGrid = Grid) -> Cases:
    grid = new("SPLIT_V", seed)
    for shape in ((13,), (1, 13), (1, 3, 13), (1, 4, 6, 13), (1, 13, 5, 3), (2, 9, 1, 7)):
        for axis, count in itertools.product(range(-len(shape), len(shape)), (2, 3, 4)):
            if shape[axis] < count:
                continue
            cuts = np.sort(grid.rng.choice(np.arange(1, shape[axis]), count - 1, replace=False))
            sizes = np.diff([0, *cuts, shape[axis]])
            source = grid.tensor("input", shape)
            outputs = [
                like(
                    source,
                    f"output{j}",
                    [int(n) if i == axis % len(shape) else m for i, m in enumerate(shape)],
                )
                for j, n in enumerate(sizes)
            ]
            yield grid.case(
                f"{dims(shape)}_axis{axis}_{'_'.join(map(str, sizes))}",
                [source, constant("sizes", sizes), constant("axis", axis)],
                outputs,
                "SplitVOptions",
                NumSplits=count,
            )
