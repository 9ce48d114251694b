/* Weights without most of their zeros: groups of 16 that one gather of a pixel's taps serves.
 *
 * Two encodings. Bytes: u16 base, 16 x u8 place behind it, 16 x s8 weight. Blocks, four weights each of four neighbouring
 * taps: 4 x u16 place in words, 16 x s8 weight. Unused places of a group repeat another with weight 0.
 *
 * A layer's stream begins with ofr_mve_sparse. Then, for each set of channels, pairs as in tile.h or eights as in
 * fully_connected.h: u16 groups of each channel, the groups channel by channel, up to a multiple of 4 bytes, and
 * what stands behind the weights in a dense stream. */
#ifndef OFR_MVE_SPARSE_H
#define OFR_MVE_SPARSE_H

#include "kernel.h"

typedef struct ofr_mve_sparse {
    uint32_t gathers; /* groups of all channels, for estimates */
    uint32_t last;   /* where the last pair of an odd number of channels begins behind this, else the end */
    uint32_t bytes;  /* behind this */
} ofr_mve_sparse;

_Static_assert(offsetof(ofr_mve_pointwise_sparse_params, gathers) == sizeof(ofr_mve_pointwise_params), "stream");
_Static_assert(offsetof(ofr_mve_conv_2d_sparse_params, gathers) == sizeof(ofr_mve_conv_2d_params), "stream");

/* How channels stand together. */
typedef enum ofr_mve_set {
    OFR_MVE_PAIRS = 2,
    OFR_MVE_EIGHTS = 8,
} ofr_mve_set;

/* What a group is made of. */
typedef enum ofr_mve_places {
    OFR_MVE_BYTES,
    OFR_MVE_BLOCKS,
} ofr_mve_places;

/* Refuses a stream at `begin`, of `bytes` bytes, that does not hold out_c channels or in which a place is not one of a
 * pixel's taps. Blocks need taps in fours. */
ofr_status ofr_mve_check_sparse(const ofr_call *call, const void *begin, uint32_t bytes, uint32_t taps, uint32_t out_c,
                                ofr_mve_set set, ofr_mve_places places);

/* A group at r6 times the taps of pixels. OPEN: places into q0 and weights into q1, r10 changes; PIXEL(x, sum, q,
 * temporary): the product of the pixel at x; CLOSE: r9, what follows the last group of a set. */
#define OFR_MVE_BYTES_OPEN        \
    "ldrh r10, [r6], #2\n"        \
    "vldrb.8 q0, [r6], #16\n"     \
    "vldrb.8 q1, [r6], #16\n"
#define OFR_MVE_BYTES_PIXEL(x, sum, q, temporary)      \
    "add " temporary ", " x ", r10\n"                  \
    "vldrb.u8 " q ", [" temporary ", q0]\n"            \
    "vmladava.s8 " sum ", " q ", q1\n"
#define OFR_MVE_BYTES_CLOSE "adds r6, #2\n" "bic r9, r6, #3\n"

#define OFR_MVE_BLOCKS_OPEN       \
    "vldrh.u32 q0, [r6], #8\n"    \
    "vldrb.8 q1, [r6], #16\n"
#define OFR_MVE_BLOCKS_PIXEL(x, sum, q, temporary)     \
    "vldrw.u32 " q ", [" x ", q0, uxtw #2]\n"          \
    "vmladava.s8 " sum ", " q ", q1\n"
#define OFR_MVE_BLOCKS_CLOSE "mov r9, r6\n"

#endif
