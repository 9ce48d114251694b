/* QEMU plugin: follows data through a run, and tells each decision that depends on them.
 *
 * Arguments: out=FILE, rules=FILE, marker=PC, start=PC, code=FIRST+BYTES, ram=FIRST+BYTES (followed; up to two), data=FIRST+BYTES
 * (where the data are), pc=MASK (of the program counter, where instructions load it). Numbers are hexadecimal. When
 * `start` is reached, the bytes of `data` are all that depends on them.
 *
 * A rule is what one instruction does, a line of hexadecimal numbers: its address; the masks of registers that it
 * reads, replaces, perhaps changes, makes an address of; that guard its access to memory; that decide what comes next;
 * where the paths from here meet again (0: they do not, or too late) and what is written on any of them; 1 if it
 * stores; the number of words that it transfers and the mask of each.
 *
 * Each time `marker` is reached, a section ends: a line "KIND PC times inside" for each instruction that the data
 * decided something about (b: what comes next; s: where a store goes; g: whether there is a store; x: it has no rule),
 * with the instructions that ran between it and the meeting of its paths, then "end INSTRUCTIONS". What such an
 * instruction may have left unwritten depends on the data from there on.
 *
 * See count.c for the prototypes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

enum { MAX_WORDS = 32, KINDS = 4 };
enum kind { BRANCH, STORE_ADDRESS, STORE_GUARD, NO_RULE };

/* One for each half word of code; what no instruction begins at is not known. */
struct rule {
    uint64_t reads, writes, changes, address, guard, decides, meet, between;
    uint64_t *words;
    uint32_t n_words;
    bool known, stores;
    uint64_t times[KINDS], inside;
};

static struct range code, data;
static struct memory {
    struct range range;
    bool *dependent; /* of each byte */
} ram[2];
static uint64_t marker, start, program_counter; /* the last: the mask of that register */
static FILE *out;
static struct rule *rules;
static uint64_t registers;  /* a bit for each that depends on the data */
static uint64_t executed;   /* since the marker */
static struct rule *before; /* the instruction that ran last */
static struct rule *parted; /* the branch whose paths have not met yet */
static uint64_t parted_at, first_address;
static bool first_access;

static bool *mark_of(uint64_t address) {
    for (int i = 0; i < 2; ++i)
        if (holds(&ram[i].range, address)) return &ram[i].dependent[address - ram[i].range.first];
    return NULL;
}

static void set_dependent(uint64_t address, uint64_t bytes, bool value) {
    for (uint64_t i = 0; i < bytes; ++i) {
        bool *mark = mark_of(address + i);
        if (mark != NULL) *mark = value;
    }
}

static bool is_dependent(uint64_t address, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; ++i) {
        const bool *mark = mark_of(address + i);
        if (mark != NULL && *mark) return true;
    }
    return false;
}

static void begin(unsigned vcpu, void *unused) {
    (void)vcpu, (void)unused;
    registers = 0;
    parted = NULL;
    for (int i = 0; i < 2; ++i)
        memset(ram[i].dependent, 0, ram[i].range.bytes);
    set_dependent(data.first, data.bytes, true);
}

static void end_section(unsigned vcpu, void *unused) {
    (void)vcpu, (void)unused;
    for (uint64_t i = 0; i < code.bytes / 2; ++i) {
        struct rule *r = &rules[i];
        for (int kind = 0; kind < KINDS; ++kind) {
            if (r->times[kind] == 0) continue;
            fprintf(out, "%c %llx %llu %llu\n", "bsgx"[kind], (unsigned long long)(code.first + 2 * i),
                    (unsigned long long)r->times[kind], (unsigned long long)r->inside);
            r->times[kind] = 0;
        }
        r->inside = 0;
    }
    fprintf(out, "end %llu\n", (unsigned long long)executed);
    executed = 0;
    fflush(out); /* QEMU may be killed at any time */
}

static void meet(uint64_t pc) {
    if (parted == NULL || parted->meet != pc) return;
    parted->inside += executed - parted_at;
    registers |= parted->between;
    parted = NULL;
}

static void execute(unsigned vcpu, void *of) {
    struct rule *r = of;
    (void)vcpu;
    if (registers & program_counter) {
        ++before->times[BRANCH]; /* it has loaded where to go on */
        registers &= ~program_counter;
    }
    meet(code.first + 2 * (uint64_t)(r - rules));
    ++executed;
    before = r;
    first_access = true;
    if (!r->known) ++r->times[NO_RULE];
    if (r->stores && registers & r->address) ++r->times[STORE_ADDRESS];
    if (r->stores && (parted != NULL || registers & r->guard)) ++r->times[STORE_GUARD];
    if (registers & r->decides && parted == NULL) {
        ++r->times[BRANCH];
        if (r->meet != 0) {
            parted = r;
            parted_at = executed;
            registers |= r->between;
        }
    }
    if (r->stores) return; /* what is stored is still to be looked at */
    const bool flows = (registers & (r->reads | r->address)) != 0;
    if (parted == NULL) registers &= ~r->writes;
    if (flows) registers |= r->writes | r->changes;
}

static void access_memory(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *of) {
    struct rule *r = of;
    const uint64_t bytes = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
    (void)vcpu;
    if (first_access) first_address = address;
    first_access = false;
    for (uint64_t at = address; at < address + bytes; at += 4) {
        const uint64_t part = bytes < 4 ? bytes : 4, word = (at - first_address) / 4;
        const uint64_t mask = word < r->n_words ? r->words[word] : r->n_words ? ~UINT64_C(0) : 0;
        if (qemu_plugin_mem_is_store(info)) {
            set_dependent(at, part, (registers & (r->n_words ? mask : r->reads)) != 0 || parted != NULL);
        } else if (is_dependent(at, part)) {
            registers |= r->n_words ? mask : r->writes | r->changes;
        }
    }
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    const size_t n = qemu_plugin_tb_n_insns(tb);
    (void)id;
    for (size_t i = 0; i < n; ++i) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const uint64_t pc = qemu_plugin_insn_vaddr(insn);
        if (pc == marker) qemu_plugin_register_vcpu_insn_exec_cb(insn, end_section, QEMU_PLUGIN_CB_NO_REGS, NULL);
        if (pc == start) qemu_plugin_register_vcpu_insn_exec_cb(insn, begin, QEMU_PLUGIN_CB_NO_REGS, NULL);
        if (!holds(&code, pc)) continue;
        struct rule *r = &rules[(pc - code.first) / 2];
        qemu_plugin_register_vcpu_insn_exec_cb(insn, execute, QEMU_PLUGIN_CB_NO_REGS, r);
        qemu_plugin_register_vcpu_mem_cb(insn, access_memory, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, r);
    }
}

static void read_rules(FILE *file) {
    unsigned long long pc, n[10];
    while (fscanf(file, "%llx %llx %llx %llx %llx %llx %llx %llx %llx %llx %llx", &pc, &n[0], &n[1], &n[2], &n[3], &n[4],
                  &n[5], &n[6], &n[7], &n[8], &n[9]) == 11) {
        if (!holds(&code, pc) || n[9] > MAX_WORDS) abort();
        struct rule *r = &rules[(pc - code.first) / 2];
        *r = (struct rule){n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], .stores = n[8] != 0, .known = true};
        r->n_words = (uint32_t)n[9];
        r->words = calloc(r->n_words + 1, sizeof *r->words);
        if (r->words == NULL) abort();
        for (uint32_t i = 0; i < r->n_words; ++i)
            if (fscanf(file, "%" SCNx64, &r->words[i]) != 1) abort();
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    FILE *file = NULL;
    (void)info;
    for (int i = 0; i < argc; ++i) {
        if (strncmp(argv[i], "out=", 4) == 0) out = fopen(argv[i] + 4, "w");
        if (strncmp(argv[i], "rules=", 6) == 0) file = fopen(argv[i] + 6, "r");
        if (strncmp(argv[i], "marker=", 7) == 0) marker = strtoull(argv[i] + 7, NULL, 16);
        if (strncmp(argv[i], "start=", 6) == 0) start = strtoull(argv[i] + 6, NULL, 16);
        if (strncmp(argv[i], "pc=", 3) == 0) program_counter = strtoull(argv[i] + 3, NULL, 16);
        if (strncmp(argv[i], "code=", 5) == 0) code = parse_range(argv[i] + 5);
        if (strncmp(argv[i], "ram=", 4) == 0) ram[ram[0].range.bytes != 0].range = parse_range(argv[i] + 4);
        if (strncmp(argv[i], "data=", 5) == 0) data = parse_range(argv[i] + 5);
    }
    rules = calloc(code.bytes / 2 + 1, sizeof *rules);
    for (int i = 0; i < 2; ++i)
        ram[i].dependent = calloc(ram[i].range.bytes + 1, sizeof *ram[i].dependent);
    if (out == NULL || file == NULL || rules == NULL || ram[0].dependent == NULL || ram[1].dependent == NULL) {
        fputs("taint plugin: needs out=FILE, rules=FILE, marker, start, code, ram and data\n", stderr);
        return -1;
    }
    read_rules(file);
    fclose(file);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}
