# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What all commands promise: outputs that are checked before the work, numbers that are finite."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands import (
    benchmark,
    benchmark_map,
    export_onnx,
    import_weights,
    make_bag,
    map_info,
    play_bag,
)
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import write_atomically
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.network.weights import load_weights

FAILING_IMPORT = """
import runpy, sys
class Failing:
    def find_spec(self, name, path=None, target=None):
        if name == "floppynet_vpr.commands.common":
            raise {error}
sys.meta_path.insert(0, Failing())
runpy.run_module(sys.argv[1], run_name="__main__")
"""


@pytest.fixture
def small_map(tmp_path: Path) -> Path:
    reference = ReferenceMap.for_weights(load_weights(None))
    for index in range(3):
        reference.add(np.eye(9216, dtype=np.float32)[index], f"place {index}")
    reference.save(tmp_path / "small.fvm")
    return tmp_path / "small.fvm"


def test_a_model_is_replaced_only_by_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model.onnx"
    output.write_text("mine")
    assert export_onnx.main([str(output)]) == 1
    assert "--force" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert export_onnx.main([str(output), "--force"]) == 0
    assert output.stat().st_size > 100_000


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (import_weights, ["none.tflite", "{}"]),
        (benchmark, ["--report", "{}"]),
        (benchmark_map, ["--json", "{}"]),
    ],
)
def test_nothing_is_replaced_and_that_is_said_before_the_work(
    command: ModuleType, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mine"
    output.write_text("mine")
    assert command.main([word.format(output) for word in words]) == 1
    said = capsys.readouterr()
    assert "--force" in said.err and not said.out
    assert output.read_text() == "mine"


def test_a_picture_is_replaced_only_by_force(
    small_map: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "map.png"
    picture.write_text("mine")
    assert map_info.main([str(small_map), "--plot", str(picture)]) == 1
    assert "--force" in capsys.readouterr().err
    assert map_info.main([str(small_map), "--plot", str(picture), "--force"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_is_said_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert benchmark_map.main(["--figure", str(tmp_path / "file" / "growth.png")]) == 1
    said = capsys.readouterr()
    assert "cannot write" in said.err and "growth.png" in said.err
    assert not said.out


@pytest.mark.parametrize("number", ["inf", "nan", "-1"])
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (make_bag, ["images", "bag", "--start-time"]),
        (play_bag, ["bag", "--delay"]),
    ],
)
def test_numbers_that_are_none_are_refused(
    command: object, words: list[str], number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([*words, number])  # type: ignore[attr-defined]
    assert ended.value.code == 2
    assert number in capsys.readouterr().err


def fail_while_importing(command: str, error: str) -> subprocess.CompletedProcess[str]:
    """Start a command one of whose imports raises `error`, a Python expression."""
    program = FAILING_IMPORT.format(error=error)
    words = [sys.executable, "-c", program, f"floppynet_vpr.commands.{command}"]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_ctrl_c_during_the_imports_of_a_command_is_told_in_a_word() -> None:
    setup = (Path(__file__).resolve().parents[1] / "setup.py").read_text(encoding="utf-8")
    listed = re.search(r"COMMANDS = \[(.*?)\]", setup, re.DOTALL)
    assert listed is not None
    commands = re.findall(r'"(\w+)"', listed[1])
    assert len(commands) > 10
    for command in commands:
        ended = fail_while_importing(command, "KeyboardInterrupt")
        assert ended.returncode != 0
        assert (ended.stdout, ended.stderr) == ("", "interrupted\n"), command


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("MemoryError", "error: not enough memory (an allocation failed): free some, or raise"),
        (
            "ModuleNotFoundError('No module named cv2', name='cv2')",
            "error: a library that this needs cannot be loaded: No module named cv2",
        ),
    ],
)
def test_what_is_denied_to_the_imports_of_a_command_is_told_in_a_line(
    error: str, told: str
) -> None:
    ended = fail_while_importing("map_info", error)
    assert ended.returncode == 1 and not ended.stdout
    assert ended.stderr.startswith(told) and len(ended.stderr.splitlines()) == 1


def test_a_fault_of_the_program_in_the_imports_keeps_its_traceback() -> None:
    ended = fail_while_importing("map_info", "ValueError('odd')")
    assert "Traceback" in ended.stderr and "ValueError: odd" in ended.stderr


def run_module(name: str, *words: object, closed: str = "") -> int:
    """Run a command with some of its streams closed or full, as the shell's words say."""
    program = f'exec "$@" {closed}'
    called = [sys.executable, "-m", f"floppynet_vpr.commands.{name}", *map(str, words)]
    return subprocess.run(["sh", "-c", program, "sh", *called], check=False, timeout=120).returncode


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_streams_change_nothing(small_map: Path, tmp_path: Path, closed: str) -> None:
    picture = tmp_path / "map.png"
    assert run_module("map_info", small_map, "--plot", picture, closed=closed) == 0
    assert cv2.imread(str(picture)) is not None, "nothing else is written into the file"
    assert run_module("map_info", tmp_path / "missing.fvm", closed=closed) == 1


def test_a_full_disk_behind_stdout_is_one_line(
    small_map: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_module("map_info", small_map, closed=">/dev/full") == 1
    assert capfd.readouterr().err == "error: No space left on device\n"


def test_pipes_and_devices_are_no_maps_and_are_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe.fvm"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        assert map_info.main([str(path)]) == 1
        assert "it is no file" in capsys.readouterr().err
        assert export_onnx.main([str(path), "--force"]) == 1
        with pytest.raises(VprError, match="it is no file"):
            write_atomically(path, [b"new"])
    assert pipe.is_fifo() and Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    "storage, told", [("float32", "would take 0.7 MiB, but 0.1 MiB are free"), ("binary", "wrote ")]
)
def test_a_map_that_does_not_fit_on_the_disk_is_refused_before_the_work(
    tmp_path: Path, storage: str, told: str
) -> None:
    images, disk = tmp_path / "images", tmp_path / "disk"
    for folder in (images, disk):
        folder.mkdir()
    for index in range(20):
        noise = np.random.default_rng(index).integers(0, 256, (30, 40, 3), np.uint8)
        cv2.imwrite(str(images / f"{index}.png"), noise)
    apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=128k none {disk}"
    if not shutil.which("unshare") or subprocess.run([*apart, mount], check=False).returncode:
        pytest.skip("no disk of its own can be mounted here")
    build = f"{sys.executable} -m floppynet_vpr.commands.build_map {images} -o {disk}/a.fvm"
    ended = subprocess.run(
        [*apart, f"{mount} && {build} --storage {storage}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told in ended.stdout + ended.stderr
    assert ended.returncode == (storage == "float32")
    assert (" frames/s" in ended.stdout) == (storage == "binary")
