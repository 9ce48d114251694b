/* The board's own sensor over the link (firmware/LINK.md, "Sensor"). An image built without --source holds none of it. */
#ifndef OFFRAMP_SOURCE_REQUESTS_H
#define OFFRAMP_SOURCE_REQUESTS_H

#include <stddef.h>
#include <stdint.h>

#ifdef APP_SOURCE

/* What the active model takes of the arena's region changes: the sensor stops, and what it had sampled is gone. */
void source_drop(void);

/* Requests. */
size_t source_info(const uint8_t *payload, size_t n, uint8_t *reply);
size_t source_start(const uint8_t *payload, size_t n, uint8_t *reply);
size_t source_read(const uint8_t *payload, size_t n, uint8_t *reply);
size_t source_stop(const uint8_t *payload, size_t n, uint8_t *reply);

#else

static inline void source_drop(void) {}

#endif
#endif
