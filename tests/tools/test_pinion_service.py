#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""pinion with the real piniond, and processes at work: each command does what it says and tells what is so, to who may
know. See with_service.py for what is to be named.

For most of the time the device process is stopped with one buffer on its way to it: so all that is told can be known.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from terminal import OnTerminal  # noqa: E402
from with_service import BUFFERS, CONFIGURATION, KEPT, NOBODY, PART, UNDER_WAY, WithService, until  # noqa: E402

DONE, FAILED, USAGE, NOT_FOUND, IN_USE, PERMISSION, SHORT = range(7)
STRANGER = 64998  # in no rule
FREE_PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
NODE_PAGES = "/sys/devices/system/node/node{}/hugepages/hugepages-2048kB/free_hugepages"


class Asking(WithService):
    def test_ls_is_a_line_for_each_pool_device_and_member(self) -> None:
        self.work()
        self.stop_with_one_under_way()
        held = KEPT + UNDER_WAY
        number = {one: str(self.member_of(one)["number"]) for one in (self.device, self.far, self.client)}
        lines = [line.split() for line in self.expect(DONE, "ls").split("\n")]
        self.assertIn(["buffers", "4M", str(BUFFERS), str(BUFFERS - held), str(held), "3"], lines)
        self.assertIn(["echo:0", "buffers", number[self.device], str(self.device.pid), "ready"], lines)
        self.assertIn(["far:0", "buffers", number[self.far], str(self.far.pid), "ready"], lines)
        for process, role, has in ((self.device, "device", 0), (self.far, "device", 0), (self.client, "client", held)):
            self.assertIn(["buffers", number[process], str(process.pid), "service_part", role, str(has), "live"], lines)
        self.assertEqual(json.loads(self.expect(DONE, "ls --json"))["pools"], self.stat()["pools"])

    def test_stat_tells_what_is_so(self) -> None:
        self.work()
        self.stop_with_one_under_way()
        told, pool = self.stat(), self.pool()
        held = KEPT + UNDER_WAY
        self.assertEqual((told["pid"], told["restarts"]), (self.service.pid, 0))
        self.assertEqual({name: told["counters"][name] for name in ("attached", "deaths", "left", "punched")},
                         {"attached": 1, "deaths": 0, "left": 0, "punched": 0})
        resident = Path(f"/proc/{self.service.pid}/statm").read_text().split()[1]
        self.assertLess(abs(told["rss"] - int(resident) * os.sysconf("SC_PAGESIZE")), 4 << 20)
        self.assertEqual((pool["bytes"], pool["template"], pool["damaged"]), (4 << 20, False, False))
        self.assertEqual([(one["slot"], one["page_size"], one["buffer_size"], one["len"], one["nr"], one["free"])
                          for one in pool["segments"]], [(0, 4096, 4096, 4 << 20, BUFFERS, BUFFERS - held)])
        self.assertEqual([(one["total"], one["free"], one["held"]) for one in pool["zones"]],
                         [(BUFFERS, BUFFERS - held, held)])
        client, device = self.member_of(self.client), self.member_of(self.device)
        self.assertEqual({key: client[key] for key in client if key != "number"},
                         {"pid": self.client.pid, "uid": NOBODY, "gid": NOBODY, "command": "service_part",
                          "role": "client", "state": "live", "connected": True, "held": held, "held_by_zone": [held],
                          "quota": 1 << 20})
        self.assertEqual([(device["uid"], device["role"], device["held"], device["quota"])], [(0, "device", 0, 0)])
        self.assertEqual([(one["client"], one["device"], one["to_device"], one["to_client"])
                          for one in pool["channels"]], [(client["number"], device["number"], UNDER_WAY, 0)])
        self.assertEqual({(one["name"], one["pid"], one["pool"], one["bdf"], one["ready"], one["parked"])
                          for one in told["devices"]},
                         {("echo:0", self.device.pid, "buffers", "-", True, False),
                          ("far:0", self.far.pid, "buffers", "-", True, False)})

    def test_stat_as_text_has_all_that_is_in_the_json(self) -> None:
        self.work()
        self.stop_with_one_under_way()
        text, pool = self.expect(DONE, "stat"), self.pool()
        lines = [line.split() for line in text.split("\n")]
        self.assertIn(f"process {self.service.pid}, ", text)
        self.assertIn("\npool buffers, 4M\n", text)
        segment, zone, channel = (pool[key][0] for key in ("segments", "zones", "channels"))
        self.assertIn(["0", str(segment["node"]), "4K", "4K", "4M", "1024", str(segment["free"]), "used"], lines)
        self.assertIn(["0", str(zone["node"]), "4K", "4K", "1024", str(zone["free"]), str(zone["held"])], lines)
        self.assertIn([str(channel[key]) for key in ("number", "client", "device", "slots", "to_device", "to_client")],
                      lines)
        for one in pool["members"]:
            self.assertIn([str(one["number"]), str(one["pid"]), str(one["uid"]), str(one["gid"]), str(one["held"]),
                           "1M" if one["quota"] else "none", one["role"], one["command"], "live"], lines)

    def test_addr_is_where_each_device_has_the_buffer(self) -> None:
        self.work()
        # As pretend.h has it: the first segment at 4 GiB.
        self.assertEqual(self.expect(DONE, "addr buffers 3"), "DOMAIN  KIND      ADDRESS\nfar:0   iova  0x100003000\n")
        self.assertEqual(json.loads(self.expect(DONE, "addr --json buffers 0")),
                         {"addresses": [{"domain": "far:0", "kind": "iova", "address": "0x100000000"}]})
        self.expect(NOT_FOUND, "addr buffers 1024", "no buffer 1024")
        self.expect(NOT_FOUND, "addr nosuch 0", "there is no pool nosuch")
        self.end(self.far)
        until(lambda: self.expect(DONE, "addr buffers 3") == "no device has it mapped\n")

    def test_addr_has_a_line_for_each_device(self) -> None:
        self.work()
        self.begin(PART, "addresses", "1")
        until(lambda: [one["ready"] for one in self.stat()["devices"]] == [True, True, True])
        lines = [line.split() for line in self.expect(DONE, "addr buffers 3").splitlines()]
        self.assertEqual(lines[0], ["DOMAIN", "KIND", "ADDRESS"])
        self.assertEqual(sorted(lines[1:]), [["far:0", "iova", "0x100003000"], ["far:1", "iova", "0x10100003000"]])
        self.end(self.far)
        until(lambda: "far:0" not in self.expect(DONE, "addr buffers 3"))
        self.assertIn("0x10100003000", self.expect(DONE, "addr buffers 3"))

    def test_addr_has_no_line_for_a_device_that_does_not_have_the_buffer_yet(self) -> None:
        self.work()
        self.expect(DONE, "pool grow buffers 2M")
        self.assertEqual(self.expect(DONE, f"addr buffers {BUFFERS}"), "no device has it mapped\n")
        self.expect(DONE, "addr buffers 3", "far:0   iova  0x100003000\n")

    def test_doctor_says_whether_the_service_answers(self) -> None:
        def finding() -> list[tuple[str, bool]]:
            found = json.loads(self.ask("doctor", "--json").stdout)["findings"]
            return [(one["grade"], "systemctl start piniond" in (one["mend"] or ""))
                    for one in found if one["topic"] == "service"]
        self.assertEqual(finding(), [("ok", False)])
        self.end(self.service)
        self.assertEqual(finding(), [("fail", True)])

    def test_without_the_service_each_command_says_so(self) -> None:
        self.end(self.service)
        for line in ("ls", "stat", "stat --json", "top --once", "addr buffers 0", "pool create a 4M 4K",
                     "pool grow a 2M", "pool retire a 1", "pool destroy a", "member kick buffers 1"):
            with self.subTest(line=line):
                text = self.expect(NOT_FOUND, line, "does piniond run")
                self.assertIn("what to do: start it: systemctl start piniond", text)


class Ordering(WithService):
    def test_a_pool_grows_and_shrinks_again(self) -> None:
        self.work()
        for order, lens, size in (("grow buffers 2M", [4 << 20, 2 << 20], "6M"), ("retire buffers 1", [4 << 20], "4M"),
                                  ("grow buffers 1M 0", [4 << 20, 1 << 20], "5M")):
            self.assertEqual(self.expect(DONE, f"pool {order}"), "")
            self.assertEqual([one["len"] for one in self.pool()["segments"]], lens)
            self.assertIn(f"buffers     {size} ", self.expect(DONE, "ls"))
        self.assertEqual(self.pool()["zones"][0]["total"], BUFFERS + 256)
        self.assertTrue(self.progress())
        self.expect(NOT_FOUND, "pool grow nosuch 2M", "there is no pool nosuch")
        self.expect(FAILED, "pool grow buffers 5000", "not a multiple of the page size")
        self.stop_with_one_under_way()
        self.expect(IN_USE, "pool retire buffers 0", "buffers are held")

    def test_a_pool_grows_when_its_first_segment_has_gone(self) -> None:
        def kept() -> list[tuple[int, ...]]:
            return [tuple(one[key] for key in ("slot", "page_size", "buffer_size", "len"))
                    for one in self.pool()["segments"]]
        self.expect(DONE, "pool grow buffers 2M")
        self.expect(DONE, "pool retire buffers 0")
        self.assertEqual(kept(), [(1, 4096, 4096, 2 << 20)])
        self.expect(DONE, "pool grow buffers 1M")
        self.assertEqual(sorted(kept()), [(0, 4096, 4096, 1 << 20), (1, 4096, 4096, 2 << 20)])
        self.expect(DONE, "pool retire buffers 0")
        self.expect(DONE, "pool retire buffers 1")
        self.expect(FAILED, "pool grow buffers 1M", "no segment to take the shape of")

    def test_a_pool_is_made_and_ends(self) -> None:
        if int(FREE_PAGES.read_text()) < 16:
            self.skipTest("16 free hugepages of 2 MiB are needed: hugepages reserve 32M")
        self.assertEqual(self.expect(DONE, "pool create extra 4M 64K 0"), "")
        extra = self.pool("extra")
        self.assertEqual([(one["page_size"], one["buffer_size"], one["node"], one["len"], one["nr"])
                          for one in extra["segments"]], [(2 << 20, 64 << 10, 0, 4 << 20, 64)])
        self.expect(IN_USE, "pool create extra 4M 64K", "there is a pool extra")
        self.assertEqual(self.expect(DONE, "pool destroy extra"), "")
        self.assertNotIn("extra", self.expect(DONE, "ls"))
        self.expect(NOT_FOUND, "pool destroy extra", "there is no pool extra")

    def test_what_cannot_be_made_is_refused_with_the_reason(self) -> None:
        before = self.stat()["pools"]
        self.expect(IN_USE, "pool create buffers 4M 4K", "there is a pool buffers")
        self.expect(FAILED, "pool create odd 4M 3K", "not a power of two")
        self.expect(FAILED, "pool create odd 1M 4K", "not a multiple of the page size")
        self.expect(FAILED, "pool create odd 4M 4K 1000", "no NUMA node 1000")
        self.assertEqual(self.stat()["pools"], before)

    def test_too_few_hugepages_are_told_with_the_command_that_mends_it(self) -> None:
        text = self.expect(SHORT, "pool create big 1T 4K", "524288 pages of 2048 KiB are needed")
        self.assertRegex(text, r"hugepages reserve --size 2048K --pages [0-9]{6}\n")

    def test_a_pool_with_members_stays_until_they_are_gone(self) -> None:
        self.work()
        text = self.expect(IN_USE, "pool destroy buffers", "pool buffers has members")
        self.assertIn("pinion member kick", text)
        for process in (self.client, self.far, self.device):
            number = self.member_of(process)["number"]
            self.assertEqual(self.expect(DONE, f"member kick buffers {number}"), "")
            self.assertEqual(process.wait(60), -signal.SIGKILL)
        until(lambda: self.pool()["members"] == [])
        self.assertEqual(self.expect(DONE, "pool destroy buffers"), "")
        self.expect(DONE, "ls", "no pools")

    def test_what_a_kicked_member_held_comes_back(self) -> None:
        self.work()
        self.stop_with_one_under_way()
        number = self.member_of(self.client)["number"]
        self.expect(NOT_FOUND, "member kick buffers 8", "has no member 8")
        self.expect(NOT_FOUND, f"member kick nosuch {number}", "there is no pool nosuch")
        self.assertIsNone(self.client.poll())
        self.expect(DONE, f"member kick buffers {number}")
        self.assertEqual(self.client.wait(60), -signal.SIGKILL)
        os.kill(self.device.pid, signal.SIGCONT)
        until(lambda: self.pool()["zones"][0]["free"] == BUFFERS)
        told = self.stat()
        self.assertEqual((told["counters"]["deaths"], told["counters"]["recoveries"]), (1, 1))
        self.assertEqual(sorted(one["pid"] for one in self.pool()["members"]), sorted([self.device.pid, self.far.pid]))

    def test_who_has_no_right_is_told_and_changes_nothing(self) -> None:
        self.work()
        self.stop_with_one_under_way()
        number, before = self.member_of(self.client)["number"], self.stat()["pools"]
        for line in ("pool create a 4M 4K", "pool grow buffers 2M", "pool retire buffers 0", "pool destroy buffers",
                     f"member kick buffers {number}"):
            with self.subTest(line=line):
                text = self.expect(PERMISSION, line, "do not let this user give orders", NOBODY)
                self.assertIn("admin = true", text)
        text = self.expect(PERMISSION, "addr buffers 0", "do not show addresses", NOBODY)
        self.assertIn("addresses = true", text)
        self.assertIsNone(self.client.poll())
        self.assertEqual(self.stat()["pools"], before)

    def test_who_is_in_no_rule_sees_nothing(self) -> None:
        for line in ("ls", "stat --json", "top --once", "addr buffers 0", "pool destroy buffers"):
            with self.subTest(line=line):
                text = self.expect(PERMISSION, line, f"no rule of the configuration names user {STRANGER}", STRANGER)
                self.assertNotIn("buffers", text)
        self.expect(DONE, "ls", "buffers", NOBODY)


def free_on(node: int) -> int:
    path = Path(NODE_PAGES.format(node))
    return int(path.read_text()) if path.exists() else 0


@unittest.skipIf(free_on(0) < 4 or free_on(1) < 4, "no 4 free hugepages of 2 MiB on each of nodes 0 and 1")
class TwoNodes(WithService):
    """A pool with a segment on each; see ../vm."""

    configuration = CONFIGURATION.replace(
        'segments = ( {{ size = "4M"; buffer = "4K"; page = "4k"; }} );',
        'segments = ( {{ size = "4M"; buffer = "4K"; page = "2M"; node = 1; }},'
        ' {{ size = "2M"; buffer = "4K"; page = "2M"; node = 0; }} );')

    def held_on(self, node: int) -> int:
        return sum(int(zone["held"]) for zone in self.pool()["zones"] if zone["node"] == node)

    def test_stat_and_the_maps_tell_the_nodes_apart(self) -> None:
        self.assertEqual((free_on(0), free_on(1)), (self.before[0] - 1, self.before[1] - 2))
        self.work()
        self.stop_with_one_under_way()
        pool = self.pool()
        self.assertEqual([(one["slot"], one["node"], one["len"], one["nr"]) for one in pool["segments"]],
                         [(0, 1, 4 << 20, BUFFERS), (1, 0, 2 << 20, BUFFERS // 2)])
        self.assertEqual(sorted((one["node"], one["total"], one["free"] + one["held"]) for one in pool["zones"]),
                         [(0, BUFFERS // 2, BUFFERS // 2), (1, BUFFERS, BUFFERS)])
        self.assertEqual(self.held_on(0) + self.held_on(1), KEPT + UNDER_WAY)
        text = self.expect(DONE, "top --once")
        for node, total in ((0, BUFFERS // 2), (1, BUFFERS)):
            held = self.held_on(node)
            self.assertIn(f"node {node}  buffers  {total} of 4K: {total - held} free, {held} held", text)
        # As pretend.h has it: each segment where the one before began, and 4 GiB.
        self.assertIn(" 0x200000000\n", self.expect(DONE, f"addr buffers {BUFFERS}"))

    def test_a_pool_grows_on_the_node_that_is_named(self) -> None:
        for node in (0, 1):
            self.expect(DONE, f"pool grow buffers 2M {node}")
            self.assertEqual(self.pool()["segments"][-1]["node"], node)
        self.assertEqual((free_on(0), free_on(1)), (self.before[0] - 2, self.before[1] - 3))

    def setUp(self) -> None:
        self.before = (free_on(0), free_on(1))
        super().setUp()


class TwoSizes(WithService):
    """A pool with buffers of two, and two members that hold of one size each."""

    configuration = CONFIGURATION.replace(
        'size = "4M"; buffer = "4K"; page = "4k"; }}',
        'size = "128K"; buffer = "4K"; page = "4k"; }}, {{ size = "1M"; buffer = "64K"; page = "4k"; }}')

    def test_who_holds_buffers_of_one_size_is_seen_to_hold_none_of_the_other(self) -> None:
        small, large = self.begin(PART, "holder", "4096", "5"), self.begin(PART, "holder", "65536", "3")
        until(lambda: [zone["held"] for zone in self.pool()["zones"]] == [5, 3])
        few, many = self.member_of(small), self.member_of(large)
        self.assertEqual([(one["held"], one["held_by_zone"]) for one in (few, many)], [(5, [5, 0]), (3, [0, 3])])
        maps = self.expect(DONE, "top --once")
        self.assertIn(f" 32 of 4K: 27 free, 5 held\n  {5 * str(few['number'])}{27 * '.'}\n", maps)
        self.assertIn(f" 16 of 64K: 13 free, 3 held\n  {3 * str(many['number'])}{13 * '.'}\n", maps)
        lines = [line.split() for line in self.expect(DONE, "stat").split("\n")]
        start = lines.index(["MEMBER", "ZONE", "HELD"]) + 1
        self.assertEqual(sorted(lines[start:start + 2]),
                         sorted([[str(few["number"]), "0", "5"], [str(many["number"]), "1", "3"]]))
        self.assertEqual(lines[start + 2], [])


class Slowly(WithService, OnTerminal):
    """Orders that take their time: the service is let run for half a hundredth of the time."""

    configuration = CONFIGURATION.replace('size = "4M"; buffer = "4K"', 'size = "256M"; buffer = "64K"')

    def slow_down(self) -> None:
        over = threading.Event()

        def stop_and_go() -> None:
            while not over.wait(0.001):
                os.kill(self.service.pid, signal.SIGSTOP)
                over.wait(0.2)
                os.kill(self.service.pid, signal.SIGCONT)
        thread = threading.Thread(target=stop_and_go)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(over.set)

    def test_who_waits_for_a_segment_on_a_terminal_sees_the_seconds(self) -> None:
        self.slow_down()
        os.environ["PINION_SOCKET"] = self.env["PINION_SOCKET"]
        self.addCleanup(os.environ.pop, "PINION_SOCKET")
        self.run_on_terminal(self.pinion, "pool", "grow", "buffers", "256M")
        self.read(b"the service is at work for 1 s")
        self.assertEqual(self.finish(), DONE)
        self.assertTrue(self.seen.endswith(b" s \r\n"), self.seen)
        self.assertEqual([one["len"] for one in self.pool()["segments"]], [256 << 20, 256 << 20])


class Top(WithService, OnTerminal):
    def start(self) -> None:
        os.environ["PINION_SOCKET"] = self.env["PINION_SOCKET"]
        self.addCleanup(os.environ.pop, "PINION_SOCKET")
        self.run_on_terminal(self.pinion, "top")

    def test_a_frame_shows_maps_holders_and_depths(self) -> None:
        self.work()
        self.stop_with_one_under_way()
        client, device = (self.member_of(one) for one in (self.client, self.device))
        text = self.expect(DONE, "top --once")
        self.assertIn(f"buffers  {BUFFERS} of 4K: {BUFFERS - 4} free, 4 held\n", text)
        # A cell for who holds anything, the rest is free: 78 columns, twice.
        self.assertIn(f"\n  {client['number']}{77 * '.'}\n  {78 * '.'}\n", text)
        self.assertRegex(text, rf"\n  {client['number']} +{client['number']} +{self.client.pid}  client +4 ")
        self.assertRegex(text, rf"\n  {client['number']}->{device['number']} \[\.{{10}}\] +1/[0-9]+ +back ")
        self.assertIn(f"device echo:0  member {device['number']} of buffers  live\n", text)

    def test_it_shows_the_same_on_a_terminal(self) -> None:
        self.work()
        self.stop_with_one_under_way()
        self.start()
        self.read(b"q end")
        for part in (b"1020 free, 4 held", b"1/1024", b"device echo:0", b"device far:0"):
            self.assertIn(part, self.seen)
        os.write(self.terminal, b"q")
        self.assertEqual(self.finish(), DONE)
        self.restored()

    def test_who_comes_is_shown(self) -> None:
        self.serve()
        self.start()
        self.read(b"q end")
        self.assertNotIn(b"client", self.seen)
        self.client = self.begin(PART, "client", str(self.root / "progress"))
        self.read(b"/1024")
        self.assertRegex(self.seen, rb"(?s)client.*->")
        os.write(self.terminal, b"q")
        self.assertEqual(self.finish(), DONE)

    def test_ctrl_c_ends_it_and_leaves_the_terminal_in_order(self) -> None:
        self.serve()
        self.start()
        self.read(b"q end")
        os.write(self.terminal, b"\x03")
        self.assertEqual(os.WTERMSIG(self.finish()), signal.SIGINT)
        self.restored()

    def test_a_service_that_ended_is_told_and_the_last_picture_stays(self) -> None:
        self.start()
        self.read(b"q end")
        self.end(self.service)
        self.read(b"the service does not answer")
        os.write(self.terminal, b"q")
        self.assertEqual(self.finish(), DONE)
        self.restored()


if __name__ == "__main__":
    unittest.main()
