#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Each probe of pool/probe.h is come by when what it is named for happens, and shows what its table says.

In real processes: the service, a device process, a client. See with_service.py for what is to be named.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import with_service  # noqa: E402
from trace_probes import probes_of  # noqa: E402
from with_service import until  # noqa: E402

ROUNDS = 200  # of a client, before it is looked at what it did
UNSUITED = ("no tracer for this machine" if platform.machine() != "x86_64" else
            "no readelf: scripts/packages check" if not shutil.which("readelf") else
            "built without probes" if not probes_of(Path(with_service.PINIOND)) else "")


@unittest.skipIf(UNSUITED, UNSUITED)
class Probes(with_service.WithService):
    def trace(self, process: subprocess.Popen[bytes]) -> Path:
        """To a file, of which each line is a hit."""
        path = self.root / f"hits-{process.pid}"
        with open(path, "wb") as out:
            tracer = subprocess.Popen([sys.executable, "-B", Path(__file__).with_name("trace_probes.py"),
                                       str(process.pid)], stdout=out)
        self.addCleanup(tracer.wait, 20)
        self.addCleanup(process.kill)
        until(lambda: path.read_text() == "ready\n" or tracer.poll() is not None)
        self.assertIsNone(tracer.poll())
        return path

    def hits(self, path: Path, probe: str) -> list[list[str]]:
        lines = [line.split(" ") for line in path.read_text().split("\n")]
        return [words[1:] for words in lines if words[0] == probe]

    def rounds(self) -> int:
        return int((self.root / "progress").read_text().split()[0]) if self.progress() else 0

    def test_a_client_comes_by_those_of_the_library(self) -> None:
        client = self.begin(with_service.PART, "client", str(self.root / "progress"))
        until(lambda: b"service_part" in Path(f"/proc/{client.pid}/cmdline").read_bytes())
        mine = self.trace(client)
        device = self.begin(with_service.PART, "device")
        until(lambda: self.rounds() >= ROUNDS)
        self.client = client
        number = str(self.member_of(client)["number"])
        os.kill(client.pid, signal.SIGTERM)
        self.assertEqual(client.wait(20), 0)
        sent, received = self.hits(mine, "send"), self.hits(mine, "receive")
        self.assertGreaterEqual(len(sent), ROUNDS)
        # One buffer at a time, of one channel, and each came back.
        self.assertEqual(sent, [[sent[0][0], "1"]] * len(sent))
        self.assertEqual(received, sent)
        # Its first buffers came with a magazine of segment 0.
        slot, buffers, member = self.hits(mine, "refill")[0]
        self.assertEqual((slot, member), ("0", number))
        self.assertIn(int(buffers), range(1, with_service.BUFFERS))
        self.assertIsNone(device.poll())

    def test_who_wakes_a_sleeper_comes_by_wake(self) -> None:
        self.device = self.begin(with_service.PART, "device")
        until(lambda: [one["ready"] for one in self.stat()["devices"]] == [True])
        mine = self.trace(self.device)
        self.begin(with_service.PART, "client", str(self.root / "progress"))
        until(lambda: self.rounds() >= ROUNDS)
        woken = self.hits(mine, "wake")
        self.assertGreater(len(woken), 0)
        # On a futex, bell.h.
        self.assertEqual({how for _, how in woken}, {"1"})

    def test_the_service_comes_by_death_and_recovery(self) -> None:
        mine = self.trace(self.service)
        self.work()
        self.stop_with_one_under_way()
        number = str(self.member_of(self.client)["number"])
        self.client.kill()
        os.kill(self.device.pid, signal.SIGCONT)
        until(lambda: self.hits(mine, "recovery") != [])
        self.assertEqual(self.hits(mine, "death"), [["buffers", number, str(self.client.pid), "1"]])
        pool, member, buffers, took = self.hits(mine, "recovery")[0]
        self.assertEqual((pool, member), ("buffers", number))
        self.assertIn(int(buffers), range(with_service.KEPT, with_service.BUFFERS))
        self.assertIn(int(took), range(1, 10_000_000_000))


if __name__ == "__main__":
    unittest.main()
