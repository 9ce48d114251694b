/* MLPerf Tiny's text protocol: commands end in %, every reply in the line m-ready. */
#include "mlperf.h"

#ifdef APP_MLPERF_MODEL

#include "bytes.h"
#include "identity.h"
#include "mlperf_numbers.h"
#include "mlperf_text.h"
#include "models.h"
#include "policy.h"
#include "port.h"

#include <string.h>

/* How the benchmark sends an input (APP_MLPERF_WIRE): the model's int8, pixels of 0 to 255, or float32. */
#define WIRE_S8 0
#define WIRE_U8 1
#define WIRE_F32 2

#define LINE_BYTES 80u
#define USUAL_WARMUPS 10u /* where `infer` names none */
#define PRINTED_A_LINE 8u

#if APP_MLPERF_WIRE == WIRE_F32
#define BYTES (APP_MLPERF_ELEMENTS * 4u)
#define RESULTS 1u
static const struct mlperf_scale input_scale = {APP_MLPERF_INPUT_SCALE};
static int8_t quantized[APP_MLPERF_ELEMENTS];
_Static_assert(APP_MLPERF_ELEMENTS < 1024, "squares of all elements fit a sum");
#else
#define BYTES APP_MLPERF_ELEMENTS
#define RESULTS APP_MLPERF_OUTPUTS
#endif
#define FLIP (APP_MLPERF_WIRE == WIRE_U8 ? 0x80u : 0u) /* pixel - 128 as int8 */

static const struct mlperf_scale output_scale = {APP_MLPERF_OUTPUT_SCALE};

static char line[LINE_BYTES + 1];
static uint32_t length;        /* of the line so far; above LINE_BYTES: it is too long */
static char *rest;             /* of the line, what `word` has not taken */
static uint8_t loaded[BYTES];  /* as sent, but pixels as the model takes them */
static uint32_t wanted, taken; /* bytes that `db load` announced, and that have come */
static int64_t results[RESULTS]; /* thousandths */
static bool has_results;

/* Microseconds since the start. Right across one wrap of the counter, so it is to be read once in as long. */
static uint64_t now_us(void) {
    static uint32_t last, remainder;
    static uint64_t us;
    const uint32_t ticks = port_ticks();
    const uint64_t passed = (uint64_t)(ticks - last) * APP_MLPERF_US_MULTIPLIER + remainder;
    us += passed / APP_MLPERF_US_DIVISOR;
    remainder = (uint32_t)(passed % APP_MLPERF_US_DIVISOR);
    last = ticks;
    return us;
}

static void load(const char *count) {
    uint32_t n;
    if (count == NULL || !read_number(count, &n) || n == 0 || n > BYTES) {
        say_with("e-[Command 'db load' takes 1 to ", BYTES, " bytes]\r\n");
        return;
    }
    wanted = n;
    taken = 0;
    say_with("m-[Expecting ", n, " bytes]\r\n");
}

static void print_loaded(void) {
    static const char digits[] = "0123456789abcdef";
    for (uint32_t i = 0; i < taken; ++i) {
        const uint8_t byte = loaded[i] ^ FLIP;
        const char text[] = {digits[byte >> 4], digits[byte & 15u], 0};
        say(i % PRINTED_A_LINE == 0 ? "m-buffer-" : "-");
        say(text);
        if (i % PRINTED_A_LINE == PRINTED_A_LINE - 1 || i == taken - 1) say("\r\n");
    }
}

/* A chunk is taken whole or not at all. */
static void take_hex(const char *digits) {
    uint32_t n = 0;
    while (hex_digit(digits[n]) >= 0)
        ++n;
    if (digits[n] != 0) {
        say("e-[Command 'db' takes hex digits, load or print]\r\n");
    } else if (n % 2u != 0) {
        say("e-[Command 'db' takes an even number of hex digits]\r\n");
    } else if (n / 2u > wanted - taken) {
        say_with("e-[Command 'db' goes beyond 'db load': bytes left: ", wanted - taken, "]\r\n");
    } else {
        for (uint32_t i = 0; i < n; i += 2)
            loaded[taken++] = (uint8_t)(hex_digit(digits[i]) << 4 | hex_digit(digits[i + 1])) ^ FLIP;
        if (taken == wanted) say("m-load-done\r\n");
    }
}

static void do_db(void) {
    const char *what = word(&rest);
    if (what == NULL)
        say("e-[Command 'db' requires a subcommand]\r\n");
    else if (is(what, "load"))
        load(word(&rest));
    else if (is(what, "print"))
        print_loaded();
    else
        take_hex(what);
}

/* The input as the model takes it, made once for all runs: each consumes a copy. */
static const void *prepared(void) {
#if APP_MLPERF_WIRE == WIRE_F32
    for (uint32_t i = 0; i < APP_MLPERF_ELEMENTS; ++i)
        quantized[i] = mlperf_quantize(get_u32(loaded + 4 * i), input_scale);
    return quantized;
#else
    return loaded;
#endif
}

/* A status; plan 0 runs to its end, whatever policy is set. Ticks are counted on, however many runs follow. */
static int run(const void *input, uint32_t n) {
    int status = OFR_OK;
    while (n-- > 0 && status >= 0) {
        memcpy(ofr_input(&active.plans[0], 0).data, input, APP_MLPERF_ELEMENTS);
        status = policy_run_plan(0, true);
        (void)now_us();
    }
    return status;
}

static void keep_results(const int8_t *answer) {
#if APP_MLPERF_WIRE == WIRE_F32
    uint64_t sum = 0;
    for (uint32_t i = 0; i < APP_MLPERF_ELEMENTS; ++i)
        sum += mlperf_square(answer[i], output_scale, get_u32(loaded + 4 * i));
    results[0] = mlperf_mean(sum, APP_MLPERF_ELEMENTS);
#else
    for (uint32_t i = 0; i < RESULTS; ++i)
        results[i] = mlperf_thousandths(answer[i], output_scale);
#endif
    has_results = true;
}

static void say_results(void) {
    if (!has_results) {
        say("e-[Command 'results' comes after 'infer']\r\n");
        return;
    }
    for (uint32_t i = 0; i < RESULTS; ++i) {
        const uint64_t size = (uint64_t)(results[i] < 0 ? -results[i] : results[i]);
        const uint32_t places = (uint32_t)(size % 1000u);
        say(i == 0 ? "m-results-[" : ",");
        if (results[i] < 0) say("-");
        say_with("", size / 1000u, places < 10u ? ".00" : places < 100u ? ".0" : ".");
        say_number(places);
    }
    say("]\r\n");
}

/* Whether the model that is active is of the sizes that this image was built for. */
static bool fits(void) {
    if (active.source != MODEL_LINKED) return false;
    const ofr_buffer input = ofr_input(&active.plans[0], 0), output = ofr_output(&active.plans[0], 0);
    return input.bytes == APP_MLPERF_ELEMENTS && output.bytes == APP_MLPERF_OUTPUTS;
}

static int warm_up(const void *input, uint32_t n) {
    say_with("m-warmup-start-", n, "\r\n");
    const int status = run(input, n);
    say("m-warmup-done\r\n");
    return status;
}

/* Both times are said after the runs, so that they hold nothing but these. */
static void infer(uint32_t n, uint32_t warmups) {
    ofr_buffer answer;
    const void *input = prepared();
    int status = warm_up(input, warmups);
    say_with("m-infer-start-", n, "\r\n");
    port_receive(false);
    const uint64_t start = now_us();
    if (status >= 0) status = run(input, n);
    const uint64_t end = now_us();
    port_receive(true);
    if (status >= 0) status = ofr_result(&active.plans[0], 0, &answer);
    if (status < 0) {
        say_with("e-[Inference failed: status -", (uint64_t)-status, "]\r\n");
        return;
    }
    say_with("m-lap-us-", start, "\r\n");
    say_with("m-lap-us-", end, "\r\n");
    say("m-infer-done\r\n");
    keep_results(answer.data);
    say_results();
}

static void do_infer(void) {
    uint32_t n = 1, warmups = USUAL_WARMUPS;
    const char *first = word(&rest), *second = word(&rest);
    if ((first != NULL && !read_number(first, &n)) || n == 0)
        say("e-[Inference iterations must be 1 to 999999999]\r\n");
    else if (second != NULL && !read_number(second, &warmups))
        say("e-[Inference warmup must be 0 to 999999999]\r\n");
    else if (!fits())
        say("e-[The model that this firmware was built with is not active]\r\n");
    else if (taken != BYTES) {
        say_with("e-[Command 'infer' requires ", BYTES, " bytes of input, loaded: ");
        say_with("", taken, "]\r\n");
    } else
        infer(n, warmups);
}

static void do_name(void) {
    say("m-name-dut-[" APP_BOARD "]\r\n");
}

/* By this text runners know the protocol. */
#define PROFILE "ULPMark for tinyML Firmware V0.0.1"

static void do_profile(void) {
    say("m-profile-[" PROFILE "]\r\n");
    say("m-model-[" APP_MLPERF_MODEL "]\r\n");
}

static void do_timestamp(void) {
    say_with("m-lap-us-", now_us(), "\r\n");
}

static void do_help(void) {
    say("offramp " APP_VERSION ", MLPerf Tiny " APP_MLPERF_MODEL "; commands end in %\r\n"
        "name, profile : what this is\r\n"
        "timestamp     : microseconds since the start\r\n"
        "db load N     : N bytes of input follow\r\n"
        "db HH[HH...]  : the next bytes\r\n"
        "db print      : the bytes so far\r\n"
        "infer N [W]   : N runs after W, 10 if not given\r\n"
        "results       : of the last run\r\n");
}

static void do_command(void) {
    static const struct {
        const char *name;
        void (*act)(void);
    } commands[] = {
        {"name", do_name}, {"profile", do_profile}, {"timestamp", do_timestamp}, {"db", do_db},
        {"infer", do_infer}, {"results", say_results}, {"help", do_help},
    };
    const char *name = word(&rest);
    if (name == NULL) return;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; ++i) {
        if (!is(name, commands[i].name)) continue;
        commands[i].act();
        return;
    }
    say("e-[Unknown command]\r\n");
}

void mlperf_forget(void) {
    length = 0;
}

void mlperf_take(uint8_t byte) {
    if (byte == '\r' || byte == '\n') return; /* typed by a person */
    if (byte != '%') {
        if (length < LINE_BYTES) line[length] = (char)byte;
        if (length <= LINE_BYTES) ++length;
        return;
    }
    if (length > LINE_BYTES) {
        say_with("e-[Command longer than ", LINE_BYTES, " characters]\r\n");
    } else {
        line[length] = 0;
        rest = line;
        do_command();
    }
    length = 0;
    say("m-ready\r\n");
}

#endif
