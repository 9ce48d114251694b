/* The check of sparse streams: what the kernels read without looking. */
#pragma GCC optimize("Os")

#include "sparse.h"

#include <arm_mve.h>

enum { PAIR_TAIL = 24, EIGHT_TAIL = 96, BYTES_GROUP = 34, BLOCKS_GROUP = 24 };

/* Whether all places of n groups are below `taps`. */
static int groups_fit(const uint8_t *group, uint32_t n, uint32_t taps, ofr_mve_places places) {
    for (; n != 0; n--) {
        uint32_t last;
        if (places == OFR_MVE_BYTES) {
            uint16_t base;
            memcpy(&base, group, sizeof base);
            last = base + vmaxvq_u8(0, vldrbq_u8(group + 2));
            group += BYTES_GROUP;
        } else {
            last = 4u * vmaxvq_u32(0, vldrhq_u32((const uint16_t *)(const void *)group)) + 3u;
            group += BLOCKS_GROUP;
        }
        if (last >= taps) {
            return 0;
        }
    }
    return 1;
}

ofr_status ofr_mve_check_sparse(const ofr_call *call, const void *begin, uint32_t bytes, uint32_t taps, uint32_t out_c,
                                ofr_mve_set set, ofr_mve_places places) {
    const ofr_mve_sparse *s = begin;
    const uint8_t *stream = (const uint8_t *)(s + 1);
    const uint32_t tail = set == OFR_MVE_PAIRS ? PAIR_TAIL : EIGHT_TAIL, head = 2u * set;
    const uint32_t group_bytes = places == OFR_MVE_BYTES ? BYTES_GROUP : BLOCKS_GROUP;
    if (bytes < sizeof *s || bytes - sizeof *s != s->bytes) {
        return ofr_refuse(call, OFR_E_PARAMS, bytes, s->bytes);
    }
    uint32_t at = 0, sets = 0;
    for (uint32_t done = 0; done < out_c; done += set, sets++) {
        if (set == OFR_MVE_PAIRS && done + 1u == out_c && s->last != at) {
            return ofr_refuse(call, OFR_E_PARAMS, s->last, at);
        }
        if (s->bytes - at < head + tail) {
            return ofr_refuse(call, OFR_E_PARAMS, s->bytes, at);
        }
        uint32_t groups = 0;
        for (uint32_t i = 0; i < set; i++) {
            groups += ((const uint16_t *)(const void *)(stream + at))[i];
        }
        const uint32_t taken = (groups * group_bytes + 3u) & ~3u; /* below 2^25 */
        if (s->bytes - at - head - tail < taken) {
            return ofr_refuse(call, OFR_E_PARAMS, s->bytes, at);
        }
        if (!groups_fit(stream + at + head, groups, taps, places)) {
            return ofr_refuse(call, OFR_E_VALUE, at, taps);
        }
        at += head + taken + tail;
    }
    if (at != s->bytes || (out_c % 2u == 0 && set == OFR_MVE_PAIRS && s->last != at)) {
        return ofr_refuse(call, OFR_E_PARAMS, s->bytes, at);
    }
    return OFR_OK;
}
