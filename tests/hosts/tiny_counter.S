# A system in one sector that counts, and writes its count to its disk all the time.
#
# What it writes, to the second sector: the tick at which it was started, then the count, four bytes each. So two
# looks at a disk tell whether it is still the same run that counts, and whether it went on.

.code16
.globl _start
_start:
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
    sti
    cld
    mov 0x46c, %eax             # the firmware's clock
    mov %eax, 0x8000
    movl $0, 0x8004
again:
    hlt                         # until it ticks
    incl 0x8004
    mov $0x0301, %ax            # write one sector
    mov $0x0002, %cx            # the second of track 0
    mov $0x0080, %dx            # of the first disk
    mov $0x8000, %bx
    int $0x13
    jmp again

.org 510
.word 0xaa55                    # by which the firmware knows that a disk can be started
