# SPDX-License-Identifier: BSD-3-Clause
"""hugepages: the real program on a fake tree of two nodes, then on the real kernel where we may.

HUGEPAGES names the program, FAKE_HUGETLB the library that makes the fake tree's kernel stingy.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any, Callable

PROGRAM = os.environ.get("HUGEPAGES", "hugepages")
SHIM = os.environ.get("FAKE_HUGETLB", "")
DONE, FAILED, USAGE, NOT_FOUND, IN_USE, PERMISSION, SHORT = range(7)

SIZES = "sys/kernel/mm/hugepages"
NODES = "sys/devices/system/node"
MB2, GB1 = "hugepages-2048kB", "hugepages-1048576kB"


def run(*words: str, program: str = PROGRAM, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], capture_output=True, text=True, check=False, **more)


def heed() -> None:
    """In a child: whatever this was started by, such as nohup(1), may have these ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Case(unittest.TestCase):
    """A machine with nodes 0 and 1, 8 GiB, pages of 2 MiB and 1 GiB, none reserved."""

    program = PROGRAM

    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="hugepages-"))
        self.addCleanup(shutil.rmtree, self.root)
        for node in (0, 1):
            for size in (MB2, GB1):
                self.node(node, size, 0, 0, 0)
            self.file(f"{NODES}/node{node}/compact", "")
            self.file(f"{NODES}/node{node}/meminfo", f"Node {node} MemTotal:  4194304 kB\n")
        for size in (MB2, GB1):
            self.file(f"{SIZES}/{size}/resv_hugepages", "0\n")
            self.file(f"{SIZES}/{size}/nr_overcommit_hugepages", "0\n")
        self.file("proc/meminfo", "MemTotal:        8388608 kB\nHugepagesize:       2048 kB\n")
        self.mounts()
        self.saved = self.root / "saved"

    def file(self, path: str, text: str) -> None:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)

    def mounts(self, *lines: str) -> None:
        """The mount table: the root, and these (proc_pid_mountinfo(5))."""
        self.file("proc/self/mountinfo", "\n".join(["20 1 8:1 / / rw - ext4 none rw", *lines, ""]))

    def device(self) -> str:
        """Of all files of the tree, as the kernel writes it in the mount table."""
        dev = self.root.stat().st_dev
        return f"{os.major(dev)}:{os.minor(dev)}"

    def hugetlbfs(self, *files: str, path: str = "dev/huge", options: str = "pagesize=2M") -> None:
        """The only mount of its kind, with these files."""
        (self.root / path).mkdir(parents=True, exist_ok=True)
        for name in files:
            self.file(f"{path}/{name}", "")
        self.mounts(f"30 20 {self.device()} / /{path} rw,relatime shared:5 - hugetlbfs none rw,{options}")

    def process(self, pid: int, command: str, mapped: str = "", has_open: str = "", thread: int = 0) -> None:
        """Someone who has two pages of a file mapped, or a file open; the leader, or another thread."""
        task = f"proc/{pid}/task/{thread or pid}"
        (self.root / f"{task}/fd").mkdir(parents=True)
        self.file(f"proc/{pid}/comm", f"{command}\n")
        text = "55d0-55e0 r-xp 00000000 08:01 77 /bin/prog\n"
        if mapped:
            status = (self.root / mapped).stat()
            text += (f"7f000000-7f400000 rw-s 00000000 {os.major(status.st_dev):02x}:"
                     f"{os.minor(status.st_dev):02x} {status.st_ino}   /{mapped}\n")
            self.file(f"{task}/numa_maps", "55d0 default file=/bin/prog mapped=9 N0=9\n"
                      f"7f000000 bind:1 file=/{mapped} huge dirty=3 N0=1 N1=2 kernelpagesize_kB=2048\n")
        self.file(f"{task}/maps", text)
        if has_open:
            (self.root / f"{task}/fd/5").symlink_to(self.root / has_open)

    def counter(self, node: int, size: str, name: str) -> Path:
        return self.root / f"{NODES}/node{node}/hugepages/{size}/{name}"

    def node(self, node: int, size: str, total: int, free: int, surplus: int) -> None:
        for name, value in (("nr", total), ("free", free), ("surplus", surplus)):
            self.file(f"{NODES}/node{node}/hugepages/{size}/{name}_hugepages", f"{value}\n")

    def pages(self, size: str = MB2) -> tuple[int, int]:
        """Total on node 0 and 1."""
        first, second = (int(self.counter(node, size, "nr_hugepages").read_text())
                         for node in (0, 1))
        return first, second

    def expect(self, code: int, *words: str, says: str = "", **more: Any) -> str:
        done = run(words[0], "--root", str(self.root), *words[1:], program=self.program, **more)
        text = done.stdout + done.stderr
        self.assertEqual(done.returncode, code, text)
        self.assertIn(says, text)
        return text

    def stingy(self, *words: str, code: int, says: str = "", **more: Any) -> str:
        """With a kernel that obeys the files `limit`, `floor` and `signal`."""
        if not SHIM:
            self.skipTest("FAKE_HUGETLB is not set")
        env = {**os.environ, "LD_PRELOAD": SHIM, "ASAN_OPTIONS": "verify_asan_link_order=0"}
        return self.expect(code, *words, says=says, env=env, **more)


    def locked_out(self, *words: str, meanwhile: Callable[[], None]) -> str:
        """Runs it while another run is at it, and does that meanwhile: what it says."""
        fd = os.open(self.root / SIZES, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with subprocess.Popen([self.program, words[0], "--root", str(self.root), *words[1:]], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                while process.poll() is None and not self.has_open(process.pid, self.root / SIZES):
                    time.sleep(0.01)  # it has that open to lock it, or to list it a moment before
                time.sleep(0.2)
                meanwhile()
            finally:
                os.close(fd)
            text, _ = process.communicate(timeout=30)
        self.assertEqual(process.returncode, DONE, text)
        return text

    @staticmethod
    def has_open(pid: int, path: Path) -> bool:
        try:
            return any(os.readlink(link) == str(path) for link in Path(f"/proc/{pid}/fd").iterdir())
        except FileNotFoundError:  # closed meanwhile
            return False


class Usage(Case):
    def test_wrong_words_are_usage(self) -> None:
        for words in (("reserve",), ("reserve", "1G", "2G"), ("info", "x"), ("clear", "1"),
                      ("restore",), ("info", "--size", "2M"), ("reserve", "--json", "2M"),
                      ("reserve", "--nosuch", "2M")):
            with self.subTest(words=words):
                self.expect(USAGE, *words, says="usage:")
        self.assertEqual(run("nosuch").returncode, USAGE)
        self.assertEqual(run().returncode, USAGE)

    def test_amount_must_be_whole_pages(self) -> None:
        for amount in ("3M", "64", "-3M", "+64", "+-2M", "--2M", "+", "-", "2Mi", "2MB", "010M", "0x2M",
                       "", "M", "2 M", "1.5G", "99999999999G", "2M,4M"):
            with self.subTest(amount=amount):
                self.expect(USAGE, "reserve", "--", amount, says="is not an amount of whole 2M")
        for count in ("2M", "-1M", "+", "1e3", "99999999999999999999", "08"):
            with self.subTest(count=count):
                self.expect(USAGE, "reserve", "--pages", "--", count, says="is not an amount")
        self.assertEqual(self.pages(), (0, 0))

    def test_malformed_map_is_usage(self) -> None:
        for text in ("0:2M,", ":2M", "0:", "0:2M,0:4M", "a:2M", "-1:2M", "0:+", "0:2M;1:2M", "00:2M",
                     "99999999999:2M"):
            with self.subTest(map=text):
                self.expect(USAGE, "reserve", "--", text)
        self.expect(USAGE, "reserve", "--node", "0", "0:2M", says="together")
        self.assertEqual(self.pages(), (0, 0))

    def test_no_such_node_is_not_found(self) -> None:
        self.expect(NOT_FOUND, "reserve", "0:2M,5:2M", says="name one of these: 0 1")
        self.expect(NOT_FOUND, "reserve", "--node", "5", "2M", says="node 5")
        self.expect(NOT_FOUND, "clear", "--node", "5", says="node 5")
        self.assertEqual(self.pages(), (0, 0))

    def test_no_such_size_is_not_found(self) -> None:
        self.expect(NOT_FOUND, "reserve", "--size", "4M", "4M", says="name one of these: 2M 1G")
        for size in ("0", "x", "2MB"):
            self.expect(USAGE, "reserve", "--size", size, "2M")

    def test_help_is_no_error(self) -> None:
        for words in (("--help",), ("reserve", "--help")):
            done = run(*words)
            self.assertEqual((done.returncode, done.stderr), (DONE, ""))
            self.assertIn("exit status:", done.stdout)


class Reserve(Case):
    def test_map(self) -> None:
        self.expect(DONE, "reserve", "0:4M,1:1G", says="node 1: 0 -> 512 pages of 2M (1G)")
        self.assertEqual(self.pages(), (2, 512))

    def test_map_of_counts(self) -> None:
        self.expect(DONE, "reserve", "--pages", "--size", "1G", "1:3")
        self.assertEqual((self.pages(GB1), self.pages()), ((0, 3), (0, 0)))

    def test_one_node(self) -> None:
        self.expect(DONE, "reserve", "--node", "1", "8M")
        self.assertEqual(self.pages(), (0, 4))

    def test_amount_without_a_node_is_the_sum_and_not_each(self) -> None:
        self.expect(DONE, "reserve", "10M")
        self.assertEqual(self.pages(), (3, 2))

    def test_missing_pages_go_where_there_are_fewest(self) -> None:
        self.node(0, MB2, 10, 10, 0)
        self.expect(DONE, "reserve", "--pages", "16")
        self.assertEqual(self.pages(), (10, 6))

    def test_small_node_gets_no_more_than_it_can_hold(self) -> None:
        self.file(f"{NODES}/node0/meminfo", "Node 0 MemTotal:  4096 kB\n")
        self.expect(DONE, "reserve", "--pages", "10")
        self.assertEqual(self.pages(), (2, 8))

    def test_at_least_never_shrinks(self) -> None:
        self.node(0, MB2, 10, 10, 0)
        for words in (("2M",), ("0:2M",), ("--node", "0", "0")):
            self.expect(DONE, "reserve", *words)
            self.assertEqual(self.pages(), (10, 0))

    def test_shrink_when_said(self) -> None:
        self.node(0, MB2, 10, 10, 0)
        self.node(1, MB2, 4, 4, 0)
        self.expect(DONE, "reserve", "--shrink", "0:4M")
        self.assertEqual(self.pages(), (2, 4))
        self.expect(DONE, "reserve", "--shrink", "--pages", "3")
        self.assertEqual(sum(self.pages()), 3)

    def test_shrink_below_the_pages_in_use_is_refused(self) -> None:
        self.node(0, MB2, 10, 4, 0)
        self.expect(IN_USE, "reserve", "--shrink", "0:4M,1:4M", says="6 pages are in use")
        self.expect(IN_USE, "reserve", "--shrink", "--pages", "2")
        self.assertEqual(self.pages(), (10, 0))

    def test_shrink_of_the_sum_spares_the_pages_in_use(self) -> None:
        self.node(0, MB2, 10, 0, 0)
        self.node(1, MB2, 10, 10, 0)
        self.expect(DONE, "reserve", "--shrink", "--pages", "12")
        self.assertEqual(self.pages(), (10, 2))

    def test_plus_and_minus_count_from_what_there_is(self) -> None:
        self.node(0, MB2, 10, 10, 0)
        self.node(1, MB2, 4, 4, 0)
        self.expect(DONE, "reserve", "0:-4M,1:+6M")
        self.assertEqual(self.pages(), (8, 7))
        self.expect(DONE, "reserve", "--node", "1", "+2M")
        self.assertEqual(self.pages(), (8, 8))

    def test_plus_and_minus_of_the_sum(self) -> None:
        self.node(0, MB2, 10, 10, 0)
        self.node(1, MB2, 4, 4, 0)
        self.expect(DONE, "reserve", "--pages", "+3")
        self.assertEqual(self.pages(), (10, 7))
        self.expect(DONE, "reserve", "--pages", "-8")
        self.assertEqual(sum(self.pages()), 9)

    def test_minus_takes_no_page_in_use_and_none_that_is_not_there(self) -> None:
        self.node(0, MB2, 10, 4, 0)
        self.expect(IN_USE, "reserve", "0:-10M", says="6 pages are in use")
        self.expect(SHORT, "reserve", "0:-22M", says="11 pages cannot be taken away: there are only 10")
        self.expect(SHORT, "reserve", "--pages", "-11", says="11 pages cannot be taken away")
        self.assertEqual(self.pages(), (10, 0))

    def test_surplus_pages_do_not_count_as_had(self) -> None:
        self.node(0, MB2, 4, 0, 4)
        self.expect(DONE, "reserve", "--dry-run", "0:4M", says="echo 2 >")

    def test_more_than_the_memory_is_short_before_any_try(self) -> None:
        for words in (("9G",), ("--pages", "9223372036854775807"), ("0:2M,1:5G",),
                      ("--node", "1", "4098M")):
            self.expect(SHORT, "reserve", *words, says="are more than all its memory")
        self.assertEqual(self.pages(), (0, 0))
        self.expect(DONE, "reserve", "--dry-run", "8G")

    def test_dry_run_prints_and_does_nothing(self) -> None:
        text = self.expect(DONE, "reserve", "--dry-run", "--save", str(self.saved), "0:4M")
        self.assertEqual(text, f"echo 2 > /{NODES}/node0/hugepages/{MB2}/nr_hugepages\n")
        self.assertEqual(self.pages(), (0, 0))
        self.assertFalse(self.saved.exists())

    def test_kernel_without_numa(self) -> None:
        shutil.rmtree(self.root / NODES)
        for name in ("nr", "free", "surplus"):
            self.file(f"{SIZES}/{MB2}/{name}_hugepages", "0\n")
        self.expect(DONE, "reserve", "4M")
        self.assertEqual((self.root / SIZES / MB2 / "nr_hugepages").read_text(), "2")

    def test_another_run_at_the_same_time_is_waited_for(self) -> None:
        fd = os.open(self.root / SIZES, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        self.expect(FAILED, "reserve", "2M", says="wait for the other hugepages")


class Shortfall(Case):
    def limit(self, node: int, pages: int, name: str = "limit") -> None:
        self.counter(node, MB2, name).write_text(f"{pages}\n")

    def test_says_how_many_and_where_and_puts_all_back(self) -> None:
        self.node(0, MB2, 1, 1, 0)
        self.limit(1, 3)
        text = self.stingy("reserve", "0:8M,1:8M", code=SHORT,
                           says="node 1: got 3 of 4 pages of 2M")
        self.assertIn("node 0: got all 4 pages", text)
        self.assertIn("put back", text)
        self.assertIn("what to do:", text)
        self.assertEqual(self.pages(), (1, 0))

    def test_the_short_node_and_no_other_was_compacted(self) -> None:
        self.limit(0, 3)
        self.stingy("reserve", "0:8M,1:2M", code=SHORT)
        self.assertEqual([(self.root / NODES / f"node{node}/compact").read_text()
                          for node in (0, 1)], ["1", ""])

    def test_saved_numbers_go_when_nothing_changed(self) -> None:
        self.limit(0, 3)
        self.stingy("reserve", "--save", str(self.saved), "0:8M", code=SHORT)
        self.assertFalse(self.saved.exists())

    def test_roll_back_that_fails_is_told_and_the_numbers_kept(self) -> None:
        self.limit(1, 0)
        self.limit(0, 2, "floor")
        self.stingy("reserve", "--save", str(self.saved), "0:8M,1:8M", code=FAILED,
                    says="could NOT all be put back")
        self.assertTrue(self.saved.exists())

    def test_a_signal_in_the_middle_puts_all_back_and_ends_it(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                self.node(0, MB2, 1, 1, 0)
                self.limit(1, number, "signal")
                self.stingy("reserve", "--save", str(self.saved), "0:8M,1:8M", code=-number,
                            says="interrupted: all nodes were put back", preexec_fn=heed)
                self.assertEqual(self.pages(), (1, 0))
                self.assertFalse(self.saved.exists())
                self.assertEqual((self.root / NODES / "node1/compact").read_text(), "")

    def test_a_signal_between_two_tries_too(self) -> None:
        self.limit(0, 3)
        self.file(f"{NODES}/node0/compact.signal", f"{int(signal.SIGTERM)}\n")
        self.stingy("reserve", "0:8M", code=-signal.SIGTERM, says="interrupted: all nodes",
                    preexec_fn=heed)
        self.assertEqual(self.pages(), (0, 0))

    def test_a_signal_that_is_ignored_interrupts_nothing(self) -> None:
        self.limit(0, signal.SIGHUP, "signal")
        self.stingy("reserve", "0:8M", code=DONE,
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.assertEqual(self.pages(), (4, 0))

    def test_pages_that_stay_after_clear(self) -> None:
        self.node(0, MB2, 4, 4, 0)
        self.limit(0, 1, "floor")
        self.stingy("clear", "--node", "0", code=SHORT, says="got 1 of 0 pages")
        self.assertEqual(self.pages(), (4, 0))


class SaveAndRestore(Case):
    def test_back_to_what_there_was(self) -> None:
        self.node(0, MB2, 3, 3, 0)
        self.expect(DONE, "reserve", "--save", str(self.saved), "0:20M,1:4M")
        self.assertEqual(self.pages(), (10, 2))
        self.node(0, MB2, 10, 10, 0)  # as the kernel would: the new pages are free ones
        self.node(1, MB2, 2, 2, 0)
        self.expect(DONE, "restore", str(self.saved))
        self.assertEqual(self.pages(), (3, 0))

    def test_restore_grows_too(self) -> None:
        self.node(1, MB2, 3, 3, 0)
        self.expect(DONE, "clear", "--save", str(self.saved))
        self.expect(DONE, "restore", str(self.saved))
        self.assertEqual(self.pages(), (0, 3))

    def test_older_save_is_not_written_over(self) -> None:
        self.expect(DONE, "reserve", "--save", str(self.saved), "2M")
        before = self.saved.read_text()
        self.expect(FAILED, "reserve", "--save", str(self.saved), "20M", says="File exists")
        self.assertEqual((self.saved.read_text(), sum(self.pages())), (before, 1))

    def test_foreign_file_is_usage(self) -> None:
        for text in ("", "# only a remark\n", "0 2048\n", "0 2048 1 1\n", "a 2048 1\n",
                     "0 2048 -1\n", "9999 2048 1\n", "0 18446744073709551615 1\n", "\0\n"):
            with self.subTest(text=text):
                self.saved.write_text(text)
                self.expect(USAGE, "restore", str(self.saved), says="not a file that hugepages")
        self.expect(FAILED, "restore", str(self.root / "absent"), says="No such file")

    def test_node_that_is_gone_is_not_found(self) -> None:
        self.saved.write_text("0 2048 5\n7 2048 5\n")
        self.expect(NOT_FOUND, "restore", str(self.saved))
        self.assertEqual(self.pages(), (0, 0))


class Clear(Case):
    def setUp(self) -> None:
        super().setUp()
        for node in (0, 1):
            self.node(node, MB2, 4, 4, 0)
            self.node(node, GB1, 1, 1, 0)

    def test_all_nodes_of_one_size(self) -> None:
        self.expect(DONE, "clear")
        self.assertEqual((self.pages(), self.pages(GB1)), ((0, 0), (1, 1)))

    def test_one_node(self) -> None:
        self.expect(DONE, "clear", "--size", "1G", "--node", "1")
        self.assertEqual((self.pages(), self.pages(GB1)), ((4, 4), (1, 0)))

    def test_pages_in_use_are_refused(self) -> None:
        self.node(1, MB2, 4, 3, 0)
        self.expect(IN_USE, "clear", says="node 1: 1 pages are in use")
        self.assertEqual(self.pages(), (4, 4))


class Info(Case):
    def setUp(self) -> None:
        super().setUp()
        self.node(1, MB2, 6, 2, 1)
        self.file(f"{SIZES}/{MB2}/resv_hugepages", "2\n")
        self.mounts("30 20 0:91 / /dev/huge rw,relatime shared:5 master:1 - hugetlbfs none rw,pagesize=2M",
                    '31 20 0:92 / /a\\040"b rw - hugetlbfs none rw,uid=5,pagesize=1024M')

    def test_mount_point_does_not_steer_the_terminal(self) -> None:
        self.mounts("30 20 0:91 / /\033[2J\\012\u009b\x7f rw - hugetlbfs none rw,pagesize=2M")
        self.expect(DONE, "info", says="mounted 2M on /\\033[2J\\012\\302\\233\\177\n")
        text = self.expect(DONE, "info", "--json")
        self.assertFalse(re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text))
        self.assertEqual(json.loads(text)["mounts"], [{"path": "/\033[2J\n\u009b\x7f", "size": 2 << 20}])

    def test_json(self) -> None:
        info = json.loads(self.expect(DONE, "info", "--json"))
        first = info["sizes"][0]
        self.assertEqual([size["size"] for size in info["sizes"]], [2 << 20, 1 << 30])
        self.assertEqual(
            {key: first[key] for key in ("total", "free", "surplus", "reserved", "overcommit")},
            {"total": 6, "free": 2, "surplus": 1, "reserved": 2, "overcommit": 0})
        self.assertEqual(first["nodes"][1], {"node": 1, "total": 6, "free": 2, "surplus": 1})
        self.assertEqual(info["mounts"], [{"path": "/dev/huge", "size": 2 << 20},
                                          {"path": '/a "b', "size": 1 << 30}])

    def test_table(self) -> None:
        lines = [line.split() for line in self.expect(DONE, "info").splitlines()]
        self.assertIn(["2M", "1", "6", "2", "1", "-", "12M"], lines)
        self.assertIn(["2M", "all", "6", "2", "1", "2", "12M"], lines)
        self.assertIn(["mounted", "2M", "on", "/dev/huge"], lines)

    def test_who_maps_them_and_has_them_open(self) -> None:
        self.hugetlbfs("buffers")
        self.process(41, "driver", mapped="dev/huge/buffers")
        self.process(42, "keeper", has_open="dev/huge/buffers")
        self.process(43, "stranger", has_open="proc/meminfo")
        info = json.loads(self.expect(DONE, "info", "--json"))
        users = {user["pid"]: user for user in info["users"]}
        self.assertEqual(users[41], {
            "pid": 41, "command": "driver", "size": 2 << 20, "mapped": 4 << 20, "open": 0,
            "nodes": [{"node": 0, "pages": 1}, {"node": 1, "pages": 2}]})
        self.assertEqual((users[42]["mapped"], users[42]["nodes"], info["hidden"]), (0, [], 0))
        self.expect(DONE, "info", says="process 41 (driver) maps 4M in pages of 2M, has files of 0B open; "
                    "node 0: 1 pages, node 1: 2 pages\n")

    def test_process_that_cannot_be_looked_at_is_told(self) -> None:
        self.hugetlbfs("buffers")
        self.process(41, "driver", mapped="dev/huge/buffers")
        (self.root / "proc/41/task/41/fd").rmdir()
        self.file("proc/41/task/41/fd", "")  # no directory: as good as no permission
        self.expect(DONE, "info", says="1 processes could not be looked at: root can")

    def test_no_hugetlb_in_the_kernel(self) -> None:
        shutil.rmtree(self.root / "sys/kernel/mm/hugepages")
        self.expect(FAILED, "info", says="has this kernel hugetlb?")

    def test_counter_that_is_no_number(self) -> None:
        self.counter(0, MB2, "free_hugepages").write_text("many\n")
        self.expect(FAILED, "info", says="Invalid argument")


class Demote(Case):
    def setUp(self) -> None:
        super().setUp()
        for node in (0, 1):
            self.node(node, GB1, 3, 3, 0)
            self.file(f"{NODES}/node{node}/hugepages/{GB1}/demote", "")
        self.file(f"{SIZES}/{GB1}/demote_size", "2048kB\n")
        self.file(f"{SIZES}/{GB1}/demote", "")

    def test_largest_size_is_split_on_the_node_named(self) -> None:
        self.stingy("demote", "--node", "1", "2G", code=DONE, says="2 pages of 1G are now 1024 of 2M")
        self.assertEqual(self.pages(GB1), (3, 1))
        self.assertEqual((self.root / SIZES / GB1 / "demote_size").read_text(), "2048kB\n")

    def test_dry_run_prints_and_does_nothing(self) -> None:
        text = self.expect(DONE, "demote", "--dry-run", "--pages", "4")
        self.assertEqual(text, f"echo 4 > /{SIZES}/{GB1}/demote\n")

    def test_other_size_to_split_into_is_put_back(self) -> None:
        (self.root / SIZES / GB1 / "demote_size").write_text("65536kB\n")
        text = self.expect(DONE, "demote", "--dry-run", "--to", "2M", "1G")
        self.assertEqual(text, f"echo 2048kB > /{SIZES}/{GB1}/demote_size\necho 1 > /{SIZES}/{GB1}/demote\n"
                         f"echo 65536kB > /{SIZES}/{GB1}/demote_size\n")

    def test_other_size_is_put_back_after_a_failure_too(self) -> None:
        (self.root / SIZES / GB1 / "demote_size").write_text("65536kB\n")
        (self.root / SIZES / GB1 / "demote").unlink()
        (self.root / SIZES / GB1 / "demote").mkdir()
        self.expect(FAILED, "demote", "--to", "2M", "1G")
        self.assertEqual((self.root / SIZES / GB1 / "demote_size").read_text().split()[0], "65536kB")

    def test_other_size_is_put_back_after_a_signal_too(self) -> None:
        size = self.root / SIZES / GB1 / "demote_size"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                size.write_text("65536kB\n")
                self.node(1, GB1, 3, 3, 0)
                self.counter(1, GB1, "demote.signal").write_text(f"{int(number)}\n")
                self.stingy("demote", "--node", "1", "--to", "2M", "1G", code=-number,
                            says="1 pages of 1G are now 512 of 2M", preexec_fn=heed)
                self.assertEqual(size.read_text().split()[0], "65536kB")

    def test_a_signal_while_the_size_is_set_splits_nothing(self) -> None:
        size = self.root / SIZES / GB1 / "demote_size"
        size.write_text("65536kB\n")
        self.file(f"{SIZES}/{GB1}/demote_size.signal", f"{int(signal.SIGTERM)}\n")
        self.stingy("demote", "--node", "1", "--to", "2M", "1G", code=-signal.SIGTERM, says="no page was split",
                    preexec_fn=heed)
        self.assertEqual((self.pages(GB1), size.read_text().split()[0]), ((3, 3), "65536kB"))

    def test_size_that_cannot_be_put_back_is_told_and_so_is_what_was_split(self) -> None:
        self.file(f"{SIZES}/{GB1}/demote_size", "65536kB\n")
        self.file(f"{SIZES}/{GB1}/demote_size.fail", "65536\n")
        text = self.stingy("demote", "--node", "1", "--to", "2M", "1G", code=FAILED,
                           says="pages of 1G are split into 2M from now on, and no longer into 64M")
        self.assertIn("1 pages of 1G are now 512 of 2M", text)

    def test_size_is_read_under_the_lock(self) -> None:
        size = self.root / SIZES / GB1 / "demote_size"
        for words, steps in (((), []), (("--to", "2M"), [f"echo 2048kB > /{SIZES}/{GB1}/demote_size"])):
            size.write_text("2048kB\n")
            text = self.locked_out("demote", "--dry-run", *words, "1G", meanwhile=lambda: self.file(
                f"{SIZES}/{GB1}/demote_size", "65536kB\n"))
            back = [f"echo 65536kB > /{SIZES}/{GB1}/demote_size"] if steps else []
            self.assertEqual(text.splitlines(), [*steps, f"echo 1 > /{SIZES}/{GB1}/demote", *back])

    def test_size_that_cannot_be_read_is_told(self) -> None:
        (self.root / SIZES / GB1 / "demote_size").write_text("many\n")
        for words in ((), ("--size", "1G"), ("--to", "2M")):
            self.expect(FAILED, "demote", *words, "1G", says="demote_size: Invalid argument")

    def test_pages_in_use_or_reserved_are_refused(self) -> None:
        self.node(0, GB1, 3, 1, 0)
        self.file(f"{SIZES}/{GB1}/resv_hugepages", "1\n")
        self.expect(SHORT, "demote", "--node", "0", "1G", says="1 are free, and 1 of all are reserved")
        self.expect(SHORT, "demote", "4G", says="4 pages cannot be split: 4 are free")
        self.assertEqual(self.pages(GB1), (3, 3))

    def test_kernel_that_splits_fewer_is_told(self) -> None:
        self.counter(0, GB1, "limit").write_text("1\n")
        self.stingy("demote", "--node", "0", "3G", code=SHORT, says="1 pages of 1G are now 512 of 2M")

    def test_what_cannot_be_split(self) -> None:
        self.expect(NOT_FOUND, "demote", "--size", "2M", "2M", says="does not split pages of 2M")
        self.expect(NOT_FOUND, "demote", "--node", "5", "1G", says="node 5")
        for words in (("--to", "1G", "1G"), ("--to", "4M", "1G"), ("512M",), ("0",), ("-1G",), ()):
            self.expect(USAGE, "demote", *words)
        (self.root / SIZES / GB1 / "demote_size").unlink()
        self.expect(NOT_FOUND, "demote", "1G", says="does not split pages")


class Persist(Case):
    UNIT = "etc/systemd/system/hugepages.service"
    WANTED = "etc/systemd/system/sysinit.target.wants/hugepages.service"
    TMPFILES = "etc/tmpfiles.d/hugepages.conf"
    SYSCTL = "etc/sysctl.d/60-hugepages.conf"

    def setUp(self) -> None:
        super().setUp()
        self.program = shutil.copy(PROGRAM, self.root)  # where nobody but root can change it
        self.node(0, MB2, 4, 4, 0)
        self.node(1, MB2, 8, 8, 0)
        self.node(1, GB1, 1, 1, 0)

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def starts(self) -> list[str]:
        """The commands of the unit, each with a "-" before it where it may fail."""
        return re.findall("^ExecStart=(.*)$", self.text(self.UNIT), re.MULTILINE)

    def written(self) -> list[str]:
        return [path for path in (self.UNIT, self.TMPFILES, self.SYSCTL) if (self.root / path).exists()]

    def test_what_there_is_becomes_a_unit_that_reserves_it(self) -> None:
        text = self.expect(DONE, "persist", says=f"wrote /{self.UNIT}")
        program = os.path.realpath(self.program)
        starts = [f"{program} reserve --size 1G --pages 1:1", f"{program} reserve --size 2M --pages 0:4,1:8"]
        self.assertEqual(self.starts(), [f"-{start}" for start in starts] + starts)
        self.assertEqual((self.root / self.WANTED).resolve(), (self.root / self.UNIT).resolve())
        self.assertIn("hugepagesz=1G hugepages=1:1\n", text)

    def test_what_the_unit_runs_brings_the_pages_back(self) -> None:
        self.expect(DONE, "persist", "--size", "2M")
        start, = self.starts()
        for node in (0, 1):
            self.node(node, MB2, 0, 0, 0)
        self.expect(DONE, *start.split()[1:])
        self.assertEqual((self.pages(), start.count("reserve")), ((4, 8), 1))

    def test_large_pages_that_fall_short_keep_no_small_ones_away_and_make_the_unit_fail(self) -> None:
        self.expect(DONE, "persist")
        for node in (0, 1):
            for size in (MB2, GB1):
                self.node(node, size, 0, 0, 0)
        self.counter(1, GB1, "limit").write_text("0\n")
        codes = []
        for start in self.starts():  # as systemd.service(5) has it of a oneshot unit
            codes.append(SHORT if "1G" in start else DONE)
            self.stingy(*start.split()[1:], code=codes[-1])
            if codes[-1] and not start.startswith("-"):
                break
        self.assertEqual((codes, self.pages(), self.pages(GB1)), ([SHORT, DONE, SHORT], (4, 8), (0, 0)))

    def test_what_root_shall_run_is_roots_and_has_a_plain_path(self) -> None:
        os.chmod(self.program, 0o777)
        self.expect(FAILED, "persist", says="can be changed by others than root")
        os.chmod(self.program, 0o755)
        os.chown(self.root, 65534, -1)
        self.expect(FAILED, "persist", says="can be changed by others than root")
        os.chown(self.root, 0, -1)
        self.program = shutil.copy(PROGRAM, self.root / "huge %n pages")
        self.expect(FAILED, "persist", says="does not go into a unit")
        self.assertEqual(self.written(), [])
        self.expect(DONE, "persist", "--as", "tmpfiles")

    def test_systemd_finds_nothing_wrong_with_the_unit(self) -> None:
        if not shutil.which("systemd-analyze"):
            self.skipTest("there is no systemd-analyze")
        self.expect(DONE, "persist")
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(self.root / self.UNIT)],
                              capture_output=True, text=True, check=False)
        self.assertNotIn("hugepages.service", done.stderr)

    def test_systemd_tmpfiles_writes_the_numbers(self) -> None:
        self.expect(DONE, "persist", "--as", "tmpfiles", "0:6M,1:2M")
        self.assertEqual(self.text(self.TMPFILES).splitlines()[1:], [
            f"w! /{NODES}/node{node}/hugepages/{MB2}/nr_hugepages - - - - {pages}" for node, pages in ((0, 3), (1, 1))])
        if not shutil.which("systemd-tmpfiles"):
            self.skipTest("there is no systemd-tmpfiles")
        for words, pages in (((), (4, 8)), (("--boot",), (3, 1))):
            subprocess.run(["systemd-tmpfiles", "--create", *words, f"--root={self.root}",
                            str(self.root / self.TMPFILES)], check=True, capture_output=True)
            self.assertEqual(self.pages(), pages)

    def test_tmpfiles_has_the_large_pages_first(self) -> None:
        self.expect(DONE, "persist", "--as", "tmpfiles")
        self.assertEqual([line.split()[1].split("/")[-2] for line in self.text(self.TMPFILES).splitlines()[1:]],
                         [GB1, MB2, MB2])

    def test_sysctl_has_the_sum_of_the_default_size_and_nothing_else(self) -> None:
        self.expect(DONE, "persist", "--as", "sysctl", "--size", "2M")
        self.assertEqual(self.text(self.SYSCTL).splitlines()[1:], ["vm.nr_hugepages = 12"])
        self.expect(USAGE, "persist", "--as", "sysctl", says="pages of the default size only")
        self.expect(USAGE, "persist", "--as", "sysctl", "0:2M", says="sysctl has no nodes")

    def test_amount_is_spread_as_reserve_would(self) -> None:
        self.expect(DONE, "persist", "--as", "tmpfiles", "--pages", "5")
        self.assertEqual([line.split()[-1] for line in self.text(self.TMPFILES).splitlines()[1:]], ["3", "2"])

    def test_one_way_at_a_time_and_none_takes_all_away(self) -> None:
        for way, path in (("unit", self.UNIT), ("tmpfiles", self.TMPFILES), ("sysctl", self.SYSCTL),
                          ("unit", self.UNIT)):
            for _ in range(2):
                self.expect(DONE, "persist", "--as", way, "--size", "2M")
                self.assertEqual(self.written(), [path])
        self.expect(DONE, "persist", "--as", "none", says=f"removed /{self.UNIT}")
        self.assertEqual((self.written(), (self.root / self.WANTED).is_symlink()), ([], False))

    def test_file_of_somebody_else_is_kept(self) -> None:
        self.file(self.SYSCTL, "vm.nr_hugepages = 1\n")
        self.expect(IN_USE, "persist", "--as", "sysctl", "4M", says="was not written by hugepages persist")
        self.expect(DONE, "persist", "--as", "none")
        self.assertEqual(self.text(self.SYSCTL), "vm.nr_hugepages = 1\n")

    def test_link_in_the_place_of_a_file_is_somebody_elses(self) -> None:
        for path, way in ((self.UNIT, "unit"), (self.TMPFILES, "tmpfiles")):
            (self.root / path).parent.mkdir(parents=True)
            (self.root / path).symlink_to("/nowhere")  # as systemctl mask does, but to /dev/null
            self.expect(IN_USE, "persist", "--as", way, says="was not written by hugepages persist")
            self.expect(DONE, "persist", "--as", "none")
            self.assertEqual(os.readlink(self.root / path), "/nowhere")

    def test_link_that_enables_something_else_is_kept_and_nothing_written(self) -> None:
        wanted = self.root / self.WANTED
        wanted.parent.mkdir(parents=True)
        wanted.symlink_to("/nowhere")
        self.expect(IN_USE, "persist", says=f"/{self.WANTED}: does not lead to what hugepages persist writes")
        self.assertEqual((self.written(), os.readlink(wanted)), ([], "/nowhere"))
        wanted.unlink()
        self.expect(DONE, "persist")
        wanted.unlink()
        wanted.symlink_to("/nowhere")
        self.expect(DONE, "persist", "--as", "none", says=f"removed /{self.UNIT}")
        self.assertEqual(os.readlink(wanted), "/nowhere")

    def test_unit_that_cannot_be_written_leaves_no_link(self) -> None:
        (self.root / f"{self.UNIT}.new").mkdir(parents=True)
        self.expect(FAILED, "persist", says=f"/{self.UNIT}: Is a directory")
        self.assertEqual((self.written(), (self.root / self.WANTED).is_symlink()), ([], False))

    def test_link_that_cannot_be_made_leaves_no_unit(self) -> None:
        wants = (self.root / self.WANTED).parent
        wants.parent.mkdir(parents=True)
        wants.symlink_to("nowhere")
        self.expect(FAILED, "persist", says=f"/{self.WANTED}: No such file")
        self.assertEqual(self.written(), [])

    def test_link_that_is_left_without_its_unit_goes(self) -> None:
        self.file(f"{self.UNIT}.signal", f"{int(signal.SIGKILL)}\n")
        self.stingy("persist", code=-signal.SIGKILL)
        self.assertEqual((self.written(), (self.root / self.WANTED).is_symlink()), ([], True))
        self.assertEqual(self.expect(DONE, "persist", "--as", "none", "--dry-run"), f"rm /{self.WANTED}\n")
        self.assertEqual(self.expect(DONE, "persist", "--as", "none"), f"removed /{self.WANTED}\n")
        self.assertFalse((self.root / self.WANTED).is_symlink())

    def test_link_to_somewhere_else_without_a_unit_is_kept(self) -> None:
        wanted = self.root / self.WANTED
        wanted.parent.mkdir(parents=True)
        wanted.symlink_to("/nowhere")
        self.assertEqual(self.expect(DONE, "persist", "--as", "none"), "")
        self.assertEqual(os.readlink(wanted), "/nowhere")

    def test_a_signal_between_link_and_unit_ends_it_when_both_are_there(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                self.file(f"{self.UNIT}.signal", f"{int(number)}\n")
                self.stingy("persist", code=-number, says=f"wrote /{self.UNIT}", preexec_fn=heed)
                self.assertEqual((self.root / self.WANTED).resolve(), (self.root / self.UNIT).resolve())
                self.assertEqual(self.written(), [self.UNIT])
                self.expect(DONE, "persist", "--as", "none")

    def test_link_as_systemctl_makes_it_is_ours(self) -> None:
        wanted = self.root / self.WANTED
        wanted.parent.mkdir(parents=True)
        wanted.symlink_to(f"/{self.UNIT}")
        self.expect(DONE, "persist")
        self.assertEqual(os.readlink(wanted), f"/{self.UNIT}")
        self.expect(DONE, "persist", "--as", "none")
        self.assertFalse(wanted.is_symlink())

    def test_what_a_killed_run_left_is_written_anew_and_no_link_followed(self) -> None:
        precious = self.root / "precious"
        precious.write_text("precious")
        left = self.root / f"{self.TMPFILES}.new"
        left.parent.mkdir(parents=True)
        left.symlink_to(precious)
        self.expect(DONE, "persist", "--as", "tmpfiles")
        self.assertFalse(left.is_symlink())
        self.assertFalse((self.root / self.TMPFILES).is_symlink())
        self.assertEqual(precious.read_text(), "precious")

    def test_no_pages_are_refused_with_advice(self) -> None:
        for words in (("0",), ("0:0,1:0",), ("--as", "tmpfiles", "--pages", "0"), ("--as", "sysctl", "0")):
            self.expect(USAGE, "persist", *words, says="persist --as none takes away what was written")
        self.assertEqual(self.written(), [])

    def test_more_than_the_node_has_memory_is_written_with_a_note(self) -> None:
        self.expect(DONE, "persist", "0:64G", says="note: node 0: 32768 pages of 2M are more than all the memory it "
                    "has now, which is 2048")
        self.assertIn("--pages 0:32768\n", self.text(self.UNIT))
        self.assertNotIn("note:", self.expect(DONE, "persist", "0:1G"))

    def test_more_than_all_nodes_have_memory_is_refused_where_no_node_is_named(self) -> None:
        self.expect(SHORT, "persist", "12G", says="6144 pages of 2M are more than the memory that all nodes have now")
        self.assertEqual(self.written(), [])
        self.expect(DONE, "persist", "--node", "1", "12G", says="note: node 1: 6144 pages of 2M")
        self.expect(DONE, "persist", "8G")

    def test_numbers_are_read_under_the_lock(self) -> None:
        self.locked_out("persist", meanwhile=lambda: self.node(0, MB2, 6, 6, 0))
        self.assertTrue(self.starts()[-1].endswith(" --pages 0:6,1:8"), self.starts())

    def test_dry_run_prints_and_does_nothing(self) -> None:
        self.expect(DONE, "persist", "--dry-run", says=f"cat > /{self.UNIT} <<EOF\n")
        self.assertFalse((self.root / "etc").exists())
        self.expect(DONE, "persist")
        text = self.expect(DONE, "persist", "--as", "none", "--dry-run")
        self.assertEqual(text, f"rm /{self.WANTED}\nrm /{self.UNIT}\n")

    def test_dry_run_can_be_given_to_a_shell(self) -> None:
        script = self.expect(DONE, "persist", "--dry-run").replace(" /etc/", f" {self.root}/etc/")
        subprocess.run(["sh", "-ec", script.partition("pages of 1G")[0]], check=True)
        found = (self.text(self.UNIT), os.readlink(self.root / self.WANTED))
        self.expect(DONE, "persist")
        self.assertEqual(found, (self.text(self.UNIT), os.readlink(self.root / self.WANTED)))
        self.assertNotIn("mkdir", self.expect(DONE, "persist", "--dry-run"))

    def test_wrong_words_are_usage(self) -> None:
        for words in (("--as", "cron"), ("+2M",), ("3M",), ("0:+2M",)):
            self.expect(USAGE, "persist", *words)
        for node in (0, 1):
            self.node(node, MB2, 0, 0, 0)
            self.node(node, GB1, 0, 0, 0)
        self.expect(USAGE, "persist", says="nothing to come back")


class Explain(Case):
    """Node 0: three blocks of 2 MiB and two of 4 MiB free, and 4 MiB in small pieces."""

    def setUp(self) -> None:
        super().setUp()
        self.hugetlbfs("buffers")
        self.node(0, MB2, 6, 2, 1)
        self.file("proc/buddyinfo", "Node 0, zone    DMA32   1024 0 0 0 0 0 0 0 0 1 0\n"
                  "Node 0, zone   Normal      0 0 0 0 0 0 0 0 0 2 2\nNode 1, zone Normal 0 0 0 0 0 0 0 0 0 0 0\n")

    def test_pages_in_use_are_counted_where_they_are(self) -> None:
        self.process(41, "driver", mapped="dev/huge/buffers")
        self.expect(DONE, "explain", "--size", "2M", says="4 are in use. Processes have 3 in their page tables")

    def test_mount_that_cannot_be_reached_is_told(self) -> None:
        self.mounts("30 20 0:91 / /dev/\033hidden rw - hugetlbfs none rw,pagesize=2M")
        self.expect(DONE, "explain", "--size", "2M", says="/dev/\\033hidden cannot be looked at, so its pages are "
                    "not counted: another mount lies over it")

    def test_file_that_cannot_be_looked_at_is_told(self) -> None:
        self.hugetlbfs("buffers", "buffers.error")
        self.stingy("explain", "--size", "2M", code=DONE, says="/dev/huge/buffers cannot be looked at, so its pages "
                    "are not counted: Input/output error")

    def test_promised_pages_and_to_whom(self) -> None:
        self.file(f"{SIZES}/{MB2}/resv_hugepages", "1\n")
        self.process(41, "driver", mapped="dev/huge/buffers")
        self.process(42, "sleeper", mapped="dev/huge/buffers")
        (self.root / "proc/42/task/42/numa_maps").unlink()
        text = self.expect(DONE, "explain", says="1 are promised to mappings that have not touched them yet. "
                           "Free pages for others: 1.")
        self.assertIn("process 42 (sleeper) maps 4M and has touched 0B", text)
        self.assertNotIn("process 41", text)

    def test_surplus_and_overcommit(self) -> None:
        text = self.expect(DONE, "explain", says="1 are surplus")
        self.assertNotIn("Up to", text)
        self.file(f"{SIZES}/{MB2}/nr_overcommit_hugepages", "9\n")
        self.expect(DONE, "explain", says="Up to 9 surplus pages may be had")

    def test_none_left_is_told(self) -> None:
        self.node(0, MB2, 6, 0, 0)
        self.expect(DONE, "explain", "--size", "2M", says="None is left, and none may be had beyond")

    def test_free_memory_in_one_piece_and_scattered(self) -> None:
        text = self.expect(DONE, "explain", says="Node 0 has 18M of memory free, 7 pages of 2M of it in one piece")
        self.assertIn("no list of free pieces as large as 1G", text)

    def test_cgroups_with_a_limit(self) -> None:
        for group, most in (("a.slice/b.service", "4194304"), ("free.slice", "max")):
            self.file(f"sys/fs/cgroup/{group}/hugetlb.2MB.max", f"{most}\n")
            self.file(f"sys/fs/cgroup/{group}/hugetlb.2MB.current", "2097152\n")
        text = self.expect(DONE, "explain",
                           says="The cgroup /a.slice/b.service may have no more than 4M, and now has 2M.")
        self.assertEqual(text.count("The cgroup"), 1)


class Alias(Case):
    """The words of uPCIe's command."""

    def test_setup_is_reserve_by_count(self) -> None:
        self.expect(DONE, "setup", "--count", "3")
        self.assertEqual(self.pages(), (2, 1))
        self.expect(DONE, "setup", "--size", "1048576", "--count", "1")
        self.assertEqual(self.pages(GB1), (1, 0))
        self.expect(DONE, "setup", "--size", "1G", "--count", "0")
        self.assertEqual(self.pages(GB1), (1, 0))

    def test_setup_without_count_is_usage(self) -> None:
        for words in ((), ("3",), ("--count", "1M"), ("--count", "1", "--node", "0")):
            self.expect(USAGE, "setup", *words)
        for count in ("-5", "+5", "0:2", ""):
            self.expect(USAGE, "setup", f"--count={count}", says="not a number of pages")
        self.expect(NOT_FOUND, "setup", "--count", "1", "--size", "2")

    def test_one_mount_point_and_no_other(self) -> None:
        self.expect(USAGE, "mount", "--dry-run", "--mountpoint", "/a", "/b", says="--mountpoint /a and /b: one of them")

    def test_mount_by_their_names_of_its_options(self) -> None:
        self.expect(DONE, "mount", "--dry-run", "--mountpoint", "/huge", "--pagesize", "1048576",
                    says="mount -t hugetlbfs -o nosuid,nodev,pagesize=1073741824 hugepages /huge")
        self.expect(DONE, "mount", "--dry-run", says=" hugepages /dev/hugepages\n")


class Mount(Case):
    def setUp(self) -> None:
        super().setUp()
        self.hugetlbfs(options="gid=6,mode=1770,pagesize=2M,size=4194304")

    def test_dry_run_prints_what_would_be_done(self) -> None:
        (self.root / "run").mkdir()
        text = self.expect(DONE, "mount", "--dry-run", "--size", "1G", "--uid", "root", "--gid", "6", "--mode",
                           "1770", "--limit", "2G", "--inodes", "9", "/run/huge")
        self.assertEqual(text, "mkdir /run/huge\nmount -t hugetlbfs -o nosuid,nodev,pagesize=1073741824,uid=0,gid=6,"
                         "mode=1770,size=2147483648,nr_inodes=9 hugepages /run/huge\n")
        self.assertFalse((self.root / "run/huge").exists())

    def test_dry_run_quotes_names_for_a_shell(self) -> None:
        name = "/run/$(id) it's"
        quoted = shlex.quote(name).replace("\'\"\'\"\'", r"'\''")
        (self.root / "run").mkdir()
        text = self.expect(DONE, "mount", "--dry-run", name)
        self.assertEqual([shlex.split(line)[-1] for line in text.splitlines()], [name, name])
        self.assertEqual(text.splitlines()[0], f"mkdir {quoted}")
        self.mounts(f"30 20 {self.device()} / /run/$(id)\\040it's rw - hugetlbfs none rw,pagesize=2M")
        (self.root / name[1:]).mkdir()
        self.assertEqual(self.expect(DONE, "unmount", "--dry-run", name), f"umount {quoted}\n")

    def test_names_do_not_steer_the_terminal(self) -> None:
        name, shown = "/run/\033[2J\n'\\", "/run/\\033[2J\\012'\\134"
        (self.root / name[1:]).mkdir(parents=True)
        self.expect(DONE, "unmount", name, says=f"{shown}: nothing is mounted there\n")
        self.mounts("30 20 0:9 / /run/\033[2J\\012'\\134 rw - tmpfs none rw")
        for command in ("mount", "unmount"):
            self.expect(IN_USE, command, name, says=f"{shown}: tmpfs is mounted there")
        self.mounts("30 20 0:9 / /run/\033[2J\\012'\\134 rw - hugetlbfs none rw,pagesize=2M")
        self.expect(DONE, "mount", name, says=f"{shown}: is mounted already")
        self.expect(IN_USE, "mount", "--size", "1G", name, says=f"{shown}: mounted with pagesize=")
        text = self.expect(DONE, "unmount", "--dry-run", "--force", name, says="umount $'/run/\\033[2J\\012")
        read = subprocess.run(["bash", "-c", f"umount() {{ printf %s \"$1\"; }}; {text}"], capture_output=True,
                              text=True, check=True)
        self.assertEqual(read.stdout, name)
        self.expect(FAILED, "mount", "/run/\033/absent/x", says="/run/\\033/absent/x: ")

    def test_the_same_that_is_there_is_done(self) -> None:
        for words in ((), ("--mode", "1770"), ("--gid", "6", "--uid", "0", "--limit", "4M")):
            self.expect(DONE, "mount", *words, "/dev/huge", says="is mounted already")

    def test_another_that_is_there_is_told_with_what_differs(self) -> None:
        for words, says in ((("--size", "1G"), "with pagesize=2097152, not 1073741824"),
                            (("--mode", "755"), "with mode=1770, not 755"), (("--uid", "3"), "with uid=0, not 3"),
                            (("--limit", "2M"), "with size=4194304, not 2097152"),
                            (("--inodes", "3"), "without nr_inodes=")):
            with self.subTest(words=words):
                self.expect(IN_USE, "mount", *words, "/dev/huge", says=says)

    def test_another_type_is_told(self) -> None:
        self.mounts("30 20 0:9 / /dev/huge rw - tmpfs none rw")
        self.expect(IN_USE, "mount", "/dev/huge", says="tmpfs is mounted there")
        self.expect(IN_USE, "unmount", "/dev/huge", says="tmpfs is mounted there")

    def test_of_several_mounts_the_last_counts(self) -> None:
        self.mounts("30 20 0:9 / /dev/huge rw - tmpfs none rw",
                    "31 30 0:8 / /dev/huge rw - hugetlbfs none rw,pagesize=2M")
        self.expect(DONE, "mount", "/dev/huge")

    def test_wrong_options_are_usage(self) -> None:
        for words in (("--mode", "888"), ("--mode", "7777"), ("--mode", ""), ("--uid", "nobody-such"),
                      ("--limit", "3M"), ("--limit", "0"), ("--inodes", "many"), ("--force",), ("a", "b")):
            with self.subTest(words=words):
                self.expect(USAGE, "mount", *words)

    def test_unmount_of_what_is_not_mounted_is_done(self) -> None:
        self.expect(DONE, "unmount", "/run", says="nothing is mounted there")
        self.expect(DONE, "unmount", "/nosuch", says="nothing is mounted there")

    def test_unmount_would_lose_files(self) -> None:
        self.hugetlbfs("buffers", "pool/control")
        self.expect(IN_USE, "unmount", "--dry-run", "/dev/huge", says="2 files are there, and would be lost")
        self.expect(DONE, "unmount", "--dry-run", "--force", "/dev/huge", says="umount /dev/huge")

    def test_what_cannot_be_looked_at_is_named_and_how_to_lose_it(self) -> None:
        self.hugetlbfs("buffers", "buffers.error")
        text = self.stingy("unmount", "--dry-run", "/dev/huge", code=FAILED,
                           says="/dev/huge/buffers: Input/output error")
        self.assertIn("what to do: --force", text)
        self.stingy("unmount", "--dry-run", "--force", "/dev/huge", code=DONE)


class Reap(Case):
    """Files: one that a process has mapped, one open, two that nobody has, and an idle named pool."""

    ORPHANS = ("rtemap_0", "spdk_pid77map_3")

    def setUp(self) -> None:
        super().setUp()
        self.hugetlbfs("mapped", "open", "pool/control", "pool/0", *self.ORPHANS)
        self.process(41, "driver", mapped="dev/huge/mapped")
        self.process(42, "keeper", has_open="dev/huge/open")
        (self.root / "proc/self/ns").mkdir()
        (self.root / "proc/self/ns/pid").symlink_to("pid:[4026531836]")

    def there(self) -> list[str]:
        top = self.root / "dev/huge"
        return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())

    def test_without_a_pattern_orphans_are_listed_with_owner_age_and_maker(self) -> None:
        before = self.there()
        os.utime(self.root / "dev/huge/rtemap_0", (0, time.time() - 3 * 86400 - 5))
        text = self.expect(DONE, "reap", says="/dev/huge/rtemap_0: 0B, of root, 3 days old; by its name DPDK left it, "
                           "with the prefix rte\n")
        self.assertIn("SPDK's process 77 left it", text)
        self.assertEqual([name for name in before if f"/{name}:" in text], list(self.ORPHANS))
        self.assertEqual(self.there(), before)

    def test_what_matches_goes_and_nothing_else(self) -> None:
        self.expect(DONE, "reap", "/dev/huge/rte*", says="removed /dev/huge/rtemap_0")
        self.assertEqual(self.there(), ["mapped", "open", "pool/0", "pool/control", "spdk_pid77map_3"])

    def test_wildcard_means_no_name_that_begins_with_a_dot(self) -> None:
        self.file("dev/huge/.hidden", "")
        self.expect(IN_USE, "reap", "/dev/huge/*")
        self.assertIn(".hidden", self.there())
        self.expect(DONE, "reap", "/dev/huge/.h*")
        self.assertNotIn(".hidden", self.there())

    def test_what_another_file_system_over_the_mount_has_is_no_orphan(self) -> None:
        self.mounts("30 20 0:9999 / /dev/huge rw,relatime shared:5 - hugetlbfs none rw,pagesize=2M")
        before = self.there()
        for words in ((), ("/dev/huge/rtemap_0",)):
            text = self.expect(FAILED, "reap", *words, says="/dev/huge: another mount lies over it")
            self.assertNotIn("rtemap_0", text)
        self.assertEqual(self.there(), before)

    def mounted_twice(self, root: str, path: str) -> None:
        """The file system with the files, and before that the same, or its directory @root, at @path."""
        self.mounts(f"30 20 {self.device()} {root} {path} rw - hugetlbfs none rw,pagesize=2M",
                    f"31 20 {self.device()} / /dev/huge rw - hugetlbfs none rw,pagesize=2M")

    def test_file_system_is_walked_where_it_can_be_reached(self) -> None:
        self.mounted_twice("/", "/nowhere")
        self.expect(DONE, "reap", says="/dev/huge/rtemap_0: 0B")
        self.expect(DONE, "reap", "/dev/huge/rtemap_0", says="removed /dev/huge/rtemap_0")

    def test_file_system_is_walked_where_all_of_it_is_seen(self) -> None:
        (self.root / "part").mkdir()
        self.mounted_twice("/pool", "/part")
        self.expect(DONE, "reap", says="/dev/huge/rtemap_0: 0B")
        (self.root / "dev/huge").rename(self.root / "dev/was")
        self.expect(DONE, "reap", says="no file that nobody has open")

    def test_dry_run_removes_nothing(self) -> None:
        before = self.there()
        self.expect(DONE, "reap", "--dry-run", "/dev/huge/rtemap_0", says="rm /dev/huge/rtemap_0\n")
        self.assertEqual(self.there(), before)

    def test_dry_run_can_be_given_to_a_shell(self) -> None:
        evil = "$(touch precious) `id`; 'x' \\\n"
        self.file(f"dev/huge/{evil}", "")
        text = self.expect(DONE, "reap", "--dry-run", "/dev/huge/$*")
        self.assertEqual(shlex.split(text), ["rm", f"/dev/huge/{evil}"])
        script = text.replace("/dev/huge", f"{self.root}/dev/huge")
        subprocess.run(["sh", "-c", script], check=True, cwd=self.root)
        self.assertEqual([name for name in self.there() if "precious" in name], [])
        self.assertFalse((self.root / "precious").exists())

    def test_what_somebody_has_stays_and_is_told(self) -> None:
        text = self.expect(IN_USE, "reap", "/dev/huge/*", says="mapped: process 41 (driver) has it mapped")
        self.assertIn("open: process 42 (keeper) has it open", text)
        self.assertEqual(self.there(), ["mapped", "open", "pool/0", "pool/control"])

    def test_named_pool_that_nobody_keeps_stays(self) -> None:
        self.expect(IN_USE, "reap", "/dev/huge/pool/*", "/dev/huge/pool/0", says="of a named pool")
        self.assertIn("pool/0", self.there())

    def test_control_of_another_than_the_directorys_owner_hides_nothing(self) -> None:
        self.file("dev/huge/control", "")
        os.chown(self.root / "dev/huge/control", 65534, -1)
        self.expect(DONE, "reap", says='rte; kept for a file "control" beside it, not of the directory\'s owner\n')
        self.expect(IN_USE, "reap", "/dev/huge/rtemap_0", says="reap that file first")
        self.assertIn("rtemap_0", self.there())
        self.expect(DONE, "reap", "/dev/huge/control", says="removed /dev/huge/control")
        self.expect(DONE, "reap", "/dev/huge/rtemap_0", says="removed /dev/huge/rtemap_0")

    def test_names_do_not_steer_the_terminal(self) -> None:
        evil = "\033]0;x\a\u009b2J\\ü"
        self.file(f"dev/huge/{evil}", "")
        shown = "/dev/huge/\\033]0;x\\007\\302\\2332J\\134ü"
        self.expect(DONE, "reap", says=f"{shown}: 0B")
        self.process(45, "\033[2J", mapped=f"dev/huge/{evil}")
        self.expect(IN_USE, "reap", f"/dev/huge/{evil[:4]}*", says=f"{shown}: process 45 (\\033[2J) has it mapped")
        self.expect(DONE, "info", says="process 45 (\\033[2J) maps 4M")

    def test_what_could_not_be_done_outweighs_what_is_in_use(self) -> None:
        top = self.root / "dev/huge"
        first, *_, last = (name for name in os.listdir(top) if (top / name).is_file())
        self.file(f"dev/huge/{first}.error", "")
        self.process(45, "late", mapped=f"dev/huge/{last}")
        self.stingy("reap", f"/dev/huge/{last}", code=FAILED, says="has it mapped")

    def test_pool_that_was_being_removed_is_no_pool(self) -> None:
        (self.root / "dev/huge/pool/control").unlink()
        self.expect(DONE, "reap", "/dev/huge/pool/*", says="removed /dev/huge/pool/0")

    def test_no_match_is_not_found(self) -> None:
        self.expect(NOT_FOUND, "reap", "/dev/huge/*/x", "rtemap_0", says="no file on a hugetlbfs mount matches")

    def test_nothing_goes_while_a_process_cannot_be_looked_at(self) -> None:
        before = self.there()
        (self.root / "proc/42/task/42/fd/5").unlink()
        (self.root / "proc/42/task/42/fd").rmdir()
        self.file("proc/42/task/42/fd", "")  # no directory: as good as no permission
        for words in ((), ("--dry-run",)):
            text = self.expect(PERMISSION, "reap", *words, "/dev/huge/*", says="1 processes could not be looked at")
            self.assertNotIn("rtemap_0", text)
        self.assertEqual(self.there(), before)
        text = self.expect(PERMISSION, "reap", says="1 processes could not be looked at")
        self.assertIn("/dev/huge/rtemap_0: ", text)

    def test_nothing_goes_while_a_descriptor_or_a_map_cannot_be_read(self) -> None:
        before = self.there()
        loop = self.root / "proc/42/task/42/fd/6"
        loop.symlink_to(loop)  # ELOOP, where the kernel may say EIO
        self.expect(PERMISSION, "reap", "/dev/huge/rte*", says="1 processes could not be looked at")
        loop.unlink()
        maps = self.root / "proc/41/task/41/maps"
        maps.unlink()
        maps.mkdir()  # opens, and cannot be read
        self.expect(PERMISSION, "reap", "/dev/huge/rte*", says="1 processes could not be looked at")
        maps.rmdir()
        self.file("proc/41/task/41/maps", "55d0-55e0 in words of tomorrow\n")
        self.expect(PERMISSION, "reap", "/dev/huge/rte*", says="1 processes could not be looked at")
        self.assertEqual(self.there(), before)

    def test_descriptor_that_was_closed_and_thread_that_ended_meanwhile_hide_nothing(self) -> None:
        (self.root / "proc/42/task/42/fd/6").symlink_to(self.root / "closed")
        (self.root / "proc/42/task/44").mkdir()
        self.expect(DONE, "reap", "/dev/huge/rte*")

    def test_what_another_thread_has_stays_when_the_leader_has_ended(self) -> None:
        self.hugetlbfs("mapped", "open", "pool/control", "pool/0", *self.ORPHANS, "theirs", "its_own")
        self.process(45, "orphaned")
        self.file("proc/45/task/45/maps", "")
        self.process(45, "orphaned", mapped="dev/huge/theirs", thread=46)
        self.process(45, "orphaned", has_open="dev/huge/its_own", thread=47)
        text = self.expect(IN_USE, "reap", "/dev/huge/*", says="theirs: process 45 (orphaned) has it mapped")
        self.assertIn("its_own: process 45 (orphaned) has it open", text)
        self.assertEqual(self.there(), ["its_own", "mapped", "open", "pool/0", "pool/control", "theirs"])

    def test_nothing_goes_in_a_container(self) -> None:
        (self.root / "proc/self/ns/pid").unlink()
        (self.root / "proc/self/ns/pid").symlink_to("pid:[4026532999]")
        self.expect(PERMISSION, "reap", "/dev/huge/*", says="this is a container")
        self.assertIn("rtemap_0", self.there())

    def test_file_that_is_open_though_proc_does_not_show_it_stays(self) -> None:
        file = (self.root / "dev/huge/rtemap_0").open("r+b")
        self.addCleanup(file.close)
        self.expect(IN_USE, "reap", "/dev/huge/rtemap_0", says="the kernel says that it is open")
        self.assertIn("rtemap_0", self.there())

    def test_links_are_not_followed(self) -> None:
        self.file("precious", "")
        (self.root / "dev/huge/link").symlink_to(self.root / "precious")
        (self.root / "dev/huge/below").symlink_to(self.root)
        self.expect(NOT_FOUND, "reap", "/dev/huge/link", "/dev/huge/*/precious")
        self.assertTrue((self.root / "precious").exists())

    def test_directory_that_a_user_swaps_leads_nowhere_else(self) -> None:
        """u/0 is pool/0 by another name; u becomes a link to the pool once it was found to be none."""
        top = self.root / "dev/huge"
        (top / "u").mkdir()
        os.link(top / "pool/0", top / "u/0")
        (top / "u/control.swap").symlink_to(top / "pool")
        self.stingy("reap", "/dev/huge/u/0", code=DONE, says="removed /dev/huge/u/0")
        self.assertTrue((top / "u").is_symlink())
        self.assertEqual(os.listdir(top / "u.was"), [])
        self.assertIn("pool/0", self.there())

    def test_directory_that_vanishes_ends_nothing(self) -> None:
        top = self.root / "dev/huge"
        for name in ("a", "z"):  # one of them is read before the file, or both are
            (top / name).mkdir()
            (top / f"{name}.gone").touch()
        self.stingy("reap", "/dev/huge/rte*", "/dev/huge/[az]/*", code=DONE, says="removed /dev/huge/rtemap_0")
        self.assertFalse((top / "a").exists() or (top / "z").exists())

    def test_directories_deeper_than_there_are_descriptors_are_told_and_the_others_gone_through(self) -> None:
        (self.root / ("dev/huge/" + "d/" * 60)).mkdir(parents=True)
        self.expect(FAILED, "reap", "/dev/huge/rte*", "/dev/huge/spdk*", says="d/d/d: Too many open files",
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
        self.assertEqual(self.there(), ["mapped", "open", "pool/0", "pool/control"])

    def test_pool_that_cannot_be_told_from_others_is_kept(self) -> None:
        self.file("dev/huge/u/0", "")
        self.file("dev/huge/u/control.error", "")
        self.stingy("reap", "/dev/huge/u/0", "/dev/huge/rte*", code=FAILED, says="/dev/huge/u/0: Input/output error")
        text = self.stingy("reap", code=FAILED, says="/dev/huge/u/0: Input/output error")
        self.assertNotIn("/dev/huge/u/0: 0B", text)
        self.assertIn("u/0", self.there())
        self.assertNotIn("rtemap_0", self.there())

    def test_file_that_cannot_be_looked_at_is_told_and_the_others_go(self) -> None:
        self.file("dev/huge/rtemap_0.error", "")
        self.stingy("reap", "/dev/huge/spdk*", code=FAILED, says="/dev/huge/rtemap_0: Input/output error")
        self.assertNotIn("spdk_pid77map_3", self.there())

    def test_name_that_is_another_files_by_then_is_kept(self) -> None:
        top = self.root / "dev/huge"
        for moment in ("swap", "later"):  # before it is opened, and when it is about to go
            with self.subTest(moment=moment):
                (top / f"rtemap_0.{moment}").write_text(moment)
                self.stingy("reap", "/dev/huge/rtemap_0", code=IN_USE, says="another file has that name by now")
                self.assertEqual((top / "rtemap_0").read_text(), moment)


    def test_file_that_has_another_name_by_then_is_kept_and_told(self) -> None:
        top = self.root / "dev/huge"
        (top / "rtemap_0.away").write_text("")
        (top / "rtemap_0").write_text("moved")
        self.stingy("reap", "/dev/huge/rtemap_0", code=IN_USE, says="or the file another name: kept")
        self.assertEqual((top / "rtemap_0.left").read_text(), "moved")


class RealMount(unittest.TestCase):
    """The real kernel, in a mount namespace of our own: the machine's mounts are not touched."""

    def setUp(self) -> None:
        probe = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "hugetlbfs", "none", "/mnt"]
        if subprocess.run(probe, capture_output=True, check=False).returncode:
            self.skipTest("needs the right to mount")
        self.dir = Path(tempfile.mkdtemp(prefix="hugepages-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """In one namespace; $H is the program, $D a directory."""
        return subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], text=True,
                              capture_output=True, check=False,
                              env={**os.environ, "H": PROGRAM, "D": str(self.dir / "huge")})

    def test_there_and_back_each_twice(self) -> None:
        done = self.shell("set -e; for i in 1 2; do $H mount --size 2M --gid 6 --mode 1770 --limit 8M --inodes 5 $D;"
                          " done; grep -c $D /proc/self/mountinfo; stat -c '%a %g' $D;"
                          " for i in 1 2; do $H unmount $D; done; grep -c $D /proc/self/mountinfo || :")
        self.assertEqual((done.returncode, done.stderr), (DONE, ""))
        for line in ("1", "1770 6", f"{self.dir}/huge: unmounted", f"{self.dir}/huge: nothing is mounted there", "0"):
            self.assertIn(line, done.stdout.splitlines())
        self.assertIn("is mounted already", done.stdout)

    def test_what_differs_is_found_on_a_real_mount(self) -> None:
        done = self.shell("$H mount --size 2M --limit 8M $D >/dev/null; $H mount --size 2M --limit 4M $D")
        self.assertEqual(done.returncode, IN_USE)
        self.assertIn("mounted with size=8388608, not 4194304", done.stderr)

    def test_mount_with_someone_in_it_is_in_use(self) -> None:
        done = self.shell("$H mount --size 2M $D >/dev/null; cd $D || exit 9; $H unmount $D; echo $?;"
                          " touch file; sleep 100 <file & $H unmount --force $D; echo $?; kill $!")
        self.assertEqual(done.stdout.split(), [str(IN_USE), str(IN_USE)], done.stderr)
        self.assertIn("(sleep) uses a file there", done.stderr)

    def test_mount_that_another_lies_over_is_told_and_stays(self) -> None:
        done = self.shell("mkdir -p $D && $H mount --size 2M $D/huge >/dev/null && mount -t tmpfs none $D &&"
                          " mkdir $D/huge; $H unmount $D/huge; echo $?; $H unmount --force $D/huge; echo $?;"
                          " umount $D && $H unmount $D/huge")
        self.assertEqual(done.stdout.split("\n")[:2], [str(FAILED), str(FAILED)], done.stderr)
        self.assertEqual(done.stderr.count("huge: another mount lies over it"), 2)
        self.assertIn("huge: unmounted", done.stdout)

    def test_failed_mount_leaves_no_directory(self) -> None:
        done = self.shell("setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin $H mount $D")
        self.assertEqual(done.returncode, PERMISSION, done.stderr)
        self.assertFalse((self.dir / "huge").exists())


class RealProcess(unittest.TestCase):
    """One with many threads and many descriptors, whose table all of them share."""

    MANY = """if True:
        import ctypes, os, sys, threading
        for _ in range(500):
            os.dup(0)
        for _ in range(300):
            threading.Thread(target=threading.Event().wait).start()
        print("ready", flush=True)
        if sys.argv[1] == "ends":
            ctypes.CDLL(None).pthread_exit(None)
        threading.Event().wait()"""

    def time_to_look(self, leader: str) -> float:
        """Seconds of CPU that `info` takes while the first thread of that process ends, or stays."""
        with subprocess.Popen([sys.executable, "-c", self.MANY, leader], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE) as process:
            self.addCleanup(process.kill)
            assert process.stdout
            process.stdout.readline()
            stat = Path(f"/proc/{process.pid}/stat")
            while leader == "ends" and stat.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.01)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            run("info")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            process.kill()
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def test_descriptors_are_read_once_though_the_leader_has_ended(self) -> None:
        # A virtual processor is charged for what its host took, now and then: the least of three.
        ends, stays = (min(self.time_to_look(leader) for _ in range(3)) for leader in ("ends", "stays"))
        self.assertLess(ends, 3 * stays + 0.05)


class RealKernel(unittest.TestCase):
    """A few pages more than there are, and back."""

    def setUp(self) -> None:
        if os.geteuid() != 0 or not os.access(f"/{SIZES}/{MB2}/nr_hugepages", os.W_OK):
            self.skipTest("needs root and a writable /sys")
        self.dir = Path(tempfile.mkdtemp(prefix="hugepages-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def total(self) -> int:
        return int(Path(f"/{SIZES}/{MB2}/nr_hugepages").read_text())

    def test_reserve_and_restore(self) -> None:
        before, saved = self.total(), self.dir / "saved"
        done = run("reserve", "--size", "2M", "--pages", "--save", str(saved), str(before + 3))
        if done.returncode == SHORT:
            self.skipTest(f"no three free hugepages here: {done.stderr}")
        self.assertEqual(done.returncode, DONE, done.stderr)
        try:
            self.assertEqual(self.total(), before + 3)
        finally:
            back = run("restore", str(saved))
        self.assertEqual((back.returncode, self.total()), (DONE, before), back.stderr)

    def test_plain_user_is_not_permitted(self) -> None:
        program = shutil.copy(PROGRAM, self.dir)  # where nobody can reach it
        os.chmod(self.dir, 0o755)
        done = subprocess.run([program, "reserve", "--pages", str(self.total() + 1)], text=True,
                              capture_output=True, check=False, user="nobody", cwd="/")
        self.assertEqual(done.returncode, PERMISSION, done.stderr)
        self.assertIn("run as root", done.stderr)


if __name__ == "__main__":
    unittest.main()
