"""Sorts disassembled instructions of Arm Thumb (with DSP, FPU, MVE) and RV32IMC into the cycle model's classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_CONDITION = "(?:eq|ne|cs|cc|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al)?"


def _table(*rows: tuple[str, str]) -> list[tuple[str, re.Pattern[str]]]:
    return [(name, re.compile(f"(?:{pattern})")) for name, pattern in rows]


# The first pattern that matches a whole mnemonic decides, after .n, .w and a trailing condition are gone.
_ARM = _table(
    ("loop_end", "le|letp"),
    ("branch", r"b|bl|bx|bxns|blx|blxns|cbn?z|tb[bh]|wls|wlstp\..*"),
    ("load_multiple", "ldm(ia|db|fd)?|pop|ldrd|vldm(ia|db)?|vpop"),
    ("store_multiple", "stm(ia|db|fd)?|push|strd|vstm(ia|db)?|vpush"),
    ("load", r"ldr(b|h|sb|sh|t|bt|ht|sbt|sht)?|ldrex[bh]?|lda(b|h)?|vldr"),
    ("store", r"str(b|h|t|bt|ht)?|strex[bh]?|stl(b|h)?|vstr"),
    ("divide", "[su]div"),
    ("multiply", "muls?"),
    ("multiply_add", "ml[as]"),
    ("long_multiply", "[su]mull|[su]mlal|umaal"),
    (
        "dsp_mac",
        "sm(la|ul)([bt][bt]|w[bt])|smlal[bt][bt]|smlaldx?|smlsldx?|sml[as]dx?|smu[as]dx?|smm(ul|la|ls)r?|usada?8",
    ),
    ("float_divide", r"v(div|sqrt)\.f.*"),
    ("vector_load", r"vld(r[bhwd]t?|[24]\d)\..*|vld(r[bhwd])e\..*"),
    ("vector_store", r"vst(r[bhwd]t?|[24]\d)\..*|vst(r[bhwd])e\..*"),
    ("vector_mac", r"v(ml|mul|qdmul|qrdmul|qdml|qrdml|rmul|rml|fm|cmul|cmla)\w*(\..*)?"),
    ("alu", r"(vmrs|vmsr|vps?tt?e?t?e?t?e?t?|vpst\w*|vpt\w*|vctpt?|vpnot|vlldm|vlstm)(\..*)?"),
    ("vector_alu", r"v\w+(\..*)?"),
    (
        "alu",
        r"(adc|add|and|asr|bic|cmn|cmp|eor|lsl|lsr|mov|mvn|neg|orn|orr|ror|rrx|rsb|rsc|sbc|sub|teq|tst)s?|addw|subw|"
        r"movw|movt|adr|bfc|bfi|[su]bfx|clz|rbit|rev|rev16|revsh|nop|it[te]{0,3}|[su]sat(16)?|"
        r"[su]xta?(b|h|b16)|pkh(bt|tb)|q(d?add|d?sub)|([su]h?|q|uq|sh|uh|s|u)(add|sub)(8|16)|"
        r"([su]h?|q|uq)(asx|sax)|sel|csel|cinc|cinv|cneg|csinc|csinv|csneg|cset|csetm|dls|dlstp|lctp|"
        r"asrl|lsll|lsrl|sqrshrl?|sqshll?|srshrl?|uqrshll?|uqshll?|urshrl?",
    ),
)
_RISCV = _table(
    ("branch", "b(eq|ne|lt|ge|ltu|geu|eqz|nez)|j|jr|jal|jalr"),
    ("load", "l[bhw]u?(sp)?"),
    ("store", "s[bhw](sp)?"),
    ("divide", "(div|rem)u?"),
    ("multiply", "mul"),
    ("long_multiply", "mulh(u|su)?"),
    (
        "alu",
        "(add|and|or|xor|sll|srl|sra|slt)i?|sltiu|sltu|sub|lui|auipc|li|mv|nop|addi16sp|addi4spn",
    ),
)
_SUFFIX = re.compile(r"\.[nw]$")
_REGISTER = re.compile(r"\b(?:r\d+|sl|fp|ip|sp|lr|pc|sb|zero|ra|gp|tp|[ats]\d+)\b")
_VECTOR_REGISTER = re.compile(r"\bq\d\b")
_GATHER = re.compile(r"\[(?:\w+, )?q\d")
_RANGE = re.compile(r"\b([rsd])(\d+)-[rsd](\d+)\b")
_ARITHMETIC = ("alu", "multiply", "multiply_add", "long_multiply", "dsp_mac", "divide")
# Arithmetic whose first operand is read; all other writes it.
_READS_FIRST = re.compile(r"cmp|cmn|tst|teq|it|nop")
_UNITS = {
    "vector_alu": "arithmetic",
    "vector_mac": "arithmetic",
    "vector_load": "memory",
    "vector_store": "memory",
}
_LANE_BITS = re.compile(r"(\d+)$")


@dataclass(frozen=True)
class Instruction:
    """`name` is a class of cycles.INSTRUCTIONS, or "branch", of which only the run tells whether it is taken.

    `events` are what each execution adds, as (event, how many).
    """

    name: str
    events: tuple[tuple[str, int], ...] = ()


def classify(lines: Sequence[tuple[str, str]], isa: str) -> list[Instruction]:
    """One for each (mnemonic, operands) of instructions that follow one another; `isa` is arm or riscv."""
    table = _ARM if isa == "arm" else _RISCV
    names = [_class(mnemonic, operands, table) for mnemonic, operands in lines]
    found = []
    for i, name in enumerate(names):
        before = (names[i - 1], *lines[i - 1]) if i > 0 else ("", "", "")
        after = lines[i + 1][1] if i + 1 < len(lines) else ""
        found.append(Instruction(name, tuple(_events(name, *lines[i], before, after, isa))))
    return found


def _class(mnemonic: str, operands: str, table: list[tuple[str, re.Pattern[str]]]) -> str:
    name = _SUFFIX.sub("", mnemonic).removeprefix("c.")
    for text in (name, re.sub(f"{_CONDITION}$", "", name, count=1)):
        for found, pattern in table:
            if pattern.fullmatch(text):
                return _by_registers(found, text, operands)
    return "other"


def _by_registers(found: str, mnemonic: str, operands: str) -> str:
    """Vector mnemonics serve the scalar FPU too; only operands tell."""
    if found in ("vector_load", "vector_store") and _GATHER.search(operands):
        return "vector_gather"
    if found in ("vector_mac", "vector_alu") and not _VECTOR_REGISTER.search(operands):
        return "alu" if mnemonic.startswith("vmov") else "float"
    return found


def _events(
    name: str, mnemonic: str, operands: str, before: tuple[str, str, str], after: str, isa: str
) -> list[tuple[str, int]]:
    events = []
    if name == "load_multiple":
        events.append(("loaded_words", _words(mnemonic, operands)))
    if name == "store_multiple":
        events.append(("stored_words", _words(mnemonic, operands)))
    if name == "vector_gather":
        events.append(("gathered_lanes", _lanes(mnemonic)))
    if name in ("load", "load_multiple") and "pc" in _targets(name, operands):
        events.append(("refill", 1))
    if name in ("load", "store"):
        address = _address(operands, isa)
        if (before[0], name) == ("load", "load") and not _targets("load", before[2]) & address:
            events.append(("pipelined_load", 1))
        if _computed(*before) & address:
            events.append(("address_stall", 1))
    if name == "load" and _targets(name, operands) & set(_REGISTER.findall(after)):
        events.append(("load_use", 1))
    if name in _UNITS and _UNITS.get(before[0], _UNITS[name]) != _UNITS[name]:
        events.append(("vector_overlap", 1))
    return events


def _words(mnemonic: str, operands: str) -> int:
    if mnemonic.startswith(("ldrd", "strd")):
        return 2
    words = 0
    for part in operands[operands.index("{") + 1 : operands.index("}")].split(","):
        spread = _RANGE.fullmatch(part.strip())
        count = int(spread[3]) - int(spread[2]) + 1 if spread else 1
        words += 2 * count if part.strip().startswith("d") else count
    return words


def _lanes(mnemonic: str) -> int:
    """Of a 128-bit register, by the size of an element in it."""
    bits = _LANE_BITS.search(mnemonic)
    return 128 // int(bits[1]) if bits else 4


def _targets(name: str, operands: str) -> set[str]:
    """Registers that a load fills."""
    part = operands[operands.index("{") :] if name == "load_multiple" and "{" in operands else operands
    found = _REGISTER.findall(part)
    return set(found if name == "load_multiple" else found[:1])


def _computed(name: str, mnemonic: str, operands: str) -> set[str]:
    """The register that arithmetic writes."""
    if name not in _ARITHMETIC or _READS_FIRST.match(mnemonic):
        return set()
    return set(_REGISTER.findall(operands)[:1])


def _address(operands: str, isa: str) -> set[str]:
    """Registers that an address is made of."""
    opened = operands.find("[" if isa == "arm" else "(")
    return set(_REGISTER.findall(operands[opened:])) if opened >= 0 else set()
