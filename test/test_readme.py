# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What README and docs/ say is true: commands run or are possible, links lead on.

The commands of README and of the first hour are run one after the other, as written. Every other
command of this package on any page is read by that command's own parser, and names of launch
arguments, topics, services, parameters and make targets are looked up. Commands of other programs
are told by their names.
"""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from floppynet_vpr.parameters import INPUT_TOPICS, SETTINGS

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
FIRST_HOUR = ROOT / "docs" / "first_hour.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
RUN = "ros2 run floppynet_vpr "
MOST_WORDS = 1200

FOREIGN = (
    *(
        ".",
        "PACKAGES=",
        "cd",
        "colcon",
        "createdb",
        "dask",
        "docker",
        "export",
        "git",
        "ln",
        "mkdir",
    ),
    *(
        "pip",
        "pip3",
        "pre-commit",
        "psql",
        "python",
        "python3",
        "rosdep",
        "rviz2",
        "sudo",
        "source",
    ),
    *("evo_ape", "gtsam", "bloom-release", "openssl", "apt", "apt-get"),
    *(f"ros2 {verb}" for verb in ("bag", "lifecycle", "node", "pkg", "security", "topic list")),
    "ros2 launch rtabmap_launch",
)
"""What begins a command of another program, which these pages can only name."""


OURS = (
    *(
        RUN,
        "make ",
        "vpr_node ",
        "ros2 launch floppynet_vpr ",
        "ros2 topic echo ",
        "ros2 topic hz ",
    ),
    *("ros2 service call ", "ros2 param set /vpr ", "ros2 param get /vpr "),
)
"""What begins a command that is run or looked up here."""


class Said(NamedTuple):
    """A command on a page, in one line."""

    page: str
    text: str


@cache
def text_of(page: Path) -> str:
    """The page as it is written."""
    return page.read_text("utf-8")


def code_blocks(page: Path, language: str) -> list[str]:
    """The page's fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE)


def command_lines(page: Path) -> list[str]:
    """Every line of the page's shell blocks."""
    lines = "".join(code_blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


@cache
def commands() -> frozenset[str]:
    """The names of this package's commands, from setup.py."""
    listed = re.search(r"COMMANDS = \[(.*?)\]", (ROOT / "setup.py").read_text(), re.DOTALL)
    assert listed is not None
    return frozenset(re.findall(r'"(\w+)"', listed[1]))


def said() -> list[Said]:
    """The commands of all pages: the lines of shell blocks, and those within a sentence."""
    found = []
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        found += [Said(name, line) for line in command_lines(page)]
        for inline in re.findall(r"`([^`]+)`", prose(page)):
            words = " ".join(inline.split())
            ours = words.split()[0] in commands() and " " in words
            if ours or words.startswith(("ros2 ", "make ")):
                found.append(Said(name, f"{RUN}{words}" if ours else words))
    return found


def table_rows(page: Path, first_column: str) -> dict[str, list[str]]:
    """The rows of the page's table whose first header is `first_column`, by their first cell."""
    header = rf"^\| {first_column} \|.*?(?=\n\n)"
    table = re.search(header, text_of(page), re.DOTALL | re.MULTILINE)
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


@pytest.mark.parametrize("page", [README, FIRST_HOUR], ids=lambda page: page.stem)
def test_commands_run_one_after_the_other_as_written(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lap(tmp_path / "lap_1")
    write_lap(tmp_path / "lap_2")
    lines = [line.removeprefix(RUN) for line in command_lines(page) if line.startswith(RUN)]
    # The player and the doctor want ROS, and have tests of their own.
    lines = [line for line in lines if not line.startswith(("play_bag", "doctor"))]
    assert len(lines) >= 4
    for line in lines:
        name, *arguments = shlex.split(line)
        module = importlib.import_module(f"floppynet_vpr.commands.{name}")
        assert module.main(arguments) == 0, line
    capsys.readouterr()
    for snippet in code_blocks(page, "python"):
        exec(compile(snippet, page.name, "exec"), {})
        assert capsys.readouterr().out.count("image_") == 3


def what_is_wrong(line: str) -> str:
    """Look up a command and its options, as its parser knows them; empty: all is well."""
    name, *words = shlex.split(re.sub(r"<[\w ]+>|\.\.\.$", "NAME", line))
    if name not in commands():
        return "" if name == "NAME" else f"no command {name}"
    parser = importlib.import_module(f"floppynet_vpr.commands.{name}").build_parser()
    options = {option for action in parser._actions for option in action.option_strings}
    used = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    used = used[: used.index("--ros-args")] if "--ros-args" in used else used
    unknown = [word for word in used if word not in options]
    return f"no option {', '.join(unknown)}" if unknown else ""


def what_its_parser_says(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Have a whole command read by its own parser, arguments included; empty: it takes them."""
    name, *words = shlex.split(line)
    if name not in commands():
        return f"no command {name}"
    parser = importlib.import_module(f"floppynet_vpr.commands.{name}").build_parser()
    try:
        parser.parse_args(words[: words.index("--ros-args")] if "--ros-args" in words else words)
    except SystemExit:
        return capsys.readouterr().err.strip().splitlines()[-1]
    return ""


def test_every_command_of_this_package_on_any_page_is_one_that_its_parser_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = []
    for page in PAGES:
        whole = [line.removeprefix(RUN) for line in command_lines(page) if line.startswith(RUN)]
        wrong += [(page.name, line, what_its_parser_says(line, capsys)) for line in whole]
    mentioned = [one for one in said() if one.text.startswith(RUN)]
    assert len(mentioned) > 40
    wrong += [(one.page, one.text, what_is_wrong(one.text.removeprefix(RUN))) for one in mentioned]
    assert [one for one in wrong if one[2]] == []


def test_every_shell_command_is_of_a_kind_that_is_looked_at() -> None:
    strange = [
        (page.name, line)
        for page in PAGES
        for line in command_lines(page)
        if not line.startswith((*OURS, *FOREIGN))
    ]
    assert strange == [], "a new kind of command: have it checked here, or name its program"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {(one.page, one.text.split()[1]) for one in said() if one.text.startswith("make ")}
    assert named
    assert [one for one in named if one[1] not in targets] == []


def declared_arguments() -> set[str]:
    """The launch arguments of this package's launch files."""
    files = (ROOT / "launch" / "vpr.launch.py", ROOT / "floppynet_vpr/ros/dataset_launch.py")
    text = "".join(file.read_text() for file in files)
    declared = set(re.findall(r'DeclareLaunchArgument\(\s*"(\w+)"', text))
    return declared | {*INPUT_TOPICS, *(setting.name for setting in SETTINGS)}


def test_launch_files_exist_and_declare_the_arguments_given() -> None:
    lines = [one for one in said() if one.text.startswith("ros2 launch floppynet_vpr ")]
    assert lines
    for one in lines:
        file = one.text.split()[3]
        assert file == "<dataset>.launch.py" or (ROOT / "launch" / file).is_file(), one
    declared = declared_arguments() | {"cameras"}  # of cameras.launch.py
    for page in PAGES:
        inline = " ".join(re.findall(r"`([^`]+)`", text_of(page)))
        # Remappings of other programs' nodes and nodes without launch write -r and -p before.
        ours = re.sub(r"ros2 launch rtabmap_launch[^`]*|-[rp] \S+|--ros-args.*", "", inline)
        used = set(re.findall(r"\b([a-z]\w*):=", ours))
        assert used <= declared, page.name


def names_of_the_node() -> set[str]:
    """Topics and services of the node, from the tables of docs/node.md, and those of inputs."""
    page = ROOT / "docs" / "node.md"
    rows = {*table_rows(page, "topic"), *table_rows(page, "service")}
    return {name for row in rows for name in re.findall(r"/[\w/]+", row)}


def test_topics_services_and_parameters_that_commands_name_are_the_nodes() -> None:
    names, parameters = names_of_the_node(), {setting.name for setting in SETTINGS}
    looked_at = 0
    for one in said():
        words = one.text.split()
        if one.text.startswith(("ros2 topic echo", "ros2 topic hz", "ros2 service call")):
            assert words[3] in names, one
        elif one.text.startswith(("ros2 param set /vpr", "ros2 param get /vpr")):
            assert words[4] in parameters or words[4].startswith("<"), one
        elif one.text.startswith("vpr_node "):
            assert set(re.findall(r"-p (\w+):=", one.text)) <= parameters, one
            assert set(re.findall(r"-r (\w+):=", one.text)) <= {*INPUT_TOPICS}, one
        else:
            continue
        looked_at += 1
    assert looked_at > 4


def test_the_table_of_commands_is_complete() -> None:
    assert set(table_rows(ROOT / "docs" / "commands.md", "command")) == commands()


def anchors(page: Path) -> set[str]:
    """What links may lead to within a page."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pictures_and_links_lead_to_what_is_there() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            place = page.parent / file if file else page
            if not place.exists() or (anchor and anchor not in anchors(place)):
                broken.append((page.name, target))
    assert broken == []


def test_every_picture_beside_the_pages_is_shown_on_one() -> None:
    shown = "".join(text_of(page) for page in PAGES)
    pictures = [*ROOT.glob("docs/*.jpg"), *ROOT.glob("docs/pictures/*")]
    assert [one.name for one in pictures if one.name not in shown] == []


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len(text_of(README).split()) <= MOST_WORDS


def test_the_tables_of_the_paper_are_those_that_evaluate_prints() -> None:
    from floppynet_vpr.evaluation import paper_scores

    rows = table_rows(ROOT / "docs" / "datasets.md", "pool5")
    names = {name.lower().replace("vgg-16", "vgg16"): row for name, row in rows.items()}
    assert set(names) == set(paper_scores.AVERAGES)
    for name, row in names.items():
        printed = paper_scores.S_P100.get((name, "pool5"), {})
        for dataset, cell in zip(paper_scores.DATASETS, row, strict=False):
            assert (float(cell) if cell else None) == printed.get(dataset), (name, dataset)
        assert float(row[5]) == paper_scores.AVERAGES[name]
        assert float(row[7]) == paper_scores.ETA_M[name]


def sentences() -> list[str]:
    """All that the package's source holds as text, with a zero byte for what is filled in."""
    found = []
    for path in ROOT.glob("floppynet_vpr/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    part.value if isinstance(part, ast.Constant) else "\0" for part in node.values
                )
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_the_messages_that_the_page_of_faults_explains_are_said_by_the_code() -> None:
    page, text = ROOT / "docs" / "faults.md", sentences()
    cells = re.findall(r"^\| (`[^|]+`[^|]*) \|", text_of(page), re.MULTILINE)
    assert len(cells) > 20
    unknown = []
    for message in (one for cell in cells for one in re.findall(r"`([^`]+)`", cell)):
        # What is filled in is shown on the page as dots, a number, or a word of the driver's.
        pieces = [
            piece.strip(" :;,'") for piece in re.split(r"\.\.\.|\d+(?:\.\d+)?|/x\S*", message)
        ]
        for piece in (piece for piece in pieces if len(piece) > 3):
            if not any(piece in one for one in text):
                unknown.append((message, piece))
    assert unknown == []


def test_the_readmes_table_is_that_of_the_page_on_recognition() -> None:
    page = table_rows(ROOT / "docs" / "recognition.md", "traverses").values()
    shown = table_rows(README, "traverses").values()
    assert shown and all(tuple(row) in {(each[0], each[-1]) for each in page} for row in shown)


def test_the_node_of_the_pages_listens_where_make_bag_publishes() -> None:
    from floppynet_vpr.datasets.bags import default_topic

    for page in (README, FIRST_HOUR):
        assert set(re.findall(r"image:=(/[\w/]+)", text_of(page))) == {default_topic("rgb8")}
