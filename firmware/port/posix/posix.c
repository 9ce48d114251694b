/* The firmware as a process: its serial port is one TCP connection that it waits for on 127.0.0.1.
 *
 * Arguments: --port N (default: any free one; told on stderr), --model FILE, --arena BYTES. */
#define _XOPEN_SOURCE 700
#include "port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int serial = -1;
static char **arguments;
static struct port_memory arena, slot, model;

static _Noreturn void give_up(const char *what) {
    perror(what);
    _exit(1);
}

static struct port_memory allocate(size_t size) {
    void *base = NULL;
    if (posix_memalign(&base, 16, size > 0 ? size : 1)) give_up("memory");
    return (struct port_memory){base, (uint32_t)size, true};
}

static struct port_memory read_model(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) give_up(path);
    const long size = ftell(file);
    if (size < 0 || fseek(file, 0, SEEK_SET)) give_up(path);
    struct port_memory memory = allocate((size_t)size);
    memory.writable = false;
    if (fread(memory.base, 1, memory.size, file) != memory.size) give_up(path);
    fclose(file);
    return memory;
}

static int accept_one(unsigned long port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &length))
        give_up("listen");
    fprintf(stderr, "waiting for connection on: disconnected:tcp:127.0.0.1:%u\n", ntohs(address.sin_port));
    const int connection = accept(listener, NULL, NULL);
    if (connection < 0) give_up("accept");
    const int on = 1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    close(listener);
    return connection;
}

#ifndef __SANITIZE_ADDRESS__ /* whose own report says more */
static void on_fault(int number) {
    static const char line[] = "fault: signal pc=00000000\n";
    (void)number;
    port_write((const uint8_t *)line, sizeof line - 1);
    _exit(PORT_FAULT_EXIT);
}

static void catch_faults(void) {
    static uint8_t stack[65536]; /* of its own, because the usual one may have overflowed */
    const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternative, NULL);
    const struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
    const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i)
        sigaction(numbers[i], &action, NULL);
}
#endif

int main(int argc, char **argv) {
    unsigned long port = 0;
    size_t arena_bytes = PORT_ARENA_BYTES;
    arguments = argv;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--port")) port = strtoul(argv[i + 1], NULL, 10);
        if (!strcmp(argv[i], "--arena")) arena_bytes = strtoul(argv[i + 1], NULL, 10);
        if (!strcmp(argv[i], "--model")) model = read_model(argv[i + 1]);
        if (!strcmp(argv[i], "--connection")) serial = (int)strtol(argv[i + 1], NULL, 10);
    }
    arena = allocate(arena_bytes);
    slot = allocate(PORT_MODEL_SLOT_BYTES);
    signal(SIGPIPE, SIG_IGN);
#ifndef __SANITIZE_ADDRESS__
    catch_faults();
#endif
    if (serial < 0) serial = accept_one(port);
    port_exit(app_main());
}

/* A serial line whose other end is gone stays silent for ever; a process has nobody left to serve. */
static void hung_up(void) {
    port_exit(0);
}

size_t port_read(uint8_t *bytes, size_t n) {
    struct pollfd waiting = {.fd = serial, .events = POLLIN};
    if (n == 0 || poll(&waiting, 1, 0) <= 0) return 0;
    const ssize_t got = recv(serial, bytes, n, 0);
    if (got <= 0) hung_up();
    return (size_t)got;
}

void port_write(const uint8_t *bytes, size_t n) {
    while (n > 0) {
        const ssize_t sent = send(serial, bytes, n, 0);
        if (sent <= 0) hung_up();
        bytes += sent;
        n -= (size_t)sent;
    }
}

void port_idle(void) {
    struct pollfd waiting = {.fd = serial, .events = POLLIN};
    poll(&waiting, 1, -1);
}

void port_receive(bool enabled) {
    (void)enabled; /* nothing interrupts */
}

uint32_t port_ticks(void) {
    return 0;
}

void port_exit(int code) {
    /* Freed for the leak checker's sake. */
    free(arena.base);
    free(slot.base);
    free(model.base);
    exit(code);
}

/* The connection is handed on to the process that takes this one's place. */
void port_reset(void) {
    char number[16];
    char *again[16] = {arguments[0], "--connection", number};
    size_t n = 3;
    snprintf(number, sizeof number, "%d", serial);
    for (char **a = arguments + 1; *a && n < 15; ++a)
        again[n++] = *a;
    execv(arguments[0], again);
    give_up(arguments[0]);
}

struct port_memory port_arena(void) {
    return arena;
}
struct port_memory port_model_slot(void) {
    return slot;
}

/* Weak, because an image without a model does not define them. */
extern uint8_t ofr_blob[] __attribute__((weak));
extern uint8_t ofr_blob_end[] __attribute__((weak));

struct port_memory port_linked_model(void) {
    if (model.base) return model;
    return (struct port_memory){ofr_blob, (uint32_t)((uintptr_t)ofr_blob_end - (uintptr_t)ofr_blob), false};
}

void port_stack_paint(void) {
}
uint32_t port_stack_used(void) {
    return 0;
}
