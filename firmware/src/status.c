/* A line of English for each status. */
#include "offramp.h"

const char *ofr_status_text(ofr_status status) {
    switch (status) {
#define OFR_STATUS_CASE(name, value, text, remedy)                                                                     \
    case name:                                                                                                         \
        return text;
        OFR_STATUS_LIST(OFR_STATUS_CASE)
#undef OFR_STATUS_CASE
    default:
        return "unknown status";
    }
}
