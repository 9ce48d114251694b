// The port of boards that Arduino starts: its serial port at 115,200, and a counter of the core's or the chip's.
#include <Arduino.h>

#define _Noreturn [[noreturn]]
extern "C" {
#include "../port.h"
}

#if defined(ARDUINO_ARCH_ESP32)
#include <esp_system.h>
static void ticks_start() {}
extern "C" uint32_t port_ticks(void) { return ESP.getCycleCount(); }
[[noreturn]] static void restart() {
    esp_restart();
    for (;;) {}
}
#elif defined(__ARM_ARCH) && __ARM_ARCH >= 7
#include "../cortex_m/dwt.h"
static void ticks_start() { dwt_start(); }
extern "C" uint32_t port_ticks(void) { return dwt_cycles(); }
#else // microseconds: SysTick is the framework's
static void ticks_start() {}
extern "C" uint32_t port_ticks(void) { return (uint32_t)micros(); }
#endif
#if !defined(ARDUINO_ARCH_ESP32)
[[noreturn]] static void restart() {
    *(volatile uint32_t *)0xE000ED0Cu = 0x05FA0004u; // AIRCR: key and SYSRESETREQ
    for (;;) {}
}
#endif

void setup() {
    Serial.begin(115200);
    ticks_start();
    port_exit(app_main());
}

void loop() {}

extern "C" size_t port_read(uint8_t *bytes, size_t n) {
    size_t count = 0;
    while (count < n && Serial.available() > 0)
        bytes[count++] = (uint8_t)Serial.read();
    return count;
}

extern "C" void port_write(const uint8_t *bytes, size_t n) {
    while (n > 0) {
        const size_t sent = Serial.write(bytes, n);
        bytes += sent;
        n -= sent;
    }
}

extern "C" void port_idle(void) {
    if (Serial.available() <= 0) yield();
}

extern "C" void port_receive(bool) {} // the framework keeps its interrupt
extern "C" void port_exit(int) { restart(); }
extern "C" void port_reset(void) { restart(); }
