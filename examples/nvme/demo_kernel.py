# SPDX-License-Identifier: BSD-3-Clause
"""The proof: the kernel's driver and file system read what was written, and no code of ours is in the way."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from demo_machine import call
from demo_show import Progress
from demo_stop import undisturbed

PIECE = 1 << 20


class Checked(NamedTuple):
    nr_files: int     # as they should be
    nr_expected: int  # in the manifest
    wrong: list[str]


@contextlib.contextmanager
def mounted(disk: Path) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="pinion-demo-mount."))
    try:
        call("mount", "-t", "ext4", "-o", "ro", str(disk), directory)
        yield directory
    finally:
        with undisturbed():
            if directory.is_mount():
                call("umount", directory)
            directory.rmdir()


def read_manifest(path: Path) -> dict[str, str]:
    """As sha256sum --zero writes it: HASH, two blanks, the name as it is, a zero byte."""
    entries = path.read_bytes().decode(errors="surrogateescape").split("\0")
    return {os.path.normpath(entry[66:]): entry[:64] for entry in entries if entry}


def files_below(directory: Path) -> list[str]:
    files = (entry for entry in directory.rglob("*") if entry.is_file() and not entry.is_symlink())
    return sorted(str(file.relative_to(directory)) for file in files)


def sha256(path: Path, progress: Progress, before: int) -> tuple[str, int]:
    """The file's hash, and its length."""
    digest, length = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            length += len(piece)
            progress.show(before + length)
    return digest.hexdigest(), length


def check_files(directory: Path, manifest: Path) -> Checked:
    """Every file that should be there, is, and is the same; and no other is."""
    expected, present = read_manifest(manifest), files_below(directory)
    wrong = [f"{name}: is not on the drive" for name in sorted(expected.keys() - set(present))]
    wrong += [f"{name}: is on the drive and should not be" for name in present if name not in expected]
    progress = Progress("check", sum((directory / name).stat().st_size for name in present))
    good = before = 0
    for name in present:
        found, length = sha256(directory / name, progress, before)
        before += length
        good += found == expected.get(name)
        if name in expected and found != expected[name]:
            wrong.append(f"{name}: its SHA-256 is {found}, and should be {expected[name]}")
    progress.end()
    if not expected:
        wrong.append(f"{manifest}: names no file at all")
    return Checked(good, len(expected), wrong)
