/* The first 256 bytes of an RP2040's flash: the boot ROM copies them to RAM and runs them. They set up reading the
 * flash in place with the command that every serial flash knows, 03h, and start the image behind them.
 *
 * RP2040 Datasheet: 2.8.1 boot sequence, 4.10 SSI. The last word is the CRC-32 (polynomial 0x04C11DB7, from all ones,
 * not reflected, not inverted) of the others; tests/unit/test_board_images.py computes it anew. */
    .syntax unified
    .cpu cortex-m0
    .thumb
    .section .boot2, "ax"
    .balign 4
boot2:
    ldr   r0, =0x18000000   /* SSI */
    movs  r1, #0
    str   r1, [r0, #0x08]   /* SSIENR: off while it is changed */
    movs  r1, #4
    str   r1, [r0, #0x14]   /* BAUDR: a quarter of the core's clock */
    ldr   r1, =0x001F0300   /* CTRLR0: 32-bit frames, read after an address (TMOD 3), one data line */
    str   r1, [r0, #0x00]
    movs  r1, #0
    str   r1, [r0, #0x04]   /* CTRLR1: one frame at a time */
    ldr   r2, =0x180000F4   /* SPI_CTRLR0: command 03h, 8 bits of it, 24 of address */
    ldr   r1, =0x03000218
    str   r1, [r2]
    movs  r1, #1
    str   r1, [r0, #0x08]
    ldr   r0, =0x10000100   /* the vectors: stack pointer and entry */
    ldr   r1, =0xE000ED08   /* VTOR */
    str   r0, [r1]
    ldmia r0!, {r1, r2}
    mov   sp, r1
    bx    r2
    .balign 4
    .ltorg
    .org  252
    .word 0x23718BC4
