# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What anybody on the network can have the node read and write."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.mapping import ReferenceMap

pytest.importorskip("rclpy", reason="needs ROS 2")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from node_harness import Client, StartNode, change_state, picture, set_parameter

from floppynet_vpr.ros.map_folder import MapFolder
from floppynet_vpr.ros.map_saver import MapSaver
from floppynet_vpr_msgs.srv import MapFile


def small_map(path: Path) -> Path:
    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights)
    reference.add(extractor.describe(picture(0)), "here")
    reference.save(path)
    return path


@pytest.mark.parametrize("text", ["../out.fvm", "/etc/out.fvm", "a/../../out.fvm", "~/out.fvm"])
def test_paths_that_lead_out_of_the_folder_are_refused(text: str, tmp_path: Path) -> None:
    folder = MapFolder(str(tmp_path / "maps"))
    with pytest.raises(VprError, match=r"is outside .*maps, the folder"):
        folder.path(text)


def test_a_home_folder_is_meant_by_its_sign(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert MapFolder("").path("~/x.fvm") == tmp_path / "x.fvm"
    growing: Any = SimpleNamespace(version=(0, 0))
    saver = MapSaver(Path("~/x.fvm"), growing, lambda: 1.0, pytest.fail)
    assert saver.path == tmp_path / "x.fvm"
    saver.close()


def test_links_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    (maps / "away").symlink_to(tmp_path)
    with pytest.raises(VprError, match="is outside"):
        MapFolder(str(maps)).path("away/out.fvm")
    assert MapFolder(str(maps)).path("away/maps/in.fvm") == maps / "in.fvm"
    assert MapFolder(str(maps)).path(str(maps / "deep" / "in.fvm")) == maps / "deep" / "in.fvm"


def test_services_read_and_write_in_their_folder_alone(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    maps, outside = tmp_path / "maps", small_map(tmp_path / "outside.fvm")
    maps.mkdir()
    small_map(maps / "home.fvm")
    small_map(maps / "shed.fvm")
    before = outside.read_bytes()
    start_node(map_folder=maps)
    for kind in ("load_map", "save_map"):
        refused = client.call(MapFile, f"/vpr/{kind}", path=str(outside))
        assert not refused.success
        assert "is outside" in refused.message and str(maps) in refused.message
    assert not client.call(MapFile, "/vpr/load_map", path=f"home.fvm:{outside}").success
    url = "postgresql://robot:secret@localhost/fleet?map=street"
    refused = client.call(MapFile, "/vpr/load_map", path=url)
    assert not refused.success
    assert f"is not in {maps}" in refused.message and "secret" not in refused.message
    assert client.call(MapFile, "/vpr/load_map", path="home.fvm").success
    assert client.call(MapFile, "/vpr/save_map", path="new/copy.fvm").success
    assert len(ReferenceMap.load(maps / "new" / "copy.fvm")) == 1
    assert outside.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".fvm") == [
        "outside.fvm"
    ]


def test_without_a_folder_no_file_is_replaced_that_is_not_a_map(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("do not lose me")
    start_node(map=small_map(tmp_path / "home.fvm"))
    refused = client.call(MapFile, "/vpr/save_map", path=str(precious))
    assert not refused.success
    assert "precious.txt exists and is not a map" in refused.message
    assert precious.read_text() == "do not lose me"
    assert client.call(MapFile, "/vpr/save_map", path=str(tmp_path / "home.fvm")).success


def test_nobody_opens_the_folder_again_by_setting_parameters(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    maps, elsewhere = tmp_path / "maps", tmp_path / "elsewhere.fvm"
    maps.mkdir()
    node = start_node(map_folder=maps)
    change_state(client, Transition.TRANSITION_DEACTIVATE)
    change_state(client, Transition.TRANSITION_CLEANUP)
    taken, reason = set_parameter(client, "map_folder", "")
    assert not taken
    assert "never changed" in reason
    assert set_parameter(client, "mode", "mapping")[0]
    assert set_parameter(client, "save_map_to", str(elsewhere))[0]
    request = ChangeState.Request()
    request.transition.id = Transition.TRANSITION_CONFIGURE
    answer = client.call(ChangeState, "/vpr/change_state", transition=request.transition)
    assert not answer.success
    node.wait_for_log("is outside")
    assert not elsewhere.exists()
