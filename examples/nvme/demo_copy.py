# SPDX-License-Identifier: BSD-3-Clause
"""The device process, and the producers that give it work."""

import json
import os
import select
import selectors
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

from demo_machine import DemoError, Machine
from demo_service import POOL, Service
from demo_show import Progress
from demo_stop import end, undisturbed, uninterrupted

READY_PATIENCE_S = 60.0
STOP_PATIENCE_S = 60.0

# Nobody, in no group, with nothing to gain from any program it runs.
UNPRIVILEGED = ("setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs --bounding-set=-all "
                "--inh-caps=-all --ambient-caps=-all").split()


class DeviceProcess:
    """nvme-serve, from ready to stopped. What it says goes to a log, which is shown if it fails."""

    def __init__(self, machine: Machine, service: Service, irq: str, iommufd: bool) -> None:
        self.service, self.name = service, f"nvme:{machine.bdf}"
        self.process: subprocess.Popen | None = None
        self.log = machine.directory / "nvme-serve.log"
        self.command = [machine.build / "examples" / "nvme" / "nvme-serve", "--bdf", machine.bdf,
                        "--service", service.socket, "--pool", POOL, "--queues", "2", "--irq", irq,
                        *(["--iommufd"] if iommufd else [])]

    def __enter__(self) -> "DeviceProcess":
        try:
            with uninterrupted():
                ready = self.start()
            with os.fdopen(ready, "rb") as pipe:
                if not select.select([pipe], [], [], READY_PATIENCE_S)[0] or not pipe.read():
                    raise DemoError("the device process did not start:\n" + self.log.read_text())
        except BaseException:
            self.__exit__()
            raise
        self.ready_line = self.log.read_text().splitlines()[-1]
        return self

    def start(self) -> int:
        """A pipe from which something can be read once it is ready."""
        ready, theirs = os.pipe()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*self.command, "--ready-fd", str(theirs)], stdout=subprocess.PIPE,
                                            stderr=log, pass_fds=[theirs], start_new_session=True)
        os.close(theirs)
        return ready

    def __exit__(self, *_exception: object) -> None:
        end(self.process, STOP_PATIENCE_S)

    def stop(self) -> dict:
        """Orderly; its account of what was done."""
        self.process.send_signal(signal.SIGTERM)
        account, _ = self.process.communicate(timeout=STOP_PATIENCE_S)
        if self.process.returncode:
            raise DemoError("the device process failed:\n" + self.log.read_text())
        return json.loads(account)


class Producer(NamedTuple):
    name: str
    uid: int
    capabilities: int
    bytes: int
    rate: float
    allocated: int
    freed: int


def stage(machine: Machine) -> Path:
    """Copies of the program and the library where nobody can reach them: the tree may lie under /root."""
    program = machine.directory / "nvme-copy"
    if not program.exists():
        shutil.copy(machine.build / "libpinion.so.0", machine.directory)
        shutil.copy(machine.build / "examples" / "nvme" / "nvme-copy", program)
        program.chmod(0o755)
    return program


class Copies:
    """nvme-copy as several processes, each with its part of the file, under one progress bar."""

    def __init__(self, machine: Machine, device: DeviceProcess, verb: str, image: Path, parts: int) -> None:
        self.device, self.verb, self.image, self.parts = device, verb, image, parts
        self.program = stage(machine)
        self.total = image.stat().st_size
        self.results: list[Producer] = []

    def run(self) -> "Copies":
        processes: list[subprocess.Popen] = []
        try:
            # Opened here, so that nobody reads the file without being able to walk to it.
            with self.image.open("rb") as image, uninterrupted():
                for part in range(1, self.parts + 1):
                    processes.append(self.start(part, image.fileno()))
            last_lines = self.watch(processes)
            self.results = [self.result(part, *pair) for part, pair in enumerate(zip(processes, last_lines), 1)]
        finally:
            with undisturbed():
                for process in processes:
                    process.kill()
                    process.communicate()
        return self

    def start(self, part: int, image: int) -> subprocess.Popen:
        command = [*UNPRIVILEGED, self.program, "--service", self.device.service.socket, "--device", self.device.name,
                   "--part", f"{part}/{self.parts}", "--progress", self.verb, f"/dev/fd/{image}"]
        environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(self.program.parent)}
        return subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[image], env=environment, cwd="/",
                                start_new_session=True)

    def watch(self, processes: list[subprocess.Popen]) -> list[bytes]:
        """Draw the sum of everybody's progress until all are done; the last line of each."""
        progress, done, last = Progress(self.verb, self.total), [0] * len(processes), [b""] * len(processes)
        with selectors.DefaultSelector() as selector:
            for index, process in enumerate(processes):
                selector.register(process.stdout, selectors.EVENT_READ, index)
            while selector.get_map():
                for key, _ in selector.select():
                    # Lines are written whole, and one that waits in the buffer is seen with the next.
                    line = key.fileobj.readline()
                    if not line:
                        selector.unregister(key.fileobj)
                    elif line.startswith(b"progress "):
                        done[key.data] = int(line.split()[1])
                        progress.show(sum(done))
                    else:
                        last[key.data] = line
        progress.end()
        return last

    def result(self, part: int, process: subprocess.Popen, line: bytes) -> Producer:
        """The kernel's word on who it was: a process that ended is in /proc until it is waited for."""
        status = dict(entry.split(":\t", 1) for entry in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        if process.wait() or not line:
            raise DemoError(f"producer {part} ({self.verb}) failed: exit status {process.returncode}\n"
                            + self.device.log.read_text() + self.device.service.log.read_text())
        told = json.loads(line)
        name = f"producer {part}" if self.verb == "write" else "verifier"
        return Producer(name, int(status["Uid"].split()[1]), int(status["CapEff"], 16), told["bytes"],
                        told["bytes_per_second"], told["buffers"]["allocated"], told["buffers"]["freed"])
