"""Grid of small streaming models: a ring of past frames in a variable that an init subgraph clears."""

from __future__ import annotations

import itertools

import numpy as np

from .case import Case, Cases, Grid, constant, dims, like
from .tflite_writer import Operator, Subgraph, Tensor, write

ROWS = 6


def variables(seed: int) -> Cases:
    """Each inference reads `keep` frames, appends the new ones and stores the last `keep` again."""
    grid = Grid("VARIABLES", seed)
    for (new, keep), frame, count in itertools.product(
        ((1, 1), (1, 4), (3, 2), (2, 5), (3, 8)), ((1, 3), (1, 13), (5, 1), (1, 1), (4, 2)), (1, 2)
    ):
        yield ring(grid, new, keep, frame, count)


def ring(grid: Grid, new: int, keep: int, frame: tuple[int, ...], count: int) -> Case:
    """`count` rings in a row, each fed the frames that the one before has just let go or kept."""
    source = grid.tensor("input", (1, new, *frame))
    tensors, operators, init_tensors, init_operators = (
        [source],
        [Operator("CALL_ONCE", [], [], "CallOnceOptions", {"InitSubgraphIndex": 1})],
        [],
        [],
    )
    fed = source.name
    rank = 2 + len(frame)
    for n in range(count):
        handle = Tensor(f"handle{n}", (), "resource")
        old, both, last = (
            like(source, f"{part}{n}", (1, length, *frame))
            for part, length in (("old", keep), ("both", keep + new), ("last", keep))
        )
        slices = [
            constant(f"{part}{n}", values)
            for part, values in (
                ("begin", [0, new, *([0] * (rank - 2))]),
                ("end", [0] * rank),
                ("strides", [1] * rank),
            )
        ]
        all_axes = (1 << rank) - 1
        tensors += [handle, old, both, last, *slices]
        shared = (
            "VAR_HANDLE",
            [],
            [handle.name],
            "VarHandleOptions",
            {"Container": "", "SharedName": f"ring{n}"},
        )
        operators += [
            Operator(*shared),
            Operator("READ_VARIABLE", [handle.name], [old.name], "ReadVariableOptions"),
            Operator("CONCATENATION", [old.name, fed], [both.name], "ConcatenationOptions", {"Axis": 1}),
            Operator(
                "STRIDED_SLICE",
                [both.name, *(t.name for t in slices)],
                [last.name],
                "StridedSliceOptions",
                {"BeginMask": all_axes & ~2, "EndMask": all_axes},
            ),
            Operator("ASSIGN_VARIABLE", [handle.name, last.name], [], "AssignVariableOptions"),
        ]
        start = np.full(last.shape, source.zero_point, np.int8) if n == 0 else grid.ints(last.shape)
        init_tensors += [
            handle,
            Tensor(f"start{n}", last.shape, "int8", source.scale, source.zero_point, data=start),
        ]
        init_operators += [
            Operator(*shared),
            Operator("ASSIGN_VARIABLE", [handle.name, f"start{n}"], [], "AssignVariableOptions"),
        ]
        if n + 1 < count:
            head = like(source, f"head{n}", (1, new, *frame))
            first = [
                constant(f"first_{part}{n}", values)
                for part, values in (
                    ("begin", [0] * rank),
                    ("end", [0, new, *([0] * (rank - 2))]),
                    ("strides", [1] * rank),
                )
            ]
            tensors += [head, *first]
            operators.append(
                Operator(
                    "STRIDED_SLICE",
                    [both.name, *(t.name for t in first)],
                    [head.name],
                    "StridedSliceOptions",
                    {"BeginMask": all_axes, "EndMask": all_axes & ~2},
                )
            )
            fed = head.name
    model = write(
        Subgraph(tensors, operators, [source.name], [both.name]),
        Subgraph(init_tensors, init_operators, [], [], "init"),
    )
    return grid.finish(
        f"new{new}_keep{keep}_{dims(frame)}_n{count}", model, [[grid.data(source)] for _ in range(ROWS)]
    )
