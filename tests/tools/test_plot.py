#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""scripts/plot: are its pictures well-formed, and do they have what was measured? And what is no measurement: is it
refused in one line, with nothing drawn?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

SCRIPTS = Path(os.environ.get("SCRIPTS", Path(__file__).resolve().parents[2] / "scripts"))
SVG = "{http://www.w3.org/2000/svg}"
PICTURES = ("burst.svg", "depth.svg", "latency.svg")
PERCENTILES = ("50", "90", "99", "999")


def result(bench: str, impl: str, median: object) -> dict[str, Any]:
    return {"bench": bench, "impl": impl, "unit": "ns", "median": median}


def measured() -> list[dict[str, Any]]:
    """Two of each that are drawn, out of order, and one that is not."""
    lines = [result("rtt_poll", "pinion", 300.0)]
    for impl, factor in (("pinion", 1.0), ("rte_ring", 3.0)):
        lines += [result(f"sweep_burst_{burst}", impl, factor * 40 / burst) for burst in (32, 1, 8)]
        lines += [result(f"sweep_depth_{depth}", impl, factor * 4000 / depth) for depth in (4096, 1024)]
        lines += [result(f"latency_p{part}", impl, factor * float(part)) for part in PERCENTILES]
    return lines


def text_of(element: ElementTree.Element) -> str:
    return "".join(element.itertext()).strip()


@unittest.skipUnless(shutil.which("gnuplot"), "no gnuplot")
class Plot(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="pinion-")
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)
        self.file = self.dir / "plot.jsonl"

    def plot(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run([SCRIPTS / "plot", self.file], capture_output=True, text=True, check=False)

    def draw(self, lines: list[dict[str, Any]]) -> None:
        self.file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        done = self.plot()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.split(), [str(self.dir / name) for name in PICTURES])

    def picture(self, name: str) -> ElementTree.Element:
        root = ElementTree.parse(self.dir / name).getroot()
        self.assertEqual(root.tag, f"{SVG}svg")
        return root

    def words(self, name: str) -> list[str]:
        return [text_of(text) for text in self.picture(name).iter(f"{SVG}text")]

    def series(self, name: str, impl: str) -> list[float]:
        """How high each point of a series is drawn, from left to right: less is higher."""
        for group in self.picture(name).iter(f"{SVG}g"):
            if group.get("id", "").startswith("gnuplot_plot_") and impl in map(text_of, group.iter(f"{SVG}text")):
                marks = [use for use in group.iter(f"{SVG}use") if use.get("transform")]
                places = [use.get("transform", "").split("(")[1].split(")")[0].split(",") for use in marks]
                # The last is the one beside the title.
                return [float(y) for _, y in sorted((float(x), float(y)) for x, y in places[:-1])]
        return []

    def test_each_picture_is_svg_and_names_its_axes_and_series(self) -> None:
        self.draw(measured())
        labels = {"burst.svg": ("burst", "million descriptors a second"),
                  "depth.svg": ("slots", "million descriptors a second"),
                  "latency.svg": ("percentile", "round trip, ns", "50", "90", "99", "99.9")}
        for name, wanted in labels.items():
            words = self.words(name)
            for word in (*wanted, "pinion", "rte_ring"):
                self.assertIn(word, words, name)

    def test_each_point_of_a_series_is_drawn_and_where_it_belongs(self) -> None:
        self.draw(measured())
        for name, points in {"burst.svg": 3, "depth.svg": 2, "latency.svg": 4}.items():
            for impl in ("pinion", "rte_ring"):
                heights = self.series(name, impl)
                self.assertEqual(len(heights), points, f"{name}, {impl}")
                # Throughput grows with burst and depth, latency with the percentile.
                self.assertEqual(heights, sorted(heights, reverse=True), f"{name}, {impl}")
            ours, theirs = self.series(name, "pinion"), self.series(name, "rte_ring")
            self.assertEqual(all(a < b for a, b in zip(ours, theirs)), name != "latency.svg")

    def refused(self, text: str, *says: str) -> None:
        self.file.write_text(text)
        done = self.plot()
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
        for part in ("plot: ", str(self.file), *says):
            self.assertIn(part, done.stderr)
        self.assertEqual([path.name for path in self.dir.iterdir()], [self.file.name])

    def test_what_is_no_json_is_refused(self) -> None:
        good = json.dumps(result("sweep_burst_1", "pinion", 2.0))
        for bad in ("[" * 100_000, "9" * 5000, "{", "pinion 2.0", '{"bench": "sweep_burst_1"', good + good, "\x00", ""):
            self.refused(f"{good}\n{bad}\n{good}\n", "line 2")
        # Cut off.
        self.refused(f"{good}\n{good[:-5]}", "line 2")

    def test_what_is_no_result_is_refused(self) -> None:
        for bad in ([], 7, None, "pinion", {}, {"bench": "sweep_burst_1"}, result("sweep_burst_x", "pinion", 1.0),
                    result("sweep_burst_0", "pinion", 1.0), result("sweep_depth_", "pinion", 1.0),
                    result("sweep_burst_1", "pinion", "fast"), result("sweep_burst_1", "pinion", None),
                    result("sweep_burst_1", "pinion", 0), result("sweep_burst_1", "pinion", -1.0),
                    result("sweep_burst_1", "pinion", float("nan")), result("sweep_burst_1", "pinion", True),
                    result("latency_p50", "pinion", float("inf")), result("latency_p50", "pinion", 10 ** 400),
                    result("sweep_burst_1" + 5000 * "0", "pinion", 1.0),
                    result("latency_p98", "pinion", 1.0), result(["sweep_burst_1"], "pinion", 1.0)):
            self.refused(json.dumps(bad) + "\n", "line 1")

    def test_a_name_is_no_command_of_gnuplot(self) -> None:
        for name in ("x\nsystem('touch drawn')", "a b", "", '"', "1st", "$x", 7):
            self.refused(json.dumps(result("sweep_burst_1", name, 1.0)) + "\n", "line 1")

    def test_a_path_is_no_command_of_gnuplot_either(self) -> None:
        self.dir = self.dir / "`touch drawn` \" ' \\n"
        self.dir.mkdir()
        self.file = self.dir / "plot.jsonl"
        self.file.write_text("".join(json.dumps(line) + "\n" for line in measured()))
        done = self.plot()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(sorted(path.name for path in self.dir.iterdir()), sorted([*PICTURES, self.file.name]))

    def test_what_lacks_a_picture_is_refused(self) -> None:
        self.refused("", "line 1")
        for kind in ("sweep_burst_", "sweep_depth_", "latency_"):
            lines = [line for line in measured() if not line["bench"].startswith(kind)]
            self.refused("".join(json.dumps(line) + "\n" for line in lines), kind)

    def test_a_file_that_is_not_there_is_named(self) -> None:
        done = self.plot()
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
        self.assertIn(str(self.file), done.stderr)


if __name__ == "__main__":
    unittest.main()
