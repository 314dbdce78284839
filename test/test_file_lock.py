# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One process at a time may write a file, and the dead lock nobody out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands import build_map, calibrate, merge_maps
from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.frames import Frame
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


def test_all_names_of_a_file_share_one_lock(tmp_path: Path) -> None:
    link = tmp_path / "link.fvm"
    link.symlink_to(tmp_path / "home.fvm")
    with FileLock(tmp_path / "home.fvm"), pytest.raises(VprError, match="being written"):
        FileLock(link)


WRITER = """
import sys, time
from pathlib import Path
from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.files import write_atomically
import numpy as np

def parts():
    yield b"half"
    print("begun", flush=True)
    time.sleep(600)

def frames():
    yield Frame("0", 0, np.zeros((8, 8, 3), np.uint8))
    print("begun", flush=True)
    time.sleep(600)

path = Path(sys.argv[1])
if path.suffix == ".fvm":
    write_atomically(path, parts())
else:
    write_bag(frames(), path)
"""


@pytest.mark.parametrize("name", ["home.fvm", "bag"])
def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"
        writer.kill()
    assert [entry.name for entry in tmp_path.glob(".*.part")]
    others = [f".{name}.original", f".{name}.copy.part", f".x{name}.abcdefgh.part"]
    for other in others:
        (tmp_path / other).write_text("mine")
    FileLock(path).release()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(others)


def test_a_bag_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    frames = [Frame("0", 0, np.zeros((8, 8, 3), np.uint8))]
    with FileLock(tmp_path / "bag"), pytest.raises(VprError, match="written by another process"):
        write_bag(frames, tmp_path / "bag")
    write_bag(frames, tmp_path / "bag")
    assert [entry.name for entry in tmp_path.iterdir()] == ["bag"]


@pytest.mark.parametrize("command", ["build_map", "merge_maps", "calibrate"])
def test_no_command_writes_a_map_that_another_process_writes(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(images / f"{index}.png"), noise)
    one, two = tmp_path / "one.fvm", tmp_path / "two.fvm"
    for path in (one, two):
        assert build_map.main([str(images), "-o", str(path)]) == 0
    before = one.read_bytes()
    main, words = {
        "build_map": (build_map.main, [str(images), "-o", str(one), "--force"]),
        "merge_maps": (merge_maps.main, [str(one), str(two), "-o", str(one), "--force"]),
        "calibrate": (calibrate.main, [str(one), str(images)]),
    }[command]
    with FileLock(one):
        assert main(words) == 1
    assert "being written by another process" in capsys.readouterr().err
    assert one.read_bytes() == before
