/* Tries a batch of hostile blobs with the MPU holding the runtime to code, blob, arena, state, inputs and stack.
 *
 * The batch, as tests/fuzz/mutants.c writes it, lies in the model slot. The runtime runs unprivileged; whatever it
 * touches beside its memory faults. Blob, arena and state lie with their ends, in every second attempt with their
 * starts, at a region's edge. One line each over the serial port:
 *
 *     control NAME caught|missed            deliberate offences, so that a catch is known to work
 *     INDEX STATUS HASH                     an attempt inside its bounds
 *     INDEX fault EXCEPTION pc=X address=X  one that was not, exception 15 for one that took too long
 *     end LONGEST                           ticks of the longest attempt */
#include "../../fuzz/exercise.h"
#include "port.h"

#define FPCCR_LSPACT 1u
#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SYST_CSR REGISTER(0xE000E010u)
#define SYST_RVR REGISTER(0xE000E014u)
#define SYST_CVR REGISTER(0xE000E018u)
#define SCB_VTOR REGISTER(0xE000ED08u)
#define SCB_CFSR REGISTER(0xE000ED28u)
#define SCB_MMFAR REGISTER(0xE000ED34u)
#define SCB_BFAR REGISTER(0xE000ED38u)
#define FPCCR REGISTER(0xE000EF34u)
#define MPU_CTRL REGISTER(0xE000ED94u)
#define MPU_RNR REGISTER(0xE000ED98u)
#define MPU_RBAR REGISTER(0xE000ED9Cu)
#define MPU_SIZE REGISTER(0xE000EDA0u) /* RASR of Armv7-M, RLAR of Armv8-M */
#define MPU_MAIR0 REGISTER(0xE000EDC0u)

enum { WINDOW = 65536, STACK_BYTES = 2048, CODE_BYTES = 262144, LIMIT_PERIODS = 20, VECTORS = 48 };
enum { SVC = 11, SYSTICK = 15 };
enum { REGION_CODE, REGION_STACK, REGION_CELL, REGION_CALLER, REGION_BLOB, REGION_ARENA, REGION_STATE, REGION_FEATURES };

#ifdef __ARM_ARCH_8M_MAIN__
#define EXECUTE (3u << 1)
#define READ ((3u << 1) | 1u)
#define WRITE ((1u << 1) | 1u)
#else
#define NORMAL (1u << 17) /* cacheable, not shared */
#define NEVER_EXECUTE (1u << 28)
#define EXECUTE ((6u << 24) | NORMAL)
#define READ ((6u << 24) | NORMAL | NEVER_EXECUTE)
#define WRITE ((3u << 24) | NORMAL | NEVER_EXECUTE)
#endif

/* What passes between this program and the guarded functions; fills its region. */
static _Alignas(1024) union {
    struct {
        const uint8_t *blob;
        uint32_t bytes, hash;
        unsigned plan;
        ofr_requirements need;
        memory memory;
        ofr_status status;
    };
    uint8_t region[1024];
} cell;

/* With bytes beside them that no region covers. */
static _Alignas(STACK_BYTES) uint32_t below_stack[2 * STACK_BYTES / 4];
static uint32_t *const guarded_stack = below_stack + STACK_BYTES / 4;
static _Alignas(CALLER_INPUT_BYTES) uint8_t caller[CALLER_INPUT_BYTES + 16];
static _Alignas(FEATURES_BYTES) uint8_t features[FEATURES_BYTES + 16];
static _Alignas(256) uint32_t vectors[VECTORS];
static uint32_t windows[3]; /* blob, arena, state: an edge with WINDOW bytes on either side */
static volatile uint32_t periods_left;
static uint32_t fault_pc, fault_address;

/* ---- MPU ---- */

#ifdef __ARM_ARCH_8M_MAIN__
/* Bytes [first, end), outward to 32; none where they are equal. */
static void set_region(uint32_t number, uint32_t first, uint32_t end, uint32_t access) {
    MPU_RNR = number;
    MPU_SIZE = 0;
    if (first != end) {
        MPU_RBAR = (first & ~31u) | access;
        MPU_SIZE = ((end - 1) & ~31u) | 1u;
    }
}
#else
/* Bytes [first, end), one of which is a multiple of WINDOW or of end - first; the other is met by leaving out
 * eighths of a region that is a power of two. */
static void set_region(uint32_t number, uint32_t first, uint32_t end, uint32_t access) {
    uint32_t size_log2 = 8; /* subregions exist from 256 bytes on */
    while ((1u << size_log2) < end - first)
        size_log2++;
    const uint32_t size = 1u << size_log2, spare = (size - (end - first)) / (size / 8);
    const uint32_t low = (1u << spare) - 1; /* a set bit disables an eighth */
    const int from_first = first % size == 0;
    MPU_RBAR = (from_first ? first : end - size) | 16u | number;
    MPU_SIZE = access | (from_first ? low << (8 - spare) & 255u : low) << 8 | (size_log2 - 1) << 1 | 1u;
}
#endif

/* `bytes` at the edge of a window: before it, or behind it. Returns where they start. */
static uint8_t *set_window(uint32_t number, uint32_t edge, uint32_t bytes, int behind, uint32_t access) {
    const uint32_t whole = (bytes + OFR_ALIGN - 1) & ~(OFR_ALIGN - 1);
    const uint32_t first = behind ? edge : edge - whole;
    set_region(number, first, first + whole, access);
    return (uint8_t *)first;
}

static void set_region_of(uint32_t number, const void *at, uint32_t bytes, uint32_t access) {
    const uint32_t first = (uint32_t)(uintptr_t)at;
    set_region(number, first, first + bytes, access);
}

/* On for unprivileged code; privileged code keeps the default map besides. */
static void enable_mpu(bool on) {
    MPU_CTRL = on ? 5u : 0;
    __asm volatile("dsb\n isb" ::: "memory");
}

/* ---- guarded calls ---- */

void leave(void);
uint32_t remember(uint32_t exception, const uint32_t *frame);

/* Called by `leave`, privileged, on the main stack. */
__attribute__((used)) uint32_t remember(uint32_t exception, const uint32_t *frame) {
    const int framed = frame >= guarded_stack && frame + 8 <= guarded_stack + STACK_BYTES / 4;
    fault_pc = framed ? frame[6] : 0;
    fault_address = SCB_CFSR & 0x80u ? SCB_MMFAR : SCB_CFSR & 0x8000u ? SCB_BFAR : 0;
    SCB_CFSR = SCB_CFSR;
    FPCCR &= ~FPCCR_LSPACT; /* the frame is left, so nobody shall save vector registers into it later */
    return exception;
}

/* Ends a guarded call from any exception: back to privileged thread mode on the main stack, as if `guarded` returned.
 * A fault of this program itself goes to the port's handler. */
__attribute__((naked, used)) void leave(void) {
    __asm volatile("tst  lr, #4\n"
                   "beq  fault\n"
                   "mrs  r0, ipsr\n"
                   "mrs  r1, psp\n"
                   "bl   remember\n"
                   "movs r1, #0\n"
                   "msr  control, r1\n"
                   "ldr  r2, =1f\n"
                   "mov  r3, #0x01000000\n"
                   "push {r2, r3}\n" /* pc, xpsr */
                   "push {r1, r2}\n" /* r12, lr */
                   "push {r0-r3}\n"
                   "ldr  r1, =0xFFFFFFF9\n"
                   "bx   r1\n"
                   "1: pop {r3-r11, pc}\n");
}

__attribute__((naked)) void SysTick_Handler(void) {
    __asm volatile("ldr  r0, =periods_left\n"
                   "ldr  r1, [r0]\n"
                   "subs r1, #1\n"
                   "str  r1, [r0]\n"
                   "bne  1f\n"
                   "b    leave\n"
                   "1: bx lr\n");
}

__attribute__((naked, noinline)) static uint32_t guarded_call(void (*function)(void), uint32_t *stack_end) {
    (void)function;
    (void)stack_end;
    __asm volatile("push {r3-r11, lr}\n"
                   "msr  psp, r1\n"
                   "movs r3, #3\n"
                   "msr  control, r3\n"
                   "isb\n"
                   "blx  r0\n"
                   "svc  0\n");
}

/* The exception that ended the call: SVC where the function returned. */
static uint32_t guarded(void (*function)(void)) {
    periods_left = LIMIT_PERIODS;
    SYST_RVR = 0xFFFFFFu;
    SYST_CVR = 0;
    SYST_CSR = 7u; /* processor clock, interrupt, on */
    const uint32_t exception = guarded_call(function, guarded_stack + STACK_BYTES / 4);
    SYST_CSR = 0;
    return exception;
}

static void start_guard(void) {
    const volatile uint32_t *old = (const volatile uint32_t *)SCB_VTOR;
    for (uint32_t i = 0; i < VECTORS; i++)
        vectors[i] = old[i];
    const uint32_t code = (uint32_t)(uintptr_t)leave & ~(CODE_BYTES - 1u);
    for (uint32_t i = 3; i <= 7; i++)
        vectors[i] = (uint32_t)(uintptr_t)leave;
    vectors[SVC] = (uint32_t)(uintptr_t)leave;
    SCB_VTOR = (uint32_t)(uintptr_t)vectors;
    MPU_MAIR0 = 0xFFu; /* Armv8-M: normal memory; reserved before */
    set_region(REGION_CODE, code, code + CODE_BYTES, EXECUTE);
    set_region_of(REGION_STACK, guarded_stack, STACK_BYTES, WRITE);
    set_region_of(REGION_CELL, &cell, sizeof cell, WRITE);
    set_region_of(REGION_CALLER, caller, CALLER_INPUT_BYTES, READ);
    set_region_of(REGION_FEATURES, features, FEATURES_BYTES, WRITE);
    cell.memory.features = features;
    memset(caller, 0x33, sizeof caller);
    cell.memory.caller_end = caller + CALLER_INPUT_BYTES;
    const uint32_t first = ((uint32_t)(uintptr_t)port_arena().base + 2 * WINDOW - 1) & ~(WINDOW - 1u);
    for (uint32_t i = 0; i < 3; i++)
        windows[i] = first + i * 2 * WINDOW;
    enable_mpu(true);
}

static void set_blob(const uint8_t *bytes, uint32_t n, int behind) {
    uint8_t *at = set_window(REGION_BLOB, windows[0], n, behind, READ);
    enable_mpu(false);
    memcpy(at, bytes, n);
    enable_mpu(true);
    cell.blob = at;
    cell.bytes = n;
}

static uint32_t at_most(uint32_t wanted, uint32_t limit) {
    return wanted < limit ? wanted : limit;
}

static void set_memory(uint32_t arena_bytes, uint32_t state_bytes, int behind) {
    cell.memory.arena_bytes = at_most(arena_bytes, ARENA_LIMIT);
    cell.memory.state_bytes = at_most(state_bytes, STATE_LIMIT);
    cell.memory.arena = set_window(REGION_ARENA, windows[1], cell.memory.arena_bytes, behind, WRITE);
    cell.memory.state = set_window(REGION_STATE, windows[2], cell.memory.state_bytes, behind, WRITE);
}

/* ---- report ---- */

static void say(const char *text) {
    port_write((const uint8_t *)text, strlen(text));
}

static void say_hex(const char *before, uint32_t value) {
    char digits[9] = "00000000";
    for (int i = 7; i >= 0; i--, value >>= 4)
        digits[i] = "0123456789abcdef"[value & 15u];
    say(before);
    say(digits);
}

static void say_number(int32_t value) {
    char digits[12];
    char *at = digits + sizeof digits - 1;
    uint32_t left = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    *at = 0;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    if (value < 0) *--at = '-';
    say(at);
}

/* ---- controls ---- */

static void touch(const volatile uint8_t *at) {
    (void)*at;
}

static void overwrite(volatile uint8_t *at) {
    *at = 1;
}

static void offend_nobody(void) {
    const memory *m = &cell.memory;
    touch(cell.blob);
    touch(cell.blob + cell.bytes - 1);
    overwrite(m->arena);
    overwrite(m->arena + m->arena_bytes - 1);
    overwrite(m->state);
    overwrite(m->state + m->state_bytes - 1);
    overwrite(m->features);
    overwrite(m->features + FEATURES_BYTES - 1);
    touch(m->caller_end - CALLER_INPUT_BYTES);
    touch(m->caller_end - 1);
}

static void read_past_blob(void) {
    touch(cell.blob + cell.bytes);
}
static void read_before_blob(void) {
    touch(cell.blob - 1);
}
static void write_blob(void) {
    overwrite((uint8_t *)(uintptr_t)cell.blob);
}
static void write_past_arena(void) {
    overwrite(cell.memory.arena + cell.memory.arena_bytes);
}
static void read_past_arena(void) {
    touch(cell.memory.arena + cell.memory.arena_bytes);
}
static void write_before_arena(void) {
    overwrite(cell.memory.arena - 1);
}
static void write_past_state(void) {
    overwrite(cell.memory.state + cell.memory.state_bytes);
}
static void write_before_state(void) {
    overwrite(cell.memory.state - 1);
}
static void write_input(void) {
    overwrite(caller);
}
static void read_past_input(void) {
    touch(caller + CALLER_INPUT_BYTES);
}
static void write_past_features(void) {
    overwrite(cell.memory.features + FEATURES_BYTES);
}
static void write_before_features(void) {
    overwrite(cell.memory.features - 1);
}
static void read_variable(void) {
    touch((const volatile uint8_t *)&periods_left);
}
static void write_code(void) {
    overwrite((uint8_t *)(uintptr_t)leave);
}
static void read_slot(void) {
    touch((const uint8_t *)PORT_MODEL_SLOT);
}
static void read_system(void) {
    touch((const uint8_t *)0xE000ED00u);
}
static void write_uart(void) {
    overwrite((uint8_t *)PORT_UART);
}
static void write_past_stack(void) {
    overwrite((uint8_t *)guarded_stack - 1);
}
static void run_for_ever(void) {
    for (;;)
        __asm volatile("");
}

struct control {
    const char *name;
    void (*offence)(void);
    int behind;
};

static const struct control controls[] = {
    {"read_past_blob", read_past_blob, 0},
    {"read_before_blob", read_before_blob, 1},
    {"write_blob", write_blob, 0},
    {"write_past_arena", write_past_arena, 0},
    {"read_past_arena", read_past_arena, 0},
    {"write_before_arena", write_before_arena, 1},
    {"write_past_state", write_past_state, 0},
    {"write_before_state", write_before_state, 1},
    {"write_input", write_input, 0},
    {"read_past_input", read_past_input, 0},
    {"write_past_features", write_past_features, 0},
    {"write_before_features", write_before_features, 0},
    {"read_variable", read_variable, 0},
    {"write_code", write_code, 0},
    {"read_slot", read_slot, 0},
    {"read_system", read_system, 0},
    {"write_uart", write_uart, 0},
    {"write_past_stack", write_past_stack, 0},
    {"run_for_ever", run_for_ever, 0},
};

static void check_controls(void) {
    static const uint8_t bytes[1008];
    for (uint32_t i = 0; i < sizeof controls / sizeof *controls; i++) {
        set_blob(bytes, sizeof bytes, controls[i].behind);
        set_memory(2000, 272, controls[i].behind);
        const uint32_t allowed = guarded(offend_nobody), caught = guarded(controls[i].offence);
        say("control ");
        say(controls[i].name);
        say(allowed == SVC && caught != SVC ? " caught\n" : " missed\n");
    }
}

/* ---- attempts ---- */

static void peek(void) {
    cell.status = ofr_peek(cell.blob, cell.bytes, cell.plan, &cell.need);
    if (ofr_check_crc(cell.blob, cell.bytes) == OFR_OK) cell.hash = 1;
}

static void run(void) {
    cell.status = exercise(cell.blob, cell.bytes, cell.plan, &ofr_linked_kernels, &cell.need, &cell.memory, &cell.hash);
}

static uint32_t attempt_plan(int behind) {
    cell.hash = 0;
    /* Nothing but the blob may be read before the sizes of the rest are known. */
    set_memory(0, 0, behind);
    uint32_t exception = guarded(peek);
    cell.hash = 0;
    if (exception == SVC && cell.status == OFR_OK) {
        set_memory(cell.need.arena_bytes, cell.need.state_bytes, behind);
        exception = guarded(run);
    }
    return exception;
}

/* Every plan by itself; the status is that of plan 0, the hash of all. */
static uint32_t attempt(int behind) {
    uint32_t hash = 0, exception = SVC;
    ofr_status first = OFR_OK;
    for (cell.plan = 0; cell.plan < MOST_PLANS && exception == SVC; cell.plan++) {
        exception = attempt_plan(behind);
        if (cell.plan == 0)
            first = cell.status;
        else if (cell.status == OFR_E_PLAN)
            break;
        hash = hash_plan(hash, cell.status, cell.hash);
    }
    cell.status = first;
    cell.hash = hash;
    return exception;
}

static void report(uint32_t index, uint32_t exception) {
    say_number((int32_t)index);
    if (exception == SVC) {
        say(" ");
        say_number(cell.status);
        say_hex(" ", cell.hash);
    } else {
        say(" fault ");
        say_number((int32_t)exception);
        say_hex(" pc=", fault_pc);
        say_hex(" address=", fault_address);
    }
    say("\n");
}

static uint32_t word_at(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

int app_main(void) {
    const uint8_t *at = port_model_slot().base + OFR_ALIGN;
    const uint32_t count = word_at(at - OFR_ALIGN);
    uint32_t longest = 0;
    port_receive(false);
    start_guard();
    check_controls();
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t n = word_at(at);
        set_blob(at + OFR_ALIGN, n, i & 1u);
        const uint32_t start = port_ticks();
        const uint32_t exception = attempt(i & 1u);
        const uint32_t ticks = port_ticks() - start;
        longest = ticks > longest ? ticks : longest;
        report(i, exception);
        at += OFR_ALIGN + ((n + OFR_ALIGN - 1) & ~(OFR_ALIGN - 1));
    }
    say("end ");
    say_number((int32_t)longest);
    say("\n");
    return 0;
}
