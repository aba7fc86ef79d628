# SPDX-License-Identifier: BSD-3-Clause
"""A peer that speaks the service's protocol (ipc/wire.h) as a test wants it spoken: late, wrong, or not at all.

The real piniond cannot be made to. What it answers when all is well is for the tests that run it.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from pathlib import Path
from typing import Callable

LAYOUT = struct.Struct("<IHHiIIIQQIIIIII64s128s")
MAGIC, VERSION = 0x70696E64, 1
HELLO, COOKIE, CONFIRM, QUERY, ANSWER, REFUSED = 1, 2, 3, 10, 11, 12


def message(kind: int, value: int = 0, cookie: int = 0, text: str = "", version: int = VERSION) -> bytes:
    return LAYOUT.pack(MAGIC, version, kind, value, 0, 0, 0, cookie, 0, 0, 0, 0, 0, 0, 0, b"", text.encode())


def file_of(text: bytes) -> int:
    """A sealed one, as the service sends it."""
    descriptor = os.memfd_create("answer")
    os.write(descriptor, text)
    return descriptor


class Peer:
    """Listens at `path` and has `speak` answer each QUERY: it gets the connection, the name and the text."""

    def __init__(self, path: Path, speak: Callable[[socket.socket, str, str], None], greet: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(str(path))
        self.socket.listen(16)
        self.speak, self.greet = speak, greet
        self.asked: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self.converse(connection)

    def hear(self, connection: socket.socket, kind: int) -> tuple[int, str, str]:
        """Cookie, name, text."""
        data = connection.recv(4096)
        if not data:
            raise EOFError
        fields = LAYOUT.unpack(data)
        if fields[:3] != (MAGIC, VERSION, kind):
            self.faults.append(f"{fields[:3]} instead of {kind}")
        return fields[7], fields[15].rstrip(b"\0").decode(), fields[16].rstrip(b"\0").decode()

    def converse(self, connection: socket.socket) -> None:
        try:
            self.hear(connection, HELLO)
            if not self.greet:
                self.speak(connection, "", "")
                return
            connection.send(message(COOKIE, cookie=0x1122334455667788))
            if self.hear(connection, CONFIRM)[0] != 0x1122334455667788:
                self.faults.append("another cookie")
            _, name, text = self.hear(connection, QUERY)
            self.asked.append((name, text))
            self.speak(connection, name, text)
        except (EOFError, OSError):
            return

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(timeout=10)


def answers(text: bytes, *along: int) -> Callable[[socket.socket, str, str], None]:
    """With files beside it."""
    def speak(connection: socket.socket, _name: str, _text: str) -> None:
        descriptor = file_of(text)
        socket.send_fds(connection, [message(ANSWER)], [descriptor, *along])
        os.close(descriptor)
    return speak


def refuses(value: int, why: str) -> Callable[[socket.socket, str, str], None]:
    def speak(connection: socket.socket, _name: str, _text: str) -> None:
        connection.send(message(REFUSED, value=value, text=why))
    return speak
