"""Instructions are sorted into the cycle model's classes: assembled by hand, and over every kernel of every board."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from offramp import boards
from offramp.build import compiler_for
from offramp.build.firmware import firmware, kernels_on
from offramp.cycles import EVENTS, INSTRUCTIONS
from offramp_host.disassembly import disassemble

EMULATED = [name for name in boards.names() if boards.load(name).emulator is not None]

# Instruction, class, events with more than one unit as name=count.
ANY_THUMB = """
movs r0, #1              | alu
ldr r1, [r2]             | load load_use
adds r3, r1, r0          | alu
muls r3, r0, r3          | multiply
ldr r1, [r3]             | load address_stall
ldrb r2, [r4]            | load pipelined_load load_use
strb r2, [r4]            | store
push {r4, r5, lr}        | store_multiple stored_words=3
stmia r0!, {r1, r2}      | store_multiple stored_words=2
ldmia r0!, {r1, r2, r3}  | load_multiple loaded_words=3
cmp r0, r1               | alu
ldr r1, [r1]             | load
nop                      | alu
beq .                    | branch
bl .                     | branch
bx lr                    | branch
dsb                      | other
pop {r4, pc}             | load_multiple loaded_words=2 refill
"""
THUMB2 = """
mla r0, r1, r2, r3       | multiply_add
mls r0, r1, r2, r3       | multiply_add
smull r0, r1, r2, r3     | long_multiply
umlal r0, r1, r2, r3     | long_multiply
sdiv r0, r1, r2          | divide
ldrd r0, r1, [r2]        | load_multiple loaded_words=2
ldr r3, [r2]             | load
strd r0, r1, [r2, #8]    | store_multiple stored_words=2
ldr.w r0, [r9], #4       | load load_use
ldrsh.w r3, [r0, #2]     | load load_use
add r8, r3, r1           | alu
ite eq                   | alu
moveq r0, #1             | alu
ldrne r0, [r1]           | load load_use
tbb [pc, r0]             | branch
cbz r0, .+4              | branch
bfi r0, r1, #2, #3       | alu
ubfx r0, r1, #2, #3      | alu
ldr pc, [r0]             | load refill address_stall
mrs r0, primask          | other
"""
DSP = """
smlad r0, r1, r2, r0     | dsp_mac
smlabt r0, r1, r2, r0    | dsp_mac
smulbb r0, r1, r2        | dsp_mac
smlald r0, r1, r2, r3    | dsp_mac
smmulr r0, r1, r2        | dsp_mac
smmlar r0, r1, r2, r3    | dsp_mac
sxtb16 r0, r1, ror #8    | alu
sxtab16 r0, r1, r2       | alu
pkhbt r0, r1, r2         | alu
ssat r0, #8, r1          | alu
qadd r0, r1, r2          | alu
uadd8 r0, r1, r2         | alu
vadd.f32 s0, s1, s2      | float
vmla.f32 s0, s1, s2      | float
vdiv.f32 s0, s1, s2      | float_divide
vmov r0, s0              | alu
vldr s0, [r0]            | load address_stall
vpush {d8-d9}            | store_multiple stored_words=4
"""
MVE = """
vldrb.8 q0, [r0], #16    | vector_load
vmladava.s8 r2, q0, q1   | vector_mac vector_overlap
vldrw.32 q1, [r1]        | vector_load vector_overlap
vldrb.u8 q2, [r1, #16]   | vector_load
vadd.i32 q0, q0, q1      | vector_alu vector_overlap
vqrdmulh.s32 q0, q0, q1  | vector_mac
vldrb.u16 q1, [r0, q2]   | vector_gather gathered_lanes=8
vstrb.32 q1, [r0, q2]    | vector_gather gathered_lanes=4
vstrw.32 q0, [r1]        | vector_store
vshr.s32 q0, q0, #3      | vector_alu vector_overlap
vpst                     | alu
vaddt.i32 q0, q0, q1     | vector_alu
vctp.8 r0                | alu
wlstp.8 lr, r0, 1f       | branch
2: vmov q0, q1           | vector_alu
letp lr, 2b              | loop_end
1: dls lr, r0            | alu
"""
RISCV = """
lw a0, 0(a1)             | load load_use
add a2, a0, a3           | alu
lbu a4, 0(a2)            | load address_stall
lh a5, 2(a2)             | load pipelined_load
mul a0, a1, a2           | multiply
mulh a0, a1, a2          | long_multiply
rem a0, a1, a2           | divide
sb a0, 0(a3)             | store
sw a0, 8(sp)             | store
slli a0, a0, 3           | alu
lui a0, 5                | alu
beqz a0, .               | branch
bltu a0, a1, .           | branch
j .                      | branch
jalr a0                  | branch
csrr a0, mcycle          | other
ret                      | branch
"""
CASES = {
    "microbit": ANY_THUMB,
    "mps2_an385": ANY_THUMB + THUMB2,
    "mps2_an386": ANY_THUMB + THUMB2 + DSP,
    "mps2_an500": ANY_THUMB + THUMB2 + DSP,
    "mps2_an505": ANY_THUMB + THUMB2 + DSP,
    "mps3_an547": ANY_THUMB + THUMB2 + DSP + MVE,
    "rv32_virt": RISCV,
}


@pytest.mark.parametrize("name", EMULATED)
def test_by_hand(name: str, tmp_path: Path) -> None:
    core = boards.load(name).core
    rows = [[part.strip() for part in line.split("|")] for line in CASES[name].strip().splitlines() if line]
    source = tmp_path / "code.s"
    head = ".syntax unified\n.thumb\n" if core.toolchain == "arm" else ".option norelax\n"
    source.write_text(head + "\n".join(text for text, _ in rows) + "\n")
    command = [compiler_for(core).path, *core.flags, "-c", str(source), "-o", str(tmp_path / "code.o")]
    subprocess.run(command, check=True)
    code = disassemble(tmp_path / "code.o", core)
    found = [
        " ".join([i.name, *(event if n == 1 else f"{event}={n}" for event, n in i.events)])
        for _, i in sorted(code.instructions.items())
    ]
    wrong = [(text, said) for (text, expected), said in zip(rows, found, strict=True) if said != expected]
    assert not wrong


# What may be in no class of its own; of each, what the disassembler writes.
SYSTEM = {"mrs", "msr", "dsb", "isb", "dmb", "cpsid", "cpsie", "wfi", "wfe", "bkpt", "svc", "udf"}
SYSTEM |= {"csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci", "fence", "ecall", "ebreak", "mret"}


@pytest.mark.parametrize("name", EMULATED)
def test_no_instruction_of_any_kernel_is_unknown(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    elf = firmware(board, tmp_path / "image.elf", kernels=kernels_on(board)).elf
    code = disassemble(elf, board.core)
    tool = compiler_for(board.core).path.replace("gcc", "objdump")
    command = [tool, "-d", "--no-show-raw-insn", "-M", "no-aliases"] if name == "rv32_virt" else [tool, "-d"]
    command += ["--no-show-raw-insn", *(["-m", "armv8.1-m.main"] if "mve" in board.core.features else [])]
    text = subprocess.run([*command, str(elf)], capture_output=True, text=True, check=True).stdout
    mnemonics = {
        int(parts[0].strip(" :"), 16): parts[1].strip()
        for line in text.splitlines()
        if len(parts := line.split("\t")) > 1 and parts[0].endswith(":")
    }
    with elf.open("rb") as file:
        symbols = list(ELFFile(file).get_section_by_name(".symtab").iter_symbols())
    ranges = [(s["st_value"] & ~1, s["st_size"]) for s in symbols if s["st_info"]["type"] == "STT_FUNC"]
    unknown, seen = set(), 0
    for start, size in ranges:
        for pc in range(start, start + size, 2):
            if pc not in mnemonics or mnemonics[pc].startswith("."):
                continue
            instruction = code.instructions[pc]
            assert instruction.name in {*INSTRUCTIONS, "branch"}
            assert {event for event, _ in instruction.events} <= set(EVENTS)
            seen += 1
            if instruction.name == "other" and mnemonics[pc].removeprefix("c.") not in SYSTEM:
                unknown.add(mnemonics[pc])
    assert seen > 5000 and not unknown
