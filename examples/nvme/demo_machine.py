# SPDX-License-Identifier: BSD-3-Clause
"""The machine as the demo needs it, and afterwards as it was: hugepages, the drive's driver, a directory.

Each change pushes its opposite before it is made; leaving the `with` block undoes them in reverse order, whatever
happened.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from demo_show import note
from demo_stop import undisturbed, uninterrupted

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DEVBIND = REPOSITORY / "tools" / "devbind"
DEVICES = Path("/sys/bus/pci/devices")

HUGEPAGE = 2 << 20
# The service's 256 buffers of 64 KiB are eight pages; the driver's queues take one more.
HUGEPAGES_NEEDED = 9
DISK_PATIENCE_S = 20.0


class DemoError(Exception):
    """It cannot go on; the text says why and what to do."""


def call(*command: str | Path) -> None:
    """Run a tool, show what it says, and stop when it fails: it has said why."""
    with uninterrupted():
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    for line in done.stdout.splitlines():
        note(line)
    if done.returncode:
        raise DemoError(f"{Path(command[0]).name} {command[1]} failed (exit status {done.returncode})")


class Machine:
    """Context manager; see above. `directory` is one that everybody may enter and root alone may write."""

    def __init__(self, bdf: str, build: Path, force: bool) -> None:
        self.bdf, self.build, self.force = bdf, build.resolve(), force
        self.undo = contextlib.ExitStack()

    def __enter__(self) -> "Machine":
        if os.geteuid() != 0:
            raise DemoError("needs root: it moves a device from one driver to another")
        self.device = DEVICES / self.bdf
        if not self.device.is_dir():
            raise DemoError(f"there is no PCI device {self.bdf} (write it in full, such as 0000:41:00.0)")
        self.directory = Path(tempfile.mkdtemp(prefix="pinion-demo."))
        self.undo.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.directory.chmod(0o755)
        return self

    def __exit__(self, *_exception: object) -> None:
        with undisturbed():
            self.undo.close()

    def node(self) -> int:
        """NUMA node of the drive; -1 when the firmware names none."""
        return int((self.device / "numa_node").read_text())

    def driver(self) -> str:
        link = self.device / "driver"
        return link.resolve().name if link.exists() else "no driver"

    def check_drive(self) -> None:
        if self.driver() != "nvme":
            raise DemoError(f"{self.bdf} is bound to {self.driver()}: the demo starts from, and ends with, the "
                            f"kernel's nvme driver (tools/devbind restore {self.bdf})")
        if not self.force:
            call(DEVBIND, "check", self.bdf)

    def hugepages_wanted(self, node: int) -> str:
        """As many as are in use now, and what we need: the tool takes absolute numbers."""
        where = f"node/node{node}/hugepages" if node >= 0 else "../kernel/mm/hugepages"
        pool = Path("/sys/devices/system") / where / "hugepages-2048kB"
        total, free = (int((pool / name).read_text()) for name in ("nr_hugepages", "free_hugepages"))
        amount = str((total - free + HUGEPAGES_NEEDED) * HUGEPAGE)
        return f"{node}:{amount}" if node >= 0 else amount

    def reserve_hugepages(self) -> None:
        tool, saved = self.build / "tools" / "hugepages", self.directory / "hugepages.before"
        self.undo.callback(self.put_hugepages_back, tool, saved)
        call(tool, "reserve", "--save", saved, self.hugepages_wanted(self.node()))

    def put_hugepages_back(self, tool: Path, saved: Path) -> None:
        if saved.exists():
            self.try_to(tool, "restore", saved)

    def take_drive(self, driver: str) -> None:
        self.undo.callback(self.put_drive_back)
        call(DEVBIND, "bind", "--driver", driver, *(["--force"] if self.force else []), self.bdf)

    def put_drive_back(self) -> None:
        if self.driver() != "nvme":
            self.try_to(DEVBIND, "restore", self.bdf)

    def disk(self) -> Path | None:
        """The block device of the first namespace. With multipath its sysfs name has the path in it: nvme0c0n1."""
        for entry in self.device.glob("nvme/nvme*/nvme*n1"):
            path = Path("/dev") / re.sub(r"c\d+n", "n", entry.name)
            if path.is_block_device():
                return path
        return None

    def give_back_drive(self) -> Path:
        """To the kernel's driver; the disk that appears."""
        call(DEVBIND, "restore", self.bdf)
        deadline = time.monotonic() + DISK_PATIENCE_S
        while time.monotonic() < deadline:
            if disk := self.disk():
                return disk
            time.sleep(0.05)
        raise DemoError(f"the kernel's nvme driver made no disk of {self.bdf} within {DISK_PATIENCE_S:.0f} s (dmesg)")

    @staticmethod
    def try_to(*command: str | Path) -> None:
        """While putting things back, one failure must not keep the rest from being put back."""
        try:
            call(*command)
        except DemoError as error:
            note(f"could not be put back: {error}")
