# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What all commands promise: outputs that are checked before the work, numbers that are finite."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from floppynet_vpr.commands import benchmark_map, export_onnx, make_bag, map_info, play_bag
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.network.weights import load_weights

INTERRUPTED_IMPORT = """
import runpy, sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "floppynet_vpr.commands.common":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
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


def test_ctrl_c_during_the_imports_of_a_command_is_told_in_a_word() -> None:
    setup = (Path(__file__).resolve().parents[1] / "setup.py").read_text()
    listed = re.search(r"COMMANDS = \[(.*?)\]", setup, re.DOTALL)
    assert listed is not None
    commands = re.findall(r'"(\w+)"', listed[1])
    assert len(commands) > 10
    for command in commands:
        words = [sys.executable, "-c", INTERRUPTED_IMPORT, f"floppynet_vpr.commands.{command}"]
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        assert ended.returncode != 0
        assert (ended.stdout, ended.stderr) == ("", "interrupted\n"), command
