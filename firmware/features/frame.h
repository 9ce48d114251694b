/* Overlapping frames of 16-bit samples, the last `window` of them, moved on by `step`; and bands of their bins. */
#ifndef OFR_FRAME_H
#define OFR_FRAME_H

#include "feature.h"

static inline bool ofr_frame_is_sane(uint32_t window, uint32_t step) {
    return window >= 2 && window % 2 == 0 && window <= 8192 && step >= 1 && step <= window;
}

/* Whether the bands of so many channels lie in order within the transform's bins, `bins` of them, which they have
 * weights for. `starts`: the first bin of each band, and the end. */
static inline bool ofr_bands_are_sane(const uint16_t *starts, uint32_t channels, uint32_t points, uint32_t bins) {
    for (uint32_t i = 0; i <= channels; i++) {
        if (starts[i] > starts[i + 1]) {
            return false;
        }
    }
    return starts[channels + 1] <= points && starts[channels + 1] - starts[0] == (int32_t)bins;
}

/* Takes samples until a frame is whole, at most n; `filled` is what `frame` holds. Returns how many. */
static inline uint32_t ofr_frame_fill(int16_t *frame, uint32_t *filled, uint32_t window, const uint8_t *raw,
                                      uint32_t n) {
    const uint32_t room = window - *filled, taken = n < room ? n : room;
    memcpy(frame + *filled, raw, 2 * taken);
    *filled += taken;
    return taken;
}

/* Drops the first `step` samples of a whole frame. */
static inline void ofr_frame_move(int16_t *frame, uint32_t *filled, uint32_t window, uint32_t step) {
    for (uint32_t i = step; i < window; i++) {
        frame[i - step] = frame[i];
    }
    *filled = window - step;
}

#endif
