# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What the pages on relocalisation and on several cameras tell people to type is right."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.network.weights import load_weights
from floppynet_vpr.parameters import INPUT_TOPICS, OUTPUT_TOPICS, SETTINGS

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("relocalisation.md", "cameras.md")
BY_NAME = {setting.name: setting for setting in SETTINGS}
TOPICS = {*INPUT_TOPICS, *OUTPUT_TOPICS}


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language on a page."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(start: str) -> list[list[str]]:
    """The words of the commands of both pages that start so, without those."""
    lines = [line for page in PAGES for text in blocks(page, "bash") for line in text.splitlines()]
    return [shlex.split(line.removeprefix(start)) for line in lines if line.startswith(start)]


def require_arguments(given: dict[str, str], also: set[str]) -> None:
    """Each is an argument of the launch file and, if of a parameter, a value that it takes."""
    assert given.keys() <= {*BY_NAME, *TOPICS, *also}, given
    for name in given.keys() & BY_NAME.keys():
        BY_NAME[name].read(given[name])


def test_launch_commands_have_arguments_and_values_that_there_are() -> None:
    lines = commands("ros2 launch floppynet_vpr ")
    assert len(lines) == 4
    for file, *arguments in lines:
        text = (ROOT / "launch" / file).read_text()
        declared = set(re.findall(r'DeclareLaunchArgument\(\s*"(\w+)"', text))
        given = dict(argument.split(":=", 1) for argument in arguments)
        require_arguments(given, declared)


def test_launch_snippets_are_python_with_arguments_that_there_are() -> None:
    snippets = blocks("relocalisation.md", "python")
    assert len(snippets) == 3
    for snippet in snippets:
        (given,) = (node for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Dict))
        require_arguments(ast.literal_eval(given), set())


def test_other_commands_run_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from synthetic_drives import street

    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("front", "rear")):
        reference = ReferenceMap.for_weights(load_weights(None))
        reference.extend(street(5, seed), [name] * 5)
        reference.save(tmp_path / f"home_{name}.fvm")
    for name, *arguments in commands("ros2 run floppynet_vpr "):
        module = importlib.import_module(f"floppynet_vpr.commands.{name}")
        if name == "close_loops":  # run, as it is written here, by its own tests
            assert module.build_parser().parse_args(arguments).truth == "/ground_truth"
        else:
            assert module.main(arguments) == 0
    merged = ReferenceMap.load(tmp_path / "home.fvm")
    assert [session.name for session in merged.sessions] == ["home_front", "home_rear"]
    assert commands("ros2 service call ") == [["/vpr/relocalise", "std_srvs/srv/Trigger"]]


def test_every_command_is_of_a_kind_that_is_tried_here() -> None:
    known = ("ros2 launch floppynet_vpr ", "ros2 run floppynet_vpr ", "ros2 service call ")
    lines = [line for page in PAGES for text in blocks(page, "bash") for line in text.splitlines()]
    assert lines and all(line.startswith(known) for line in lines)
