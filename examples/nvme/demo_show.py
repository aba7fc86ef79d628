# SPDX-License-Identifier: BSD-3-Clause
"""What a person sees: headings, a progress bar, a table. On a pipe, plain lines."""

import os
import sys
import time

# A virtual machine's output goes through a pipe; its rig says when a terminal is at the other end.
TERMINAL = sys.stdout.isatty() or os.environ.get("PINION_TTY") == "1"


def heading(text: str) -> None:
    print(f"\n{text}", flush=True)


def note(text: str) -> None:
    print(f"   {text}", flush=True)


def human(size: float) -> str:
    """Bytes, to three digits."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"


def table(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        note(f"{name:<{width}}  {text}")


class Progress:
    """One line that is redrawn, at most ten times a second; without a terminal, a line for each tenth."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total = label, max(total, 1)
        self.start = time.monotonic()
        self.shown_at, self.tenth = 0.0, 0

    def show(self, done: int) -> None:
        now = time.monotonic()
        if TERMINAL and (now - self.shown_at >= 0.1 or done >= self.total):
            self.shown_at = now
            print("\r" + self.line(done, now), end="", flush=True)
        elif not TERMINAL and done * 10 // self.total > self.tenth:
            self.tenth = done * 10 // self.total
            print(self.line(done, now), flush=True)

    def line(self, done: int, now: float) -> str:
        rate = done / max(now - self.start, 1e-6)
        text = f"   {self.label:<10} {100 * done // self.total:3d} %  {human(done):>8} of {human(self.total)}"
        text += f", {human(rate):>8}/s"
        room = int(os.environ.get("COLUMNS", "80")) - len(text) - 6
        if not TERMINAL or room < 10:
            return text
        full = min(room, 40) * done // self.total
        return f"{text}  [{'#' * full:<{min(room, 40)}}]"

    def end(self) -> None:
        if TERMINAL:
            print(flush=True)
