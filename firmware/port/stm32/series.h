/* What differs between series of STM32: registers of clock gates, serial port and flash.
 *
 * F4: RM0390. F7: RM0385. H7: RM0433. L4: RM0351. (ST reference manuals: memory map, RCC, GPIO, USART, FLASH.) */
#ifndef OFFRAMP_PORT_STM32_SERIES_H
#define OFFRAMP_PORT_STM32_SERIES_H

#if PORT_STM32_F4 + PORT_STM32_F7
#define RCC 0x40023800u
#define RCC_GPIO 0x30u /* AHB1ENR */
#define RCC_APB1 0x40u
#define RCC_APB2 0x44u
#define GPIO 0x40020000u
#define FLASH_REGISTERS 0x40023C00u
#define UART_CLOCK_HZ 16000000u /* HSI, undivided: what the chip starts with */
#elif PORT_STM32_H7
#define RCC 0x58024400u
#define RCC_GPIO 0xE0u /* AHB4ENR */
#define RCC_APB1 0xE8u
#define RCC_APB2 0xF0u
#define GPIO 0x58020000u
#define FLASH_REGISTERS 0x52002000u
#define UART_CLOCK_HZ 64000000u /* HSI */
#elif PORT_STM32_L4
#define RCC 0x40021000u
#define RCC_GPIO 0x4Cu /* AHB2ENR */
#define RCC_APB1 0x58u
#define RCC_APB2 0x60u
#define GPIO 0x48000000u
#define FLASH_REGISTERS 0x40022000u
#define UART_CLOCK_HZ 4000000u /* MSI */
#else
#error "one of PORT_STM32_F4, _F7, _H7, _L4 is 1 in [port.defines]"
#endif

/* USART of F4, and the later one of all others. */
#if PORT_STM32_F4
#define UART_STATUS 0x00u
#define UART_RECEIVED 0x04u
#define UART_SEND 0x04u
#define UART_BAUD 0x08u
#define UART_CONTROL 0x0Cu
#define UART_ENABLE (1u << 13)
#else
#define UART_CONTROL 0x00u
#define UART_BAUD 0x0Cu
#define UART_STATUS 0x1Cu
#define UART_CLEAR 0x20u
#define UART_RECEIVED 0x24u
#define UART_SEND 0x28u
#define UART_ENABLE 1u
#endif

#endif
