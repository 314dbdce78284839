# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node's life cycle as a manager drives it: what fails says so, leaves nothing, goes on."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.places import MOST_PLACES

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from node_harness import Client, StartNode, change_state, image_message, picture
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from floppynet_vpr.ros import vpr_node
from floppynet_vpr.ros.guard import guarded
from floppynet_vpr.ros.vpr_node import VprNode
from floppynet_vpr_msgs.srv import MapFile

ROOT = Path(__file__).resolve().parents[1]
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@pytest.fixture(scope="module")
def map_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of two pictures."""
    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights)
    for number in range(2):
        reference.add(extractor.describe(picture(number)), f"place {number}")
    path = tmp_path_factory.mktemp("map") / "places.fvm"
    reference.save(path)
    return path


@pytest.fixture
def node(ros_domain: int) -> Iterator[VprNode]:
    """The node in this process, unconfigured."""
    rclpy.init(domain_id=ros_domain)
    node = VprNode()
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


def test_the_life_cycle_can_be_driven_from_outside(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    node = start_node(map=map_file, autostart=False)
    for number in range(2):
        change_state(client, Transition.TRANSITION_CONFIGURE)
        change_state(client, Transition.TRANSITION_ACTIVATE)
        publisher = client.image_publisher()
        publisher.publish(image_message(picture(number)))
        answer = client.wait_for_answers(number + 1)[number]
        assert answer.query_id == 0
        assert answer.candidates[0].place_id % MOST_PLACES == number
        change_state(client, Transition.TRANSITION_DEACTIVATE)
        client.wait_for(lambda p=publisher: p.get_subscription_count() == 0, "deactivation")
        client.node.destroy_publisher(publisher)
        change_state(client, Transition.TRANSITION_CLEANUP)
    for told in ("waiting to be configured", "configured", "active", "inactive", "cleaned up"):
        assert told in node.log
    assert node.stop() == 0


def test_an_unfit_map_fails_configuration_and_the_next_one_can_succeed(
    start_node: StartNode, client: Client, map_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "late.fvm"
    path.write_bytes(b"no map at all")
    node = start_node(map=path, autostart=False)

    def configure() -> bool:
        request = ChangeState.Request()
        request.transition.id = Transition.TRANSITION_CONFIGURE
        name = "/vpr/change_state"
        return bool(client.call(ChangeState, name, transition=request.transition).success)

    assert not configure()
    node.wait_for_log(f"cannot configure: {path} is not a map")
    path.write_bytes(map_file.read_bytes())
    assert configure()
    change_state(client, Transition.TRANSITION_ACTIVATE)
    client.image_publisher().publish(image_message(picture(1)))
    assert client.wait_for_answers(1)[0].candidates[0].place_id % MOST_PLACES == 1
    assert node.stop() == 0


def entities(node: VprNode) -> list[int]:
    """How many publishers, subscriptions, services and timers the node has."""
    kinds: list[Any] = [node.publishers, node.subscriptions, node.services, node.timers]
    return [len(list(kind)) for kind in kinds]


def test_a_configuration_that_fails_half_way_leaves_nothing(
    node: VprNode, map_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node.set_parameters([
        Parameter("mode", value="both"),
        Parameter("save_map_to", value=str(tmp_path / "new.fvm")),
        Parameter("pose_source", value="odometry"),
    ])  # fmt: skip
    before = entities(node)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "/run")

    with monkeypatch.context() as patch:
        patch.setattr(vpr_node, "MapServices", fail)
        assert node.trigger_configure() == FAILURE
    assert entities(node) == before
    assert not list(tmp_path.glob("*.lock"))
    assert node.set_parameters([Parameter("pose_source", value="none")])[0].successful
    assert node.trigger_configure() == SUCCESS


def test_an_activation_that_fails_leaves_no_thread_and_the_next_one_can_succeed(
    node: VprNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node.set_parameters([
        Parameter("mode", value="both"),
        Parameter("save_map_to", value=str(tmp_path / "new.fvm")),
    ])  # fmt: skip
    assert node.trigger_configure() == SUCCESS
    threads, before = set(threading.enumerate()), entities(node)

    def fail(*_: object) -> None:
        raise RuntimeError("no such QoS")

    with monkeypatch.context() as patch:
        patch.setattr(vpr_node, "ImageSubscriber", fail)
        assert node.trigger_activate() == FAILURE
    assert set(threading.enumerate()) == threads
    assert entities(node) == before
    assert node.trigger_activate() == SUCCESS
    assert {thread.name for thread in set(threading.enumerate()) - threads} == {
        "vpr_frames",
        "vpr_map_saver",
    }


def test_a_deactivation_that_fails_ends_unconfigured_with_nothing_left(
    node: VprNode, map_file: Path
) -> None:
    node.set_parameters([Parameter("map", value=str(map_file))])
    before, threads = entities(node), set(threading.enumerate())

    def fail() -> None:
        raise OSError(5, "Input/output error")

    for _ in range(2):
        assert node.start()
        node._running.callback(fail)
        node.trigger_deactivate()
        assert entities(node) == before
        assert set(threading.enumerate()) == threads


def test_cleanup_frees_network_and_map(node: VprNode, map_file: Path) -> None:
    node.set_parameters([Parameter("map", value=str(map_file))])
    assert node.start()
    recognition = node._recognition
    assert recognition is not None
    held = weakref.ref(recognition.map), weakref.ref(recognition.map.detector.reference)
    network = weakref.ref(recognition.extractor)
    del recognition
    assert node.trigger_deactivate() == SUCCESS
    assert all(reference() is not None for reference in (*held, network))
    assert node.trigger_cleanup() == SUCCESS
    gc.collect()
    assert [reference() for reference in (*held, network)] == [None] * 3


def test_a_finalized_node_obeys_no_service(node: VprNode, map_file: Path) -> None:
    node.set_parameters([Parameter("map", value=str(map_file))])
    assert node.start()
    assert node.trigger_shutdown() == SUCCESS
    offered = {service.srv_name.rsplit("/", 1)[-1] for service in node.services}
    assert not offered & {"reset_map", "save_map", "load_map", "forget", "pause"}


def test_the_first_answer_is_logged(start_node: StartNode, client: Client, map_file: Path) -> None:
    node = start_node(map=map_file, threshold=0.5)
    client.image_publisher().publish(image_message(picture(1), 1))
    node.wait_for_log("images are answered; the first answers: loop closure; candidates: 1")


def test_a_map_too_small_for_a_limit_is_told(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    node = start_node(map=map_file)
    client.image_publisher().publish(image_message(picture(1), 1))
    answer = client.wait_for_answers(1)[0]
    assert not answer.detected
    assert (answer.candidates[0].place_id % MOST_PLACES, answer.threshold) == (1, -1.0)
    node.wait_for_log("nothing can be detected: no limit is known yet")
    told = client.wait_for_diagnostics(lambda v: "no limit is known yet" in v["summary"])
    assert told["detected if"].startswith("never: no limit is known yet")


def test_what_is_saved_and_reset_is_logged(
    start_node: StartNode, client: Client, map_file: Path, tmp_path: Path
) -> None:
    node = start_node(map=map_file)
    copy = tmp_path / "copy.fvm"
    assert client.call(MapFile, "/vpr/save_map", path=str(copy)).success
    node.wait_for_log(f"saved 2 places to {copy}")
    assert client.call(Trigger, "/vpr/reset_map").success
    node.wait_for_log("the map is empty now")
    told = client.wait_for_diagnostics(lambda values: values["map places"] == "0")
    assert told["unforeseen errors"] == "0"


def test_unforeseen_errors_are_counted_in_diagnostics(
    node: VprNode, client: Client, map_file: Path
) -> None:
    node.set_parameters([Parameter("map", value=str(map_file))])
    assert node.start()

    def fail() -> None:
        raise ZeroDivisionError

    for _ in range(3):
        guarded(fail, node.errors)()

    def seen() -> bool:
        node._check()
        return any(
            values.get("unforeseen errors") == "3" and "errors that nobody" in values["summary"]
            for values in client.diagnostics
        )

    client.wait_for(seen, "the count of errors")


def test_diagnostics_tell_robots_apart(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    names: dict[str, str] = {}

    def keep(message: DiagnosticArray) -> None:
        (status,) = message.status
        names[status.name] = status.hardware_id

    client.node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
    for robot in ("robot1", "robot2"):
        start_node("-r", f"__ns:=/{robot}", map=map_file)
    expected = {f"robot{number}/vpr: place recognition" for number in (1, 2)}
    client.wait_for(lambda: set(names) == expected, "diagnostics of both")
    config = yaml.safe_load((ROOT / "config" / "diagnostics_aggregator.yaml").read_text())
    analyzer = config["/**"]["ros__parameters"]["place_recognition"]
    assert all(text in name for text in analyzer["contains"] for name in names)
    assert set(names.values()) == {socket.gethostname()}
