# An installation medium in one kilobyte, and the system that it installs.
#
# The firmware loads it from the CD. It writes the sector behind it to the first disk, where the firmware finds it
# next time, and then says over and over, on the serial console, how that went. The order at its end is obeyed at
# once; without one, the first that comes over the console is:
#
#   r  restart the machine        p  turn it off (by ACPI, as qemu has it)
#
# The installed system says over and over that it is up.

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
    mov $0x0301, %ax            # write one sector
    mov $0x0001, %cx            # the first of track 0
    mov $0x0080, %dx            # of the first disk
    mov $system, %bx
    int $0x13
    jc turn
    movw $done, result
turn:
    mov result, %si
say:
    lodsb
    test %al, %al
    jz said
    mov $0x3f8, %dx             # the serial console
    out %al, %dx
    jmp say
said:
    hlt                         # until the clock ticks
    mov order, %al
    test %al, %al
    jnz obey
    mov $0x3fd, %dx
    in %dx, %al
    test $1, %al                # has something come?
    jz turn
    mov $0x3f8, %dx
    in %dx, %al
obey:
    cmp $'r', %al
    je restart
    cmp $'p', %al
    jne turn
    mov $0x604, %dx
    mov $0x2000, %ax
    out %ax, %dx
    jmp turn
restart:
    mov $0xfe, %al              # the keyboard controller resets the machine
    out %al, $0x64
    jmp turn

result: .word failed
failed: .asciz "tiny installer: no disk\n"
done: .asciz "tiny installer: installed\n"

.org 511
order: .byte 0

.org 512
system:
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7c00, %sp
    sti
    cld
again:
    mov $(up - system + 0x7c00), %si
tell:
    lodsb
    test %al, %al
    jz told
    mov $0x3f8, %dx
    out %al, %dx
    jmp tell
told:
    hlt
    jmp again
up: .asciz "tiny system: up\n"

.org 1022
.word 0xaa55                    # by which the firmware knows that a disk can be started
.org 2048                       # one sector of a CD
