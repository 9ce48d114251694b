"""What instructions do to registers, and where ways through code meet, on code written for it."""

from __future__ import annotations

import pytest

from offramp_host.effects import Effect, Line, effects
from offramp_host.flow import functions


def parse(isa: str, *texts: str) -> list[Effect]:
    lines = []
    for i, text in enumerate(texts):
        mnemonic, _, operands = text.partition(" ")
        lines.append(Line(4 * i, 4, mnemonic, operands, 0 if "<" in operands else None))
    return effects(lines, isa)


def arm(*names: str) -> int:
    """The mask of registers, by the rules that give each name a copy of itself."""
    found = 0
    for name in names:
        if name in ("nz", "cv"):
            [compare] = parse("arm", "tst r0, r1")
            found |= compare.writes if name == "nz" else compare.changes
        elif name.startswith("q") or name == "p0":
            [move] = parse("arm", f"vmov {name}, q7" if name != "p0" else "vmsr p0, r0")
            found |= move.writes
        else:
            found |= 1 << (
                13 if name == "sp" else 14 if name == "lr" else 15 if name == "pc" else int(name[1:])
            )
    return found


ARM = [
    # instruction, read, replaced, perhaps changed
    ("adds r0, r1, #4", "r1", "r0 nz cv", ""),
    ("add r0, r1", "r0 r1", "r0", ""),
    ("adc.w r0, r1, r2", "r1 r2 cv", "r0", ""),
    ("movs r3, #0", "", "r3 nz", "cv"),
    ("lsls r0, r1", "r0 r1", "r0 nz", "cv"),
    ("mov.w r0, r1, rrx", "r1 cv", "r0", ""),
    ("movt r0, #12", "r0", "", "r0"),
    ("muls r0, r1", "r0 r1", "r0 nz", "cv"),
    ("mla r0, r1, r2, r3", "r1 r2 r3", "r0", ""),
    ("smull r0, r1, r2, r3", "r2 r3", "r0 r1", ""),
    ("smlal r0, r1, r2, r3", "r0 r1 r2 r3", "", "r0 r1"),
    ("sxtb16 r0, r1, ror #8", "r1", "r0", ""),
    ("pkhbt r0, r1, r2, lsl #16", "r1 r2", "r0", ""),
    ("ssat r0, #8, r1", "r1", "r0", ""),
    ("cmp r0, r1", "r0 r1", "nz cv", ""),
    ("cinc r0, r1, cc", "r1 nz cv", "r0", ""),
    ("ldr r0, [r1, r2, lsl #2]", "", "r0", ""),
    ("ldrd r0, r1, [r2], #8", "", "r0 r1", ""),
    ("strb r0, [r1, #3]", "r0", "", ""),
    ("vadd.i32 q0, q1, r2", "q1 r2", "q0", ""),
    ("vmladava.s8 r0, q1, q2", "r0 q1 q2", "", "r0"),
    ("vmov.32 q0[1], r2", "q0 r2", "", "q0"),
    ("vmov q1[2], q1[0], r0, r4", "q1 r0 r4", "", "q1"),
    ("vqmovnb.s32 q1, q0", "q0 q1", "", "q1"),
    ("vctp.16 r2", "r2", "p0", ""),
    ("vpsel q0, q1, q2", "q1 q2 p0", "q0", ""),
    ("frobnicate r0, r1", "r0 r1", "", "r0 r1"),
]


@pytest.mark.parametrize(("text", "reads", "writes", "changes"), ARM)
def test_arm(text: str, reads: str, writes: str, changes: str) -> None:
    [effect] = parse("arm", text)
    assert effect.reads & arm(*reads.split()) == arm(*reads.split())
    assert effect.writes == arm(*writes.split())
    assert effect.changes & arm(*changes.split()) == arm(*changes.split())
    if text.split()[0] != "frobnicate":
        assert (effect.reads, effect.changes) == (arm(*reads.split()), arm(*changes.split()))


def test_what_a_condition_lets_happen_remains() -> None:
    _, moved, stored, after = parse("arm", "ite gt", "movgt r0, r1", "strle r0, [r2]", "mov r0, r1")
    assert moved.reads == arm("r1", "nz", "cv") and moved.changes == arm("r0") and moved.writes == 0
    assert stored.guard == arm("nz", "cv") and after.writes == arm("r0")
    _, predicated, whole = parse("arm", "vpst", "vaddt.i32 q0, q0, q1", "vadd.i32 q0, q0, q1")
    assert predicated.changes == arm("q0") and predicated.reads & arm("p0") and whole.writes == arm("q0")
    _, stored = parse("arm", "vpst", "vstrbt.8 q0, [r1]")
    assert stored.guard == arm("p0")


@pytest.mark.parametrize(
    ("block", "replaced"),
    [
        (("ite ls", "subls r3, r1, r1", "subhi r3, r1, #3"), "r3"),
        (("ite eq", "ldreq r3, [r0]", "movne r3, r1"), "r3"),
        (("itete gt", "movgt r3, r1", "movle r3, r0", "movgt r4, r1", "movle r4, r0"), "r3"),
        (("ite ls", "movls r3, r1", "addhi r3, r3, #1"), ""),
        (("ite ls", "movls r3, r1", "ldrhi r3, [r3]"), ""),
        (("ite ls", "movls r3, r1", "movhi r4, r1"), ""),
        (("ite ls", "movls r3, r1", "movthi r3, #1"), ""),
        (("itt ls", "movls r3, r1", "movls r3, r0"), ""),
        (("it ls", "movls r3, r1", "mov r3, r0"), ""),
        (("it ls", "movls r3, r1", "it hi", "movhi r3, r0"), ""),
    ],
)
def test_what_either_of_two_writes_is_replaced(block: tuple[str, ...], replaced: str) -> None:
    first, second = parse("arm", *block)[1:3]
    assert first.writes == arm(*replaced.split())
    assert first.changes == arm("r3") & ~first.writes
    assert second.writes == (arm("r3") if block[0].startswith("it ") and block[2].startswith("mov") else 0)


def test_what_decides() -> None:
    decided = [
        e.decides for e in parse("arm", "beq 0 <f>", "bgt 0 <f>", "cbz r3, 0 <f>", "blx r3", "tbb [pc, r2]")
    ]
    assert decided == [arm("nz"), arm("nz", "cv"), arm("r3"), arm("r3"), arm("r2")]
    assert parse("arm", "pop {r4, pc}")[0].words == (arm("r4"), arm("pc"))
    assert [e.decides for e in parse("riscv", "c.beqz a0, 0 <f>", "bltu a0, a1, 0 <f>")] == [1 << 10, 3 << 10]


def test_what_reads_sticky_flags_is_unknown() -> None:
    assert all(e.unknown for e in parse("arm", "mrs r0, CPSR", "vmrs r0, fpscr"))
    assert not parse("arm", "vmrs r0, p0")[0].unknown


@pytest.mark.parametrize(
    ("text", "reads", "writes"),
    [
        ("c.add a0,a1", (10, 11), (10,)),
        ("add a0,a1,a2", (11, 12), (10,)),
        ("c.li a0,5", (), (10,)),
        ("c.mv a0,a1", (11,), (10,)),
        ("mulhu a0,a1,zero", (11,), (10,)),
        ("lbu s2,4(t3)", (), (18,)),
        ("sb s11,4(t3)", (27,), ()),
    ],
)
def test_riscv(text: str, reads: tuple[int, ...], writes: tuple[int, ...]) -> None:
    [effect] = parse("riscv", text)
    assert effect.reads == sum(1 << n for n in reads) and effect.writes == sum(1 << n for n in writes)


def parted(*body: str) -> tuple[str, int, int, int]:
    """Of the branch at 0: why it has no bound, where its ways meet, the longest and the shortest."""
    text = "00001000 <f>:\n" + "".join(f"    {0x1000 + 2 * i:x}:\t{line}\n" for i, line in enumerate(body))
    [function] = functions(text, "arm")
    found = function.parting(0x1000)
    return found.why, found.meet, found.longest, found.shortest


def test_ways_that_meet() -> None:
    skip = ("ble.n\t1004 <f+0x4>", "movs\tr0, #7", "bx\tlr")
    assert parted(*skip) == ("", 0x1004, 1, 0)
    both = (
        "ble.n\t1006 <f+0x6>",
        "movs\tr0, #7",
        "b.n\t100a <f+0xa>",
        "movs\tr0, #1",
        "movs\tr1, #1",
        "bx\tlr",
    )
    assert parted(*both) == ("", 0x100A, 2, 2)
    nested = ("ble.n\t1008 <f+0x8>", "movs\tr0, #7", "bgt.n\t1008 <f+0x8>", "movs\tr0, #1", "bx\tlr")
    assert parted(*nested) == ("", 0x1008, 3, 0)


@pytest.mark.parametrize(
    ("why", "body"),
    [
        ("a loop", ("bne.n\t1000 <f>", "bx\tlr")),
        ("a store", ("bne.n\t1004 <f+0x4>", "str\tr0, [r1, #0]", "bx\tlr")),
        ("a call", ("bne.n\t1004 <f+0x4>", "bl\t2000 <g>", "bx\tlr")),
        ("ways that do not meet in the function", ("bne.n\t1004 <f+0x4>", "bx\tlr", "bx\tlr")),
    ],
)
def test_ways_without_bound(why: str, body: tuple[str, ...]) -> None:
    assert parted(*body)[0] == why


def test_a_base_that_only_one_way_moves_on_counts_as_written() -> None:
    text = "1000 <f>:\n    1000:\tbne.n\t1004 <f+0x4>\n    1002:\tldrb\tr0, [r1], #1\n    1004:\tbx\tlr\n"
    [function] = functions(text, "arm")
    assert function.parting(0x1000).written & 0b10
