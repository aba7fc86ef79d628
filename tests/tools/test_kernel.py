# SPDX-License-Identifier: BSD-3-Clause
"""tests/vm/kernel: does it notice that kernel.config has changed? On a fake build folder; what would
build a kernel is a stub, for that takes half an hour."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

VM = Path(os.environ.get("VM", Path(__file__).resolve().parents[1] / "vm"))
BUILT, FAILED, BUILDS = 0, 1, 9


class Kernel(unittest.TestCase):
    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="kernel-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.out = self.root / "build/vm/iommufd"
        self.config = self.root / "tests/vm/kernel.config"
        self.file("tests/vm/kernel", (VM / "kernel").read_text())
        self.file("tests/vm/with_iommufd", (VM / "with_iommufd").read_text())
        self.file("tests/vm/kernel.config", "# A remark.\nCONFIG_B=y\nCONFIG_A=y\n")
        # The first that building calls.
        self.file("scripts/packages", f"#!/bin/sh\nexit {BUILDS}\n")

    def file(self, path: str, text: str) -> None:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)
        full.chmod(0o755)

    def built(self) -> None:
        """A kernel of kernel.config as it is."""
        self.file("build/vm/iommufd/image", "")
        (self.out / "lib/modules/6.12").mkdir(parents=True)
        digest = hashlib.sha256(b"CONFIG_A=y\nCONFIG_B=y\n").hexdigest()
        self.file("build/vm/iommufd/config.sha256", f"{digest}\n")

    def expect(self, code: int, *words: str, says: str = "", program: str = "kernel") -> None:
        done = subprocess.run([str(self.root / "tests/vm" / program), *words], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(says, done.stdout + done.stderr)

    def test_built_of_this_configuration_is_used(self) -> None:
        self.built()
        for words in (("--built",), ()):
            self.expect(BUILT, *words, says=f"PINION_VM_KERNEL={self.out}/image")

    def test_changed_configuration_makes_it_stale_and_it_is_built_anew(self) -> None:
        self.built()
        with self.config.open("a") as file:
            file.write("CONFIG_C=y\n")
        self.expect(FAILED, "--built", says="kernel: stale: ")
        self.expect(BUILDS)
        self.assertTrue((self.out / "image").exists())  # until there is another

    def test_remarks_and_order_make_no_other_kernel(self) -> None:
        self.built()
        self.config.write_text("CONFIG_A=y\n\n# Another remark.\nCONFIG_B=y\n")
        self.expect(BUILT, "--built")

    def test_kernel_that_does_not_say_of_what_it_was_built_is_stale(self) -> None:
        self.built()
        (self.out / "config.sha256").unlink()
        self.expect(FAILED, "--built", says="kernel: stale: ")

    def test_none_there_is_told_and_built(self) -> None:
        self.expect(FAILED, "--built", says="not built")
        self.expect(BUILDS)

    def test_test_that_is_skipped_says_why(self) -> None:
        self.built()
        self.config.write_text("CONFIG_A=n\n")
        self.expect(0, "true", program="with_iommufd", says="1..0 # SKIP no kernel with iommufd (kernel: stale: ")


if __name__ == "__main__":
    unittest.main()
