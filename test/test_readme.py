# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What the README and the configuration say is true: commands run, tables match the code."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.parameters import INPUT_TOPICS, SETTINGS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
RUN = "ros2 run floppynet_vpr "


def code_blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def command_lines() -> list[str]:
    """Every line of the README's shell blocks."""
    lines = "".join(code_blocks("bash")).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip()]


def table_rows(first_column: str) -> dict[str, list[str]]:
    """The rows of the README's table whose first header is `first_column`, by their first cell."""
    table = re.search(rf"^\| {first_column} \|.*?(?=\n\n)", README, re.DOTALL | re.MULTILINE)
    assert table is not None, f"no table of {first_column}"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].split("\n")]
    return {row[0].strip("`"): row[1:] for row in rows[2:]}


def write_lap(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(20):
        small = rng.integers(0, 256, (6, 8, 3), np.uint8)
        picture = cv2.resize(small, (160, 120), interpolation=cv2.INTER_CUBIC)
        assert cv2.imwrite(str(folder / f"image_{number:03}.png"), picture)


def test_commands_run_one_after_the_other_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lap(tmp_path / "lap_1")
    write_lap(tmp_path / "lap_2")
    lines = [line.removeprefix(RUN) for line in command_lines() if line.startswith(RUN)]
    assert len(lines) >= 6
    for line in lines:
        name, *arguments = shlex.split(line)
        module = importlib.import_module(f"floppynet_vpr.commands.{name}")
        assert module.main(arguments) == 0, line
    capsys.readouterr()
    for snippet in code_blocks("python"):
        exec(compile(snippet, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("image_") == 3


def test_every_shell_command_is_of_a_kind_that_is_tried_somewhere() -> None:
    known = ("make ", "ros2 run floppynet_vpr ", "ros2 launch floppynet_vpr ", "ros2 topic echo ")
    setup = ("PACKAGES=", "rosdep install ", "colcon build ", ". ")
    for line in command_lines():
        assert line.startswith(known + setup), line


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"[`\n]make ([a-z]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_launch_arguments_are_declared() -> None:
    files = (ROOT / "launch" / "vpr.launch.py", ROOT / "floppynet_vpr/ros/dataset_launch.py")
    text = "".join(file.read_text() for file in files)
    declared = set(re.findall(r'DeclareLaunchArgument\(\s*"(\w+)"', text))
    declared |= {*INPUT_TOPICS, *(setting.name for setting in SETTINGS)}
    used = set(re.findall(r"\b(\w+):=", README))
    assert used
    assert used <= declared


def test_the_table_of_commands_is_complete() -> None:
    setup = (ROOT / "setup.py").read_text()
    listed = re.search(r"COMMANDS = \[(.*?)\]", setup, re.DOTALL)
    assert listed is not None
    assert set(table_rows("command")) == set(re.findall(r'"(\w+)"', listed[1]))


def test_pictures_and_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
