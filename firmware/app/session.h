/* One host at a time on the link: text or frames, sequence numbers, stored replies. */
#ifndef OFFRAMP_SESSION_H
#define OFFRAMP_SESSION_H

#include <stdint.h>

/* Requests that may be outstanding, and replies that are stored; a power of two. */
#ifndef LINK_WINDOW
#define LINK_WINDOW 4u
#endif

/* Since the start: valid frames, damaged ones, requests that came again. */
struct session_counts {
    uint32_t frames, bad_frames, repeated;
};
extern struct session_counts session_counts;

/* Writes the banner. */
void session_start(void);

/* Answers what has been received. */
void session_poll(void);

#endif
