/* First instructions of an image for Espressif's RISC-V chips, and the entry of its traps: nothing returns. */
    .section .image_entry, "ax"
    .global image_entry
image_entry:
    .option push
    .option norelax
    la    gp, __global_pointer$
    .option pop
    la    sp, image_stack_end
    la    t0, traps
    csrw  mtvec, t0
    call  esp32_start

/* The core's table has a jump for each of 32 causes (mode 1, aligned to 256). */
    .balign 256
traps:
    .rept 32
    .option push
    .option norvc
    j     trap
    .option pop
    .endr
trap:
    la    sp, image_stack_end
    csrr  a0, mcause
    csrr  a1, mepc
    call  esp32_fault
