"""The ways through a program's machine code: what follows each instruction, and where parted ways meet again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from offramp.boards import Core
from offramp_host.disassembly import objdump
from offramp_host.effects import Effect, Line, effects

# objdump prints data among code too, as directives or as bytes and their text.
_FUNCTION = re.compile(r"^([0-9a-f]+) <(.*)>:$")
_LINE = re.compile(r"^ *([0-9a-f]+):\t(.*)$")
_INSTRUCTION = re.compile(r"([a-z][a-z0-9]*(?:\.[a-z0-9]+)*) *(?:\t([^@;<#]*(?:#-?\d[^@;<#]*)*))?")
_TARGET = re.compile(r"(?:^|,\s*)([0-9a-f]+) <")
_NAMED = re.compile(r"# ([0-9a-f]+) <")
_EXIT = 0


@dataclass(frozen=True)
class Parting:
    """The ways from a branch to the instruction where all of them meet again."""

    meet: int
    """0 where they do not meet in the function, or what lies on them has no bound: `why` says what that is."""
    why: str
    longest: int
    shortest: int
    """Instructions after the branch and before the meeting."""
    written: int
    """Registers that any of them may write."""


class Unbounded(Exception):
    """What on the ways from a branch has no bound."""


@dataclass(frozen=True)
class Function:
    name: str
    start: int
    lines: Mapping[int, Line]
    effects: Mapping[int, Effect]

    @cached_property
    def successors(self) -> dict[int, tuple[int, ...]]:
        """Of each instruction, inside the function; _EXIT stands for leaving it."""
        return {pc: tuple(dict.fromkeys(self._successors(pc))) for pc in self.lines}

    def _successors(self, pc: int) -> Iterable[int]:
        line, effect = self.lines[pc], self.effects[pc]
        if effect.kind not in ("jump", "return", "table") or effect.conditional:
            after = pc + line.size
            yield after if after in self.lines else _EXIT
        if effect.kind in ("branch", "jump"):
            yield line.target if line.target in self.lines else _EXIT  # type: ignore[misc]
        if effect.kind in ("return", "table"):
            yield _EXIT

    @cached_property
    def _passed(self) -> dict[int, int]:
        """For each instruction, a bit for each one that all ways from it to an exit pass, itself included."""
        bit = {pc: 1 << i for i, pc in enumerate([_EXIT, *self.lines])}
        everything = (1 << len(bit)) - 1
        found = dict.fromkeys(self.lines, everything) | {_EXIT: 1}
        changed = True
        while changed:
            changed = False
            for pc in reversed(list(self.lines)):
                common = everything
                for after in self.successors[pc]:
                    common &= found[after]
                if found[pc] != common | bit[pc]:
                    found[pc] = common | bit[pc]
                    changed = True
        return found

    def parting(self, branch: int) -> Parting:
        order = [_EXIT, *self.lines]
        passed = self._passed[branch] & ~(1 << order.index(branch))
        meetings = [pc for i, pc in enumerate(order) if passed >> i & 1]
        meet = max(meetings, key=lambda pc: self._passed[pc].bit_count(), default=_EXIT)
        try:
            return self._between(branch, meet)
        except Unbounded as error:
            return Parting(0, str(error), 0, 0, 0)

    def _between(self, branch: int, meet: int) -> Parting:
        if meet == _EXIT:
            raise Unbounded("ways that do not meet in the function")
        lengths: dict[int, tuple[int, int] | None] = {meet: (0, 0)}
        written = 0

        def length(pc: int) -> tuple[int, int]:
            """Of the shortest and the longest way from `pc` to the meeting."""
            nonlocal written
            if pc in lengths:
                if (known := lengths[pc]) is None:
                    raise Unbounded("a loop")
                return known
            effect = self.effects[pc]
            if effect.kind in ("call", "return", "table"):
                raise Unbounded(f"a {effect.kind}")
            if effect.memory == "store":
                raise Unbounded("a store")
            lengths[pc] = None
            written |= effect.writes | effect.changes | effect.moves
            ways = [length(after) for after in self.successors[pc]]
            lengths[pc] = found = 1 + min(way[0] for way in ways), 1 + max(way[1] for way in ways)
            return found

        lengths[branch] = None
        ways = [length(after) for after in self.successors[branch]]
        return Parting(meet, "", max(way[1] for way in ways), min(way[0] for way in ways), written)


@dataclass(frozen=True)
class Program:
    functions: tuple[Function, ...]

    @cached_property
    def _holders(self) -> dict[int, Function]:
        return {pc: f for f in self.functions for pc in f.lines}

    def holds(self, pc: int) -> bool:
        return pc in self._holders

    def function(self, pc: int) -> Function:
        """The function that holds the instruction at an address."""
        return self._holders[pc]


def program(elf: Path, core: Core) -> Program:
    """All functions of an image."""
    return Program(tuple(functions(objdump(elf, core), core.toolchain)))


def functions(text: str, isa: str) -> Iterator[Function]:
    """Those of a disassembly; `isa` is arm or riscv."""
    name, start = "", 0
    texts: list[tuple[int, str]] = []
    for line in [*text.splitlines(), f"{0:08x} <>:"]:
        if match := _FUNCTION.match(line):
            end = int(match[1], 16)
            lines = _lines(texts, end)
            if lines and lines[0].pc == start:  # else it is data
                yield _function(name, start, lines, isa)
            name, start, texts = match[2], end, []
        elif match := _LINE.match(line):
            texts.append((int(match[1], 16), match[2]))


def _lines(texts: list[tuple[int, str]], end: int) -> list[Line]:
    found = []
    ends = [*(pc for pc, _ in texts[1:]), end]
    for (pc, text), after in zip(texts, ends, strict=False):
        if match := _INSTRUCTION.match(text):
            target, named = _TARGET.search(text.partition("\t")[2]), _NAMED.search(text)
            found.append(
                Line(
                    pc,
                    after - pc,
                    match[1],
                    (match[2] or "").strip(),
                    int(target[1], 16) if target else None,
                    int(named[1], 16) if named else None,
                )
            )
    return found


def _function(name: str, start: int, lines: list[Line], isa: str) -> Function:
    return Function(
        name,
        start,
        {line.pc: line for line in lines},
        {line.pc: effect for line, effect in zip(lines, effects(lines, isa), strict=True)},
    )
