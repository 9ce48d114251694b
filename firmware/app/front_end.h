/* The active model's front end: raw samples over the link become its input 0 (firmware/LINK.md, "Front ends"). An image
 * for models without one holds none of it. */
#ifndef OFFRAMP_FRONT_END_H
#define OFFRAMP_FRONT_END_H

#include <stddef.h>
#include <stdint.h>

#ifndef APP_FRONT_ENDS
#define APP_FRONT_ENDS 0 /* `offramp build` sets it for a blob that names one */
#endif

/* A model has been loaded: opens the front end that its blob names, below what the region's top holds. A status: OFR_OK
 * too where it names none. */
int front_end_start(void);

/* Forgets what was fed. */
void front_end_reset(void);

/* The request `feed`: u8 model, u8 × 3 reserved, raw bytes. What follows a run that is due is not taken. */
size_t feed_request(const uint8_t *payload, size_t n, uint8_t *reply);

/* Info's topic 7. */
size_t describe_front_end(uint8_t *reply);

#endif
