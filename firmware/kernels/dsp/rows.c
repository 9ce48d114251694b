/* Rows of two int8 inputs: what is no whole four, and inputs of one value. */
#pragma GCC optimize("Os")

#include "rows.h"

enum { REPEATED = 32 }; /* copies of a single value, so that it can be read as a row */

ofr_status ofr_dsp_check_rows(const ofr_call *call, uint32_t params_bytes) {
    const ofr_broadcast *p = call->params;
    for (uint32_t i = 0; i < 2; i++) {
        if (p->strides[i][OFR_BROADCAST_AXES - 1] > 1) {
            return ofr_refuse(call, OFR_E_VALUE, p->strides[i][OFR_BROADCAST_AXES - 1], 1);
        }
    }
    return ofr_check_broadcast(call, params_bytes);
}

void ofr_dsp_each(ofr_dsp_fours *fours, const void *job, const int8_t *a, uint32_t stride_a, const int8_t *b,
                 uint32_t stride_b, int8_t *out, uint32_t n) {
    int8_t repeated[2][REPEATED];
    if (stride_a == 0) {
        memset(repeated[0], *a, REPEATED);
        a = repeated[0];
    }
    if (stride_b == 0) {
        memset(repeated[1], *b, REPEATED);
        b = repeated[1];
    }
    const uint32_t most = stride_a & stride_b ? UINT32_MAX - 3 : REPEATED;
    for (uint32_t done; n >= 4; n -= done, out += done) {
        done = (n < most ? n : most) & ~3u;
        fours(a, b, out, done / 4, job);
        a += done * stride_a;
        b += done * stride_b;
    }
    if (n != 0) {
        int8_t rest[2][4] = {{0}};
        memcpy(rest[0], a, n);
        memcpy(rest[1], b, n);
        fours(rest[0], rest[1], rest[0], 1, job);
        memcpy(out, rest[0], n);
    }
}
