/* First instructions of a RISC-V image, and the entry of its traps: nothing returns from either. */
    .section .image_entry, "ax"
    .global image_entry
image_entry:
    la    sp, image_stack_end
    la    t0, trap
    csrw  mtvec, t0
    call  rv32_start

/* All interrupts stay masked, so a trap is a fault; the stack may be what failed. */
    .balign 4
trap:
    la    sp, image_stack_end
    csrr  a0, mcause
    csrr  a1, mepc
    call  rv32_fault
