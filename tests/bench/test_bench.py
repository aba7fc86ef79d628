#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""scripts/bench: has what it writes every row of its targets, with all that they are compared with? Are its pictures
pictures? And what does it say of arguments that it does not know?

PROGRAMS is where the build made the programs, LIBRARY the library that they are linked with. They run with tiny counts,
in a tree that has of the real one scripts/bench and scripts/plot alone: nothing is installed, nothing built. They run
as nobody and with pages of 4 KiB, so that no hugepages are reserved or used.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

SCRIPTS = Path(os.environ["SCRIPTS"])
PROGRAMS = Path(os.environ["PROGRAMS"])
LIBRARY = Path(os.environ["LIBRARY"])
NOBODY = 65534
RUNS = 5
LIMIT_S = 240  # of a busy machine; 20 s of one that is not

# What the rings and the ways to wait are meant to reach: each bench, what we compare it with, and its packaged peers.
ROWS = {
    "ring_32": ({"pinion", "line"}, {"dpdk", "boost", "ck"}),
    "ring_32_1024": ({"pinion", "line"}, set()),
    "ring_1": ({"pinion"}, {"dpdk", "boost", "ck"}),
    "rtt_poll": ({"pinion", "line"}, {"dpdk", "boost", "ck"}),
    "rtt_sleep": ({"pinion", "bare"}, set()),
    "rtt_sleep_one": ({"pinion", "bare"}, set()),
    "ring_32_checked": ({"pinion"}, set()),
    "ring_32_scattered": ({"pinion"}, set()),
    "fanin": ({"pinion", "one"}, {"dpdk"}),
    "handoff": ({"pinion"}, {"dpdk"}),
}
PLOTTED = ("bench_ring", "bench_rtt", "bench_peer_boost")  # one peer will do
PICTURES = ("burst.svg", "depth.svg", "latency.svg")
# All at one distance, as if the cores stood still: on a busy machine they would have to be run again and again.
SCRIPT = r"""#!/bin/sh
said=$(LD_LIBRARY_PATH="{folder}" "{folder}/{name}" "$@" --smoke --pages 4k --len 16777216) || exit
printf '%s\n' "$said" | sed 's/"bounce":\[[1-9][^]]*]/"bounce":[100.0,100.0]/'
"""
# A peer that is ahead of everybody, in the benches that it is made with.
FAST = r"""#!/bin/sh
[ "$1" = --list ] && { %s; exit; }
echo '{"value": 0.001, "unit": "ns", "bounce": [100.0, 100.0]}'
"""

# Whoever has no physical addresses has no hand-off to a device; told all the same.
SKIPPED = re.compile(r"^(handoff) (pinion|dpdk) skipped: ", re.MULTILINE)


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def programs() -> list[Path]:
    return [path for path in sorted(PROGRAMS.glob("bench_*")) if path.is_file()]


def installed() -> set[str]:
    """The peers that there are programs of."""
    return {impl for impl in ("boost", "ck", "dpdk") if (PROGRAMS / f"bench_peer_{impl}").is_file()}


class Tree(unittest.TestCase):
    """One that may be written by nobody, as a copy: the real one may be closed to others."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="pinion-")
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        for name in ("scripts", "real", "build/bench", "build-bench/tests/bench"):
            (self.root / name).mkdir(parents=True)
        for name in ("bench", "plot"):
            shutil.copy(SCRIPTS / name, self.root / "scripts" / name)
        for name in ("packages", "build"):
            executable(self.root / "scripts" / name, "#!/bin/sh\n")
        for name in LIBRARY.parent.glob("libpinion.so*"):
            if name.is_file():
                shutil.copy(name, self.root / "real")
        self.root.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(self.root / "build/bench", NOBODY, NOBODY)

    def add(self, program: Path) -> None:
        shutil.copy(program, self.root / "real")
        executable(self.root / "build-bench/tests/bench" / program.name,
                   SCRIPT.format(folder=self.root / "real", name=program.name))

    def bench(self, *words: str) -> subprocess.CompletedProcess[str]:
        who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run([self.root / "scripts/bench", *words], capture_output=True, text=True, check=False,
                              timeout=LIMIT_S, **who)

    def measured(self, name: str, *words: str) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[str]]:
        done = self.bench("--runs", str(RUNS), *words)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        lines = (self.root / "build/bench" / name).read_text().splitlines()
        return [json.loads(line) for line in lines], done


class Results(Tree):
    def test_every_row_is_there_with_what_it_is_compared_with(self) -> None:
        for program in programs():
            self.add(program)
        results, done = self.measured("results.jsonl", "--only", ",".join(ROWS))
        found = {(result["bench"], result["impl"]) for result in results}
        found |= set(SKIPPED.findall(done.stdout))
        rows = {(bench, impl) for bench, (ours, peers) in ROWS.items() for impl in ours | (peers & installed())}
        self.assertEqual(found, rows, done.stdout)

    def test_a_row_has_the_median_between_the_least_and_the_most(self) -> None:
        self.add(PROGRAMS / "bench_ring")
        results, done = self.measured("results.jsonl", "--only", "ring_1,ring_32")
        self.assertEqual([(result["bench"], result["impl"]) for result in results],
                         [("ring_1", "pinion"), ("ring_32", "pinion"), ("ring_32", "line")])
        for result in results:
            self.assertTrue(0 < result["min"] <= result["median"] <= result["max"], result)
            self.assertEqual((result["unit"], result["runs"]), ("ns", RUNS))
            self.assertIn(f"{result['median']:.4g}", done.stdout)
        # The target beside the line is judged; those beside peers say that there were none.
        self.assertRegex(done.stdout, r"[✓✗] +ring_32 +[0-9.e+]+ x line +1.2 x line")
        self.assertRegex(done.stdout, r"\? +ring_32 +not measured +0.4 x dpdk")

    def test_a_program_that_fails_is_told_and_the_others_go_on(self) -> None:
        self.add(PROGRAMS / "bench_ring")
        executable(self.root / "build-bench/tests/bench/bench_broken",
                   '#!/bin/sh\n[ "$1" = --list ] && exec echo ring_1 broken\necho why >&2; exit 3\n')
        done = self.bench("--runs", str(RUNS), "--only", "ring_1")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("ring_1 broken failed: exit 3: why", done.stdout)
        self.assertRegex(done.stdout, r"ring_1 +pinion ")

    def test_a_peer_ahead_in_what_is_drawn_is_told_with_a_reason(self) -> None:
        for name in ("bench_ring", "bench_rtt"):
            self.add(PROGRAMS / name)
        drawn = ("sweep_burst_1", "sweep_depth_64", "latency_p99")
        executable(self.root / "build-bench/tests/bench/bench_fast", FAST % "; ".join(f"echo {b} ck" for b in drawn))
        _, done = self.measured("results.jsonl", "--only", ",".join(drawn))
        for bench in drawn:
            self.assertIn(f"  {bench}: ck 0.001 ns", done.stdout)
        why = done.stdout.partition("why:\n")[2]
        self.assertEqual(sorted(re.findall(r"^  (\S+): ", why, re.MULTILINE)), ["latency_*", "sweep_*"], done.stdout)
        self.assertNotIn("not known", why)


@unittest.skipUnless(shutil.which("gnuplot"), "no gnuplot")
class Plot(Tree):
    def test_pictures_of_bursts_depths_and_latencies_are_svg(self) -> None:
        for program in programs():
            if program.name in PLOTTED:
                self.add(program)
        results, _ = self.measured("plot.jsonl", "--plot")
        for kind in ("sweep_burst_", "sweep_depth_", "latency_p50", "latency_p99", "latency_p999"):
            self.assertTrue(any(result["bench"].startswith(kind) for result in results), kind)
        for name in PICTURES:
            root = ElementTree.parse(self.root / "build/bench" / name).getroot()
            self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
            self.assertIn("pinion", "".join(root.itertext()), name)


class Arguments(Tree):
    def refused(self, words: list[str], why: str) -> None:
        done = self.bench(*words)
        self.assertEqual((done.returncode, done.stdout), (2, ""), words)
        self.assertTrue(done.stderr.startswith("usage: bench "), done.stderr)
        self.assertIn(why, done.stderr)
        self.assertFalse(list((self.root / "build/bench").iterdir()))

    def test_what_it_does_not_know_is_usage_and_2(self) -> None:
        self.add(PROGRAMS / "bench_ring")
        for words, why in ((["--nonsense"], "--nonsense"), (["ring_1"], "ring_1"), (["--runs", "4"], "--runs"),
                           (["--runs", "x"], "--runs"), (["--runs"], "--runs"), (["--only"], "--only"),
                           (["--only", "ring_1,ring_0"], "ring_0"), (["--cpus", "x"], "--cpus"),
                           (["--cpus", "0,0"], "--cpus"), (["--cpus", "0,1,2"], "--cpus"),
                           (["--cpus", "4095"], "--cpus"), (["--cpus", ""], "--cpus"),
                           (["--plot", "--only", "ring_1"], "without --only"),
                           (["--only", "sweep_burst_1", "--plot"], "without --only")):
            with self.subTest(words=words):
                self.refused(words, why)

    def test_help_tells_what_there_is(self) -> None:
        done = self.bench("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("--only", "--runs", "--plot", "--cpus"):
            self.assertIn(option, done.stdout)


if __name__ == "__main__":
    unittest.main()
