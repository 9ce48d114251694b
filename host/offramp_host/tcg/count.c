/* QEMU plugin: how often each instruction ran, branched away and read flash, in sections that a marker parts.
 *
 * Arguments: out=FILE, marker=PC, code=FIRST+BYTES (where instructions are counted), flash=FIRST+BYTES (where
 * the bytes of data reads are counted). Numbers are hexadecimal; FIRST and PC even.
 *
 * Each time the instruction at `marker` is reached a section ends: one line "PC executed taken flash_bytes" for
 * every instruction that ran in it, then a line "end". Counts are exact: a translation block that is cut short
 * and translated again is counted by instruction, and a repeated access to a device is not instrumented twice. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

/* One for each half word of code, the shortest instruction. */
struct counts {
    uint64_t executed, taken, flash_bytes;
};

/* A translated block: where it begins, its last instruction's counts and what follows that. */
struct block {
    uint64_t begin, end;
    struct counts *last;
};

static struct range code, flash;
static uint64_t marker;
static FILE *out;
static struct counts *counts, *reported; /* since the start, and when the last section ended */
static const struct block *previous;
static uint64_t previous_last_executed; /* when the previous block was entered */

static struct counts *counts_of(uint64_t pc) { return holds(&code, pc) ? &counts[(pc - code.first) / 2] : NULL; }

static void end_section(unsigned vcpu, void *data)
{
    (void)vcpu, (void)data;
    for (uint64_t i = 0; i < code.bytes / 2; ++i) {
        const struct counts c = counts[i], before = reported[i];
        if (c.executed == before.executed) continue;
        fprintf(out, "%llx %llu %llu %llu\n", (unsigned long long)(code.first + 2 * i),
                (unsigned long long)(c.executed - before.executed), (unsigned long long)(c.taken - before.taken),
                (unsigned long long)(c.flash_bytes - before.flash_bytes));
        reported[i] = c;
    }
    fputs("end\n", out);
    fflush(out); /* QEMU may be killed at any time */
}

/* Whoever runs next after a block's last instruction tells whether that has branched away. A block that an access
 * to a device cuts short is left before its last instruction. */
static void enter_block(unsigned vcpu, void *data)
{
    const struct block *block = data;
    (void)vcpu;
    if (previous != NULL && previous->end != block->begin && previous->last != NULL &&
        previous->last->executed != previous_last_executed)
        ++previous->last->taken;
    previous = block;
    previous_last_executed = block->last != NULL ? block->last->executed : 0;
}

static void access_memory(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    (void)vcpu;
    if (!qemu_plugin_mem_is_store(info) && holds(&flash, address))
        ((struct counts *)data)->flash_bytes += UINT64_C(1) << qemu_plugin_mem_size_shift(info);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    const size_t n = qemu_plugin_tb_n_insns(tb);
    struct block *block = malloc(sizeof *block); /* lives as long as the translation, which nobody reports gone */
    (void)id;
    if (block == NULL || n == 0) abort();
    for (size_t i = 0; i < n; ++i) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const uint64_t pc = qemu_plugin_insn_vaddr(insn);
        struct counts *c = counts_of(pc);
        block->last = c;
        block->end = pc + qemu_plugin_insn_size(insn);
        if (pc == marker) qemu_plugin_register_vcpu_insn_exec_cb(insn, end_section, QEMU_PLUGIN_CB_NO_REGS, NULL);
        if (c == NULL) continue;
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &c->executed, 1);
        qemu_plugin_register_vcpu_mem_cb(insn, access_memory, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, c);
    }
    block->begin = qemu_plugin_tb_vaddr(tb);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, enter_block, QEMU_PLUGIN_CB_NO_REGS, block);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; ++i) {
        if (strncmp(argv[i], "out=", 4) == 0) out = fopen(argv[i] + 4, "w");
        if (strncmp(argv[i], "marker=", 7) == 0) marker = strtoull(argv[i] + 7, NULL, 16);
        if (strncmp(argv[i], "code=", 5) == 0) code = parse_range(argv[i] + 5);
        if (strncmp(argv[i], "flash=", 6) == 0) flash = parse_range(argv[i] + 6);
    }
    counts = calloc(code.bytes / 2 + 1, sizeof *counts);
    reported = calloc(code.bytes / 2 + 1, sizeof *reported);
    if (out == NULL || counts == NULL || reported == NULL || code.bytes == 0) {
        fputs("count plugin: needs out=FILE, marker=PC and code=FIRST+BYTES\n", stderr);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}
