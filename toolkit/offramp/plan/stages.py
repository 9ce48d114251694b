"""Cuts a plan at its exits: what runs before each, its head last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offramp.errors import UserError
from offramp.ir import Graph, Op
from offramp.ops.op import elements
from offramp.plan.certificate import Certificate

MOST = 0xFFFFFFFF  # of a number in the blob


@dataclass(frozen=True)
class PlannedExit:
    name: str
    answer: int  # indices into Plan.tensors
    estimate: int
    confidence: str
    threshold: int


@dataclass(frozen=True)
class Stage:
    """Steps up to an exit and its head, or behind the last exit up to the end."""

    first_step: int
    n_steps: int
    head_steps: int  # the last of n_steps; 0 in the last stage
    arena_bytes: int
    """What a run takes that goes no further."""
    instructions: int
    """Estimated, head included; 0: the core's cost table lacks a kernel."""
    head_instructions: int
    decision: int
    """The most instructions that are added to those of its steps: confidence, comparison, and what a policy does."""

    @property
    def end(self) -> int:
        return self.first_step + self.n_steps

    @property
    def head(self) -> int:
        """Its first step."""
        return self.end - self.head_steps

    def proved(self, certificate: Certificate | None) -> tuple[int, int]:
        """(all, head): the most instructions that steps and decision take, as the certificate has them; else 0."""
        if certificate is None:
            return 0, 0
        most = [bound.most for bound in certificate.steps]
        head = sum(most[self.head : self.end]) + self.decision if self.head_steps else 0
        return min(sum(most[self.first_step : self.head]) + head, MOST), min(head, MOST)


def groups(graph: Graph) -> list[int]:
    """Of each op 2 * stage, or 2 * stage + 1 in the head of the stage's exit. The last stage has no head."""
    producers = graph.producers()

    def needed(tensors: Sequence[int]) -> set[int]:
        found: set[int] = set()
        waiting = [producers[t] for t in tensors if t in producers]
        while waiting:
            op = waiting.pop()
            if op not in found:
                found.add(op)
                waiting += [producers[t] for t in graph.ops[op].inputs if t in producers]
        return found

    by_exit = [needed([graph.outputs[e.answer], graph.outputs[e.estimate]]) for e in graph.exits]
    further = [*by_exit[1:], needed(graph.own_outputs)]
    last = 2 * len(graph.exits)
    found = [last] * len(graph.ops)
    for exit_, ops in reversed(list(enumerate(by_exit))):
        behind = set().union(*further[exit_:])
        for op in ops:
            found[op] = 2 * exit_ + (op not in behind)
    return found


def by_stage(graph: Graph, order: Sequence[int]) -> list[int]:
    """The order of ops, stages one behind the other and in each its head last."""
    if not graph.exits:
        return list(order)
    group = groups(graph)
    return sorted(order, key=lambda i: group[i])


def cuts(graph: Graph, ops: Sequence[Op]) -> list[tuple[int, int]]:
    """Of each stage where its head begins and where it ends, in steps; `ops`: those behind the steps, in order."""
    if not graph.exits:
        return [(len(ops), len(ops))]
    at = {id(op): group for op, group in zip(graph.ops, groups(graph), strict=True)}
    of_steps = [at[id(op)] for op in ops]
    found = []
    begin = 0
    for i, exit_ in enumerate(graph.exits):
        head, end = (sum(g < n for g in of_steps) for n in (2 * i + 1, 2 * i + 2))
        if head in (begin, end):
            what = "behind the same layer as the one before it" if head == begin else "without a head"
            raise UserError(f"{graph.name}: exit {exit_.name} is {what}", "leave it out, or move it")
        found.append((head, end))
        begin = end
    return [*found, (len(ops), len(ops))]


def decision(graph: Graph, exit_: int) -> int:
    """More than what any core takes to see whether a run leaves, measured: tests/emulator/test_exits.py."""
    return 200 + 20 * elements(graph.tensors[graph.outputs[graph.exits[exit_].estimate]].shape)
