/* What the board says of itself, its model and its past: the requests `info` and `statistics`. */
#ifndef OFFRAMP_DESCRIBE_H
#define OFFRAMP_DESCRIBE_H

#include <stddef.h>
#include <stdint.h>

/* Payload: u8 topic, u8 model, u16 index. */
size_t describe(const uint8_t *payload, size_t n, uint8_t *reply);
size_t statistics(const uint8_t *payload, size_t n, uint8_t *reply);

#endif
