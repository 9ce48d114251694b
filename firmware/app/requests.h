/* What the host may ask, and how a reply begins (firmware/LINK.md, "Requests"). */
#ifndef OFFRAMP_REQUESTS_H
#define OFFRAMP_REQUESTS_H

#include "offramp.h"

#include <stddef.h>
#include <stdint.h>

#define REPLY_BYTES 4u /* status, offset of the variable part, reserved */

/* Writes an accepting reply's start and returns where its fields go. `variable_part` is 0 if there is none. */
uint8_t *start_reply(uint8_t *reply, uint32_t variable_part);

/* Write a refusing reply and return its size. */
size_t refuse(uint8_t *reply, int status, uint32_t found, uint32_t allowed);
size_t refuse_fault(uint8_t *reply, int status, const ofr_fault *fault);

/* Requests to a model begin with its number; one runs at a time, so that is 0. Returns a status. */
int find_model(const uint8_t *payload, ofr_fault *fault);

/* Does what a request asks, writes at most LINK_PAYLOAD_BYTES of reply and returns its size. */
size_t request_answer(uint8_t code, const uint8_t *payload, size_t n, uint8_t *reply);

#endif
