#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""pinion: `doctor` on fake machines and on this one, the other commands against peers that go wrong, `top` on a
terminal, and the completion. PINION names the program, COMPLETION the file for bash.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parent))
import wire  # noqa: E402
from terminal import OnTerminal  # noqa: E402

PROGRAM = os.environ.get("PINION", "pinion")
HUGEPAGES = os.environ.get("HUGEPAGES", "hugepages")
COMPLETION = os.environ.get("COMPLETION", "")
DONE, FAILED, USAGE, NOT_FOUND, IN_USE, PERMISSION, SHORT = range(7)
STAT: dict[str, Any] = {
    "version": "0.1.0", "pid": 7, "uptime_ns": 61_000_000_000, "rss": 1 << 20, "peers": 1, "restarts": 0,
    "pools": [{"name": "buffers", "template": False, "bytes": 1 << 20, "segments": [],
               "zones": [{"buffer_size": 4096, "page_size": 1 << 21, "node": 0, "total": 256, "free": 128,
                          "held": 128}],
               "members": [{"number": 3, "pid": 1, "uid": 0, "gid": 0, "command": "copy", "role": "client",
                            "state": "live", "connected": True, "held": 128, "quota": 0}],
               "channels": []}],
    "devices": [], "counters": {"deaths": 0}}


def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **more.pop("env", {})}
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False, timeout=60, env=env, **more)


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="pinion-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.socket = self.root / "socket"

    def peer(self, speak: Callable[..., None], greet: bool = True) -> wire.Peer:
        peer = wire.Peer(self.socket, speak, greet)
        self.addCleanup(lambda: self.assertEqual(peer.faults, []))
        self.addCleanup(peer.close)
        return peer

    def expect(self, code: int, *words: str, says: str = "", **more: Any) -> str:
        done = run("--socket", str(self.socket), *words, **more)
        text = done.stdout + done.stderr
        self.assertEqual(done.returncode, code, text)
        self.assertIn(says, text)
        return text


class Usage(Case):
    def test_wrong_words_are_usage(self) -> None:
        for words in ((), ("nosuch",), ("pool",), ("pool", "nosuch"), ("pool", "create", "a", "1M"), ("ls", "x"),
                      ("stat", "--once"), ("top", "--json"), ("ls", "--nosuch"), ("member", "kick", "a"),
                      ("pool", "create", "a", "1M", "1K", "0", "0")):
            with self.subTest(words=words):
                self.expect(USAGE, *words, says="usage: pinion")

    def test_malformed_operands_are_usage(self) -> None:
        for words, says in ((("pool", "create", "a b", "1M", "1K"), "not the name of a pool"),
                            (("pool", "create", "", "1M", "1K"), "not the name of a pool"),
                            (("pool", "create", "a" * 64, "1M", "1K"), "not the name of a pool"),
                            (("pool", "create", "a", "0", "1K"), "not a size"),
                            (("pool", "create", "a", "1M", "1kB"), "not a size"),
                            (("pool", "create", "a", "1M", "1K", "-1"), "usage: pinion"),
                            (("pool", "create", "a", "1M", "1K", "x"), "not the number of a node"),
                            (("pool", "retire", "a", "x"), "not the number of a segment"),
                            (("member", "kick", "a", "99999999999"), "not the number of a member"),
                            (("addr", "a", "0x1"), "not the id of a buffer")):
            with self.subTest(words=words):
                self.expect(USAGE, *words, says=says)

    def test_help_is_no_error_and_teaches(self) -> None:
        names = ("ls", "stat", "top", "doctor", "pool create", "pool destroy", "pool grow", "pool retire",
                 "member kick", "addr")
        text = run("--help").stdout
        for name in names:
            with self.subTest(name=name):
                done = run(*name.split(), "--help")
                self.assertEqual((done.returncode, done.stderr), (DONE, ""))
                self.assertTrue(done.stdout.startswith(f"usage: pinion {name}"), done.stdout)
                self.assertIn(f"  {name} ", text)
        done = run("pool", "--help")
        self.assertEqual((done.returncode, done.stdout.count("usage: pinion pool ")), (DONE, 4))


class Conversation(Case):
    """With a peer in the service's place that goes wrong, or says one thing."""

    def test_no_service_is_not_found(self) -> None:
        self.expect(NOT_FOUND, "ls", says="does piniond run")
        self.socket.touch()
        self.expect(NOT_FOUND, "stat", says="does piniond run")

    def test_the_environment_names_the_socket(self) -> None:
        self.peer(wire.answers(json.dumps(STAT).encode()))
        done = run("ls", env={"PINION_SOCKET": str(self.socket)})
        self.assertEqual(done.returncode, DONE, done.stderr)

    def test_output_that_is_lost_is_a_failure(self) -> None:
        self.peer(wire.answers(json.dumps(STAT).encode()))
        for words in (("ls",), ("stat", "--json"), ("top", "--once"), ("doctor",), ("doctor", "--json"), ("--help",),
                      ("doctor", "--help"), ("pool", "--help")):
            with self.subTest(words=words), open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([PROGRAM, "--socket", str(self.socket), *words], stdout=full, check=False,
                                      stderr=subprocess.PIPE, text=True, timeout=60)
                self.assertEqual(done.returncode, FAILED)
                self.assertIn("output: No space left on device", done.stderr)

    def test_an_empty_name_of_the_socket_is_none(self) -> None:
        self.peer(wire.answers(json.dumps(STAT).encode()))
        done = run("--socket", "", "ls", env={"PINION_SOCKET": str(self.socket)})
        self.assertEqual(done.returncode, DONE, done.stderr)

    def test_a_path_too_long_for_a_socket_is_told(self) -> None:
        self.assertIn("at most 107 bytes", run("--socket", "/" + "x" * 200, "ls").stderr)

    def test_stat_as_json_is_the_answer(self) -> None:
        peer = self.peer(wire.answers(json.dumps(STAT).encode()))
        self.assertEqual(json.loads(self.expect(DONE, "stat", "--json")), STAT)
        self.assertEqual(peer.asked, [("stat", "")])

    def test_orders_are_written_plainly(self) -> None:
        peer = self.peer(wire.answers(b"{}"))
        for words in ("pool create a:b 256M 64k", "pool create a 1G 2K 1", "pool grow a 2M", "pool grow a 2M 0",
                      "pool retire a 3", "pool destroy a"):
            self.assertEqual(self.expect(DONE, *words.split()), "")
        self.assertEqual(peer.asked, [("pool-create", "a:b 268435456 65536"), ("pool-create", "a 1073741824 2048 1"),
                                      ("pool-grow", "a 2097152"), ("pool-grow", "a 2097152 0"),
                                      ("pool-retire", "a 3"), ("pool-destroy", "a")])

    def test_kick_kills_the_process_of_the_pidfd_and_waits(self) -> None:
        with subprocess.Popen(["sleep", "100"]) as victim:
            pidfd = os.pidfd_open(victim.pid)
            self.addCleanup(os.close, pidfd)
            peer = self.peer(wire.answers(b"{}", pidfd))
            self.expect(DONE, "member", "kick", "a", "7")
            self.assertEqual(victim.poll(), -signal.SIGKILL)
        self.assertEqual(peer.asked, [("kick", "a 7")])
        self.expect(NOT_FOUND, "member", "kick", "a", "7", says="cannot be killed: No such process")

    def test_kick_without_a_pidfd_kills_nobody(self) -> None:
        self.peer(wire.answers(b"{}"))
        self.expect(FAILED, "member", "kick", "a", "7", says="did not say whose process")

    def test_addresses_are_a_table(self) -> None:
        answer = {"addresses": [{"domain": "nvme:0", "kind": "iova", "address": "0x1000"}]}
        peer = self.peer(wire.answers(json.dumps(answer).encode()))
        self.expect(DONE, "addr", "a", "12", says="nvme:0  iova   0x1000\n")
        self.assertEqual(peer.asked, [("addr", "a 12")])

    def test_a_refusal_has_its_sentence_and_its_status(self) -> None:
        for error, code in ((errno.EACCES, PERMISSION), (errno.EBUSY, IN_USE), (errno.ENOENT, NOT_FOUND),
                            (errno.ENOMEM, SHORT), (errno.EINVAL, FAILED), (errno.EEXIST, IN_USE)):
            with self.subTest(error=error):
                self.socket.unlink(missing_ok=True)
                self.peer(wire.refuses(-error, "because of the moon"))
                self.expect(code, "pool", "destroy", "a", says="refused: because of the moon")

    def test_a_refusal_without_sense_is_a_failure(self) -> None:
        self.peer(wire.refuses(5, ""))
        self.expect(FAILED, "ls", says="refused")

    def test_a_peer_of_another_release_is_told(self) -> None:
        self.peer(lambda connection, *_: connection.send(wire.message(wire.COOKIE, version=2)), greet=False)
        self.expect(FAILED, "ls", says="of another release?")

    def test_a_hang_up_is_told(self) -> None:
        self.peer(lambda *_: None)
        self.expect(FAILED, "ls", says="hung up")
        self.expect(FAILED, "pool", "destroy", "a", says="hung up")

    def test_silence_ends_after_two_seconds(self) -> None:
        self.peer(lambda *_: time.sleep(8))
        began = time.monotonic()
        self.expect(FAILED, "ls", says="did not answer within 2 seconds")
        self.assertLess(time.monotonic() - began, 7)

    def test_an_order_waits_longer_than_a_question(self) -> None:
        def slow(connection: Any, name: str, text: str) -> None:
            time.sleep(3)
            wire.answers(b"{}")(connection, name, text)
        self.peer(slow)
        self.expect(DONE, "pool", "create", "a", "1G", "4K")

    def test_an_answer_that_is_no_object_is_told(self) -> None:
        for text in (b"", b"[]", b"{", b"7", b'{"a":1,"a":2}', b"\0" * 4096, b'{"a":"\xff"}'):
            with self.subTest(text=text):
                self.socket.unlink(missing_ok=True)
                self.peer(wire.answers(text))
                self.expect(FAILED, "ls", says="no JSON object")

    def test_an_answer_without_a_file_is_told(self) -> None:
        self.peer(lambda connection, *_: connection.send(wire.message(wire.ANSWER)))
        self.expect(FAILED, "ls", says="without its text")

    def test_an_answer_of_another_kind_is_told(self) -> None:
        self.peer(lambda connection, *_: connection.send(wire.message(wire.COOKIE)))
        self.expect(FAILED, "ls", says="makes no sense")

    def test_a_file_that_is_endless_is_not_read(self) -> None:
        def speak(connection: Any, *_: str) -> None:
            descriptor = os.memfd_create("answer")
            os.ftruncate(descriptor, 1 << 40)
            wire.socket.send_fds(connection, [wire.message(wire.ANSWER)], [descriptor])
            os.close(descriptor)
        self.peer(speak)
        self.expect(FAILED, "ls", says="no sensible size")


class Terminal(Case, OnTerminal):
    """top, or an order, on a terminal of its own."""

    def start(self, speak: Callable[..., None], *words: str) -> None:
        self.peer(speak)
        self.run_on_terminal(PROGRAM, "--socket", str(self.socket), *(words or ("top", "--root", str(self.root))))

    def test_an_order_says_for_how_long_the_service_is_at_work(self) -> None:
        def slow(connection: Any, name: str, text: str) -> None:
            time.sleep(3)
            wire.answers(b"{}")(connection, name, text)
        self.start(slow, "pool", "create", "a", "1G", "4K")
        self.read(b"at work for ")
        self.assertEqual(self.finish(), DONE)
        self.assertRegex(self.seen, rb"at work for [1-9] s")

    def test_keys(self) -> None:
        self.start(wire.answers(json.dumps(STAT).encode()))
        self.read(b"q end")
        os.write(self.terminal, b"s")
        self.read(b"rate")
        os.write(self.terminal, b"p")
        self.read(b"go on")
        os.write(self.terminal, b"q")
        self.assertEqual(self.finish(), 0)
        self.restored()

    def test_signals_restore_the_terminal(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                self.socket.unlink(missing_ok=True)
                self.start(wire.answers(json.dumps(STAT).encode()))
                self.read(b"q end")
                os.kill(self.pid, number)
                self.assertEqual(os.WTERMSIG(self.finish()), number)
                self.restored()

    def test_another_size_is_another_picture(self) -> None:
        self.start(wire.answers(json.dumps(STAT).encode()))
        self.read(b"q end")
        self.size(5, 100)
        os.kill(self.pid, signal.SIGWINCH)
        self.read(b"more lines")
        os.write(self.terminal, b"q")
        self.assertEqual(self.finish(), 0)

    def test_a_picture_that_is_too_high_scrolls(self) -> None:
        self.start(wire.answers(json.dumps(STAT).encode()))
        self.read(b"q end")
        self.size(5, 100)
        os.kill(self.pid, signal.SIGWINCH)
        self.read(b"down: ")
        first, last = b"up 1m", b"client"  # what only its first line has, and its last
        end, home, down, up = b"\x1bOF", b"\x1bOH", b"\x1bOB", b"\x1bOA"
        next_page, previous_page = b"\x1b[6~", b"\x1b[5~"
        for keys, shown in ((end, last), (home, first), (next_page, last), (previous_page, first), (9 * down, last),
                            (3 * up, first)):
            with self.subTest(keys=keys):
                os.write(self.terminal, keys)
                self.read(shown)
        os.write(self.terminal, b"q")
        self.assertEqual(self.finish(), 0)

    def test_a_service_that_goes_away_is_waited_for(self) -> None:
        count = [0]

        def speak(connection: Any, name: str, text: str) -> None:
            count[0] += 1
            if count[0] != 2:
                wire.answers(json.dumps({**STAT, "version": f"0.{count[0]}"}).encode())(connection, name, text)
        self.start(speak)
        self.read(b"does not answer")
        self.read(b"3")
        os.write(self.terminal, b"q")
        self.assertEqual(self.finish(), 0)

    def test_once_prints_a_frame_as_text(self) -> None:
        self.peer(wire.answers(json.dumps(STAT).encode()))
        text = self.expect(DONE, "top", "--once", env={"COLUMNS": "66"})
        self.assertIn("\n  " + "3" * 64 + "\n  " + "." * 64 + "\n", text)
        self.assertNotIn("\x1b", text)

    def test_hugepages_of_each_node_are_shown(self) -> None:
        for node, total in ((0, 16), (1, 0), (10, 4)):
            pages = self.root / f"sys/devices/system/node/node{node}/hugepages/hugepages-2048kB"
            pages.mkdir(parents=True)
            for name, value in (("nr", total), ("free", total // 2), ("surplus", 0)):
                (pages / f"{name}_hugepages").write_text(f"{value}\n")
        (self.root / "sys/kernel/mm/hugepages/hugepages-2048kB").mkdir(parents=True)
        segment = {"slot": 0, "node": 10, "page_size": 1 << 21, "len": 1 << 21}
        stat = {**STAT, "pools": [{**STAT["pools"][0], "segments": [segment]}]}
        self.peer(wire.answers(json.dumps(stat).encode()))
        self.assertIn("\n\nnode 0  hugepages  16 of 2M: 8 free, 8 of others\nnode 1  hugepages  none\n"
                      "node 10  hugepages  4 of 2M: 2 free, 1 of buffers, 1 of others\n\nnode 0  buffers  ",
                      self.expect(DONE, "top", "--once", "--root", str(self.root)))

    def test_without_a_terminal_it_is_usage(self) -> None:
        self.peer(wire.answers(json.dumps(STAT).encode()))
        self.expect(USAGE, "top", says="--once", stdin=subprocess.DEVNULL)


class Doctor(Case):
    """A machine that lacks nothing but the service: its tree is in `root`, each test takes something away."""

    BDF, OTHER = "0000:41:00.0", "0000:41:00.1"
    NODES = "sys/devices/system/node"

    def setUp(self) -> None:
        super().setUp()
        for node in (0, 1):
            self.pages(node, 8, 4)
        self.file("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "0\n")
        self.file("proc/self/mounts", "none /dev/hugepages hugetlbfs rw,pagesize=2M 0 0\n")
        self.limits("unlimited")
        self.file("proc/self/status", "Name:\tpinion\nCapEff:\t0000000000000000\nSeccomp:\t0\n")
        self.file("proc/cmdline", "root=/dev/vda quiet\n")
        self.file("proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\n")
        self.file("proc/sys/kernel/osrelease", "6.1.0-test\n")
        self.file("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
        self.directory("sys/class/iommu/dmar0")
        for driver in ("vfio-pci", "uio_pci_generic", "nvme", "pcieport"):
            self.directory(f"sys/bus/pci/drivers/{driver}")
        self.device(self.BDF, "vfio-pci", "7")
        self.file("dev/vfio/vfio", "").chmod(0o666)
        group = self.file("dev/vfio/7", "")
        group.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(group, 65534, 65534)

    def file(self, path: str, text: str) -> Path:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)
        return full

    def directory(self, path: str) -> None:
        (self.root / path).mkdir(parents=True, exist_ok=True)

    def pages(self, node: int, total: int, free: int) -> None:
        for name, value in (("nr", total), ("free", free), ("surplus", 0)):
            self.file(f"{self.NODES}/node{node}/hugepages/hugepages-2048kB/{name}_hugepages", f"{value}\n")

    def limits(self, memlock: str) -> None:
        self.file("proc/self/limits", "Limit                     Soft Limit           Hard Limit           Units\n"
                                      f"Max locked memory         {memlock:<20} {memlock:<20} bytes\n")

    def device(self, bdf: str, driver: str | None, group: str | None) -> None:
        home = self.root / f"sys/devices/{bdf}"
        home.mkdir(parents=True)
        self.directory("sys/bus/pci/devices")
        (self.root / f"sys/bus/pci/devices/{bdf}").symlink_to(f"../../../devices/{bdf}")
        if driver:
            (home / "driver").symlink_to(f"../../bus/pci/drivers/{driver}")
        if group:
            (home / "iommu_group").symlink_to(f"../../kernel/iommu_groups/{group}")
            self.directory(f"sys/kernel/iommu_groups/{group}/devices")
            (self.root / f"sys/kernel/iommu_groups/{group}/devices/{bdf}").symlink_to(f"../../../../devices/{bdf}")

    def look(self, code: int | None = None) -> list[tuple[str, str, str, str | None]]:
        done = run("--socket", str(self.socket), "doctor", "--root", str(self.root), "--json")
        self.assertEqual(done.stderr, "")
        found = json.loads(done.stdout)
        if code is not None:
            self.assertEqual(done.returncode, code, done.stdout)
        return [(one["grade"], one["topic"], one["text"], one["mend"]) for one in found["findings"]]

    def found(self, grade: str, topic: str, text: str, mend: str = "") -> None:
        """One finding of that topic has that grade and text, and a way to mend it if it is not ok."""
        all_found = self.look()
        match = [one for one in all_found if one[:2] == (grade, topic) and text in one[2]]
        self.assertEqual(len(match), 1, all_found)
        self.assertEqual(match[0][3] is None, grade == "ok", match)
        self.assertIn(mend, match[0][3] or "")

    def test_a_whole_machine_lacks_nothing(self) -> None:
        self.peer(wire.answers(b"{}"))
        self.assertEqual([one for one in self.look(DONE) if one[0] != "ok"], [])

    def test_a_line_for_each_finding_and_one_for_each_remedy(self) -> None:
        self.pages(1, 0, 0)
        done = run("--socket", str(self.socket), "doctor", "--root", str(self.root))
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("warn  hugepages  node 1: none reserved\n"
                      "  what to do: hugepages reserve --node 1 256M\n", done.stdout)

    def test_hugepages(self) -> None:
        self.found("ok", "hugepages", "node 0: 4 of 8 pages of 2M are free")
        self.pages(0, 8, 0)
        self.found("warn", "hugepages", "node 0: 0 of 8 pages", "hugepages reserve")
        self.pages(1, 0, 0)
        self.found("warn", "hugepages", "node 1: none reserved", "hugepages reserve --node 1")
        self.found("fail", "hugepages", "no page is free on any node", "hugepages reserve")
        shutil.rmtree(self.root / "sys/kernel/mm")
        self.found("fail", "hugepages", "no hugepages", "CONFIG_HUGETLBFS")

    def test_hugetlbfs(self) -> None:
        self.found("ok", "hugetlbfs", "mounted on /dev/hugepages")
        self.file("proc/self/mounts", "none /a\x1b[2Jb hugetlbfs rw 0 0\n")
        self.found("ok", "hugetlbfs", "mounted on /a\\033[2Jb (rw)")
        (self.root / "proc/self/mounts").write_bytes(b"none /a\xffb hugetlbfs rw 0 0\n")
        self.found("ok", "hugetlbfs", "mounted on /a?b (rw)")
        self.file("proc/self/mounts", "none / ext4 rw 0 0\n")
        self.found("warn", "hugetlbfs", "not mounted", "mount -t hugetlbfs")

    def test_memlock(self) -> None:
        self.found("ok", "memlock", "no limit")
        self.limits("8388608")
        self.found("warn", "memlock", "may lock 8M, and all hugepages are 32M", "LimitMEMLOCK")
        self.limits(str(64 << 20))
        self.found("ok", "memlock", "may lock 64M")
        self.limits("8388608")
        self.file("proc/self/status", "CapEff:\t0000000000004000\nSeccomp:\t0\n")
        self.found("ok", "memlock", "not for this user")
        self.directory("proc/self/ns")
        (self.root / "proc/self/ns/user").symlink_to("user:[4026531837]")
        self.found("ok", "memlock", "not for this user")

    def test_a_right_of_a_user_namespace_lifts_no_limit(self) -> None:
        self.limits("8388608")
        self.file("proc/self/status", "CapEff:\t000001ffffffffff\nSeccomp:\t0\n")
        self.directory("proc/self/ns")
        (self.root / "proc/self/ns/user").symlink_to("user:[4026532345]")
        self.found("warn", "memlock", "may lock 8M", "LimitMEMLOCK")

    def no_groups(self) -> None:
        shutil.rmtree(self.root / "sys/kernel/iommu_groups")
        (self.root / f"sys/devices/{self.BDF}/iommu_group").unlink()

    def test_iommu(self) -> None:
        self.found("ok", "iommu", "on: 1 unit, 1 group")
        self.no_groups()
        self.found("warn", "iommu", "does not use it", "intel_iommu=on")
        self.file("proc/cpuinfo", "vendor_id\t: AuthenticAMD\n")
        self.found("warn", "iommu", "does not use it", "iommu.passthrough=0")
        self.file("proc/cmdline", "quiet intel_iommu=off\n")
        self.found("warn", "iommu", "(intel_iommu=off)", "take intel_iommu=off")
        self.file("proc/cmdline", "quiet\n")
        shutil.rmtree(self.root / "sys/class/iommu")
        self.found("warn", "iommu", "none", "firmware")
        self.file("sys/firmware/acpi/tables/IVRS", "")
        self.found("warn", "iommu", "does not use it")

    def test_modules(self) -> None:
        for driver, option in (("vfio-pci", "CONFIG_VFIO_PCI"), ("uio_pci_generic", "CONFIG_UIO_PCI_GENERIC")):
            with self.subTest(driver=driver):
                self.found("ok", "modules", f"{driver} is loaded")
                (self.root / f"sys/bus/pci/drivers/{driver}").rmdir()
                self.found("warn", "modules", f"{driver} is not loaded; whether it is there cannot be told: "
                           "modules.dep of this kernel: No such file", f"modprobe {driver}")
                self.file("lib/modules/6.1.0-test/modules.dep", f"kernel/a/else.ko: kernel/drivers/{driver}.ko\n")
                self.found("warn", "modules", f"no {driver}", option)
                self.file("lib/modules/6.1.0-test/modules.dep", f"kernel/drivers/{driver}.ko.xz: kernel/b/c.ko.xz\n")
                self.found("warn", "modules", f"{driver} is there and not loaded", f"modprobe {driver}")
                (self.root / "lib/modules/6.1.0-test/modules.dep").unlink()

    @unittest.skipIf(os.geteuid() != 0, "files of root's need root")
    def test_files_of_vfio(self) -> None:
        self.found("ok", "vfio", "/dev/vfio/vfio: root:root 0666")
        self.found("ok", "vfio", "/dev/vfio/7: nobody:")
        os.chown(self.root / "dev/vfio/7", 0, 0)
        self.found("warn", "vfio", "/dev/vfio/7: root:root 0600: only root", "chown USER /dev/vfio/7")
        (self.root / "dev/vfio/vfio").chmod(0o600)
        self.found("warn", "vfio", "/dev/vfio/vfio: root:root 0600", "chmod 0666")
        shutil.rmtree(self.root / "dev/vfio")
        self.found("warn", "vfio", "no /dev/vfio", "modprobe vfio-pci")

    def test_groups(self) -> None:
        self.found("ok", "pci", f"{self.BDF}: vfio-pci, group 7, which is viable")
        self.device("0000:40:00.0", "pcieport", "7")
        self.device("0000:41:00.2", None, "7")
        self.found("ok", "pci", "which is viable")
        self.device(self.OTHER, "nvme", "7")
        self.found("fail", "pci", f"not viable: {self.OTHER} has the driver nvme",
                   f"devbind bind --driver vfio-pci {self.OTHER}")

    def test_a_device_of_vfio_without_a_group_fails(self) -> None:
        self.no_groups()
        self.found("fail", "pci", "in no IOMMU group", "uio_pci_generic")

    def test_a_device_of_uio_behind_an_iommu_fails(self) -> None:
        self.device(self.OTHER, "uio_pci_generic", "8")
        self.found("ok", "pci", f"{self.OTHER}: uio_pci_generic")
        self.file("sys/kernel/iommu_groups/8/type", "DMA-FQ\n")
        self.found("fail", "pci", f"{self.OTHER}: uio_pci_generic behind an IOMMU", "devbind bind --driver vfio-pci")
        self.file("sys/kernel/iommu_groups/8/type", "identity\n")
        self.found("ok", "pci", f"{self.OTHER}: uio_pci_generic")

    def test_no_device_is_no_fault(self) -> None:
        (self.root / f"sys/devices/{self.BDF}/driver").unlink()
        self.found("ok", "pci", "of 1 devices none is given")

    def test_seccomp(self) -> None:
        self.found("ok", "seccomp", "no filter")
        self.file("proc/self/status", "CapEff:\t0\nSeccomp:\t2\n")
        self.found("warn", "seccomp", "(mode 2)", "outside the container")

    def test_lockdown(self) -> None:
        self.found("ok", "lockdown", "none")
        self.file("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
        self.found("warn", "lockdown", "[integrity]", "use vfio-pci")
        (self.root / "sys/kernel/security/lockdown").unlink()
        self.found("ok", "lockdown", "shows none")

    def test_service(self) -> None:
        self.found("fail", "service", "No such file", "systemctl start piniond")
        self.peer(lambda connection, *_: connection.send(wire.message(wire.COOKIE, version=2)), greet=False)
        self.found("fail", "service", "another release", "one release")
        self.socket.unlink()
        self.peer(wire.answers(b"{}"))
        self.found("ok", "service", "answers")
        self.socket = self.root / ("x" * 107)
        self.found("fail", "service", "at most 107 bytes", "a shorter path")

    def test_an_empty_machine_is_told_of(self) -> None:
        for path in ("sys", "proc", "dev"):
            shutil.rmtree(self.root / path)
        found = self.look(FAILED)
        self.assertGreaterEqual({one[1] for one in found if one[0] != "ok"},
                                {"hugepages", "hugetlbfs", "memlock", "iommu", "modules", "vfio", "service"})


def without(*calls: int) -> Callable[[], None]:
    """For a child: the kernel has these system calls no more (seccomp(2), a filter that says ENOSYS)."""
    code = [struct.pack("HBBI", 0x20, 0, 0, 0)]  # load the number
    for call in calls:
        code += [struct.pack("HBBI", 0x15, 0, 1, call), struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | errno.ENOSYS)]
    code.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))  # all others
    text = ctypes.create_string_buffer(b"".join(code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(text)))
    libc = ctypes.CDLL(None, use_errno=True)

    def apply() -> None:
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
            raise OSError(ctypes.get_errno(), "seccomp")
        assert text.raw  # lives as long as the filter is set
    return apply


class Kernel(Case):
    """The calls themselves, on this kernel."""

    # The same on all architectures.
    CALLS = {425: "registered buffers of io_uring", 434: "pidfd_open", 437: "openat2", 449: "futex_waitv"}

    def grades(self, **more: Any) -> tuple[int, dict[str, tuple[str, str | None]]]:
        done = run("--socket", str(self.socket), "doctor", "--json", **more)
        found = json.loads(done.stdout)["findings"]
        return done.returncode, {one["text"].split(":")[0]: (one["grade"], one["mend"])
                                 for one in found if one["topic"] in ("kernel", "seccomp")}

    def test_each_call_is_examined(self) -> None:
        _, found = self.grades()
        self.assertGreaterEqual(len(found), 10)
        # Needed by the library, whose own tests run on this kernel.
        for name in ("memfd on hugepages, with seals", "MADV_POPULATE_WRITE", "pidfd_open"):
            self.assertEqual(found[name][0], "ok")

    def test_a_call_that_the_kernel_lacks_is_found(self) -> None:
        _, before = self.grades()
        for call, name in self.CALLS.items():
            with self.subTest(call=name):
                if before[name][0] != "ok":
                    self.skipTest("this kernel lacks it already")
                _, found = self.grades(preexec_fn=without(call))
                self.assertEqual(found[name][0], "fail" if name == "pidfd_open" else "warn")
                self.assertIn("boot Linux", found[name][1] or "")
                others = {key: value for key, value in found.items() if key != name and "filter" not in key}
                self.assertEqual(others, {key: before[key] for key in others})
                self.assertTrue(any("filter is on" in key for key in found))

    def test_nothing_stays_open_or_changes(self) -> None:
        first, second = self.grades(), self.grades()
        self.assertEqual(first, second)


@unittest.skipIf(not COMPLETION, "COMPLETION is not set")
class Completion(Case):
    def complete(self, line: str, *before: str) -> list[str]:
        """What bash would offer at the end of the line; @before runs it."""
        # As bash parts them; in quotes it does not, and nothing here has both.
        words = [part for word in line.split(" ")
                 for part in ([word] if set(word) & set("'\"\\") else re.findall("[:=]+|[^:=]+", word) or [""])]
        script = ('source "$1"; shift; COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; shift; COMP_WORDS=("$@"); '
                  'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); "_${COMP_WORDS[0]}"; printf "%s\\n" "${COMPREPLY[@]}"')
        path = f"{Path(PROGRAM).resolve().parent}:{os.environ['PATH']}"
        done = subprocess.run([*before, "bash", "-c", script, "bash", COMPLETION, line, *words], capture_output=True,
                              text=True, check=True, timeout=20,
                              env={**os.environ, "PATH": path, "PINION_SOCKET": str(self.socket)})
        self.assertEqual(done.stderr, "")
        return sorted(filter(None, done.stdout.split("\n")))

    def test_words(self) -> None:
        for line, words in (("pinion ", "addr doctor ls member pool stat top"), ("pinion s", "stat"),
                            ("pinion pool ", "create destroy grow retire"), ("pinion --socket /x member ", "kick"),
                            ("pinion top --", "--help --once --socket"), ("pinion pool create ", ""),
                            ("hugepages reserve --sh", "--shrink"), ("hugepages demote --t", "--to"),
                            ("hugepages persist --as ", "none sysctl tmpfiles unit"), ("hugepages mount --m", "--mode"),
                            ("hugepages unmount --", "--dry-run --force"), ("hugepages mount --mode ", ""),
                            ("devbind ", "--help bind check forget list persist restore unbind"),
                            ("devbind bind --o", "--owner"), ("devbind restore --g", "--group"),
                            ("devbind bind --owner nobod", "nobody"),
                            ("devbind check class=n", "network nvme")):
            with self.subTest(line=line):
                self.assertEqual(self.complete(line), words.split())

    def test_all_commands_are_completed(self) -> None:
        known = re.findall(r"^  ([a-z]+)[a-z ]*  ", run("--help").stdout, re.MULTILINE)
        self.assertEqual(self.complete("pinion "), sorted(set(known)))

    def test_all_commands_of_hugepages_are_completed(self) -> None:
        usage = subprocess.run([HUGEPAGES, "--help"], capture_output=True, text=True, check=True).stdout
        known = set(re.findall(r"hugepages ([a-z]+) ", usage)) | {"--help"}
        self.assertEqual(self.complete("hugepages "), sorted(known))

    def test_names_of_mounts_are_taken_as_they_are(self) -> None:
        """Users may have chosen them: to complete must not do what they say."""
        top = tempfile.mkdtemp(prefix="pinion-")
        self.addCleanup(shutil.rmtree, top)
        names = sorted(f"{top}/{name}" for name in ("plain", "$(touch ran) `touch ran`", "it's a \\ \"name\"",
                                                  "my 2M", "a\\040 7"))
        for name in names:
            os.mkdir(name)
        before = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                  'cd "$1" && for d in "$1"/*; do mount -t hugetlbfs none "$d" || exit; done; shift; "$@"', "sh", top]
        if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
            self.skipTest("needs the right to mount")
        self.assertEqual(self.complete(f"hugepages unmount {top}/", *before), names)
        self.assertEqual(self.complete(f"hugepages unmount {top}/p", *before), [f"{top}/plain"])
        for typed in (r"it\'s", "it\"'s", "\"it's", r"it\'", "'it'\\''s"):
            self.assertEqual(self.complete(f"hugepages unmount {top}/{typed}", *before), [f"{top}/it's a \\ \"name\""])
        self.assertEqual(sorted(f"{top}/{name}" for name in os.listdir(top)), names)

    def test_names_of_pools(self) -> None:
        self.assertEqual(self.complete("pinion pool destroy "), [])
        self.peer(wire.answers(json.dumps(STAT).encode()))
        self.assertEqual(self.complete("pinion pool destroy "), ["buffers"])
        self.assertEqual(self.complete("pinion member kick b"), ["buffers"])

    def test_names_of_pools_with_colons(self) -> None:
        pools = [{**STAT["pools"][0], "name": name} for name in ("net:a:rx", "net:a:tx", "net:b", "nets")]
        self.peer(wire.answers(json.dumps({**STAT, "pools": pools}).encode()))
        for typed, offered in (("n", "net:a:rx net:a:tx net:b nets"), ("net:", "a:rx a:tx b"), ("net:a", "a:rx a:tx"),
                               ("net:a:r", "rx"), ("x:", "")):
            with self.subTest(typed=typed):
                self.assertEqual(self.complete(f"pinion pool destroy {typed}"), offered.split())
        self.assertEqual(self.complete("pinion addr net:a:rx "), [])

    def test_the_socket_may_stand_behind_an_equals_sign(self) -> None:
        self.assertEqual(self.complete(f"pinion --socket={self.root}/so"), [])
        self.peer(wire.answers(json.dumps(STAT).encode()))
        for space in " =":
            self.assertEqual(self.complete(f"pinion --socket{space}{self.root}/so"), [str(self.socket)])
            self.assertEqual(self.complete(f"pinion --socket{space}{self.socket} pool d"), ["destroy"])
            self.assertEqual(self.complete(f"pinion --socket{space}{self.socket} pool destroy "), ["buffers"])
        self.assertEqual(self.complete("pinion --socket=/nowhere pool destroy "), [])


if __name__ == "__main__":
    unittest.main()
