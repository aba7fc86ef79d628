#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Shows each time that a process comes by a USDT probe of pinion's: trace_probes.py PID

Prints "ready", then a line for each: the probe's name and its arguments. It does what a tracer in the kernel does: a
breakpoint stands in the place of the nop that the note in the file names, and the arguments are where that note says.
So nothing is to be put back when it is hit. x86-64 alone.

The process must end before this does, which it then does as well: the breakpoints stay.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

GETREGS, CONT, SEIZE = 12, 7, 0x4206
TRACE_CLONE = 8
BREAKPOINT, NOP = b"\xcc", b"\x90"
# struct user_regs_struct, sys/user.h, up to rsp.
REGISTERS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp").split()
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


@dataclass
class Probe:
    name: str
    place: int
    arguments: list[str]


def probes_of(path: Path) -> list[Probe]:
    text = subprocess.run(["readelf", "--notes", "--wide", path], capture_output=True, text=True, check=True).stdout
    note = r"Provider: pinion\n +Name: (\w+)\n +Location: (0x[0-9a-f]+),.*\n +Arguments: (.*)\n"
    return [Probe(name, int(place, 16), where.split()) for name, place, where in re.findall(note, text)]


def call(request: int, pid: int, address: int = 0, data: int = 0) -> None:
    if libc.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


def whole_register(name: str) -> str:
    """rbp of ebp and bpl, r12 of r12d."""
    if match := re.fullmatch(r"(r\d+)[dwb]?", name):
        return match[1]
    if match := re.fullmatch(r"[re]?([abcd]x|[sd]i|[sb]p)", name):
        return "r" + match[1]
    if match := re.fullmatch(r"([abcd]|[sd]i|[sb]p)l", name):
        return "r" + (match[1] + "x" if len(match[1]) == 1 else match[1])
    raise ValueError(name)


class Traced:
    def __init__(self, pid: int) -> None:
        path = Path(f"/proc/{pid}/exe").resolve()
        # What can be executed of a position-independent program begins where its first byte is.
        base = min(int(line.split("-")[0], 16) for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
                   if line.endswith(str(path)))
        self.pid = pid
        self.memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
        self.probes = {base + probe.place: probe for probe in probes_of(path)}
        for task in os.listdir(f"/proc/{pid}/task"):
            call(SEIZE, int(task), 0, TRACE_CLONE)
        for place in self.probes:
            if os.pread(self.memory, 1, place) != NOP:
                raise ValueError(f"{self.probes[place]}: no nop there")
            os.pwrite(self.memory, BREAKPOINT, place)

    def registers(self, task: int) -> dict[str, int]:
        room = ctypes.create_string_buffer(512)
        call(GETREGS, task, 0, ctypes.addressof(room))
        return dict(zip(REGISTERS, struct.unpack_from(f"<{len(REGISTERS)}Q", room)))

    def argument(self, where: str, registers: dict[str, int]) -> str:
        """"8@%rbx", "-4@24(%rsp)", "8@(%rax,%rcx,8)", "4@$1"; as a name, if such a text is there."""
        size, operand = where.split("@")
        nr = abs(int(size))
        if operand.startswith("$"):
            return operand[1:]
        if operand.startswith("%"):
            value = registers[whole_register(operand[1:])]
        else:
            match = re.fullmatch(r"(-?\d*)\(%(\w+)(?:,%(\w+),(\d))?\)", operand)
            if not match:
                raise ValueError(operand)
            place = int(match[1] or 0) + registers[match[2]] + (registers[match[3]] * int(match[4]) if match[3] else 0)
            value = int.from_bytes(os.pread(self.memory, nr, place), "little")
        value &= (1 << 8 * nr) - 1
        return self.text(value) if nr == 8 and value > 1 << 32 else str(value)

    def text(self, place: int) -> str:
        try:
            word = os.pread(self.memory, 64, place).split(b"\0")[0]
        except OSError:
            return str(place)
        return word.decode() if re.fullmatch(rb"[a-z]{3,}", word) else str(place)

    def hit(self, task: int) -> bool:
        """At one of the breakpoints? Then it is told."""
        registers = self.registers(task)
        probe = self.probes.get(registers["rip"] - 1)
        if probe:
            print(probe.name, *(self.argument(where, registers) for where in probe.arguments), flush=True)
        return probe is not None


def serve(traced: Traced) -> None:
    """Until it has ended."""
    while True:
        task, status = os.waitpid(-1, 0x40000000)  # threads as well
        if not os.WIFSTOPPED(status):
            if task == traced.pid:
                return
            continue
        event, number = status >> 16, os.WSTOPSIG(status)
        if event or (number == signal.SIGTRAP and traced.hit(task)):
            number = 0
        try:
            call(CONT, task, 0, number)
        except ProcessLookupError:
            pass  # killed meanwhile


def main() -> None:
    traced = Traced(int(sys.argv[1]))
    print("ready", flush=True)
    serve(traced)


if __name__ == "__main__":
    main()
