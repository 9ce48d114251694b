/* Convolution three columns wide at column stride 1, channels a multiple of 16, int8, on Helium: each vector of a row
 * is loaded once for the three outputs that it is part of. */
#pragma GCC optimize("Os")

#include "requantize.h"
#include "tile.h"

enum { UNROLLED = 3, TILE = 4 };

typedef struct tiles {
    int8_t *out;         /* of the first pixel */
    const uint8_t *taps; /* its left taps */
    const int8_t *end;   /* of the stream */
    uint32_t two;
    uint32_t loops, skip; /* through the unrolled product behind the first step; of its steps, the first time */
    uint32_t tiles;       /* one behind the other */
    const int8_t *stream;
    uint32_t pitch; /* from one vector of a column to the next */
    uint32_t out_step;
    uint32_t add[2];
    uint16_t places[8]; /* as of ofr_mve_tile */
} tiles;

_Static_assert(offsetof(tiles, places) == 48, "the code below");

/* One vector of six columns times those of three columns of weights, q2 to q7; sums as in tile.c. */
#define STEP(op)                                                                          \
    "vldrb.8 q2, [r9], #16\n"                                                             \
    "vldrb.8 q3, [r9], #16\n"                                                             \
    "vldrb.8 q4, [r9], #16\n"                                                             \
    "vldrb.8 q5, [r9], #16\n"                                                             \
    "vldrb.8 q6, [r9], #16\n"                                                             \
    "vldrb.8 q7, [r9], #16\n"                                                             \
    "vldrb.8 q0, [r1]\n" op " r0, q0, q2\n" op " r8, q0, q3\n"                            \
    "vldrb.8 q0, [r1, #16]\n"                                                             \
    "vmladava.s8 r0, q0, q4\n"                                                            \
    "vmladava.s8 r8, q0, q5\n" op " r2, q0, q2\n" op " r10, q0, q3\n"                     \
    "vldrb.8 q0, [r1, #32]\n"                                                             \
    "vmladava.s8 r0, q0, q6\n"                                                            \
    "vmladava.s8 r8, q0, q7\n"                                                            \
    "vmladava.s8 r2, q0, q4\n"                                                            \
    "vmladava.s8 r10, q0, q5\n" op " r4, q0, q2\n" op " r12, q0, q3\n"                    \
    "vldrb.8 q0, [r1, #48]\n"                                                             \
    "vmladava.s8 r2, q0, q6\n"                                                            \
    "vmladava.s8 r10, q0, q7\n"                                                           \
    "vmladava.s8 r4, q0, q4\n"                                                            \
    "vmladava.s8 r12, q0, q5\n" op " r6, q0, q2\n" op " r14, q0, q3\n"                    \
    "vldrb.8 q0, [r1, #64]\n"                                                             \
    "vmladava.s8 r4, q0, q6\n"                                                            \
    "vmladava.s8 r12, q0, q7\n"                                                           \
    "vmladava.s8 r6, q0, q4\n"                                                            \
    "vmladava.s8 r14, q0, q5\n"                                                           \
    "vldrb.8 q0, [r1, #80]\n"                                                             \
    "vmladava.s8 r6, q0, q6\n"                                                            \
    "vmladava.s8 r14, q0, q7\n"                                                           \
    "add.w r1, r1, r3\n"

/* The struct lies on the stack, the address of the first step in place of its number, behind it the address of the form
 * of requantization. r5 and r7 hold add[], q1 the places. */
static __attribute__((naked, noinline)) void all_tiles(const tiles *t __attribute__((unused)),
                                                       uint32_t is_signed __attribute__((unused))) {
    __asm__ volatile(
        "push {r3-r11, lr}\n"
        "vpush {d8-d15}\n"
        "sub sp, #72\n"
        "vldrw.32 q0, [r0]\n"
        "vldrw.32 q2, [r0, #16]\n"
        "vldrw.32 q3, [r0, #32]\n"
        "vldrw.32 q1, [r0, #48]\n"
        "cmp r1, #0\n"
        "adr.w r8, 3f\n"
        "it ne\n"
        "addne r8, r8, #4f - 3f\n"
        "orr r8, r8, #1\n"
        "str r8, [sp, #64]\n"
        "ldr r8, [r0, #20]\n"
        "movs r2, #148\n"
        "adr.w r12, 2f\n"
        "mla r8, r8, r2, r12\n"
        "orr r8, r8, #1\n"
        "vstrw.32 q0, [sp]\n"
        "vstrw.32 q2, [sp, #16]\n"
        "vstrw.32 q3, [sp, #32]\n"
        "vstrw.32 q1, [sp, #48]\n"
        "str r8, [sp, #20]\n"
        "ldr r3, [sp, #32]\n"
        "ldrd r5, r7, [sp, #40]\n"
        "ldr r1, [sp, #4]\n"
        "ldr r11, [sp, #16]\n"
        "0:\n" /* a tile */
        "ldr r9, [sp, #28]\n"
        "1:\n" /* a pair of channels */
        STEP("vmladav.s8")
        "ldr.w pc, [sp, #20]\n"
        ".balign 4\n"
        "2:\n"
        ".rept 3\n"
        STEP("vmladava.s8")
        ".endr\n"
        "subs r11, #1\n"
        "bne 2b\n"
        OFR_MVE_COLLECT("q2", "q3")
        "ldr.w pc, [sp, #64]\n"
        "3:\n"
        OFR_MVE_SCALE_RELU("q2", "q3", "q4")
        "ldm.w sp, {r0, r1, r2, r4, r11}\n"
        OFR_MVE_NARROW_RELU("q2", "q3", "r5", "r7")
        "b 5f\n"
        "4:\n"
        OFR_MVE_SCALE_SIGNED("q2", "q3", "q4")
        "ldm.w sp, {r0, r1, r2, r4, r11}\n"
        OFR_MVE_NARROW_SIGNED("q2", "q3", "r5", "r7")
        "5:\n"
        "vstrb.16 q2, [r0, q1]\n"
        "vadd.i16 q1, q1, r4\n"
        "cmp r9, r2\n"
        "bne.w 1b\n"
        "ldr r4, [sp, #36]\n"
        "add r0, r4\n"
        "add r1, #64\n"
        "strd r0, r1, [sp]\n"
        "vldrw.32 q1, [sp, #48]\n"
        "ldr r2, [sp, #24]\n"
        "subs r2, #1\n"
        "str r2, [sp, #24]\n"
        "bne.w 0b\n"
        "add sp, #72\n"
        "vpop {d8-d15}\n"
        "pop {r3-r11, pc}\n");
}

/* Rows of taps that a strip of output rows needs. */
static uint32_t rows_of(const ofr_mve_conv_2d_params *p) {
    return (p->strip - 1u) * p->stride_h + p->kernel_h;
}

/* Scratch: for each row of taps a plane for each 16 channels, with the columns beside the input. */
static uint32_t pitch_of(const ofr_mve_conv_2d_params *p) {
    return 16u * (p->out_cols + 2u);
}

static ofr_status check(const ofr_call *call) {
    const ofr_mve_conv_2d_params *p = call->params;
    if (p->kernel_w != 3 || p->stride_w != 1 || p->in_c % 16u != 0) {
        return ofr_refuse(call, OFR_E_VALUE, p->in_c, 16);
    }
    if (p->strip == 0 || (p->strip > 1 && p->dilation_h != 1)) { /* rows would not lie one behind the other */
        return ofr_refuse(call, OFR_E_VALUE, p->strip, 1);
    }
    if (p->out_cols < TILE || p->pad_left > 2) {
        return ofr_refuse(call, OFR_E_VALUE, p->out_cols, TILE);
    }
    return ofr_mve_check_conv_2d(call, ofr_times(ofr_times(rows_of(p), p->in_c / 16u), pitch_of(p)));
}

/* Rows of taps that a strip shares with the one before. */
static uint32_t shared_rows(const ofr_mve_conv_2d_params *p) {
    return p->dilation_h == 1 && p->kernel_h > p->stride_h ? (uint32_t)p->kernel_h - p->stride_h : 0;
}

/* Taps of the strip that begins with output row `oy`. */
static void bring(const ofr_call *call, uint32_t oy) {
    const ofr_mve_conv_2d_params *p = call->params;
    const uint32_t room = p->out_cols + 2u - p->pad_left, n = p->cols < room ? p->cols : room;
    const uint32_t row = p->in_c / 16u * pitch_of(p), known = oy != 0 ? shared_rows(p) : 0;
    uint8_t *dst = call->scratch;
    (void)ofr_mve_copy(dst, dst + p->strip * p->stride_h * row, known * row); /* outputs may lie over their input by now */
    dst += known * row + 16u * p->pad_left;
    int32_t y = (int32_t)(oy * p->stride_h + known) - p->pad_top;
    uint8_t fill[16];
    memset(fill, p->fill, sizeof fill);
    for (uint32_t r = known; r < rows_of(p); r++, y += p->dilation_h) {
        const uint8_t *src = call->in[0].data + (uint32_t)y * p->cols * p->in_c;
        for (uint32_t c = 0; c < p->in_c; c += 16, dst += pitch_of(p)) {
            const int inside = y >= 0 && y < p->rows;
            ofr_mve_copy_columns(dst, 16, inside ? src + c : fill, inside ? p->in_c : 0, n, 16);
        }
    }
}

static __attribute__((noinline)) void run(const ofr_call *call, uint32_t is_signed) {
    const ofr_mve_conv_2d_params *p = call->params;
    const uint32_t steps = (uint32_t)p->kernel_h * p->in_c / 16u, pair_bytes = ofr_mve_pair_bytes(48u * steps);
    const uint32_t whole = p->out_cols / TILE, pitch = pitch_of(p);
    const uint32_t parts = p->out_c % 2u ? 4 : 2;
    const int8_t *const stream = (const int8_t *)(p + 1);
    ofr_mve_tile shared; /* for its places */
    ofr_mve_place(&shared, TILE, p->out_c);
    tiles t = {.two = 2, .loops = (steps - 1u) / UNROLLED + 1u, .skip = UNROLLED - (steps - 1u) % UNROLLED, .pitch = pitch, .out_step = 4u * p->out_c,
               .add = {p->add[0], p->add[1]}};
    memcpy(t.places, shared.places, sizeof t.places);
    ofr_mve_fill(call->scratch, p->fill, rows_of(p) * (p->in_c / 16u) * pitch); /* columns beside the input stay so */
    for (uint32_t oy = 0; oy < p->out_rows; oy++) {
        int8_t *out = (int8_t *)call->out[0].data + oy * p->out_cols * p->out_c;
        const uint32_t in_strip = oy % p->strip;
        const uint8_t *taps = (const uint8_t *)call->scratch + in_strip * p->stride_h * (p->in_c / 16u) * pitch;
        if (in_strip == 0) {
            bring(call, oy);
        }
        /* The last, narrower tile begins further left and writes some outputs again; an odd channel comes last. */
        for (uint32_t part = 0; part < parts; part++) {
            const uint32_t first = part % 2u ? p->out_cols - TILE : 0, odd = part / 2u;
            t.tiles = part % 2u ? p->out_cols % TILE != 0 : whole;
            t.stream = stream + odd * (p->out_c / 2u) * pair_bytes;
            t.end = stream + (odd ? (p->out_c + 1u) / 2u : p->out_c / 2u) * pair_bytes;
            t.out = out + first * p->out_c + (odd && p->out_c > 1 ? p->out_c - 2u : 0);
            t.taps = taps + 16u * first;
            if (t.tiles != 0 && t.stream != t.end) {
                all_tiles(&t, is_signed);
            }
        }
    }
}

static void run_relu(const ofr_call *call) {
    run(call, 0);
}

static void run_signed(const ofr_call *call) {
    run(call, 1);
}

const ofr_kernel ofr_kernel_mve_row_conv_2d = {
    OFR_KERNEL_MVE_ROW_CONV_2D, OFR_PACKING_MVE_ROW_CONV_2D, sizeof(ofr_mve_conv_2d_params), 1, 1, OFR_SAME_START(0), check, run_relu,
};

const ofr_kernel ofr_kernel_mve_row_conv_2d_signed = {
    OFR_KERNEL_MVE_ROW_CONV_2D_SIGNED, OFR_PACKING_MVE_ROW_CONV_2D_SIGNED, sizeof(ofr_mve_conv_2d_params), 1, 1, OFR_SAME_START(0), check, run_signed,
};
