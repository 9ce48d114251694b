"""Bounds the stack of an image from its machine code: each function's frame, along every way that calls can take.

Calls through pointers go where the image shows that they can: a step's to the kernels that are linked, samples to the
front ends, a request's to its table, any other to the functions whose addresses something else takes. Recursion,
frames of variable size and what else has no bound are refused. A fault ends the program from an empty stack and is
not counted.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from offramp.boards import Board
from offramp_host.effects import Line
from offramp_host.flow import Function, Program

_ENTRY = {"arm": "start_in_c", "riscv": "rv32_start"}
_SP = {"arm": 1 << 13, "riscv": 1 << 2}
_NEVER_CALLED = ("image_entry", "trap", "start", "fault")
_LINK = {"arm": 1 << 14, "riscv": 1 << 1}
# libgcc's switch on cores without a table branch goes on behind the call, at an address from a table there.
_SWITCH = "__gnu_thumb1_case_"
_ADD = re.compile(r"(?:sp, ?)+#?(-?\d+)")
_AUTO = re.compile(r"\[sp, #(-\d+)\]!|\[sp\], #(\d+)")
_KERNELS, _FEATURES, _REQUESTS, _VECTORS = "ofr_kernel_", "ofr_feature_", "requests", "vectors"
_CHECK, _RUN = 3, 4  # words of ofr_kernel, see firmware/src/kernel.h
_FEATURE_CHECK, _FEED = 1, 2  # words of ofr_feature_kind, see firmware/features/feature.h
_INTERRUPT_WORDS = {
    False: 8 + 1,
    True: 26 + 1,
}  # what the core pushes, without and with an FPU, and to align it


class Unbounded(Exception):
    """Why the code shows no bound."""


@dataclass(frozen=True)
class _Pointers:
    """Functions by where their addresses stand."""

    checks: tuple[Function, ...]
    runs: tuple[Function, ...]
    feeds: tuple[Function, ...]
    requests: tuple[Function, ...]
    handlers: tuple[Function, ...]
    others: tuple[Function, ...]

    def callees(self, caller: str) -> tuple[Function, ...]:
        """What a call through a pointer in a function can reach."""
        match caller:
            case "ofr_step":
                return self.runs
            case "ofr_load":
                return self.checks
            case "ofr_features_feed":
                return self.feeds
            case "request_answer":
                return self.requests
        return self.others


def stack_bytes(board: Board, elf: Path, program: Program) -> int:
    """The most that an image and one interrupt on top of it take."""
    isa = board.core.toolchain
    pointers = _pointers(elf, program)
    depths = _Depths(program, pointers, isa)
    [entry] = [f for f in program.functions if f.name == _ENTRY[isa]]
    handlers = [depths.of(f.start) for f in pointers.handlers if f.name not in ("start", "fault")]
    interrupt = max(handlers) + 4 * _INTERRUPT_WORDS["fpu" in board.core.features] if handlers else 0
    return depths.of(entry.start) + interrupt


class _Depths:
    """Bytes that a call takes from the stack, all that is called in turn included."""

    def __init__(self, program: Program, pointers: _Pointers, isa: str) -> None:
        self.program, self.pointers, self.isa = program, pointers, isa
        self.known: dict[int, int] = {}
        self.open: list[Function] = []

    def of(self, pc: int) -> int:
        if pc not in self.known:
            function = self.program.function(pc)
            if function in self.open:
                ring = [f.name for f in self.open[self.open.index(function) :]]
                raise Unbounded(f"{function.name} calls itself: {' -> '.join(ring)}")
            self.open.append(function)
            self.known[pc] = self._walk(function, pc)
            self.open.pop()
        return self.known[pc]

    def _walk(self, function: Function, entry: int) -> int:
        """Follows all ways from `entry`. A switch goes on wherever nothing else does."""
        depth_at: dict[int, int] = {}
        waiting, switches, deepest = [(entry, 0)], set(), 0
        while waiting:
            pc, depth = waiting.pop()
            if depth_at.setdefault(pc, depth) != depth:
                raise Unbounded(f"{function.name} has frames of two sizes at {pc:#x}")
            kept = self._kept_frame(function, pc)
            after = depth + self._pushed(function, pc) if kept is None else depth_at[kept]
            called = [depth + self.of(callee) for callee in self._callees(function, pc, after)]
            deepest = max(deepest, after, *called)
            if self._is_switch(function, pc, after):
                switches.add(after)
            behind = depth if function.effects[pc].kind == "return" else after  # one that did not happen
            waiting += [(way, behind) for way in function.successors[pc] if way]
            waiting = [(way, at) for way, at in waiting if depth_at.get(way) != at]
            rest = [pc for pc in function.lines if pc not in depth_at]
            if not waiting and switches and rest:
                if len(switches) > 1:
                    raise Unbounded(f"{function.name} has switches in frames of {switches} bytes")
                waiting = [(rest[0], max(switches))]
        return deepest

    def _kept_frame(self, function: Function, pc: int) -> int | None:
        """Where the stack pointer was put into the register that it is set from; None if it is not."""
        found = re.fullmatch(r"sp, (\w+)", function.lines[pc].operands)
        if function.lines[pc].mnemonic != "mov" or found is None:
            return None
        copy = re.compile(rf"{found[1]}, sp(, #0)?")
        makers = [
            at
            for at, line in function.lines.items()
            if line.operands.startswith(f"{found[1]},") and not function.effects[at].memory
        ]
        if len(makers) == 1 and copy.fullmatch(function.lines[makers[0]].operands):
            return makers[0]
        raise Unbounded(f"{function.name} moves its stack by a variable")

    def _pushed(self, function: Function, pc: int) -> int:
        """Bytes by which an instruction moves the stack pointer down."""
        line, effect = function.lines[pc], function.effects[pc]
        sp = _SP[self.isa]
        name = line.mnemonic.removeprefix("c.").split(".")[0]
        if (
            effect.words
            and effect.address == sp
            and (name.endswith(("push", "pop")) or "sp!" in line.operands)
        ):
            return 4 * len(effect.words) * (1 if effect.memory == "store" else -1)
        if found := _AUTO.search(line.operands):
            return -int(found[1] or found[2])
        if not (effect.writes | effect.changes) & sp:
            return 0
        found = _ADD.fullmatch(line.operands)
        if found is None or effect.conditional or not name.startswith(("add", "sub")):
            raise Unbounded(f"{function.name} moves its stack by a variable: {line.mnemonic} {line.operands}")
        return int(found[1]) * (1 if name.startswith("sub") else -1)

    def _callees(self, function: Function, pc: int, depth: int) -> Iterator[int]:
        """Where calls and jumps out of the function go."""
        line, effect = function.lines[pc], function.effects[pc]
        if line.target is not None and effect.kind and line.target not in function.lines:
            yield line.target
        if effect.kind == "call" and line.target == function.start:
            yield line.target
        if (effect.kind == "call" and line.target is None) or (
            self._by_register(effect.kind, effect.decides) and depth == 0
        ):
            yield from (f.start for f in self.pointers.callees(function.name))
        after = pc + line.size
        if effect.kind in ("", "branch") and after not in function.lines and self.program.holds(after):
            yield after

    def _by_register(self, kind: str, decides: int) -> bool:
        """Whether it goes to an address in a register, other than back."""
        return kind == "return" and decides not in (0, _LINK[self.isa])

    def _is_switch(self, function: Function, pc: int, depth: int) -> bool:
        line, effect = function.lines[pc], function.effects[pc]
        if self._by_register(effect.kind, effect.decides) and not effect.conditional:
            return depth > 0
        if effect.kind == "call" and line.target is not None:
            return self.program.function(line.target).name.startswith(_SWITCH)
        return effect.kind == "table"


def _pointers(elf: Path, program: Program) -> _Pointers:
    with elf.open("rb") as file:
        parsed = ELFFile(file)
        isa_bit = 1 if parsed["e_machine"] == "EM_ARM" else 0
        words: dict[int, int] = {}
        for name in (".text", ".data"):
            if (section := parsed.get_section_by_name(name)) is not None and section[
                "sh_type"
            ] != "SHT_NOBITS":
                data, start = section.data(), int(section["sh_addr"])
                words |= {start + at: value for at, (value,) in enumerate_words(data)}
        symbols = parsed.get_section_by_name(".symtab").iter_symbols()
        objects = [
            (s.name, int(s["st_value"]), int(s["st_size"]))
            for s in symbols
            if s["st_info"]["type"] == "STT_OBJECT"
        ]
    by_word = {f.start | isa_bit: f for f in program.functions}
    found: dict[str, list[list[int]]] = {_KERNELS: [], _FEATURES: [], _REQUESTS: [], _VECTORS: []}
    for name, start, size in objects:
        for prefix, tables in found.items():
            if name.startswith(prefix):
                tables.append([words.pop(at) for at in range(start, start + size - 3, 4)])
    code = {
        at
        for f in program.functions
        for line in f.lines.values()
        for at in range(line.pc, line.pc + line.size)
    }
    others = {value for at, value in words.items() if at not in code}
    others |= {value for f in program.functions for value in _made(list(f.lines.values()))}
    others |= {table[_FEATURE_CHECK] for table in found[_FEATURES]}
    others -= {f.start | isa_bit for f in program.functions if f.name in _NEVER_CALLED}

    def functions(values: set[int]) -> tuple[Function, ...]:
        return tuple(f for word, f in by_word.items() if word in values)

    kernels = found[_KERNELS]
    return _Pointers(
        functions({table[_CHECK] for table in kernels}),
        functions({table[_RUN] for table in kernels}),
        functions({table[_FEED] for table in found[_FEATURES]}),
        functions({word for table in found[_REQUESTS] for word in table}),
        functions({word for table in found[_VECTORS] for word in table}),
        functions(others),
    )


def enumerate_words(data: bytes) -> Iterator[tuple[int, tuple[int]]]:
    whole = len(data) & ~3
    yield from zip(range(0, whole, 4), struct.iter_unpack("<I", data[:whole]), strict=True)


def _made(lines: list[Line]) -> Iterator[int]:
    """Addresses that instructions make, and by chance others: half words that are loaded, and what comments name."""
    halves: dict[str, set[int]] = {"movw": set(), "movt": {0}}
    for line in lines:
        if line.mnemonic in halves and (found := re.search(r"#(\d+)", line.operands)):
            halves[line.mnemonic].add(int(found[1]))
        if line.named is not None:
            yield line.named
    yield from (high << 16 | low for high in halves["movt"] for low in halves["movw"])
