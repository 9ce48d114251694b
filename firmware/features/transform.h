/* The Fourier transforms of real frames, each stage scaled so that nothing overflows (features/fft.py). */
#ifndef OFR_TRANSFORM_H
#define OFR_TRANSFORM_H

#include <stdint.h>

/* `z`: points, a power of 4 in [4, 4096], complex numbers (real, imaginary) = 2 * points samples in; out come the first
 * bins of the transform over 2 * points, Nyquist's left out. `cosines`: int16 of a whole turn in 2 * points steps. */
void ofr_real_fft_s16(int16_t *z, uint32_t points, const int16_t *cosines);

/* As above with 31 bits: points a power of 2 from 4 on, cosines of 2^30. */
void ofr_real_fft_s32(int32_t *z, uint32_t points, const int32_t *cosines);

#endif
