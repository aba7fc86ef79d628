# SPDX-License-Identifier: BSD-3-Clause
"""piniond, from a configuration to its end, and what it says of itself.

For people there is pinion(1); this speaks the service's protocol (ipc/wire.h) by itself, as far as questions need it.
"""

import json
import os
import socket
import struct
import subprocess
import time
from pathlib import Path

from demo_stop import end, uninterrupted

POOL = "buffers"

START_PATIENCE_S = 60.0
STOP_PATIENCE_S = 20.0
SETTLE_PATIENCE_S = 20.0

WIRE = struct.Struct("<IHHiIIIQQIIIIII64s128s")
MAGIC, VERSION = 0x70696E64, 1
HELLO, COOKIE, CONFIRM, QUERY, ANSWER, REFUSED = 1, 2, 3, 10, 11, 12

# The first rule that fits a user decides: root drives devices, nobody may use them, others nothing.
CONFIG = """\
socket = "{socket}";
pools = ( {{ name = "{pool}"; members = {members};
             segments = ( {{ size = "{size}"; buffer = "{buffer}"; page = "2M"; node = {node}; }} ); }} );
rules = (
  {{ user = "root"; pools = [ "*" ]; devices = [ "*" ]; serve = true; addresses = true; admin = true; }},
  {{ user = "nobody"; pools = [ "{pool}" ]; devices = [ "nvme:*" ]; }}
);
"""


class ServiceError(Exception):
    """The service is not there, or refuses; the text says why."""


class ServiceAbsent(ServiceError):
    """It does not listen."""


def _message(kind: int, cookie: int = 0, name: str = "", text: str = "") -> bytes:
    return WIRE.pack(MAGIC, VERSION, kind, 0, 0, 0, 0, cookie, 0, 0, 0, 0, 0, 0, 0, name.encode(), text.encode())


def _receive(peer: socket.socket, wanted: int) -> tuple[int, list[int]]:
    """The cookie of a message of the kind that is wanted, and the files that came along."""
    data, files, _, _ = socket.recv_fds(peer, WIRE.size, 1)
    if len(data) != WIRE.size:
        raise ServiceError("the service hung up")
    fields = WIRE.unpack(data)
    if fields[2] == REFUSED:
        raise ServiceError(fields[-1].split(b"\0")[0].decode())
    if fields[:3] != (MAGIC, VERSION, wanted):
        raise ServiceError("the service's answer makes no sense")
    return fields[7], files


def order(path: Path | str, name: str, text: str = "") -> dict:
    """The answer of the service at `path` to a QUERY."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(START_PATIENCE_S)
        try:
            peer.connect(str(path))
        except OSError as error:
            raise ServiceAbsent(f"{path}: no service answers: {error.strerror}") from error
        peer.send(_message(HELLO))
        cookie, _ = _receive(peer, COOKIE)
        peer.send(_message(CONFIRM, cookie))
        peer.send(_message(QUERY, name=name, text=text))
        _, files = _receive(peer, ANSWER)
    with os.fdopen(files[0]) as answer:
        return json.load(answer)


def stat(path: Path | str) -> dict:
    """Everything that the service knows: pools, members, devices, counters."""
    return order(path, "stat")


def pool_of(told: dict, name: str = POOL) -> dict:
    return next(pool for pool in told["pools"] if pool["name"] == name)


def settled(path: Path | str, patience_s: float = SETTLE_PATIENCE_S) -> dict:
    """`stat` once no member is left, or what it says at the end of our patience: the last goodbye takes a moment."""
    deadline = time.monotonic() + patience_s
    while True:
        told = stat(path)
        if not pool_of(told)["members"] or time.monotonic() > deadline:
            return told
        time.sleep(0.02)


class Service:
    """Context manager: piniond with one pool, on one node. What it says goes to a log, which is shown if it fails."""

    def __init__(self, build: Path, directory: Path, node: int, size: str = "16M", buffer: str = "64K",
                 members: int = 16) -> None:
        self.socket, self.log = directory / "piniond.sock", directory / "piniond.log"
        self.config = directory / "piniond.conf"
        self.config.write_text(CONFIG.format(socket=self.socket, pool=POOL, members=members, size=size, buffer=buffer,
                                             node=node if node >= 0 else '"any"'))
        self.command = [build / "tools" / "piniond" / "piniond", "--config", self.config]
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Service":
        try:
            with self.log.open("wb") as log, uninterrupted():
                self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
            self.await_answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        end(self.process, STOP_PATIENCE_S)

    def await_answer(self) -> None:
        deadline = time.monotonic() + START_PATIENCE_S
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                self.at_start = stat(self.socket)
                return
            except ServiceAbsent:
                time.sleep(0.02)
        raise ServiceError("the service did not start:\n" + self.log.read_text())
