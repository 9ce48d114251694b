/* Motion: means of samples of every axis, quantized; bit-exact to toolkit/offramp/features/imu.py. */
#include "feature.h"

enum { MOST_AXES = 64, MOST_AVERAGED = 4096 };

typedef struct axis {
    uint32_t multiplier, shift;
    int32_t zero_point, offset;
} axis;

/* Memory: uint32_t count, int32_t sums[axes]. */
static ofr_status check(const void *params, uint32_t bytes, uint32_t *memory) {
    const ofr_imu_params *p = params;
    if (bytes < sizeof *p || p->axes == 0 || p->axes > MOST_AXES || p->average == 0 || p->average > MOST_AVERAGED ||
        p->element_bytes != 2u * p->axes || p->row_bytes != p->axes || bytes != sizeof *p + p->axes * sizeof(axis)) {
        return OFR_E_FRONT_END;
    }
    *memory = 4u + 4u * p->axes;
    return OFR_OK;
}

static void finish(const ofr_imu_params *p, int32_t *sums, int8_t *row) {
    const axis *axes = (const axis *)(const void *)(p + 1);
    for (uint32_t i = 0; i < p->axes; i++) {
        const int32_t x = (int32_t)((uint32_t)sums[i] + (uint32_t)axes[i].offset);
        const int32_t zero_point = (int16_t)axes[i].zero_point;
        row[i] = ofr_quantized(x, axes[i].multiplier, axes[i].shift, zero_point);
        sums[i] = 0;
    }
}

static uint32_t feed(const void *params, uint8_t *memory, const uint8_t *raw, uint32_t n, int8_t *row, bool *ready) {
    const ofr_imu_params *p = params;
    uint32_t *count = (uint32_t *)(void *)memory;
    int32_t *sums = (int32_t *)(void *)(count + 1);
    uint32_t taken = 0;
    while (taken < n && !*ready) {
        for (uint32_t i = 0; i < p->axes; i++, raw += 2) {
            sums[i] += (int16_t)(raw[0] | raw[1] << 8);
        }
        taken++;
        if (++*count == p->average) {
            *count = 0;
            finish(p, sums, row);
            *ready = true;
        }
    }
    return taken;
}

const ofr_feature_kind ofr_feature_imu = {OFR_FEATURE_IMU, check, feed};
