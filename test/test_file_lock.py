# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One process at a time may write a file, and the dead lock nobody out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from floppynet_vpr.errors import VprError
from floppynet_vpr.file_lock import FileLock

HOLDER = """
import sys
from pathlib import Path
from floppynet_vpr.file_lock import FileLock
lock = FileLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_file_written_by_another_process_is_refused_until_that_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "maps" / "home.fvm"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(VprError, match=rf"home\.fvm is being written.*\({holder.pid}\)"):
            FileLock(path)
        holder.kill()
        holder.wait()
    FileLock(path).release()


def test_a_released_file_can_be_locked_again_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "home.fvm"
    for _ in range(2):
        lock = FileLock(path)
        with pytest.raises(VprError):
            FileLock(path)
        lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(VprError, match="file"):
        FileLock(tmp_path / "file" / "home.fvm")
