#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What `make check` says of a run: scripts/pauses and scripts/summary."""

import json
import os
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

SCRIPTS = Path(os.environ["SCRIPTS"])

CASE = '<testsuite name="pinion.{name}"><testcase name="1 - claim">{failure}</testcase></testsuite>'


def run(*words: object, status: int = 0) -> str:
    """What it says; it has to end with that status, and without complaint."""
    done = subprocess.run([SCRIPTS / str(words[0]), *map(str, words[1:])], capture_output=True, text=True, check=False)
    if (done.returncode, done.stderr) != (status, ""):
        raise AssertionError(f"{words}: exit status {done.returncode}, not {status}: {done.stdout}{done.stderr}")
    return done.stdout


class Test(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="pinion-")
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)
        self.file = self.dir / "pauses"

    def write(self, run_name: str, **results: str) -> Path:
        """A run of meson's, all of whose tests began at 100 s and took 10 s. Its cases are those of TAP programs."""
        tests = [{"name": f"pinion:proc / {name}", "result": result, "starttime": 100.0, "duration": 10.0}
                 for name, result in results.items()]
        (self.dir / f"{run_name}.json").write_text("".join(json.dumps(test) + "\n" for test in tests))
        suites = (CASE.format(name=test["name"], failure="<failure/>" if test["result"] == "FAIL" else "")
                  for test in tests)
        path = self.dir / f"{run_name}.junit.xml"
        path.write_text(f"<testsuites>{''.join(suites)}</testsuites>")
        return path


class Pauses(Test):
    def failed(self, pauses: str, **results: str) -> list[str]:
        self.file.write_text(pauses)
        self.write("host", **results)
        return run("pauses", "failed", self.file, self.dir / "host.json").split()

    def test_who_failed_during_a_pause_is_named(self) -> None:
        results = {"ring": "FAIL", "bell": "OK", "pool": "TIMEOUT", "skip": "SKIP", "dial": "ERROR"}
        self.assertEqual(self.failed("103.0 104.5\n", **results), ["ring", "pool", "dial"])

    def test_a_pause_that_began_before_or_ended_after_the_test_counts(self) -> None:
        for pause in ("98.0 100.5\n", "109.5 112.0\n", "90.0 120.0\n", "1.0 2.0\n105.0 106.0\n"):
            with self.subTest(pause=pause):
                self.assertEqual(self.failed(pause, ring="FAIL"), ["ring"])

    def test_two_of_one_name_are_named_once(self) -> None:
        self.file.write_text("103.0 104.5\n")
        self.write("host", ring="FAIL")
        log = self.dir / "host.json"
        log.write_text(log.read_text() + log.read_text().replace(":proc /", ":unit /"))
        self.assertEqual(run("pauses", "failed", self.file, log).split(), ["ring"])

    def test_no_pause_excuses_a_signal_or_a_sanitizers_report(self) -> None:
        for fault in ({"returncode": -11}, {"stderr": "WARNING: ThreadSanitizer: data race"},
                      {"stdout": "ring.c:3:1: runtime error: shift"}):
            with self.subTest(fault=fault):
                self.file.write_text("103.0 104.5\n")
                self.write("host", ring="FAIL")
                log = self.dir / "host.json"
                log.write_text(json.dumps(json.loads(log.read_text()) | fault) + "\n")
                self.assertEqual(run("pauses", "failed", self.file, log), "")

    def test_without_a_pause_a_failure_is_one(self) -> None:
        for pauses in ("", "90.0 99.9\n", "110.1 120.0\n", "105.0 106"):
            with self.subTest(pauses=pauses):
                self.assertEqual(self.failed(pauses, ring="FAIL"), [])

    def watched(self) -> tuple[subprocess.Popen[bytes], list[int]]:
        """The watch, and its processes: the first, and one for each processor."""
        watch = subprocess.Popen([SCRIPTS / "pauses", "watch", self.file])
        self.addCleanup(watch.wait)
        self.addCleanup(watch.kill)
        children = Path(f"/proc/{watch.pid}/task/{watch.pid}/children")
        until = time.monotonic() + 10
        while len(children.read_text().split()) < len(os.sched_getaffinity(0)):
            self.assertLess(time.monotonic(), until, "it does not begin")
            time.sleep(0.05)
        # Each needs a moment to come to its loop.
        time.sleep(0.5)
        return watch, [int(pid) for pid in children.read_text().split()]

    def test_a_processor_that_stands_still_is_seen(self) -> None:
        _, children = self.watched()
        begin = time.time()
        os.kill(children[0], signal.SIGSTOP)
        time.sleep(1)
        os.kill(children[0], signal.SIGCONT)
        end = time.time()
        time.sleep(0.5)
        pauses = [[float(word) for word in line.split()] for line in self.file.read_text().splitlines()]
        self.assertTrue([p for p in pauses if p[0] < begin + 0.3 and p[1] > end - 0.3], pauses)

    def test_all_end_with_whom_they_were_started_by(self) -> None:
        watch, children = self.watched()
        watch.kill()
        watch.wait()
        until = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual([pid for pid in children if Path(f"/proc/{pid}").exists()], [])


class Summary(Test):
    def test_a_second_time_counts_and_is_told(self) -> None:
        path = self.write("host", ring="FAIL", bell="OK")
        self.assertEqual(run("summary", path, status=1).splitlines()[-1], "1 passed, 1 failed, 0 skipped")
        self.write("host-again", ring="OK")
        told = run("summary", path).splitlines()
        self.assertRegex(told[-2], "^run again: .*ring: passed then: 1 - claim")
        self.assertEqual(told[-1], "2 passed, 0 failed, 0 skipped")

    def test_who_fails_twice_has_failed(self) -> None:
        path = self.write("host", ring="FAIL", bell="FAIL")
        self.write("host-again", ring="FAIL")
        told = run("summary", path, status=1)
        self.assertIn("ring: not good then either", told)
        self.assertEqual(told.splitlines()[-1], "0 passed, 2 failed, 0 skipped")

    def test_who_is_skipped_the_second_time_has_failed(self) -> None:
        path = self.write("host", ring="FAIL")
        second = self.write("host-again", ring="OK")
        second.write_text(second.read_text().replace("</testcase>", "<skipped/></testcase>"))
        self.assertEqual(run("summary", path, status=1).splitlines()[-1], "0 passed, 1 failed, 0 skipped")
        self.write("host-again", ring="SKIP")
        self.assertEqual(run("summary", path, status=1).splitlines()[-1], "0 passed, 1 failed, 0 skipped")

    def test_a_bad_end_is_told_of_the_time_that_counts(self) -> None:
        path = self.write("host", ring="TIMEOUT")
        self.assertIn("it ended badly (TIMEOUT)", run("summary", path, status=1))
        self.write("host-again", ring="ERROR")
        self.assertIn("it ended badly (TIMEOUT)", run("summary", path, status=1))
        self.write("host-again", ring="OK")
        told = run("summary", path)
        self.assertFalse([line for line in told.splitlines() if line.startswith("failed")])

    def test_nothing_that_passed_is_a_failure(self) -> None:
        self.assertEqual(run("summary", self.write("host"), status=1).splitlines()[-1], "0 passed, 0 failed, 0 skipped")

    def test_why_a_program_was_skipped_is_said(self) -> None:
        path = self.write("host", ring="SKIP", bell="OK")
        log = self.dir / "host.json"
        log.write_text(log.read_text().replace('"SKIP"', '"SKIP", "stdout": "1..0 # SKIP no ring here\\n"'))
        path.write_text(path.read_text().replace('<testcase name="1 - claim"></testcase>',
                                                 '<testcase name="1 - claim"><skipped/></testcase>', 1))
        self.assertRegex(run("summary", path), r"skipped: .*ring.*: no ring here\n")

    def test_one_skipped_case_of_a_program_is_counted_and_its_reason_said(self) -> None:
        path = self.write("host", ring="OK")
        log = self.dir / "host.json"
        stdout = r'"stdout": "1..2\nok 1 - claim # SKIP no hugepage\nok 2 - other\n"'
        log.write_text(log.read_text().replace('"OK"', f'"OK", {stdout}'))
        path.write_text(path.read_text().replace("</testcase>", '<skipped/></testcase><testcase name="2 - other"/>'))
        told = run("summary", path).splitlines()
        self.assertRegex(told[0], "^skipped: .*ring: 1 - claim: no hugepage$")
        self.assertEqual(told[-1], "1 passed, 0 failed, 1 skipped")

    def test_a_run_that_broke_off_is_a_failure(self) -> None:
        told = run("summary", self.dir / "host.junit.xml", status=1)
        self.assertEqual(told.splitlines()[-1], "0 passed, 1 failed, 0 skipped")


if __name__ == "__main__":
    unittest.main()
