/* Replays what a host says to MLPerf Tiny's protocol, and compares what the board says: argv[1] is the host's side,
 * argv[2] the board's. Whole, in parts of every size, and cut in two at every byte; each time on a board that has just
 * started, in a process of its own. Prints how many replays were equal. */
#include "app_port.h"
#include "models.h"
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static uint8_t host[sizeof line], board[65536], said[65536];
static size_t host_bytes, board_bytes, said_bytes;

void port_write(const uint8_t *bytes, size_t n) {
    if (n > sizeof said - said_bytes) abort();
    memcpy(said + said_bytes, bytes, n);
    said_bytes += n;
}

void port_reset(void) {
    abort();
}

static size_t read_file(const char *path, uint8_t *to, size_t room) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) abort();
    const size_t n = fread(to, 1, room, file);
    fclose(file);
    return n;
}

static void deliver(size_t from, size_t n) {
    line_put = line_taken = 0;
    to_line(host + from, n);
    session_poll();
}

/* The first `first` bytes at once, then `part` at a time. */
static void replay(size_t first, size_t part) {
    const pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
        models_start();
        deliver(0, first);
        for (size_t at = first; at < host_bytes; at += part)
            deliver(at, part < host_bytes - at ? part : host_bytes - at);
        const int same = said_bytes == board_bytes && memcmp(said, board, board_bytes) == 0;
        if (!same) fprintf(stderr, "%zu then %zu at a time:\n%.*s", first, part, (int)said_bytes, (char *)said);
        _exit(same ? 0 : 1);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    host_bytes = read_file(argv[1], host, sizeof host);
    board_bytes = read_file(argv[2], board, sizeof board);
    size_t n = 0;
    for (size_t first = 0; first <= host_bytes; ++first, ++n)
        replay(first, host_bytes);
    for (size_t part = 1; part <= 64; ++part, ++n)
        replay(0, part);
    printf("%zu\n", n);
    return 0;
}
