/* Reset of QEMU's machine "sim" with core lx106: memory is RAM from 0x60000000 on, loaded by the emulator. */
    .section .reset, "ax"
    .global reset
reset:
    j     over
    .balign 4
    .literal_position
over:
    movi  a1, stack_end
    movi  a0, start
    jx    a0
    .section .rodata
    .balign 4
    .global inputs
    .global inputs_end
inputs:
    .incbin "inputs.bin"
inputs_end:
