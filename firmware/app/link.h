/* Framing of the link (firmware/LINK.md): COBS between zero bytes, CRC-32 at the end. Usable without the rest. */
#ifndef OFFRAMP_LINK_H
#define OFFRAMP_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_MAJOR 1 /* SemVer of LINK.md */
#define LINK_MINOR 3

#define LINK_HEADER_BYTES 4u /* kind, code, sequence number */
#define LINK_PAYLOAD_BYTES 256u
#define LINK_CRC_BYTES 4u
#define LINK_BODY_BYTES (LINK_HEADER_BYTES + LINK_PAYLOAD_BYTES + LINK_CRC_BYTES)

enum link_kind { LINK_REQUEST = 1, LINK_REPLY = 2, LINK_EVENT = 3 };

enum link_code {
    LINK_HELLO = 0x01,
    LINK_INFO = 0x02,
    LINK_STATISTICS = 0x03,
    LINK_RESET = 0x04,
    LINK_RELEASE = 0x05,
    LINK_MODEL_BEGIN = 0x10,
    LINK_MODEL_CHUNK = 0x11,
    LINK_MODEL_COMMIT = 0x12,
    LINK_MODEL_ACTIVATE = 0x13,
    LINK_MODEL_ROLL_BACK = 0x14,
    LINK_INPUT = 0x20,
    LINK_RUN = 0x21,
    LINK_OUTPUT = 0x22,
    LINK_RESET_STATE = 0x23,
    LINK_FEED = 0x24,
    LINK_POLICY = 0x30,
    LINK_THRESHOLD = 0x31,
    LINK_EXIT_POLICY = 0x32,
    LINK_SOURCE = 0x40,
    LINK_SOURCE_START = 0x41,
    LINK_SOURCE_READ = 0x42,
    LINK_SOURCE_STOP = 0x43
};

enum link_event { LINK_EXPECTED = 0x01, LINK_LOG = 0x02, LINK_FAULT = 0x03 };

/* Refusals of the link itself, beside those of OFR_STATUS_LIST: name, value, text, remedy. */
#define LINK_STATUS_LIST(X)                                                                                            \
    X(LINK_E_REQUEST, -64, "a request this firmware does not know", "Update the firmware.")                            \
    X(LINK_E_LENGTH, -65, "a request with a wrong number of bytes", "Update the host tools or the firmware.")          \
    X(LINK_E_SESSION, -66, "no session: the board has started again", "Connect again.")                                \
    X(LINK_E_NO_MODEL, -67, "no model is active", "Load a model, or link one into the firmware.")                      \
    X(LINK_E_INDEX, -68, "no such model, input, output, step or topic", "Ask the board for its info.")                 \
    X(LINK_E_RANGE, -69, "bytes past the end of a tensor", "Send inputs of the size that info states.")                \
    X(LINK_E_SLOT, -70, "the model does not fit the board's model slot", "Link the model into the firmware.")          \
    X(LINK_E_ORDER, -71, "a chunk out of order, or a commit before the last chunk", "Send the model again.")           \
    X(LINK_E_PLANS, -72, "the blob has more plans than this firmware keeps", "Build the firmware for this blob.")       \
    X(LINK_E_FAMILY, -73, "plans of the blob differ in their inputs or outputs", "Pack the family again.")              \
    X(LINK_E_BUDGET, -74, "no plan is known to run in so few instructions", "Raise the budget, or add a smaller plan.") \
    X(LINK_E_CASCADE, -75, "state or the type of output 0 allows no cascade", "Set a plan or a budget instead.")       \
    X(LINK_E_MARGIN, -76, "the blob states no margin for a cascade", "Give one of 1 to 255: cascade:MARGIN.")          \
    X(LINK_E_EXIT, -77, "no such exit in the plan", "Ask the board for its stages, or `offramp inspect`.")              \
    X(LINK_E_THRESHOLD, -78, "a threshold outside 0 to 65535", "0 leaves always, 65535 hardly ever.")                  \
    X(LINK_E_GATE, -79, "the blob holds no gate", "Pack a graph with a gate, or set a plan or a budget.")              \
    X(LINK_E_FRONT_END, -80, "the blob names no front end",                                                            \
      "Pack with --front-end, or send inputs as the model takes them.")                                                \
    X(LINK_E_SOURCE, -81, "the board's sensor does not answer", "Check its wiring and supply.")                        \
    X(LINK_E_STOPPED, -82, "the board's sensor is not running", "Start it: another model has stopped it.")

enum link_status {
#define LINK_STATUS_ENUM(name, value, text, remedy) name = value,
    LINK_STATUS_LIST(LINK_STATUS_ENUM)
#undef LINK_STATUS_ENUM
};

/* CRC-32 as zlib computes it; start with 0 and pass the result on to go on. */
uint32_t link_crc32(uint32_t crc, const uint8_t *bytes, size_t n);

/* Takes bytes one at a time. All zeros is the start: outside a frame, where bytes are text. */
struct link_decoder {
    uint16_t length;    /* bytes of body decoded */
    uint8_t block_left; /* data bytes that the COBS block under way still has */
    bool zero_after;    /* the block under way stands for a zero after it */
    bool inside;        /* a zero byte has been seen: bytes belong to a frame */
    bool started;       /* the frame under way has a byte */
    bool too_long;
    uint8_t body[LINK_BODY_BYTES];
};

enum link_decoded {
    LINK_NOTHING, /* go on */
    LINK_TEXT,    /* the byte lay outside frames */
    LINK_FRAME,   /* body holds a whole frame, link_body_bytes of it without CRC */
    LINK_BAD      /* a frame ended that is damaged, too short or too long */
};

/* Takes the next byte. body stays valid until the next call. */
enum link_decoded link_decode(struct link_decoder *decoder, uint8_t byte);

/* Bytes of header and payload in the frame just decoded. */
static inline size_t link_body_bytes(const struct link_decoder *decoder) {
    return decoder->length - LINK_CRC_BYTES;
}

/* Writes a frame through `write`: n bytes of header and payload. body must have room for the CRC behind them,
 * which is put there. n is at most LINK_BODY_BYTES - LINK_CRC_BYTES. */
void link_encode(uint8_t *body, size_t n, void (*write)(const uint8_t *bytes, size_t n));

#endif
