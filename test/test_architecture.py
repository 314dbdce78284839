# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The package is built as docs/architecture.md says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from test_packaging import DEPENDENCIES, loaded

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "floppynet_vpr"
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
GROUND = "ground"


class Row(NamedTuple):
    """What the page says about a room; names of modules and rooms without the package's."""

    folders: frozenset[str]
    rooms: frozenset[str]
    libraries: frozenset[str]


def _names(cell: str) -> frozenset[str]:
    return frozenset(re.findall(r"`(\w+)`", cell))


@cache
def table() -> dict[str, Row]:
    """The rooms in the order of the page."""
    rows = {}
    for line in PAGE.splitlines():
        if re.match(rf"\| ({GROUND}: )?`", line):
            name, _, rooms, libraries = (cell.strip() for cell in line.strip("|").split("|"))
            ros = {"ROS"} if re.search(r"\bROS\b", libraries) else frozenset()
            room = GROUND if name.startswith(GROUND) else name.strip("`")
            rows[room] = Row(_names(name), _names(rooms), _names(libraries) | ros)
    return rows


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str | None:
    """The room a module of the package belongs to."""
    folder = module.split(".")[1] if "." in module else ""
    return next((room for room, row in table().items() if folder in row.folders), None)


@cache
def imports(module: str) -> frozenset[str]:
    """What a module imports, wherever in it: modules of the package, and libraries by name."""
    return frozenset(_imports(ast.parse(modules()[module].read_text("utf-8"))))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "relative imports are not used here"
            # Of a room's folder a module may be taken, as well as what its __init__ offers.
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            named = [name if name in modules() else node.module for name in inner]
        else:
            named = loaded(node)
        for name in named:
            top = name.split(".")[0]
            if top == PACKAGE:
                assert name in modules(), f"{name} is no module"
                yield name
            elif top not in sys.stdlib_module_names:
                yield top if top in DEPENDENCIES else "ROS"


def test_every_module_is_in_a_room_of_the_page() -> None:
    assert [name for name in modules() if name != PACKAGE and room_of(name) is None] == []
    assert imports(PACKAGE) == frozenset()
    folders = {folder for row in table().values() for folder in row.folders}
    assert folders == {name.split(".")[1] for name in modules() if name != PACKAGE}


@pytest.mark.parametrize("room", table())
def test_a_room_imports_what_its_row_says(room: str) -> None:
    rooms: dict[str, str] = {}
    libraries: dict[str, str] = {}
    for module in modules():
        if room_of(module) != room:
            continue
        for name in imports(module):
            if not name.startswith(PACKAGE):
                libraries[name] = module
            elif room_of(name) not in (room, GROUND):
                rooms[str(room_of(name))] = module
    row = table()[room]
    new = {
        name: user
        for name, user in (rooms | libraries).items()
        if name not in {*row.rooms, *row.libraries}
    }
    assert new == {}, f"not in the row of {room}"
    assert row.rooms - set(rooms) == set(), f"in the row of {room}, but not imported"
    assert row.libraries - set(libraries) == set(), f"in the row of {room}, but not imported"


def test_rooms_import_only_from_rooms_above_them() -> None:
    above: set[str] = set()
    for room, row in table().items():
        assert row.rooms <= above, room
        above.add(room)
    assert GROUND in above and len(above) > 2


def test_what_is_confined_to_one_room_stays_there() -> None:
    def users(library: str) -> list[str]:
        return [room for room, row in table().items() if library in row.libraries]

    assert users("torch") == ["training"]
    assert users("ROS") == ["ros"]


def test_no_module_imports_itself_by_any_way_round() -> None:
    done: set[str] = set()

    def follow(module: str, way: list[str]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in done:
            for name in sorted(imports(module)):
                if name.startswith(PACKAGE):
                    follow(name, [*way, module])
            done.add(module)

    for module in modules():
        follow(module, [])


def test_help_loads_no_library_that_takes_long_or_may_be_absent() -> None:
    sentence = re.search(r"`--help` loads none of (.*?)\.\n", PAGE, re.DOTALL)
    assert sentence is not None
    slow = sorted(_names(sentence[1]))
    commands = sorted(name for name in modules() if name.startswith(f"{PACKAGE}.commands."))
    program = (
        "import importlib, sys\n"
        f"for name in {commands}:\n"
        "    module = importlib.import_module(name)\n"
        "    getattr(module, 'build_parser', lambda: None)()\n"
        f"print([name for name in {slow} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_file_that_the_page_names_exists() -> None:
    files = re.findall(r"`(\w+/\w+\.py)`", PAGE)
    assert len(files) > 10
    base = {file: ROOT if file.startswith("test/") else ROOT / PACKAGE for file in files}
    assert [file for file in files if not (base[file] / file).is_file()] == []
