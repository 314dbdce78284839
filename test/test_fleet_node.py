# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes that share a map: what one sees the others recognise, whatever becomes of the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fleet_maps import make_map
from node_harness import (
    PATIENCE_S,
    Client,
    NodeProcess,
    image_message,
    view,
)

pytest.importorskip("rclpy", reason="needs ROS 2")

from floppynet_vpr.commands import fleet_database
from floppynet_vpr.fleet.connection import connect
from floppynet_vpr.fleet.map_url import parse_url
from floppynet_vpr.fleet.stored_map import load_map, stored_map
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr_msgs.srv import MapFile

Robot = Callable[..., tuple[NodeProcess, Client, Any]]


@pytest.fixture
def url(postgres: Any, request: pytest.FixtureRequest) -> str:
    return str(postgres.url(f"{abs(hash(request.node.nodeid))}"))


@pytest.fixture
def robot(ros_domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Robot]:
    """Starts a node in a namespace; gives it, a client and a publisher of its images."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    nodes, clients = [], []

    def start(name: str, **parameters: object) -> tuple[NodeProcess, Client, Any]:
        words = ("-r", f"__ns:=/{name}", "-r", f"image:=/{name}/image")
        nodes.append(NodeProcess(tmp_path, ros_domain, *words, **parameters))
        nodes[-1].wait_for_log("waiting for images")
        clients.append(Client(ros_domain, f"{name}/vpr"))
        return nodes[-1], clients[-1], clients[-1].image_publisher(f"/{name}/image")

    yield start
    for client in clients:
        client.close()
    for node in nodes:
        node.stop()


def show(client: Client, publisher: Any, number: float, stamp: int) -> Any:
    """Show a node an image along the way; gives its answer."""
    count = len(client.answers)
    publisher.publish(image_message(view(number), stamp))
    return client.wait_for_answers(count + 1)[-1]


def test_what_one_robot_maps_another_recognises(robot: Robot, url: str) -> None:
    _, mapper, mapped = robot("a", mode="mapping", map=url)
    for number in range(20):
        show(mapper, mapped, number, 100 + number)
    mapper.wait_for_diagnostics(lambda values: values["journal places"] == "0")
    # One that maps as well would soon have a place of its own for the same picture.
    _, other, seen = robot("b", mode="localization", map=url, threshold=0.4)
    show(mapper, mapped, 20, 120)
    give_up, stamp = time.monotonic() + PATIENCE_S, 1000
    while True:
        stamp += 1
        answer = show(other, seen, 20, stamp)
        if answer.detected and answer.candidates[0].stamp.sec == 120:
            break
        assert time.monotonic() < give_up, "what the other has mapped did not come"
    state = other.wait_for_diagnostics(lambda values: values["database"] == "in step")
    assert state["map"] == url


def test_a_node_starts_and_maps_without_a_server_and_delivers_when_it_is_there(
    robot: Robot, tmp_path: Path
) -> None:
    from floppynet_vpr.fleet.local_server import LocalServer

    with LocalServer() as server:
        assert fleet_database.main(["init", server.url()]) == 0
        url = server.url("street")
        server.kill()
        node, client, images = robot("a", mode="both", map=url)
        assert "does not answer" in node.log
        for number in range(30):
            show(client, images, number, 100 + number)
        state = client.wait_for_diagnostics(
            lambda values: "wait in the journal" in values["summary"]
        )
        assert state["journal places"] == "30" and state["map places"] != "0"
        node.kill()
        server.start()
        node, client, images = robot("a", mode="both", map=url)
        client.wait_for_diagnostics(lambda values: values["places delivered"] == "30")
        while len(answer := show(client, images, 5, 1000).candidates) == 0:
            time.sleep(0.2)
        assert answer[0].stamp.sec == 105
        assert node.stop() == 0
        names = [place.stamp_ns // 10**9 for place in load_map(url).places]
        assert names[:30] == list(range(100, 130))


def test_the_places_of_a_killed_node_are_delivered_by_the_next_one(
    robot: Robot, url: str, postgres: Any
) -> None:
    node, client, images = robot("a", mode="mapping", map=url)
    for number in range(10):
        show(client, images, number, 100 + number)
    client.wait_for_diagnostics(lambda values: values["places delivered"] == "10")
    node.kill()
    node, client, images = robot("a", mode="both", map=url)
    assert "10 places" in node.log
    answer = show(client, images, 5, 1000)
    assert answer.candidates[0].stamp.sec == 105
    assert node.stop() == 0
    assert len(load_map(url)) == 11


def test_what_is_known_is_left_out_of_a_shared_map_and_nothing_is_dropped(
    robot: Robot, url: str
) -> None:
    alone = {"matching": "rigid", "sequence": "none", "threshold": 0.5}
    recent = {"exclude_images": 5, "exclude_seconds": 3.0}
    kept = {"max_places": 10, "thumbnails": True}
    node, client, images = robot("a", mode="both", map=url, **alone, **recent, **kept)
    for number in range(20):
        show(client, images, number, 100 + number)
    assert show(client, images, 3, 200).detected
    assert not show(client, images, 29, 201).detected
    state = client.wait_for_diagnostics(lambda values: values["places delivered"] == "21")
    assert (state["places known"], state["places dropped"]) == ("1", "0")
    numbers = [place.number for place in load_map(url).places]
    assert numbers == [*range(20), 21], "there the drive went on without a new place"
    assert node.stop() == 0
    assert len(load_map(url)) == 21


def test_a_map_that_stays_in_the_server_is_recognised(
    robot: Robot, url: str, postgres: Any
) -> None:
    with closing(connect(parse_url(url))) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    _, mapper, mapped = robot("a", mode="mapping", map=url)
    for number in range(30):
        show(mapper, mapped, number, 100 + number)
    mapper.wait_for_diagnostics(lambda values: values["places delivered"] == "30")
    assert fleet_database.main(["index", url]) == 0
    node, other, seen = robot("b", mode="localization", map=url, search="server", threshold=0.4)
    assert "searched there" in node.log
    for stamp in range(1000, 1200):
        answer = show(other, seen, 20, stamp)
        if answer.detected:
            break
        time.sleep(0.1)
    assert answer.candidates[0].stamp.sec == 120


def test_services_leave_a_shared_map_alone_and_save_a_copy(
    robot: Robot, url: str, tmp_path: Path
) -> None:
    _, client, images = robot("a", mode="both", map=url)
    for number in range(25):
        show(client, images, number, 100 + number)
    file = tmp_path / "copy.fvm"
    answer = client.call(MapFile, "/a/vpr/save_map", path=str(file))
    assert answer.success, answer.message
    assert len(ReferenceMap.load(file)) == 25
    refused = client.call(MapFile, "/a/vpr/load_map", path=str(file))
    assert not refused.success and "which all its robots share" in refused.message


def test_a_map_of_other_weights_is_refused_and_no_password_told(
    ros_domain: int, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    stored_map(url).save(make_map())
    node = NodeProcess(tmp_path, ros_domain, map=url.replace("postgres@", "postgres:s3cr3t@"))
    node.wait_for_end_or_log("was built with other weights")
    assert node.process.wait(PATIENCE_S) == 1
    assert "s3cr3t" not in node.log and "***" in node.log
