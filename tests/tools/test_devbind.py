# SPDX-License-Identifier: BSD-3-Clause
"""devbind on a fake machine: each refusal, each exit status, and what is left after a failure."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pwd
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fake_pci import SCRIPT, FakeKernel, Tree, devbind, kernel_of  # noqa: E402

A, B, C = "0000:41:00.0", "0000:41:00.1", "10000:e1:00.0"
OK, FAILED, USAGE, NOT_FOUND, REFUSED, PERMISSION, GROUP, NO_IOMMU, NO_DRIVER, DAMAGED = range(10)


class Case(unittest.TestCase):
    """A machine with one idle NVMe drive at A, in IOMMU group 7."""

    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="devbind-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.tree = Tree(self.root)
        self.tree.device(A)
        self.disk = self.tree.block(A, "nvme0n1")
        self.out = self.err = ""
        self.kernel: type[FakeKernel] = kernel_of(self.tree)

    def run_devbind(self, *words: str, wait: str = "0") -> int:
        out, err = io.StringIO(), io.StringIO()
        argv = [words[0], "--root", str(self.root), "--wait", wait, *words[1:]]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = devbind.main(argv, self.kernel)
            except SystemExit as end:  # argparse
                code = int(end.code or 0)
        self.out, self.err = out.getvalue(), err.getvalue()
        return code

    def expect(self, code: int, *words: str, says: str = "") -> None:
        self.assertEqual(self.run_devbind(*words), code, self.out + self.err)
        self.assertIn(says, self.out + self.err)

    def bind_vfio(self, *more: str) -> None:
        self.expect(OK, "bind", "--driver", "vfio-pci", *more, A)

    def stands(self, bdf: str, driver: str | None, override: str = "(null)") -> None:
        self.assertEqual((self.tree.driver_of(bdf), self.tree.override_of(bdf)), (driver, override))

    def untouched(self, bdf: str = A) -> None:
        self.stands(bdf, "nvme")
        self.assertEqual(self.kernel.writes, [])

    def state(self) -> Any:
        path = self.root / "run/pinion/devbind.json"
        return json.loads(path.read_text()) if path.exists() else {}


class Address(Case):
    def test_malformed_is_usage(self) -> None:
        for word in ("", "41:00", "0000:41:00.8", "0000:41:20.0", "0000:41:00.0x", "0000:41:00.0\n",
                     " 41:00.0", "000000000:41:00.0", "000:41:00.0", "0000:4g:00.0", "../41:00.0",
                     "٤1:00.0"):
            with self.subTest(word=word):
                self.expect(USAGE, "check", word, says="is not a PCI address")

    def test_absent_is_not_found(self) -> None:
        self.expect(NOT_FOUND, "check", "0000:99:00.0", says="no such PCI device")

    def test_short_form_and_upper_case_are_accepted(self) -> None:
        self.tree.device("0000:ab:00.0")
        self.expect(OK, "check", "41:00.0", says=A)
        self.expect(OK, "check", "AB:00.0", says="0000:ab:00.0")

    def test_32_bit_domain_is_accepted(self) -> None:
        self.tree.device(C)
        self.expect(OK, "check", C, says=C)
        self.assertEqual(devbind.parse_bdf("00010000:E1:1f.7"), "10000:e1:1f.7")

    def test_one_absent_of_two_touches_neither(self) -> None:
        self.expect(NOT_FOUND, "bind", "--driver", "vfio-pci", A, "0000:99:00.0")
        self.untouched()

    def test_no_device_named_is_usage(self) -> None:
        for command in (("check",), ("bind", "--driver", "vfio-pci"), ("unbind",), ("restore",)):
            self.expect(USAGE, *command)

    def test_driver_name_cannot_leave_its_directory(self) -> None:
        for name in ("../x", "", "a/b", "vfio-pci\n"):
            self.expect(USAGE, "bind", "--driver", name, A, says="not the name of a driver")


class Selectors(Case):
    """Three more devices: the other function, one far away of another model, a network card."""

    def setUp(self) -> None:
        super().setUp()
        self.tree.device(B, group="7")
        self.tree.device(C, group="8", ids="144d:a80a")
        self.tree.device("0000:02:00.0", "nvme", "9", "0x020000", ids="8086:1572")
        self.tree.interface("0000:02:00.0", "eth0")

    def means(self, word: str, *bdfs: str) -> None:
        with self.subTest(word=word):
            self.expect(OK, "list", "--json", word)
            self.assertEqual([row["bdf"] for row in json.loads(self.out)], list(bdfs))

    def test_pattern_of_addresses(self) -> None:
        self.means("0000:41:*", A, B)
        self.means("41:00.?", A, B)
        self.means("*:E1:*", C)
        self.means("[01]*:00.1", B)

    def test_vendor_and_device(self) -> None:
        self.means("144D:A80A", C)
        self.means("id=144d:a80a", C)
        self.means("id=1b36:*", A, B)

    def test_class(self) -> None:
        self.means("class=02", "0000:02:00.0")
        self.means("class=network", "0000:02:00.0")
        for word in ("class=nvme", "class=storage", "class=0108", "class=010802"):
            self.means(word, A, B, C)

    def test_network_interface(self) -> None:
        self.means("eth0", "0000:02:00.0")

    def test_disk_partition_and_link_to_one(self) -> None:
        self.tree.block(A, "nvme0n1p1", "nvme/nvme0/nvme0n1", "partition", "259:1")
        self.tree.link("dev/disk/by-id/nvme-x", "dev/nvme0n1")
        for word in ("nvme0n1", "nvme0n1p1", "/dev/nvme0n1", "/dev/disk/by-id/nvme-x"):
            self.means(word, A)

    def test_disk_of_several_paths_is_all_of_them(self) -> None:
        top = "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
        self.tree.block_at(f"{top}/nvme5n1", "nvme5n1", "disk", "259:9", bytes(4096))
        for name, bdf in (("nvme5", A), ("nvme6", C)):
            self.tree.file(f"{self.tree.home(bdf)}/nvme/{name}/dev", "")
            self.tree.link(f"{top}/{name}", f"{self.tree.home(bdf)}/nvme/{name}")
        self.means("nvme5n1", A, C)

    def test_name_of_several_devices_is_refused(self) -> None:
        self.tree.file(f"{self.tree.home(A)}/drm/card0/dev", "")
        self.tree.file(f"{self.tree.home(C)}/sound/card0/uevent", "")
        self.tree.link("sys/class/drm/card0", f"{self.tree.home(A)}/drm/card0")
        self.means("card0", A)
        self.tree.link("sys/class/sound/card0", f"{self.tree.home(C)}/sound/card0")
        for word in ("card0", "/dev/card0"):
            self.expect(USAGE, "check", word, says=f"{word} is a name of several devices: drm ({A}), sound ({C})")

    def test_several_words_name_each_device_once(self) -> None:
        self.expect(OK, "list", "--json", A, "41:*", "nvme0n1")
        self.assertEqual([row["bdf"] for row in json.loads(self.out)], [A, B])

    def test_what_is_not_here_is_not_found(self) -> None:
        (self.root / "sys/class/net/lo").mkdir()
        for word in ("99:*", "ffff:ffff", "class=12", "eth7", "/dev/sdz", "lo"):
            self.expect(NOT_FOUND, "check", word, says=f"{word}: no such PCI device")

    def test_unknown_class_is_usage(self) -> None:
        for word in ("class=", "class=1", "class=disk", "class=01080200"):
            self.expect(USAGE, "check", word, says="no such class")

    def test_one_word_that_finds_nothing_leaves_the_others_alone(self) -> None:
        self.expect(NOT_FOUND, "unbind", A, "eth7")
        self.untouched()

    def test_all_must_be_said(self) -> None:
        for word in ("*", "*:*", "[0-9]*", "id=*"):
            for command in (("check",), ("unbind",), ("restore",), ("bind", "--driver", "x")):
                self.expect(USAGE, *command, word, says="say --all")
        self.untouched()
        self.expect(OK, "unbind", "--all")
        for bdf in (A, B, C):
            self.stands(bdf, None)

    def test_all_and_a_name_is_usage(self) -> None:
        for command in (("check",), ("unbind",), ("restore",)):
            self.expect(USAGE, *command, "--all", A, says="not both")

    def test_restore_all_is_what_was_taken(self) -> None:
        self.expect(OK, "bind", "--driver", "vfio-pci", "41:*")
        before = len(self.kernel.writes)
        self.expect(OK, "restore", "--all")
        self.stands(A, "nvme")
        self.stands(B, "nvme")
        self.assertFalse([path for path, _ in self.kernel.writes[before:] if C in path])
        self.expect(OK, "restore", "--all")


class InUse(Case):
    """Each user of a device, alone, makes check and bind refuse, and is named."""

    def refused(self, says: str, hard: bool = False, bdf: str = A) -> None:
        former = self.tree.driver_of(bdf)
        want = "uio_pci_generic" if former == "vfio-pci" else "vfio-pci"
        (self.root / f"sys/bus/pci/drivers/{want}").mkdir(exist_ok=True)
        self.expect(REFUSED, "check", bdf, says=says)
        self.assertIn("what to do:", self.err)
        self.expect(REFUSED, "bind", "--driver", want, bdf, says=says)
        self.expect(REFUSED, "unbind", bdf, says=says)
        self.assertEqual(self.kernel.writes, [])
        self.expect(REFUSED if hard else OK, "bind", "--force", "--driver", want, bdf, says=says)
        self.assertEqual(self.tree.driver_of(bdf), former if hard else want)

    def test_idle_is_free(self) -> None:
        self.expect(OK, "check", A, says=f"{A}: free (nvme)")

    def test_mounted_disk(self) -> None:
        self.tree.mount("259:0", "/dev/nvme0n1", "/mnt")
        self.refused("/dev/nvme0n1 is mounted on /mnt")

    def test_mounted_partition(self) -> None:
        self.tree.block(A, "nvme0n1p2", "nvme/nvme0/nvme0n1", "partition", "259:2")
        self.tree.mount("259:2", "/dev/root", "/")
        self.refused("/dev/nvme0n1p2 is mounted on /")

    def test_mounted_btrfs_is_found_by_its_source(self) -> None:
        self.tree.mount("0:44", "/dev/nvme0n1", r"/with\040space")
        self.refused("mounted on /with space")

    def test_mounted_through_a_link(self) -> None:
        self.tree.link("dev/disk/by-uuid/1234", "dev/nvme0n1")
        self.tree.mount("0:44", "/dev/disk/by-uuid/1234", "/mnt")
        self.refused("mounted on /mnt")

    def test_mounted_in_another_namespace(self) -> None:
        self.tree.process(55, "container", [])
        (self.root / "proc/self/ns").mkdir()
        (self.root / "proc/self/ns/mnt").symlink_to("mnt:[1]")
        (self.root / "proc/55/ns").mkdir()
        (self.root / "proc/55/ns/mnt").symlink_to("mnt:[2]")
        self.tree.mount("259:0", "/dev/nvme0n1", "/data", "proc/55/mountinfo")
        self.refused("mounted on /data")

    def test_mounted_multipath_head(self) -> None:
        top = "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
        self.tree.block_at(f"{top}/nvme5n1", "nvme5n1", "disk", "259:9", bytes(4096))
        self.tree.link(f"{top}/nvme0", f"{self.tree.home(A)}/nvme/nvme0")
        self.tree.link("sys/class/nvme-subsystem/nvme-subsys0", top)
        self.tree.mount("259:9", "/dev/nvme5n1", "/head")
        self.refused("/dev/nvme5n1 is mounted on /head")

    def test_swap(self) -> None:
        with open(self.root / "proc/swaps", "a", encoding="utf-8") as file:
            file.write("/dev/nvme0n1 partition 1024 0 -2\n")
        self.refused("/dev/nvme0n1 is swap space")

    def test_held_by_device_mapper(self) -> None:
        (self.root / self.disk / "holders/dm-0").mkdir()
        self.tree.file("sys/class/block/dm-0/dm/name", "vg-root\n")
        self.refused("held by dm-0 (vg-root)")

    def test_held_by_md(self) -> None:
        (self.root / self.disk / "holders/md127").mkdir()
        self.refused("held by md127")

    def test_block_device_open_by_a_process(self) -> None:
        self.tree.process(77, "dd", ["/dev/null", "/dev/nvme0n1"])
        self.refused("process 77 (dd) has /dev/nvme0n1 open")

    def test_block_device_mapped_by_a_process(self) -> None:
        self.tree.process(77, "db", [], maps="7f00-7f01 rw-s 00000000 00:05 99   /dev/nvme0n1\n")
        self.refused("process 77 (db) has /dev/nvme0n1 open")

    def test_controller_node_open_by_a_process(self) -> None:
        self.tree.node(A, "nvme/nvme0/ng0n1", "ng0n1")
        self.tree.process(78, "fio", ["/dev/ng0n1 (deleted)"])
        self.refused("process 78 (fio) has /dev/ng0n1 open")

    def test_uio_node_open_by_a_process(self) -> None:
        self.tree.driver("uio_pci_generic")
        self.tree.bind(A, "uio_pci_generic")
        self.tree.node(A, "uio/uio0", "uio0")
        self.tree.process(79, "ixy", ["/dev/uio0"])
        self.refused("process 79 (ixy) has /dev/uio0 open")

    def test_node_under_another_name(self) -> None:
        self.tree.file(f"{self.tree.home(A)}/uio/uio0/uevent", "MAJOR=1\nMINOR=3\nDEVNAME=uio0\n")
        self.tree.process(77, "driver", ["/dev/null"])  # which is 1:3
        self.refused("process 77 (driver) has /dev/null open")

    def test_node_under_another_name_that_is_mapped(self) -> None:
        self.tree.file(f"{self.tree.home(A)}/uio/uio0/uevent", "MAJOR=1\nMINOR=5\nDEVNAME=uio0\n")
        self.tree.process(77, "driver", [], "7f00-7f01 rw-s 0 00:05 8 /opt/node\n")
        (self.root / "proc/77/map_files").mkdir()
        (self.root / "proc/77/map_files/7f00-7f01").symlink_to("/dev/zero")
        self.refused("process 77 (driver) has /opt/node open")

    def test_vfio_group_under_another_name_is_refused_even_by_force(self) -> None:
        self.tree.file("sys/class/vfio/7/dev", "1:3\n")
        self.tree.process(77, "driver", ["/dev/null"])
        self.refused("process 77 (driver) has /dev/null open", hard=True)

    def test_swap_by_another_name(self) -> None:
        self.tree.file("proc/swaps", "Filename Type Size Used Priority\n/opt/node partition 8 0 -2\n")
        self.tree.file("opt/node", "")
        with mock.patch.object(devbind, "special_of", lambda path: "b259:0" if path.endswith("/node") else ""):
            self.refused("/dev/nvme0n1 is swap space")

    def test_control_characters_do_not_reach_the_terminal(self) -> None:
        self.tree.mount("259:0", "/dev/nvme0n1", "/mnt/\033[2J\\012\u009b")
        self.tree.process(77, "\033]0;x\a", ["/dev/nvme0n1"])
        self.expect(OK, "list", says="pid 77 (\\033]0;x\\007)")
        self.assertIn("mount /mnt/\\033[2J\\012\\302\\233", self.out)
        self.assertFalse(re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", self.out))

    def test_bar_mapped_through_sysfs(self) -> None:
        path = f"/sys/devices/pci0000:40/{A}/resource0"
        self.tree.process(80, "driver", [], maps=f"7f00-7f01 rw-s 00000000 00:16 99   {path}\n")
        self.refused(f"process 80 (driver) has {path} open")

    def test_bar_mapped_through_uio(self) -> None:
        self.tree.driver("uio_pci_generic")
        self.tree.bind(A, "uio_pci_generic")
        self.tree.node(A, "uio/uio0", "uio0")
        self.tree.process(79, "ixy", [], maps="7f00-7f01 rw-s 00000000 00:05 99   /dev/uio0\n")
        self.refused("process 79 (ixy) has /dev/uio0 open")

    def test_vfio_device_open_without_its_group_is_refused_even_by_force(self) -> None:
        self.tree.bind(A, "vfio-pci")
        self.tree.process(81, "nvme", ["anon_inode:[vfio-device]"])
        self.tree.file("proc/81/fdinfo/0",
                       f"pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:40/{A}\n")
        self.refused("process 81 (nvme) has vfio device", hard=True)

    def test_vfio_device_of_another_is_no_obstacle(self) -> None:
        self.tree.process(81, "nvme", ["anon_inode:[vfio-device]", "anon_inode:[vfio-device]"])
        self.tree.file("proc/81/fdinfo/0",
                       f"pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:40/{B}\n")
        self.expect(OK, "check", A)

    def test_node_of_the_vfio_device_is_refused_even_by_force(self) -> None:
        self.tree.bind(A, "vfio-pci")
        self.tree.node(A, "vfio-dev/vfio3", "vfio/devices/vfio3")
        self.tree.process(82, "nvme", ["/dev/vfio/devices/vfio3"])
        self.refused("process 82 (nvme) has /dev/vfio/devices/vfio3 open", hard=True)

    def virtual_function(self, driver: str | None) -> None:
        self.tree.device(B, driver, "8", "0x020000")
        self.tree.link(f"{self.tree.home(A)}/virtfn0", self.tree.home(B))

    def test_virtual_function_with_a_driver(self) -> None:
        self.virtual_function("nvme")
        self.refused(f"its virtual function {B} has the driver nvme")

    def test_virtual_function_says_who_uses_it(self) -> None:
        self.virtual_function("vfio-pci")
        self.tree.process(83, "qemu", ["/dev/vfio/8"])
        self.refused(f"{B} has the driver vfio-pci, and process 83 (qemu) has /dev/vfio/8 open",
                     hard=True)

    def test_virtual_function_without_a_driver_is_no_obstacle(self) -> None:
        self.virtual_function(None)
        self.expect(OK, "check", A)

    def test_loop_device_over_the_disk(self) -> None:
        self.tree.file("sys/class/block/loop3/loop/backing_file", "/dev/nvme0n1\n")
        self.refused("/dev/nvme0n1 is held by loop3")

    def test_vfio_group_open_is_refused_even_by_force(self) -> None:
        self.tree.bind(A, "vfio-pci")
        self.tree.process(81, "nvme", ["/dev/vfio/7"])
        self.refused("process 81 (nvme) has /dev/vfio/7 open", hard=True)
        self.expect(REFUSED, "restore", "--force", A, says="/dev/vfio/7")

    def test_default_route(self) -> None:
        self.nic("eth0")
        self.tree.file("proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
                       "eth0 00000000 0102A8C0 0003 0 0 0 00000000 0 0 0\n")
        self.refused("network interface eth0 carries the default route", bdf=B)

    def test_default_route_of_ipv6_over_a_bond(self) -> None:
        self.nic("eth0")
        self.tree.file("sys/class/net/bond0/lower_eth0", "")
        zero = "0" * 32
        self.tree.file("proc/net/ipv6_route",
                       f"{zero} 00 {zero} 00 fe80{'0' * 28} 0400 1 0 1 bond0\n")
        self.refused("eth0 carries the default route", bdf=B)

    def stacked(self, *pairs: tuple[str, str]) -> None:
        """Interfaces, each over another, as sysfs shows bonds, bridges and VLANs."""
        for upper, lower in pairs:
            self.tree.file(f"sys/class/net/{upper}/lower_{lower}", "")

    def test_default_route_over_a_bridge(self) -> None:
        self.nic("eth0")
        self.stacked(("br0", "eth0"), ("br0", "veth1"))
        self.tree.file("proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
                       "br0 00000000 0102A8C0 0003 0 0 0 00000000 0 0 0\n")
        self.refused("eth0 carries the default route", bdf=B)

    def test_default_route_over_a_vlan_on_a_bond_in_a_bridge(self) -> None:
        self.nic("eth0")
        self.stacked(("br0", "bond0.5"), ("bond0.5", "bond0"), ("bond0", "eth0"))
        self.tree.file("proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
                       "br0 00000000 0102A8C0 0003 0 0 0 00000000 0 0 0\n")
        self.refused("eth0 carries the default route", bdf=B)

    def test_unreachable_default_route_of_ipv6_is_no_obstacle(self) -> None:
        self.nic("eth0")
        zero = "0" * 32
        self.tree.file("proc/net/ipv6_route", f"{zero} 00 {zero} 00 {zero} ffffffff 1 0 200200 lo\n")
        self.expect(OK, "check", B)

    def nic(self, name: str) -> None:
        self.tree.device(B, "nvme", "8", "0x020000")
        self.tree.interface(B, name)

    def test_other_route_is_no_obstacle(self) -> None:
        self.nic("eth1")
        self.tree.file("proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
                       "eth1 0002A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n")
        self.expect(OK, "check", B)

    def test_unreadable_disk_is_not_taken_for_empty(self) -> None:
        (self.root / "dev/nvme0n1").unlink()
        self.refused("/dev/nvme0n1 cannot be read, so what is on it is not known")

    def test_all_users_are_named_at_once(self) -> None:
        self.tree.mount("259:0", "/dev/nvme0n1", "/mnt")
        self.tree.process(77, "dd", ["/dev/nvme0n1"])
        self.expect(REFUSED, "check", A, says="/mnt")
        self.assertIn("process 77", self.err)

    def test_same_driver_again_takes_nothing_from_anyone(self) -> None:
        self.tree.bind(A, "vfio-pci")
        self.tree.process(81, "nvme", ["/dev/vfio/7"])
        self.expect(OK, "bind", "--driver", "vfio-pci", A, says="still vfio-pci")


class Content(Case):
    """Signatures are put where the formats have them; the offsets are not devbind's own."""

    def holds(self, offset: int, magic: bytes, says: str) -> None:
        disk = bytearray(0x11000)
        disk[offset:offset + len(magic)] = magic
        (self.root / "dev/nvme0n1").write_bytes(disk)
        self.expect(REFUSED, "bind", "--driver", "vfio-pci", A, says=f"it holds {says}")
        self.untouched()

    def test_blank_is_free(self) -> None:
        self.expect(OK, "check", A)

    def test_each_signature(self) -> None:
        for offset, magic, says in ((1080, struct.pack("<H", 0xEF53), "ext2/3/4"),
                                    (0, b"XFSB", "xfs"), (65600, b"_BHRfS_M", "btrfs"),
                                    (1024, struct.pack("<I", 0xF2F52010), "f2fs"),
                                    (3, b"NTFS    ", "ntfs"), (54, b"FAT16   ", "fat"),
                                    (4096 - 10, b"SWAPSPACE2", "swap"),
                                    (0, b"LUKS\xba\xbe", "LUKS"), (536, b"LVM2 001", "LVM"),
                                    (4096, struct.pack("<I", 0xA92B4EFC), "MD RAID"),
                                    (512, b"EFI PART", "a GPT"), (4096, b"EFI PART", "a GPT")):
            with self.subTest(says=says, offset=offset):
                self.holds(offset, magic, says)

    def zfs_member(self, order: str = "<") -> Path:
        """The first label of a member of the pool "tank": each name and value as XDR has it."""
        def pair(name: bytes, kind: int, value: bytes) -> bytes:
            body = struct.pack(">I", len(name)) + name + bytes(-len(name) % 4)
            body += struct.pack(">II", kind, 1) + value
            return struct.pack(">II", len(body) + 8, len(body) + 8) + body

        label = bytearray(0x40000)
        names = struct.pack(">BBBBII", 1, 1, 0, 0, 0, 1)
        names += pair(b"version", 8, struct.pack(">Q", 5000))
        names += pair(b"name", 9, struct.pack(">I", 4) + b"tank")
        names += pair(b"pool_guid", 8, struct.pack(">Q", 1234)) + bytes(8)
        label[0x4000:0x4000 + len(names)] = names
        for at in range(0x20000, 0x40000, 0x1000):
            label[at:at + 40] = struct.pack(f"{order}5Q", 0x00bab10c, 5000, 7, 1234, 1)
        disk = self.root / "dev/nvme0n1"
        disk.write_bytes(label + bytes(64 << 20))
        return disk

    def test_zfs_member_names_its_pool(self) -> None:
        for order in "<>":
            self.zfs_member(order)
            self.expect(REFUSED, "bind", "--driver", "vfio-pci", A, says="it holds ZFS (pool tank)")
        self.untouched()

    @unittest.skipUnless(shutil.which("blkid"), "no blkid here")
    def test_zfs_member_is_one_for_blkid_too(self) -> None:
        done = subprocess.run(["blkid", "-p", "-o", "export", self.zfs_member()], text=True,
                              capture_output=True, check=True)
        self.assertIn("TYPE=zfs_member", done.stdout)
        self.assertIn("LABEL=tank", done.stdout)

    def test_disk_that_the_kernel_has_claimed_says_what_it_holds(self) -> None:
        self.zfs_member()
        really = os.open

        def open_claimed(path: str, flags: int, *mode: int) -> int:
            if flags & os.O_EXCL and path.endswith("nvme0n1"):
                raise OSError(16, "Device or resource busy")
            return really(path, flags, *mode)

        with mock.patch("os.open", open_claimed):
            self.expect(REFUSED, "check", A, says="/dev/nvme0n1 is claimed for exclusive use "
                        "inside the kernel; it holds ZFS (pool tank)")

    def test_blkid_that_hangs_is_not_taken_for_an_empty_disk(self) -> None:
        tool = self.tree.file("blkid", "#!/bin/sh\nexec sleep 60\n")
        tool.chmod(0o755)
        kernel = self.kernel
        kernel.real = property(lambda machine: True, lambda machine, value: None)  # type: ignore[assignment]
        machine = kernel(str(self.root))
        with mock.patch.object(devbind.shutil, "which", lambda name: str(tool)), \
                mock.patch.object(devbind, "PROGRAM_LIMIT_S", 0.2):
            reason = devbind.content_of(machine, str(self.root / "dev/nvme0n1"))
        self.assertIn("blkid did not end within", reason.text)
        self.assertFalse(reason.known)

    def test_dos_table_with_a_partition(self) -> None:
        self.holds(446, bytes([0x80, 0, 1, 0, 0x83]) + bytes(59) + b"\x55\xaa", "a DOS partition")

    def test_dos_table_without_a_partition_is_free(self) -> None:
        (self.root / "dev/nvme0n1").write_bytes(bytes(510) + b"\x55\xaa" + bytes(4096))
        self.expect(OK, "check", A)

    def test_content_of_a_partition_counts(self) -> None:
        content = bytes(1080) + b"\x53\xef" + bytes(4096)
        self.tree.block(A, "nvme0n1p1", "nvme/nvme0/nvme0n1", "partition", "259:1", content)
        self.expect(REFUSED, "check", A, says="/dev/nvme0n1p1 is not empty")

    @unittest.skipUnless(shutil.which("mkfs.ext4"), "no mkfs.ext4 here")
    def test_real_ext4(self) -> None:
        disk = self.root / "dev/nvme0n1"
        disk.write_bytes(bytes(1 << 20))
        subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True, capture_output=True)
        self.expect(REFUSED, "check", A, says="it holds ext")

    def test_force_says_what_it_overrides(self) -> None:
        (self.root / "dev/nvme0n1").write_bytes(b"XFSB" + bytes(4096))
        self.expect(OK, "bind", "--force", "--driver", "vfio-pci", A, says="taken by force")
        self.stands(A, "vfio-pci", "vfio-pci")


class Bind(Case):
    def test_writes_the_four_steps_in_order(self) -> None:
        self.bind_vfio()
        base = f"/sys/bus/pci/devices/{A}"
        self.assertEqual(self.kernel.writes, [
            (f"{base}/driver_override", "vfio-pci"), (f"{base}/driver/unbind", A),
            ("/sys/bus/pci/drivers_probe", A)])
        self.stands(A, "vfio-pci", "vfio-pci")
        self.assertEqual(self.out, f"{A}: nvme -> vfio-pci (/dev/vfio/7)\n")

    def test_dry_run_prints_the_writes_and_does_none(self) -> None:
        self.bind_vfio("--dry-run", "--owner", "0:0")
        record, writes = self.out.split("\nEND\n")
        self.assertTrue(record.startswith("mkdir -p /run/pinion\ncat > /run/pinion/devbind.json << 'END'\n{"))
        self.assertEqual(writes.splitlines(), [
            f"printf 'vfio-pci' > /sys/bus/pci/devices/{A}/driver_override",
            f"printf '{A}' > /sys/bus/pci/devices/{A}/driver/unbind",
            f"printf '{A}' > /sys/bus/pci/drivers_probe", "chown 0:0 /dev/vfio/7"])
        self.untouched()
        self.assertEqual(os.listdir(self.root / "run"), [])

    def test_twice_is_once(self) -> None:
        self.bind_vfio()
        before = list(self.kernel.writes)
        self.bind_vfio()
        self.assertEqual(self.kernel.writes, before)
        self.assertEqual(self.state()[A]["driver"], "nvme")

    def test_no_driver_named_is_usage(self) -> None:
        self.expect(USAGE, "bind", A)

    def test_module_is_loaded(self) -> None:
        self.kernel = kernel_of(self.tree, modules={"uio_pci_generic"})
        self.expect(OK, "bind", "--driver", "uio_pci_generic", A)
        self.stands(A, "uio_pci_generic", "uio_pci_generic")

    def test_unknown_driver_is_no_driver(self) -> None:
        self.expect(NO_DRIVER, "bind", "--driver", "nosuch", A, says="Module nosuch not found")
        self.untouched()

    def test_iommu_off_is_told_before_anything_is_touched(self) -> None:
        self.tree.device(B, group=None)
        self.expect(NO_IOMMU, "bind", "--driver", "vfio-pci", A, B, says="intel_iommu=on")
        self.untouched()
        self.tree.file("proc/cmdline", "quiet intel_iommu=off\n")
        self.expect(NO_IOMMU, "bind", "--driver", "vfio-pci", B,
                    says="boot without intel_iommu=off")

    def no_iommu(self, says: str) -> None:
        self.expect(NO_IOMMU, "bind", "--driver", "vfio-pci", B, says=says)
        self.expect(NO_IOMMU, "check", "--driver", "vfio-pci", B, says=says)

    def test_iommu_off_is_told_as_firmware_and_processor_have_it(self) -> None:
        self.tree.device(B, group=None)
        self.tree.file("sys/firmware/acpi/tables/FACP", "")
        for vendor, says in (("GenuineIntel", "enable VT-d in the firmware"),
                             ("AuthenticAMD", "enable the IOMMU (AMD-Vi) in the firmware")):
            self.tree.file("proc/cpuinfo", f"processor\t: 0\nvendor_id\t: {vendor}\n")
            self.no_iommu(says)
        table = self.tree.file("sys/firmware/acpi/tables/IVRS", "")
        self.no_iommu("dmesg | grep -e AMD-Vi")
        table.unlink()
        self.tree.file("sys/firmware/acpi/tables/DMAR", "")
        self.no_iommu("boot with intel_iommu=on")
        self.tree.file("proc/cmdline", "quiet amd_iommu=off\n")
        self.no_iommu("boot without amd_iommu=off")

    def test_iommu_that_leaves_the_device_out_is_told(self) -> None:
        self.tree.device(B, group=None)
        (self.root / "sys/class/iommu/dmar0").mkdir(parents=True)
        self.no_iommu("on, only not for this device")

    def test_check_for_a_driver_names_who_blocks_the_group(self) -> None:
        self.tree.driver("snd")
        self.tree.device(B, "snd")
        self.expect(OK, "check", A)
        self.expect(GROUP, "check", "--driver", "vfio-pci", A, says=f"blocked by {B} (snd)")

    def test_lockdown_is_told_of_uio_and_not_of_vfio(self) -> None:
        self.tree.driver("uio_pci_generic")
        self.tree.file("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
        told = "the kernel is locked down (integrity)"
        self.expect(OK, "bind", "--driver", "uio_pci_generic", A, says=told)
        self.bind_vfio()
        self.assertNotIn(told, self.err)
        self.tree.file("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
        self.expect(OK, "bind", "--driver", "uio_pci_generic", A)
        self.assertEqual(self.err, "")

    def test_lockdown_may_be_why_there_is_no_driver(self) -> None:
        self.tree.file("sys/kernel/security/lockdown", "none integrity [confidentiality]\n")
        self.expect(NO_DRIVER, "bind", "--driver", "nosuch", A, says="loads no unsigned one")

    def test_noiommu_mode_is_accepted_where_the_kernel_allows_it(self) -> None:
        self.tree.device(B, group=None)
        self.tree.file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n")
        self.expect(OK, "bind", "--driver", "vfio-pci", B)

    def test_uio_behind_a_translating_iommu_is_warned_of(self) -> None:
        self.tree.driver("uio_pci_generic")
        self.tree.file("sys/kernel/iommu_groups/7/type", "DMA-FQ\n")
        self.expect(OK, "bind", "--driver", "uio_pci_generic", A,
                    says="physical addresses will fault")

    def test_write_not_permitted(self) -> None:
        self.kernel = kernel_of(self.tree, errors={"driver_override": PermissionError(13, "no")})
        self.expect(PERMISSION, "bind", "--driver", "vfio-pci", A, says="run as root")
        self.stands(A, "nvme")
        self.assertEqual(self.state(), {})

    def test_read_only_sysfs(self) -> None:
        self.kernel = kernel_of(self.tree, errors={"driver_override": OSError(30, "Read-only")})
        self.expect(PERMISSION, "bind", "--driver", "vfio-pci", A)


class RollBack(Case):
    def test_driver_that_does_not_bind(self) -> None:
        self.kernel = kernel_of(self.tree, refuses={(A, "vfio-pci")})
        self.expect(FAILED, "bind", "--driver", "vfio-pci", A, says="vfio-pci did not take it")
        self.assertIn(f"{A} was put back (nvme)", self.err)
        self.stands(A, "nvme")
        self.assertEqual(self.state(), {})

    def test_former_override_comes_back_too(self) -> None:
        self.tree.file(f"{self.tree.home(A)}/driver_override", "nvme\n")
        self.kernel = kernel_of(self.tree, refuses={(A, "vfio-pci")})
        self.expect(FAILED, "bind", "--driver", "vfio-pci", A)
        self.stands(A, "nvme", "nvme")

    def test_another_driver_wins(self) -> None:
        self.tree.driver("xen-pciback")
        self.kernel = kernel_of(self.tree, steals={A: "xen-pciback"})
        self.expect(FAILED, "bind", "--driver", "vfio-pci", A, says="is bound to xen-pciback")
        self.assertIn("could NOT be put back to nvme", self.err)
        self.assertEqual(self.state()[A]["driver"], "nvme")

    def test_unbind_that_fails(self) -> None:
        self.kernel = kernel_of(self.tree, errors={"unbind": OSError(16, "Device busy")})
        self.expect(FAILED, "bind", "--driver", "vfio-pci", A, says="Device busy")
        self.stands(A, "nvme")

    def test_second_device_fails_and_the_first_goes_back(self) -> None:
        self.tree.device(B, group="8")
        self.kernel = kernel_of(self.tree, refuses={(B, "vfio-pci")})
        self.expect(FAILED, "bind", "--driver", "vfio-pci", A, B)
        self.stands(A, "nvme")
        self.stands(B, "nvme")
        self.assertEqual(self.out, "")

    def test_driver_that_came_by_itself_stays(self) -> None:
        self.tree.device(B, group="8")
        self.tree.driver("other")
        kernel = self.kernel = kernel_of(self.tree)

        def probe(machine: FakeKernel, bdf: str) -> None:
            if bdf == B:  # somebody else is at work on A, and B is not taken
                self.tree.bind(A, "other")
                kernel.probe = FakeKernel.probe  # type: ignore[method-assign]
            else:
                FakeKernel.probe(machine, bdf)

        kernel.probe = probe  # type: ignore[method-assign]
        self.expect(FAILED, "bind", "--driver", "vfio-pci", A, B,
                    says=f"{A} has other now, which came by itself and stays")
        self.stands(A, "other")
        self.stands(B, "nvme")
        self.assertEqual(self.state()[A]["driver"], "nvme")

    def test_interrupt_goes_back(self) -> None:
        kernel = self.kernel = kernel_of(self.tree)

        def interrupted_probe(machine: FakeKernel, bdf: str) -> None:
            kernel.probe = FakeKernel.probe  # type: ignore[method-assign]
            raise KeyboardInterrupt

        kernel.probe = interrupted_probe  # type: ignore[method-assign]
        self.expect(FAILED, "bind", "--driver", "vfio-pci", A, says="interrupted")
        self.stands(A, "nvme")


    def test_ignored_signal_stays_ignored(self) -> None:
        """nohup's, or of one who puts back and must not be stopped in it."""
        before = {number: signal.getsignal(number) for number in devbind.STOP_SIGNALS}
        self.addCleanup(lambda: [signal.signal(*pair) for pair in before.items()])
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.bind_vfio()
        self.assertEqual(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)
        self.assertEqual(signal.getsignal(signal.SIGTERM), devbind.interrupted)


class Group(Case):
    def test_blocked_group_names_who_blocks_it(self) -> None:
        self.tree.driver("snd")
        self.tree.device(B, "snd")
        self.expect(GROUP, "bind", "--driver", "vfio-pci", A, says=f"blocked by {B} (snd)")
        self.assertIn(f"devbind unbind {B}", self.err)
        self.untouched()

    def test_whole_group_in_one_call(self) -> None:
        self.tree.device(B)
        self.expect(OK, "bind", "--driver", "vfio-pci", A, B)
        self.stands(B, "vfio-pci", "vfio-pci")

    def test_group_option_takes_every_member_but_the_bridge(self) -> None:
        self.tree.driver("pcieport")
        self.tree.device(B, class_code="0x040300")
        self.tree.device("0000:40:01.0", "pcieport", class_code="0x060400")
        self.tree.device(C, group="8")
        self.bind_vfio("--group")
        self.stands(B, "vfio-pci", "vfio-pci")
        self.stands("0000:40:01.0", "pcieport")
        self.stands(C, "nvme")
        self.expect(OK, "restore", "--group", A)
        self.stands(B, "nvme")

    def test_group_option_refuses_what_a_member_is_used_for(self) -> None:
        self.tree.device(B)
        self.tree.process(77, "dd", ["/dev/ng7n1"])
        self.tree.node(B, "nvme/nvme7/ng7n1", "ng7n1")
        self.expect(REFUSED, "bind", "--driver", "vfio-pci", "--group", A, says=f"{B}: in use")
        self.untouched()

    def test_group_option_without_an_iommu_is_the_device(self) -> None:
        self.tree.device(C, group=None)
        self.expect(OK, "check", "--group", C)
        self.assertEqual(self.out, f"{C}: free (nvme)\n")

    def test_bridge_and_driverless_members_are_tolerated(self) -> None:
        self.tree.driver("pcieport")
        self.tree.device(B, "pcieport", class_code="0x060400")
        self.tree.device("0000:41:00.2", None)
        self.bind_vfio()

    def test_member_that_gets_a_driver_meanwhile(self) -> None:
        self.tree.device(B, None)
        kernel = self.kernel = kernel_of(self.tree)

        def racing_probe(machine: FakeKernel, bdf: str) -> None:
            FakeKernel.probe(machine, bdf)
            self.tree.bind(B, "nvme")

        kernel.probe = racing_probe  # type: ignore[method-assign]
        self.expect(GROUP, "bind", "--driver", "vfio-pci", A, says=f"{B} (nvme)")
        self.stands(A, "nvme")


class Owner(Case):
    def test_group_node_is_given(self) -> None:
        uid = pwd.getpwnam("nobody").pw_uid
        self.bind_vfio("--owner", "nobody")
        self.assertEqual(self.kernel.owners, [("/dev/vfio/7", uid, -1)])

    def test_node_of_the_device_itself_is_given_too(self) -> None:
        self.tree.file(f"{self.tree.home(A)}/vfio-dev/vfio3/dev", "")
        self.tree.file("dev/vfio/devices/vfio3", "")
        self.bind_vfio("--owner", "5:6")
        self.assertEqual(self.kernel.owners,
                         [("/dev/vfio/7", 5, 6), ("/dev/vfio/devices/vfio3", 5, 6)])

    def test_group_by_number(self) -> None:
        self.bind_vfio("--owner", "5:6")
        self.assertEqual(self.kernel.owners, [("/dev/vfio/7", 5, 6)])

    def limit(self, pid: int, uid: int, hard: str) -> None:
        self.tree.process(pid, "sh", [])
        self.tree.file(f"proc/{pid}/status", f"Name:\tsh\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
        self.tree.file(f"proc/{pid}/limits", "Limit                     Soft Limit  Hard Limit  Units\n"
                       f"Max locked memory         65536       {hard}     bytes     \n")

    def test_limit_of_locked_memory_is_told(self) -> None:
        self.limit(60, 0, "1024")
        self.limit(61, 5, "8388608")
        self.bind_vfio("--owner", "5")
        self.assertIn("processes of user 5 may lock 8192 KiB (process 61", self.err)

    def test_no_limit_of_locked_memory_is_nothing_to_tell(self) -> None:
        self.limit(60, 0, "1024")
        self.limit(61, 5, "unlimited")
        for owner in ("0", "5", "6"):
            self.bind_vfio("--owner", owner)
            self.assertEqual(self.err, "")

    def test_unknown_user_is_usage(self) -> None:
        for owner in ("no-such-user", "0:no-such-group", ":", "0:"):
            self.expect(USAGE, "bind", "--driver", "vfio-pci", "--owner", owner, A)
        self.untouched()

    def test_only_for_vfio(self) -> None:
        self.expect(USAGE, "bind", "--driver", "nvme", "--owner", "0", A, says="vfio")


class Restore(Case):
    def test_former_driver_and_no_override(self) -> None:
        self.bind_vfio()
        self.expect(OK, "restore", A, says="vfio-pci -> nvme")
        self.stands(A, "nvme")
        self.assertIn((f"/sys/bus/pci/devices/{A}/driver_override", "\n"), self.kernel.writes)
        self.assertEqual(self.state(), {})

    def test_drive_without_a_namespace_is_restored_all_the_same(self) -> None:
        self.bind_vfio()
        self.expect(OK, "restore", A, says="no disk appeared")

    def test_former_override(self) -> None:
        self.tree.file(f"{self.tree.home(A)}/driver_override", "nvme\n")
        self.bind_vfio()
        self.expect(OK, "restore", A)
        self.stands(A, "nvme", "nvme")

    def test_first_driver_of_several(self) -> None:
        self.tree.driver("uio_pci_generic")
        self.bind_vfio()
        self.expect(OK, "bind", "--driver", "uio_pci_generic", A)
        self.expect(OK, "restore", A, says="uio_pci_generic -> nvme")

    def test_after_unbind(self) -> None:
        self.expect(OK, "unbind", A, says="nvme -> no driver")
        self.stands(A, None)
        self.expect(OK, "restore", A, says="no driver -> nvme")

    def test_unbind_clears_the_override(self) -> None:
        self.bind_vfio()
        self.expect(OK, "unbind", A)
        self.stands(A, None)
        self.expect(OK, "restore", A)
        self.stands(A, "nvme")

    def test_kernel_choice_without_a_memory(self) -> None:
        self.tree.bind(A, "vfio-pci")
        self.tree.file(f"{self.tree.home(A)}/driver_override", "vfio-pci\n")
        self.kernel = kernel_of(self.tree, choice={A: "nvme"})
        self.expect(OK, "restore", A, says="vfio-pci -> nvme")
        self.stands(A, "nvme")

    def test_kernel_has_no_choice(self) -> None:
        self.tree.bind(A, "vfio-pci")
        self.expect(FAILED, "restore", A, says="no driver of the kernel's choice took it")
        self.stands(A, "vfio-pci")

    def test_at_home_is_left_alone(self) -> None:
        self.tree.mount("259:0", "/dev/nvme0n1", "/mnt")
        self.expect(OK, "restore", A, says="still nvme")
        self.untouched()

    def test_former_driver_gone(self) -> None:
        self.bind_vfio()
        shutil.rmtree(self.root / "sys/bus/pci/drivers/nvme")
        self.expect(NO_DRIVER, "restore", A)
        self.stands(A, "vfio-pci", "vfio-pci")
        self.assertIn(A, self.state())

    def test_memory_of_a_device_since_replaced_is_not_used(self) -> None:
        self.bind_vfio()
        self.tree.file(f"{self.tree.home(A)}/device", "0xbeef\n")
        self.tree.driver("other")
        self.kernel = kernel_of(self.tree, choice={A: "other"})
        self.expect(OK, "restore", A, says="vfio-pci -> other")

    def test_damaged_memory_is_told(self) -> None:
        entry = {"ids": "1b36:0010", "driver": "nvme", "override": ""}
        bad = ("{", "[]", "[" * 99999, b"\xff", '{"a": 1}', json.dumps({"../x": entry}),
               *(json.dumps({A: broken}) for broken in (
                   1, {}, entry | {"driver": 5}, entry | {"override": None}, entry | {"ids": []})))
        for text in bad:
            for words in (("restore", A), ("restore", "--all"), ("bind", "--driver", "vfio-pci", A)):
                self.tree.file("run/pinion/devbind.json", text)
                self.expect(DAMAGED, *words, says="/run/pinion/devbind.json is not what devbind wrote: ")
                self.assertIn("what to do: remove it", self.err)
        self.untouched()

    def test_dry_run_changes_nothing(self) -> None:
        self.bind_vfio()
        before = (list(self.kernel.writes), self.state())
        self.expect(OK, "restore", "--dry-run", A, says=r"printf '\n' >")
        self.assertEqual((self.kernel.writes, self.state()), before)

    def test_two_at_a_time_wait_for_each_other(self) -> None:
        path = self.tree.file("run/pinion/devbind.lock", "")
        limit, devbind.LOCK_WAIT_S = devbind.LOCK_WAIT_S, 0.2
        self.addCleanup(setattr, devbind, "LOCK_WAIT_S", limit)
        with open(path, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.expect(FAILED, "restore", A, says="another devbind")

    def test_udev_is_not_waited_for_with_the_lock_held(self) -> None:
        held = []

        def settle(machine: FakeKernel) -> None:
            fd = os.open(self.tree.file("run/pinion/devbind.lock", ""), os.O_RDWR)
            held.append(not devbind.Memory.try_lock(fd))
            os.close(fd)

        (self.root / "usr/lib/udev").mkdir(parents=True)
        self.kernel.settle = settle  # type: ignore[method-assign]
        for words in (("bind", "--driver", "vfio-pci"), ("restore",), ("unbind",),
                      ("persist", "--driver", "vfio-pci")):
            self.expect(OK, *words, A)
        self.assertEqual(held, [False] * 4)

    def test_for_the_owner_of_two_devices_udev_is_waited_for_once(self) -> None:
        waits: list[int] = []
        self.tree.device(B)
        self.kernel.settle = lambda machine: waits.append(1)  # type: ignore[method-assign]
        self.expect(OK, "bind", "--driver", "vfio-pci", "--owner", "0", A, B)
        self.assertEqual(len(waits), 2)


RULE = f"etc/udev/rules.d/60-devbind-{A}.rules"
RECORD = "var/lib/pinion/devbind.json"
DRIVERCTL = f"etc/driverctl.d/pci-{A}"


class Persist(Case):
    def setUp(self) -> None:
        super().setUp()
        (self.root / "usr/lib/udev/rules.d").mkdir(parents=True)

    def persist(self, *words: str, code: int = OK, says: str = "") -> None:
        self.expect(code, "persist", "--driver", "vfio-pci", *words, A, says=says)

    def files(self) -> dict[str, str]:
        """All that persist may write, by path."""
        return {str(path.relative_to(self.root)): path.read_text()
                for top in ("etc", "var") for path in (self.root / top).rglob("*")
                if path.is_file()}

    def driverctl(self) -> None:
        self.tree.file("usr/lib/udev/rules.d/05-driverctl.rules", "")

    def test_rule_is_for_this_device_driver_and_program(self) -> None:
        self.persist(says=f"{A}: from now on vfio-pci at each boot (/{RULE})")
        match = (f'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="{A}", ATTR{{vendor}}=="0x1b36", '
                 'ATTR{device}=="0x0010", ')
        self.assertEqual((self.root / RULE).read_text().splitlines()[1:], [
            match + 'DRIVER!="?*", ATTR{driver_override}="vfio-pci", '
            'RUN{builtin}+="kmod load vfio-pci"',
            match + f'RUN+="{os.path.realpath(sys.executable)} -IS {os.path.realpath(SCRIPT)} bind --at-boot '
            f'--driver vfio-pci {A}"'])
        self.untouched()

    def test_twice_is_once(self) -> None:
        self.persist()
        before = self.files()
        self.persist(says="still vfio-pci")
        self.assertEqual(self.files(), before)

    def test_another_driver_takes_the_place_of_the_first(self) -> None:
        self.persist()
        self.expect(OK, "persist", "--driver", "uio_pci_generic", A)
        self.assertIn("uio_pci_generic", (self.root / RULE).read_text())
        self.assertNotIn("vfio-pci", (self.root / RULE).read_text())

    def test_forget_removes_what_persist_wrote_and_no_more(self) -> None:
        self.tree.device(B)
        self.tree.file("etc/udev/rules.d/60-other.rules", "# other\n")
        self.expect(OK, "persist", "--driver", "uio_pci_generic", B)
        before = self.files()
        self.expect(OK, "persist", "--driver", "uio_pci_generic", A)
        self.expect(OK, "forget", A, says=f"/{RULE} is gone")
        self.assertEqual(self.files(), before)
        self.expect(OK, "forget", A, says="as before")
        self.assertEqual(self.files(), before)

    def test_dry_run_prints_the_file_and_writes_none(self) -> None:
        self.tree.device(B)
        self.expect(OK, "persist", "--dry-run", "--driver", "vfio-pci", A, B, says=f"cat > /{RULE} << 'END'")
        printed = re.findall("cat > /(.*) << 'END'\n((?s:.)*?)END\n", self.out)
        self.assertIn("mkdir -p /var/lib/pinion\n", self.out)
        self.assertEqual(self.files(), {})
        self.expect(OK, "persist", "--driver", "vfio-pci", A, B)
        self.assertEqual(self.files(), dict(printed))
        self.assertIn(RECORD, dict(printed))
        before = self.files()
        self.expect(OK, "forget", "--dry-run", A, says=f"rm /{RULE}")
        self.assertEqual(self.files(), before)

    def test_driver_is_the_one_that_bind_gave(self) -> None:
        self.expect(USAGE, "persist", A, says="has the driver nvme, which the kernel chose")
        self.bind_vfio()
        self.expect(OK, "persist", A, says="from now on vfio-pci")

    def test_driver_name_cannot_write_a_rule(self) -> None:
        for name in ('x"', "a b", "x\ny", ""):
            self.expect(USAGE, "persist", "--driver", name, A)
        self.assertEqual(self.files(), {})

    def test_what_is_in_use_is_refused_and_what_lies_on_a_disk_is_not(self) -> None:
        (self.root / "dev/nvme0n1").write_bytes(b"XFSB" + bytes(4096))
        self.persist()
        self.expect(OK, "forget", A)
        self.tree.mount("259:0", "/dev/nvme0n1", "/mnt")
        self.persist(code=REFUSED, says="/dev/nvme0n1 is mounted on /mnt")
        self.assertNotIn(RULE, self.files())
        self.persist("--force", says="from now on")

    def test_without_an_iommu_is_told(self) -> None:
        (self.root / self.tree.home(A) / "iommu_group").unlink()
        self.persist(code=NO_IOMMU)
        self.assertEqual(self.files(), {})

    def test_group_that_would_not_be_viable_is_told(self) -> None:
        self.tree.device(B)
        self.persist(code=GROUP, says=f"blocked by {B} (nvme)")
        self.assertEqual(self.files(), {})
        self.expect(OK, "persist", "--driver", "vfio-pci", "--group", A)
        self.persist(says="still")

    def test_who_comes_with_another_driver_blocks_the_group_too(self) -> None:
        self.tree.device(B)
        self.expect(OK, "persist", "--driver", "uio_pci_generic", B)
        self.persist(code=GROUP, says=f"blocked by {B} (nvme)")

    def test_file_of_somebody_else_stays(self) -> None:
        self.tree.file(RULE, "# mine\n")
        self.persist(code=FAILED, says="is not what `devbind persist` wrote")
        self.expect(OK, "forget", A, says="as before")
        self.assertEqual(self.files(), {RULE: "# mine\n"})

    def test_file_that_was_edited_stays(self) -> None:
        self.persist()
        self.tree.file(RULE, (self.root / RULE).read_text() + "# edited\n")
        before = self.files()
        self.expect(FAILED, "forget", A, says="is not what `devbind persist` wrote")
        self.persist(code=FAILED, says="is not what `devbind persist` wrote")
        self.assertEqual(self.files(), before)

    def test_file_that_was_removed_by_hand_is_no_obstacle(self) -> None:
        self.persist()
        (self.root / RULE).unlink()
        self.persist(says="from now on")
        (self.root / RULE).unlink()
        self.expect(OK, "forget", A)
        self.persist(says="from now on")

    def test_driverctl_where_it_is_installed(self) -> None:
        self.driverctl()
        self.persist(says=f"(/{DRIVERCTL})")
        self.assertEqual((self.root / DRIVERCTL).read_text(), "vfio-pci\n")
        self.assertNotIn(RULE, self.files())
        self.persist(says="still vfio-pci")
        self.expect(OK, "forget", A)
        self.assertFalse((self.root / DRIVERCTL).exists())

    def test_override_that_driverctl_itself_has_stays(self) -> None:
        self.driverctl()
        for driver in ("vfio-pci", "other"):
            self.tree.file(DRIVERCTL, f"{driver}\n")
            self.persist(code=FAILED, says=f"/{DRIVERCTL} is not what")
            self.expect(OK, "forget", A)
            self.assertEqual((self.root / DRIVERCTL).read_text(), f"{driver}\n")

    def test_driverctl_installed_later_takes_over(self) -> None:
        self.persist()
        self.driverctl()
        self.persist()
        self.assertNotIn(RULE, self.files())
        self.assertIn(DRIVERCTL, self.files())

    def test_no_udev_is_told(self) -> None:
        shutil.rmtree(self.root / "usr/lib/udev")
        self.persist(code=FAILED, says="there is no udev here")
        self.assertEqual(self.files(), {})

    def test_path_that_a_rule_cannot_name_is_told(self) -> None:
        with mock.patch.object(devbind, "__file__", '/opt/my "tools"/devbind'):
            self.persist(code=FAILED, says="copy devbind to a path of plain characters")
        self.assertEqual(self.files(), {})

    def test_only_what_nobody_else_can_change_is_run_at_boot(self) -> None:
        open_to_all = self.tree.file("opt/devbind", "")
        os.chmod(open_to_all, 0o777)
        self.assertFalse(devbind.roots_alone(str(open_to_all)))
        os.chmod(open_to_all, 0o755)
        os.chmod(open_to_all.parent, 0o777)
        self.assertFalse(devbind.roots_alone(str(open_to_all)))
        env = shutil.which("env", path="/usr/bin:/bin")
        assert env
        self.assertTrue(devbind.roots_alone(env))

    def test_link_that_others_can_turn_is_not_what_is_run_at_boot(self) -> None:
        link = self.tree.file("open/python3", "")
        link.unlink()
        link.symlink_to(os.path.realpath(sys.executable))
        with mock.patch.object(sys, "executable", str(link)):
            self.persist()
        self.assertIn(f'RUN+="{os.path.realpath(sys.executable)} -IS ', self.files()[RULE])

    def test_rule_is_for_nobody_else_to_write_whatever_the_umask(self) -> None:
        before = os.umask(0)
        try:
            self.persist()
        finally:
            os.umask(before)
        self.assertEqual((self.root / RULE.lstrip("/")).stat().st_mode & 0o777, 0o644)

    def test_device_that_has_left_can_be_forgotten(self) -> None:
        self.persist()
        (self.root / f"sys/bus/pci/devices/{A}").unlink()
        self.expect(OK, "forget", A)
        self.assertNotIn(RULE, self.files())
        self.expect(NOT_FOUND, "forget", A)

    def test_all_that_was_persisted_can_be_forgotten(self) -> None:
        self.tree.device(B)
        self.expect(OK, "persist", "--driver", "vfio-pci", "--group", A)
        self.expect(USAGE, "forget")
        self.expect(OK, "forget", "--all")
        self.assertEqual(list(self.files()), ["var/lib/pinion/devbind.json"])
        self.expect(OK, "forget", "--all")

    def test_all_cannot_be_meant_by_a_pattern(self) -> None:
        self.tree.device(B)
        self.expect(USAGE, "persist", "--driver", "vfio-pci", "*")
        self.expect(USAGE, "persist", "--driver", "vfio-pci")

    def test_second_of_two_refused_persists_neither(self) -> None:
        self.tree.device(B)
        self.tree.file(f"etc/udev/rules.d/60-devbind-{B}.rules", "# mine\n")
        self.expect(FAILED, "persist", "--driver", "vfio-pci", A, B)
        self.assertNotIn(RULE, self.files())

    def test_list_tells(self) -> None:
        self.persist()
        self.expect(OK, "list", "--json")
        self.assertEqual(json.loads(self.out)[0]["persistent"], "vfio-pci")
        self.tree.file("var/lib/pinion/devbind.json", "{")
        self.expect(OK, "list", says=A)
        self.persist(code=DAMAGED, says="is not what devbind wrote")


class AtBoot(Case):
    """What the rule runs."""

    def test_what_lies_on_a_disk_is_no_obstacle(self) -> None:
        (self.root / "dev/nvme0n1").write_bytes(b"XFSB" + bytes(4096))
        self.expect(REFUSED, "bind", "--driver", "vfio-pci", A)
        self.bind_vfio("--at-boot")
        self.stands(A, "vfio-pci", "vfio-pci")

    def test_what_is_mounted_already_is_left_alone(self) -> None:
        self.tree.mount("259:0", "/dev/nvme0n1", "/")
        self.expect(REFUSED, "bind", "--at-boot", "--driver", "vfio-pci", A, says="mounted on /")
        self.untouched()

    def test_driver_that_came_first_is_not_remembered(self) -> None:
        self.bind_vfio("--at-boot")
        self.assertEqual(self.state(), {})

    def test_members_of_a_group_come_one_after_the_other(self) -> None:
        self.tree.device(B)
        self.expect(GROUP, "bind", "--driver", "vfio-pci", A)
        self.bind_vfio("--at-boot")
        self.expect(OK, "bind", "--at-boot", "--driver", "vfio-pci", B)
        self.stands(A, "vfio-pci", "vfio-pci")
        self.stands(B, "vfio-pci", "vfio-pci")

    def test_restore_is_then_what_the_kernel_chooses(self) -> None:
        self.tree.bind(A, "vfio-pci")
        self.tree.file(f"{self.tree.home(A)}/driver_override", "vfio-pci\n")
        self.bind_vfio("--at-boot")
        self.kernel = kernel_of(self.tree, choice={A: "nvme"})
        self.expect(OK, "restore", A)
        self.stands(A, "nvme")


class Listing(Case):
    def test_nvme_alone_unless_all(self) -> None:
        self.tree.device(B, "snd", None, "0x040300")
        self.expect(OK, "list", says=A)
        self.assertNotIn(B, self.out)
        self.expect(OK, "list", "--all", says=B)

    def rows(self) -> list[list[str]]:
        """The table, cut where its titles begin."""
        title, *lines = self.out.splitlines()
        starts = [title.index(name) for name in devbind.TITLES]
        return [[line[start:end].strip() for start, end in zip(starts, [*starts[1:], None])]
                for line in (title, *lines)]

    def test_table(self) -> None:
        self.tree.mount("259:0", "/dev/nvme0n1", "/mnt")
        self.expect(OK, "list")
        title, row = self.rows()
        self.assertEqual(title, ["BDF", "ID", "CLASS", "DRIVER", "OVERRIDE", "NODE", "GROUP",
                                 "NAME", "IN USE BY"])
        self.assertEqual(row, [A, "1b36:0010", "010802", "nvme", "-", "1", "7", "-", "mount /mnt"])

    def test_table_says_who_else_is_in_the_group(self) -> None:
        for function in range(1, 5):
            self.tree.device(f"0000:41:00.{function}", class_code="0x040300")
        self.expect(OK, "list", "class=nvme")
        self.assertEqual(self.rows()[1][6], "7, 41:00.1, 41:00.2, +2")

    def test_json(self) -> None:
        self.tree.process(77, "dd", ["/dev/nvme0n1"])
        self.tree.device(B, class_code="0x040300")
        self.expect(OK, "list", "--json")
        self.assertEqual(json.loads(self.out), [{
            "bdf": A, "ids": "1b36:0010", "vendor_name": None, "device_name": None,
            "class": "010802", "class_name": None, "driver": "nvme", "override": None,
            "persistent": None, "numa_node": 1, "iommu_group": "7", "group_members": [A, B],
            "nodes": ["/dev/nvme0n1"], "in_use": ["process 77 (dd) has /dev/nvme0n1 open"]}])

    def test_names_from_pci_ids(self) -> None:
        for place in ("misc", "hwdata"):
            path = self.tree.file(f"usr/share/{place}/pci.ids", """# a comment
1b36  Vendor One
\t0005  Another
\t0010  Drive Ten
\t\t1af4 1100  A subsystem, not this
8086  Vendor Two
\t0010  Not this
C 01  Storage
\t08  Memory
\t\t02  Express
C 04  Sound
""")
            self.expect(OK, "list", "--json")
            row = json.loads(self.out)[0]
            self.assertEqual([row["vendor_name"], row["device_name"], row["class_name"]],
                             ["Vendor One", "Drive Ten", "Express"])
            self.expect(OK, "list")
            self.assertEqual(self.rows()[1][7], "Drive Ten")
            self.tree.device(B, None, None, "0x040300", ids="1b36:9999")
            self.expect(OK, "list", B)
            self.assertEqual(self.rows()[1][7], "Sound")
            path.unlink()

    def test_unknown_node_and_no_driver(self) -> None:
        self.tree.device(B, None, None, node="-1")
        self.expect(OK, "list", "--json", B)
        row = json.loads(self.out)[0]
        self.assertEqual((row["numa_node"], row["driver"], row["iommu_group"]), (None, None, None))

    def test_empty_machine(self) -> None:
        shutil.rmtree(self.root / "sys/bus/pci/devices")
        self.expect(OK, "list", "--json")
        self.assertEqual(json.loads(self.out), [])


class Program(Case):
    """The file as it is installed, in a process of its own."""

    def program(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-B", SCRIPT, *words], capture_output=True,
                              text=True, check=False, **more)

    def test_help_has_every_exit_status(self) -> None:
        done = self.program("--help")
        self.assertEqual(done.returncode, OK)
        for code, text in devbind.EXIT_HELP.items():
            self.assertIn(f"  {int(code)}  {text}", done.stdout)

    def test_check_on_a_fake_tree(self) -> None:
        done = self.program("check", "--root", str(self.root), A)
        self.assertEqual((done.returncode, done.stdout), (OK, f"{A}: free (nvme)\n"))

    def test_unknown_command_is_usage(self) -> None:
        self.assertEqual(self.program("take").returncode, USAGE)
        self.assertEqual(self.program().returncode, USAGE)

    def test_plain_user_is_told_before_anything_else(self) -> None:
        devices = Path("/sys/bus/pci/devices")
        names = sorted(os.listdir(devices)) if devices.is_dir() else []
        if not names:
            self.skipTest("this machine has no PCI device")
        python = shutil.which("python3", path="/usr/bin:/bin")
        if not python:
            self.skipTest("there is no python3 that every user can run")
        # A copy, because nobody may not be able to reach the script where it lies.
        os.chmod(self.root, 0o755)
        copy = shutil.copy(SCRIPT, self.root / "devbind")
        user: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
        done = subprocess.run([python, "-B", copy, "check", names[0]], text=True,
                              capture_output=True, check=False, cwd="/", **user)
        self.assertEqual(done.returncode, PERMISSION, done.stderr)


if __name__ == "__main__":
    unittest.main()
