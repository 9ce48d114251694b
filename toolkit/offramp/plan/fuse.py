"""Steps that one kernel serves together, so that what lies between them takes no memory."""

from __future__ import annotations

from collections.abc import Sequence

from offramp.ir import Graph, Op
from offramp.ops import Step
from offramp.ops.conv_2d_pair_add import together


def fused(graph: Graph, steps: Sequence[tuple[Op, Step]]) -> list[tuple[Op, Step]]:
    """Of a convolution and the addition behind it, whose inputs and output are of one length, one step."""
    readers, done = graph.consumers(), list(steps[:1])
    for op, step in steps[1:]:
        before, conv = done[-1]
        made = conv.outputs[0]
        alone = len(readers.get(made, ())) == 1 and made not in graph.outputs
        same = len({graph.tensors[t].bytes for t in (made, *step.inputs, *step.outputs)}) == 1
        both = together(conv, step) if alone and same else None
        if both is None:
            done.append((op, step))
        else:
            done[-1] = before, both
    return done
