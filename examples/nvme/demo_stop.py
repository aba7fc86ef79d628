# SPDX-License-Identifier: BSD-3-Clause
"""To be told to stop, by Ctrl-C, SIGTERM or a terminal that closes: leaving through every undo, and when not to."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop(number: int, _frame: FrameType | None) -> None:
    """With the status a shell gives to a program ended by this signal. Only the first one counts."""
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    print("\nstopped: putting everything back", file=sys.stderr, flush=True)
    sys.exit(128 + number)


def heed() -> None:
    for number in SIGNALS:
        signal.signal(number, stop)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """What is put back is not stopped in it, nor is a tool of it."""
    former = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Who is to stop meanwhile does so behind the block: no tool is killed by us in the midst of changing the machine
    (one that Ctrl-C reaches as well goes back by itself), and no process is started that nobody knows of. What is
    ignored stays ignored, here and by what is started."""
    heard: list[int] = []
    former = {number: signal.getsignal(number) for number in SIGNALS}
    former = {number: handler for number, handler in former.items() if handler != signal.SIG_IGN}
    for number in former:
        signal.signal(number, lambda which, _frame: heard.append(which))
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])


def end(process: subprocess.Popen | None, patience_s: float) -> None:
    """In order, or by force if it takes longer. None: it was never started."""
    if process is None:
        return
    with undisturbed():
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
