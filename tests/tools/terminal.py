# SPDX-License-Identifier: BSD-3-Clause
"""A program on a terminal of its own, and what it writes there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
import unittest


class OnTerminal(unittest.TestCase):
    """For tests to inherit: one program at a time."""

    def run_on_terminal(self, *command: str) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            try:
                os.environ["TERM"] = "xterm-256color"
                os.execv(command[0], command)
            finally:  # a second run of all tests must not begin here
                os._exit(99)
        self.seen = b""
        self.size(24, 100)

    def size(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def read(self, until: bytes, seconds: float = 20) -> None:
        """What comes from now on, until it has that in it."""
        self.seen = b""
        end = time.monotonic() + seconds
        while until not in self.seen:
            ready, _, _ = select.select([self.terminal], [], [], max(0, end - time.monotonic()))
            self.assertTrue(ready, f"no {until!r} in {self.seen!r}")
            try:
                self.seen += os.read(self.terminal, 65536)
            except OSError:  # EIO: the other end is closed
                self.fail(f"no {until!r} in {self.seen!r}")

    def finish(self) -> int:
        """Its status; what it still had to say is added."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if select.select([self.terminal], [], [], 0.1)[0]:
                    self.seen += os.read(self.terminal, 65536)
                    continue
            except OSError:
                pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.modes = termios.tcgetattr(self.terminal)
                os.close(self.terminal)
                return status
        os.kill(self.pid, signal.SIGKILL)
        self.fail("it does not end")

    def restored(self) -> None:
        """After finish(): out of the other screen, the cursor shown, and the modes those of a terminal that is new."""
        self.assertIn(b"\x1b[?1049l", self.seen)
        self.assertIn(b"\x1b[?12l\x1b[?25h", self.seen)
        ends = pty.openpty()
        self.assertEqual(self.modes, termios.tcgetattr(ends[1]))
        for end in ends:
            os.close(end)
