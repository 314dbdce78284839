# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Files written whole, and paths as people write them."""

from __future__ import annotations

import importlib
import os
import pkgutil
import stat
from pathlib import Path
from types import ModuleType

import pytest

from floppynet_vpr import commands, files
from floppynet_vpr.commands import export_onnx
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import user_path, write_atomically
from floppynet_vpr.mapping import MapError, load_maps
from floppynet_vpr.network.weights import weights_path


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "disk" / "real.fvm"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link = tmp_path / "link.fvm"
    link.symlink_to(target)
    write_atomically(link, [b"new"])
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["real.fvm"]


def test_the_access_mode_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "private.fvm"
    path.write_bytes(b"old")
    path.chmod(0o600)
    write_atomically(path, [b"new"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_is_not_flushed_is_told_truly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(directory: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "_flush_directory", fail)
    path = tmp_path / "a.fvm"
    path.write_bytes(b"old")
    with pytest.raises(VprError, match=r"is written, but .*Input/output error"):
        write_atomically(path, [b"new"])
    assert path.read_bytes() == b"new"


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loop.fvm"
    path.symlink_to(path)
    with pytest.raises(VprError, match="cannot write"):
        write_atomically(path, [b"new"])


def test_home_folders_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/x.fvm") == tmp_path / "x.fvm"
    assert user_path("x~.fvm") == Path("x~.fvm")
    with pytest.raises(VprError, match="no such user"):
        user_path("~nosuchuser/x.fvm")


def test_maps_and_weights_take_home_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_path("~/w.fnet") == tmp_path / "w.fnet"
    with pytest.raises(MapError, match=str(tmp_path / "a.fvm")):
        load_maps("~/a.fvm:~/b.fvm")


COMMANDS = [
    importlib.import_module(f"floppynet_vpr.commands.{module.name}")
    for module in pkgutil.iter_modules(commands.__path__)
    if module.name != "common" and not module.name.endswith("_options")
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda module: module.__name__.split(".")[-1])
def test_every_path_of_every_command_is_taken_as_people_write_it(command: ModuleType) -> None:
    kinds = [action.type for action in command.build_parser()._actions]
    assert Path not in kinds


def test_results_go_to_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert export_onnx.main(["~/models/vpr.onnx"]) == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["models"]
    with pytest.raises(SystemExit):
        export_onnx.main(["~nosuchuser/vpr.onnx"])
    assert "no such user" in capsys.readouterr().err


def test_an_unknown_home_in_an_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        export_onnx.main(["out.onnx", "--weights", "~nosuchuser/w.fnet"])
    assert "no such user" in capsys.readouterr().err
