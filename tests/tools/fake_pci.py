# SPDX-License-Identifier: BSD-3-Clause
"""A fake machine for the tests of devbind: a sysfs, proc and dev tree in a directory, and a kernel
that moves driver links in it the way the real one does.

`Tree` builds, `FakeKernel` is what devbind writes to. It is a class made for one test
(`kernel_of`), because devbind makes its own instance from the command line.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

SCRIPT = Path(os.environ.get("DEVBIND", Path(__file__).resolve().parents[2] / "tools" / "devbind"))


def load_devbind() -> ModuleType:
    """The script has no extension, so it cannot be imported by name."""
    loader = importlib.machinery.SourceFileLoader("devbind", str(SCRIPT))
    spec = importlib.util.spec_from_loader("devbind", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True  # leave nothing beside the script
    sys.modules["devbind"] = module
    loader.exec_module(module)
    return module


devbind = load_devbind()


class Tree:
    """Builds and looks at the fake machine. Paths are as on a real one, without the first slash."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for path in ("sys/bus/pci/devices", "sys/bus/pci/drivers", "sys/devices", "dev/vfio",
                     "sys/class/block", "sys/class/net", "proc", "run"):
            (root / path).mkdir(parents=True)
        self.file("sys/bus/pci/drivers_probe", "")
        self.file("proc/self/mountinfo", "")
        self.file("proc/swaps", "Filename Type Size Used Priority\n")
        self.driver("nvme")
        self.driver("vfio-pci")

    def file(self, path: str, text: str | bytes) -> Path:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(text.encode() if isinstance(text, str) else text)
        return full

    def link(self, path: str, target: str) -> None:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.unlink(missing_ok=True)
        full.symlink_to(os.path.relpath(self.root / target, full.parent))

    def driver(self, name: str) -> None:
        (self.root / "sys/bus/pci/drivers" / name).mkdir(parents=True)

    def home(self, bdf: str) -> str:
        return f"sys/devices/pci0000:40/{bdf}"

    def device(self, bdf: str, driver: str | None = "nvme", group: str | None = "7",
               class_code: str = "0x010802", ids: str = "1b36:0010", node: str = "1") -> None:
        vendor, model = ids.split(":")
        for name, text in (("vendor", f"0x{vendor}"), ("device", f"0x{model}"),
                           ("class", class_code), ("numa_node", node),
                           ("driver_override", "(null)"), ("modalias", f"pci:{bdf}"),
                           ("uevent", f"PCI_SLOT_NAME={bdf}")):
            self.file(f"{self.home(bdf)}/{name}", text + "\n")
        self.link(f"sys/bus/pci/devices/{bdf}", self.home(bdf))
        if driver:
            self.bind(bdf, driver)
        if group:
            self.link(f"{self.home(bdf)}/iommu_group", f"sys/kernel/iommu_groups/{group}")
            self.link(f"sys/kernel/iommu_groups/{group}/devices/{bdf}", self.home(bdf))

    def bind(self, bdf: str, driver: str) -> None:
        self.link(f"{self.home(bdf)}/driver", f"sys/bus/pci/drivers/{driver}")

    def block(self, bdf: str, name: str, below: str = "nvme/nvme0", kind: str = "disk",
              number: str = "259:0", content: bytes = bytes(0x11000)) -> str:
        """A disk or partition; returns its directory."""
        path = f"{self.home(bdf)}/{below}/{name}"
        self.block_at(path, name, kind, number, content)
        return path

    def block_at(self, path: str, name: str, kind: str, number: str, content: bytes) -> None:
        major, minor = number.split(":")
        self.file(f"{path}/uevent",
                  f"MAJOR={major}\nMINOR={minor}\nDEVNAME={name}\nDEVTYPE={kind}\n")
        self.file(f"{path}/size", f"{len(content) // 512}\n")
        (self.root / path / "holders").mkdir()
        self.file(f"dev/{name}", content)
        self.link(f"sys/class/block/{name}", path)

    def node(self, bdf: str, below: str, devname: str) -> None:
        """A character device below the PCI device."""
        self.file(f"{self.home(bdf)}/{below}/uevent", f"MAJOR=240\nMINOR=1\nDEVNAME={devname}\n")

    def interface(self, bdf: str, name: str) -> None:
        self.file(f"{self.home(bdf)}/net/{name}/uevent", f"INTERFACE={name}\nIFINDEX=2\n")
        self.link(f"sys/class/net/{name}", f"{self.home(bdf)}/net/{name}")

    def mount(self, number: str, source: str, point: str,
              table: str = "proc/self/mountinfo") -> None:
        line = f"40 27 {number} / {point} rw,relatime shared:1 - ext4 {source} rw\n"
        with open(self.root / table, "a", encoding="utf-8") as file:
            file.write(line)

    def process(self, pid: int, comm: str, opened: list[str], maps: str = "") -> None:
        self.file(f"proc/{pid}/comm", comm + "\n")
        self.file(f"proc/{pid}/maps", maps)
        self.file(f"proc/{pid}/mountinfo", "")
        (self.root / f"proc/{pid}/fd").mkdir()
        for fd, path in enumerate(opened):
            (self.root / f"proc/{pid}/fd/{fd}").symlink_to(path)

    def driver_of(self, bdf: str) -> str | None:
        path = self.root / self.home(bdf) / "driver"
        return os.path.basename(os.readlink(path)) if path.is_symlink() else None

    def override_of(self, bdf: str) -> str:
        return (self.root / self.home(bdf) / "driver_override").read_text().strip()


class FakeKernel(devbind.Machine):  # type: ignore[name-defined,misc]
    """Class attributes say what this kernel has and refuses; see kernel_of."""

    tree: Tree
    choice: dict[str, str]           # which driver it gives a device without an override
    modules: set[str]                # what modprobe can load, besides what is there
    refuses: set[tuple[str, str]]    # (bdf, driver): probing does nothing, as in real life
    steals: dict[str, str]           # bdf: driver that wins whatever the override says
    errors: dict[str, OSError]       # file name: what writing to it raises
    writes: list[tuple[str, str]]
    owners: list[tuple[str, int, int]]

    def store(self, path: str, text: str) -> None:
        name = os.path.basename(path)
        if name in self.errors:
            raise self.errors[name]
        self.writes.append((self.name(path), text))
        parent = os.path.basename(os.path.dirname(path))
        if name == "driver_override":
            self.tree.file(f"{self.tree.home(parent)}/{name}", (text.strip() or "(null)") + "\n")
        elif name == "unbind":
            self.release(text)
        elif name == "drivers_probe":
            self.probe(text)

    def release(self, bdf: str) -> None:
        (self.tree.root / self.tree.home(bdf) / "driver").unlink()
        shutil.rmtree(self.tree.root / self.tree.home(bdf) / "nvme", ignore_errors=True)

    def probe(self, bdf: str) -> None:
        override = self.tree.override_of(bdf)
        driver = self.choice.get(bdf) if override == "(null)" else override
        driver = self.steals.get(bdf, driver)
        known = driver and (self.tree.root / "sys/bus/pci/drivers" / driver).is_dir()
        if not known or (bdf, driver) in self.refuses or self.tree.driver_of(bdf):
            return
        self.tree.bind(bdf, driver)
        group = self.tree.root / self.tree.home(bdf) / "iommu_group"
        if driver == "vfio-pci" and group.is_symlink():
            self.tree.file(f"dev/vfio/{os.path.basename(os.readlink(group))}", "")

    def modprobe(self, module: str) -> str:
        if self.dry_run:
            return str(super().modprobe(module))
        if module in self.modules:
            self.tree.driver(module)
            return ""
        return f"FATAL: Module {module} not found."

    def chown(self, path: str, uid: int, gid: int) -> None:
        if self.dry_run:
            super().chown(path, uid, gid)
        else:
            self.owners.append((self.name(path), uid, gid))


def kernel_of(tree: Tree, **traits: Any) -> type[FakeKernel]:
    """A kernel for one test."""
    base: dict[str, Any] = {"tree": tree, "choice": {}, "modules": set(), "refuses": set(),
                            "steals": {}, "errors": {}, "writes": [], "owners": []}
    return type("Kernel", (FakeKernel,), base | traits)
