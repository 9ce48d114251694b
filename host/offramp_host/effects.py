"""What each machine instruction reads, writes and decides, for following data through a program.

Everything errs on the side of more: an instruction that is not known reads and changes all that it names.
Thumb-2 with DSP, FPU and MVE, and RV32IMC, as objdump prints them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["", "branch", "jump", "call", "return", "table"]
"""What it does to the flow: a branch may fall through, a call comes back, a return goes to an address in a register."""


@dataclass(frozen=True)
class Line:
    """An instruction as it is disassembled. `target` is the place in code that it goes to, `named` what it makes the
    address of, as far as objdump says so.
    """

    pc: int
    size: int
    mnemonic: str
    operands: str
    target: int | None = None
    named: int | None = None


@dataclass(frozen=True)
class Effect:
    """Masks of registers. What is read flows into what is written, or into the memory that is stored to."""

    reads: int = 0
    writes: int = 0
    """Replaced whole, whatever happens."""
    changes: int = 0
    """Perhaps replaced, or in part: what was in it remains."""
    moves: int = 0
    """Moved on by a constant: the base of an access that writes it back."""
    address: int = 0
    """Registers of a memory access's address, which is one of an instruction's only flows beside `reads`."""
    memory: Literal["", "load", "store"] = ""
    words: tuple[int, ...] = ()
    """Of a transfer of several registers: the masks of its words, ascending in memory."""
    guard: int = 0
    """What decides whether an access to memory happens."""
    decides: int = 0
    """What decides which instruction comes next."""
    kind: Kind = ""
    conditional: bool = False
    """Whether it may be passed over."""
    unknown: bool = False
    """It reads what is not followed: sticky flags."""


def effects(lines: Sequence[Line], isa: str) -> list[Effect]:
    """One for each of a function's instructions, in order; `isa` is arm or riscv."""
    return _of_arm(lines) if isa == "arm" else [_of_riscv(line) for line in lines]


# ---- Arm ----

_NAMES = {f"r{i}": i for i in range(16)} | {"sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}
LR, PC = 1 << 14, 1 << 15
_NZ, _CV, _GE, _VPR, _FPSCR = (1 << (16 + i) for i in range(5))
_FLAGS = _NZ | _CV
_D = 21  # bits 21 to 36 are d0 to d15
_SPECIAL = {"p0": _VPR, "vpr": _VPR, "fpscr": _FPSCR, "apsr_nzcv": _FLAGS}
_TOKEN = re.compile(r"\b[a-z]\w*", re.IGNORECASE)
_RANGE = re.compile(r"\b([rsdq])(\d+)\s*-\s*[rsdq](\d+)\b")
_CONDITIONS = {"eq": _NZ, "ne": _NZ, "mi": _NZ, "pl": _NZ, "cs": _CV, "cc": _CV, "hs": _CV, "lo": _CV}
_CONDITIONS |= (
    {"vs": _CV, "vc": _CV} | dict.fromkeys(("hi", "ls", "ge", "lt", "gt", "le"), _FLAGS) | {"al": 0}
)
_ANY = "|".join(_CONDITIONS)
_IT = re.compile(r"it([te]{0,3})")
_VPT = re.compile(r"vp(?:st|t)([te]{0,3})")
_OPPOSITE = {"eq": "ne", "cs": "cc", "mi": "pl", "vs": "vc", "hi": "ls", "ge": "lt", "gt": "le"}
_OPPOSITE |= {v: k for k, v in _OPPOSITE.items()}

_LOAD = re.compile(r"ldr(b|h|sb|sh|ex[bh]?)?|lda(b|h)?|vldr|vldr[bhwd]")
_STORE = re.compile(r"str(b|h)?|stl(b|h)?|vstr|vstr[bhwd]")
_PAIR = re.compile(r"(ldr|str)d")
_MULTIPLE = re.compile(r"(v?)(ldm|stm)(ia|db|fd)?|(v?)(push|pop)")
_ARITHMETIC = re.compile(r"(adc|add|rsb|sbc|sub|neg)s?|addw|subw")
_LOGIC = re.compile(r"(and|bic|eor|orr|orn|mvn|mov|lsl|lsr|asr|ror|rrx|mul)s?")
_COMPARE = re.compile(r"cmp|cmn|tst|teq")
_FIRST = re.compile(
    r"movw|adr|ml[as]|[su]div|[su]bfx|clz|rbit|rev|rev16|revsh|[su]sat(16)?|[su]xta?(b|h|b16)|pkh(bt|tb)|"
    r"sm(la|ul)([bt][bt]|w[bt])|sml[as]dx?|smu[as]dx?|smm(ul|la|ls)r?|usada?8|q(d?add|d?sub)|"
    r"(q|sh|uh|uq)(add|sub)(8|16)|(q|sh|uh|uq)(asx|sax)|csel|cinc|cinv|cneg|csinc|csinv|csneg|cset|csetm|sel"
)
_LANES = re.compile(r"[su](add|sub)(8|16)|[su](asx|sax)")  # these set GE
_LONG = re.compile(r"[su]mull")
_LONG_SUM = re.compile(r"[su]mlal([bt][bt]|dx?)?|smlsldx?|umaal|asrl|lsll|lsrl|[su]q?r?shll?|[su]q?r?shrl?")
_VECTOR_SUM = re.compile(
    r"v(mlad?avax?|mlsdava?x?|addva|mlas?|qr?dmlas?h|q?movu?n[bt]|q?r?shru?n[bt]|qmovun[bt]|sli|sri|fma|fms)"
)
_COPIES = re.compile(
    r"(mov|mvn|neg)s?|movw|adr|clz|rbit|rev|rev16|revsh|[su]xt(b|h|b16)|cset|csetm|"
    r"v(mov|mvn|dup|abs|neg|qabs|qneg|cls|clz|addv|movl[bt]|rev(16|32|64))"
)
_VECTOR_FIRST = re.compile(
    r"v(mov|mvn|dup|add|sub|mul|qadd|qsub|qr?dmulh|mulh|rmulh|q?r?shl|r?shr|max|min|abd|abs|neg|qabs|qneg|"
    r"and|orr|eor|bic|orn|r?hadd|hsub|cls|clz|rev(16|32|64)|mull[bt]|movl[bt]|addv|mlav|mladavx?)"
)
_NO_EFFECT = re.compile(r"nop|dsb|isb|dmb|cps(id|ie)|wfi|wfe|sev|bkpt|udf|lctp|vpst\w*|it[te]*|yield")


def _mask(text: str) -> int:
    """All registers that a text names."""
    found = 0
    for kind, first, last in _RANGE.findall(text):
        for n in range(int(first), int(last) + 1):
            found |= _register(f"{kind}{n}")
    for token in _TOKEN.findall(text):
        found |= _register(token)
    return found


def _register(name: str) -> int:
    name = name.lower()
    if name in _NAMES:
        return 1 << _NAMES[name]
    if name in _SPECIAL:
        return _SPECIAL[name]
    if re.fullmatch(r"[sdq]\d+", name):
        n = int(name[1:])
        if name[0] == "q":
            return 3 << (_D + 2 * n)
        return 1 << (_D + (n if name[0] == "d" else n // 2))
    return 0


def _items(operands: str) -> list[str]:
    """Operands as commas outside brackets and braces part them."""
    return [item.strip() for item in re.split(r",(?![^\[{]*[\]}])", operands)] if operands else []


def _of_arm(lines: Sequence[Line]) -> list[Effect]:
    tail_predicated = [(line.target, line.pc) for line in lines if line.mnemonic.startswith("letp")]
    found: list[Effect] = []
    conditions: list[str] = []  # of the instructions that an IT block has still to come
    predicated = 0  # and a VPT block
    condition, alone = "", Effect()  # of the last instruction, and what it does without the condition
    for line in lines:
        base, _, kind = line.mnemonic.removesuffix(".n").removesuffix(".w").partition(".")
        if block := _IT.fullmatch(base):
            first = line.operands.strip()
            conditions = [first, *(first if c == "t" else _OPPOSITE[first] for c in block[1])]
            found.append(Effect())
            condition = ""
            continue
        before, condition = condition, conditions.pop(0) if conditions else ""
        guard = _CONDITIONS.get(condition, 0)
        base = base.removesuffix(condition)
        if predicated:
            predicated -= 1
            guard |= _VPR
            base = base[:-1]
        other, effect = alone, _arm_instruction(base, kind, line)
        alone = effect
        if condition and _OPPOSITE.get(before) == condition:
            whole = _either_writes(other, effect)
            found[-1] = replace(found[-1], writes=whole, changes=found[-1].changes & ~whole)
        if guard:
            effect = _under(effect, guard)
        elif base.startswith("v") and any(
            t is not None and t <= line.pc <= end for t, end in tail_predicated
        ):
            effect = _under(effect, LR)
        if block := _VPT.fullmatch(base):
            predicated = 1 + len(block[1])
        found.append(effect)
    return found


def _either_writes(first: Effect, second: Effect) -> int:
    """What is replaced whichever of two instructions under opposite conditions happens: as soon as the first of them
    is reached, for the second does not read what was there."""
    if first.kind or second.kind or (first.writes | first.changes) & _FLAGS:
        return 0
    return first.writes & second.writes & ~(second.reads | second.address)


def _under(effect: Effect, guard: int) -> Effect:
    """The effect if a condition lets it happen."""
    decides = effect.decides | guard if effect.kind or effect.writes & PC else 0
    kind: Kind = "branch" if effect.kind == "jump" else effect.kind
    return replace(
        effect,
        reads=effect.reads | guard,
        writes=0,
        changes=effect.changes | effect.writes,
        guard=guard if effect.memory else 0,
        decides=decides,
        kind=kind,
        conditional=True,
    )


def _arm_instruction(base: str, kind: str, line: Line) -> Effect:
    items = _items(line.operands)
    if flow := _arm_flow(base, line, items):
        return flow
    if access := _arm_access(base, line.operands, items):
        written_back = "!" in line.operands or re.search(r"\], #", line.operands)
        return replace(access, moves=access.address if written_back or base.endswith(("push", "pop")) else 0)
    everything = _mask(line.operands)
    if _NO_EFFECT.fullmatch(base):
        return Effect()
    if _COMPARE.fullmatch(base):
        if base in ("tst", "teq"):
            return Effect(everything, writes=_NZ, changes=_CV)
        return Effect(everything, writes=_FLAGS)
    if base == "vmsr" and items[0] in ("p0", "vpr"):
        return Effect(_mask(items[1]), _VPR)
    if base == "vmrs" and items[1] in ("p0", "vpr"):
        return Effect(_VPR, _mask(items[0]))
    if base in ("mrs", "msr", "vmrs", "vmsr", "svc", "mcr", "mrc"):
        return Effect(everything, changes=everything, unknown=True)
    if base in ("vctp", "vcmp") or _VPT.fullmatch(base):
        return Effect(everything, **({"writes": _VPR} if base == "vctp" else {"changes": _VPR}))  # type: ignore[arg-type]
    if not items:
        return Effect(everything, changes=everything)
    first, rest = _mask(items[0]), _mask(",".join(items[1:]))
    own = 0 if len(items) > 2 or _COPIES.fullmatch(base) else first
    carry = _CV if "rrx" in line.mnemonic + line.operands or base.startswith(("adc", "sbc")) else 0
    if _ARITHMETIC.fullmatch(base) or _LOGIC.fullmatch(base):
        flags = base.endswith("s")
        if flags and not _ARITHMETIC.fullmatch(base):
            return Effect(rest | own | carry, first | _NZ, changes=_CV)
        return Effect(rest | own | carry, first | (_FLAGS if flags else 0))
    if _FIRST.fullmatch(base):
        of_flags = _FLAGS if base[0] == "c" and base != "clz" else _GE if base == "sel" else 0
        return Effect(rest | own | of_flags, first)
    if _LANES.fullmatch(base):
        return Effect(rest | own, first | _GE)
    if _LONG.fullmatch(base):
        return Effect(_mask(",".join(items[2:])), first | _mask(items[1]))
    if _LONG_SUM.fullmatch(base):
        return Effect(everything, changes=first | _mask(items[1]))
    if base in ("movt", "bfi", "bfc"):
        return Effect(everything, changes=first)
    if base in ("dls", "dlstp"):
        return Effect(rest, LR)
    if base == "vpsel":
        return Effect(rest | _VPR, first)
    if base in ("vidup", "vddup"):
        return Effect(rest, first, moves=_mask(items[1]))
    whole = "[" not in items[0] and ("q" in items[0] or (items[0] in _NAMES and items[1].startswith("q")))
    if whole and _VECTOR_FIRST.fullmatch(base):
        return Effect(rest | own, first)
    if base == "vmov":  # of lanes, or of two registers at once
        return Effect(everything, changes=_mask(",".join(items[: len(items) // 2])))
    if _VECTOR_SUM.fullmatch(base):
        return Effect(everything, changes=first)
    if base[0] == "v":
        return Effect(everything | _FPSCR, changes=everything | _FPSCR | _VPR)
    return Effect(everything | _FLAGS | _GE, changes=everything | _FLAGS | _GE)


def _arm_flow(base: str, line: Line, items: list[str]) -> Effect | None:
    if base == "b":
        return Effect(kind="jump")
    if found := re.fullmatch(f"b({_ANY})", base):
        return Effect(decides=_CONDITIONS[found[1]], kind="branch")
    if base in ("cbz", "cbnz"):
        return Effect(decides=_mask(items[0]), kind="branch")
    if base in ("bl", "blx"):
        return Effect(writes=LR, decides=_mask(line.operands) if line.target is None else 0, kind="call")
    if base in ("bx", "bxns"):
        return Effect(decides=_mask(items[0]), kind="return")
    if base in ("tbb", "tbh"):
        return Effect(
            address=_mask(line.operands), memory="load", decides=_mask(line.operands) & ~PC, kind="table"
        )
    if base in ("le", "letp"):
        return Effect(decides=LR, kind="branch")
    if base in ("wls", "wlstp"):
        return Effect(_mask(items[1]), LR, decides=_mask(items[1]), kind="branch")
    return None


def _arm_access(base: str, operands: str, items: list[str]) -> Effect | None:
    if found := _MULTIPLE.fullmatch(base):
        stack = found[5] is not None
        load = (found[2] or found[5]) in ("ldm", "pop")
        words = tuple(_listed(items[-1].strip("{}")))
        address = 1 << 13 if stack else _mask(items[0])
        everything = 0
        for word in words:
            everything |= word
        if load:
            kind: Kind = "return" if everything & PC else ""
            return Effect(writes=everything, address=address, memory="load", words=words, kind=kind)
        return Effect(everything, address=address, memory="store", words=words)
    if found := _PAIR.fullmatch(base):
        words = (_mask(items[0]), _mask(items[1]))
        address = _mask(",".join(items[2:]))
        if found[1] == "ldr":
            return Effect(writes=words[0] | words[1], address=address, memory="load", words=words)
        return Effect(words[0] | words[1], address=address, memory="store", words=words)
    loads, stores = _LOAD.fullmatch(base), _STORE.fullmatch(base)
    if loads or stores:
        data, address = _mask(items[0]), _mask(",".join(items[1:]))
        if stores:
            return Effect(data, address=address, memory="store")
        whole = re.fullmatch(r"s\d+", items[0]) is None
        kind = "return" if data & PC else ""
        return Effect(
            writes=data if whole else 0,
            changes=0 if whole else data,
            address=address,
            memory="load",
            kind=kind,
        )
    if base.startswith(("vld", "ldrex")):
        everything = _mask(operands)
        return Effect(everything, changes=_mask(items[0]), address=_mask(items[-1]), memory="load")
    if base.startswith(("vst", "str", "stl")):
        return Effect(
            _mask(items[0]), changes=_mask(items[0]), address=_mask(",".join(items[1:])), memory="store"
        )
    return None


def _listed(text: str) -> Iterable[int]:
    """The mask of each word of a register list; a d register is two of them."""
    for item in text.split(","):
        if found := _RANGE.fullmatch(item.strip()):
            names = [f"{found[1]}{n}" for n in range(int(found[2]), int(found[3]) + 1)]
        else:
            names = [item.strip()]
        for name in names:
            yield from [_register(name)] * (2 if re.fullmatch(r"d\d+", name) else 1)


# ---- RISC-V ----

_X = {"zero": 0, "ra": 1, "sp": 2, "gp": 3, "tp": 4}
_X |= {f"t{i}": 5 + i for i in range(3)} | {f"s{i}": 8 + i for i in range(2)}
_X |= {f"a{i}": 10 + i for i in range(8)} | {f"s{i}": 16 + i for i in range(2, 12)}
_X |= {f"t{i}": 25 + i for i in range(3, 7)}
_RISCV_FIRST = re.compile(
    r"(add|and|or|xor|sll|srl|sra|slt)i?|sltiu|sltu|sub|lui|auipc|li|mv|addi16sp|addi4spn|mulh?(u|su)?|(div|rem)u?"
)
_RISCV_COPIES = re.compile("mv|li|lui|auipc")


def _x(text: str) -> int:
    found = 0
    for token in _TOKEN.findall(text):
        found |= 1 << _X[token] if token in _X else 0
    return found & ~1  # zero stays zero


def _of_riscv(line: Line) -> Effect:
    name = line.mnemonic.removeprefix("c.")
    items = _items(line.operands)
    everything = _x(line.operands)
    first, rest = (_x(items[0]), _x(",".join(items[1:]))) if items else (0, 0)
    if name in ("nop", "unimp", "ebreak", "ecall", "wfi", "fence", "fence.i", "mret"):
        return Effect()
    if re.fullmatch("b(eq|ne|lt|ge)(u|z)?", name):
        return Effect(decides=everything, kind="branch")
    if name == "j" or (name == "jal" and items[0] == "zero"):
        return Effect(kind="jump")
    if name == "jal":
        return Effect(writes=1 << 1, kind="call")
    if name in ("jr", "jalr"):
        if name == "jr" or items[0] == "zero":
            return Effect(decides=everything, kind="return")
        return Effect(writes=1 << 1, decides=rest or everything, kind="call")
    if re.fullmatch(r"l[bhw]u?(sp)?", name):
        return Effect(writes=first, address=rest, memory="load")
    if re.fullmatch(r"s[bhw](sp)?", name):
        return Effect(first, address=rest, memory="store")
    if _RISCV_FIRST.fullmatch(name):
        own = 0 if len(items) > 2 or _RISCV_COPIES.fullmatch(name) else first
        return Effect(rest | own, first)
    return Effect(everything, changes=everything)
