# SPDX-License-Identifier: BSD-3-Clause
"""The real piniond, a device process and a client at work with it, for tests of what looks at them from outside.

PINION, PINIOND and PART (service_part.c) name the programs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any, Callable

PINION = os.environ.get("PINION", "pinion")
PINIOND = os.environ.get("PINIOND", "piniond")
PART = os.environ.get("PART", "service_part")
DONE = 0
NOBODY = 65534
BUFFERS, KEPT, UNDER_WAY = 1024, 3, 1  # of the pool; of the client, service_part.c
CONFIGURATION = """
socket = "{root}/socket";
pools = ( {{ name = "buffers"; members = 8; caches = 16; max_segments = 4;
             segments = ( {{ size = "4M"; buffer = "4K"; page = "4k"; }} ); }} );
rules = ( {{ user = "root"; pools = [ "*" ]; devices = [ "*" ]; serve = true; admin = true; addresses = true; }},
          {{ user = "{nobody}"; pools = [ "buffers" ]; devices = [ "echo:0" ]; bytes = "1M"; }} );
"""


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError("it does not happen")
        time.sleep(0.02)


@unittest.skipIf(os.geteuid() != 0, "to be somebody else needs root")
class WithService(unittest.TestCase):
    configuration = CONFIGURATION

    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="pinion-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.root.chmod(0o755)
        self.env = {**os.environ, "PINION_SOCKET": str(self.root / "socket")}
        # Where everybody may run it.
        self.pinion = shutil.copy(PINION, self.root / "pinion")
        (self.root / "conf").write_text(self.configuration.format(root=self.root, nobody=NOBODY))
        self.service = self.begin(PINIOND, "--config", str(self.root / "conf"))
        until(lambda: self.ask("ls").returncode == DONE)

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        with open(self.root / "said", "ab") as said:
            process = subprocess.Popen(words, env=self.env, stderr=said)
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def ask(self, *words: str, uid: int = 0) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.pinion, *words], capture_output=True, text=True, check=False, timeout=120,
                              env=self.env, user=uid, group=uid, extra_groups=[])

    def expect(self, code: int, line: str, says: str = "", uid: int = 0) -> str:
        done = self.ask(*line.split(), uid=uid)
        text = done.stdout + done.stderr
        self.assertEqual(done.returncode, code, text)
        self.assertIn(says, text)
        return text

    def stat(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.expect(DONE, "stat --json"))
        return told

    def pool(self, name: str = "buffers") -> dict[str, Any]:
        pools: list[dict[str, Any]] = [one for one in self.stat()["pools"] if one["name"] == name]
        self.assertEqual(len(pools), 1, name)
        return pools[0]

    def member_of(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        members: list[dict[str, Any]] = [one for one in self.pool()["members"] if one["pid"] == process.pid]
        self.assertEqual(len(members), 1, self.pool())
        return members[0]

    def serve(self) -> None:
        """A device process that echoes, and one that shares addresses."""
        self.device = self.begin(PART, "device")
        self.far = self.begin(PART, "addresses")
        until(lambda: [one["ready"] for one in self.stat()["devices"]] == [True, True])

    def work(self) -> None:
        """With a client that has no privilege."""
        self.serve()
        self.client = self.begin(PART, "client", str(self.root / "progress"))
        until(self.progress)

    def progress(self) -> bool:
        path = self.root / "progress"
        return path.exists() and path.read_text() != ""

    def stop_with_one_under_way(self) -> None:
        def stopped() -> bool:
            os.kill(self.device.pid, signal.SIGSTOP)
            time.sleep(0.1)  # for the client to send what it has to
            # Taken already, and not sent back, it would be held by the device.
            if (self.pool()["channels"][0]["to_device"] == UNDER_WAY
                    and self.member_of(self.client)["held"] == KEPT + UNDER_WAY):
                return True
            os.kill(self.device.pid, signal.SIGCONT)
            return False
        until(stopped)
