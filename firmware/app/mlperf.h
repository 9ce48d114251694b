/* MLPerf Tiny's text protocol on the link's line, while that carries text (firmware/LINK.md, "MLPerf Tiny"). An image
 * built without --mlperf holds none of it. */
#ifndef OFFRAMP_MLPERF_H
#define OFFRAMP_MLPERF_H

#include <stdbool.h>
#include <stdint.h>

#ifdef APP_MLPERF_MODEL

#define MLPERF_TAKES_TEXT true

/* Takes a byte of text, and does what a command says that it ends. */
void mlperf_take(uint8_t byte);

/* A frame begins: drops a command that has not ended. */
void mlperf_forget(void);

#else

#define MLPERF_TAKES_TEXT false

static inline void mlperf_take(uint8_t byte) {
    (void)byte;
}
static inline void mlperf_forget(void) {}

#endif
#endif
