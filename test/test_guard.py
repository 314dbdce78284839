# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What nobody foresaw in a callback is told, and ends no node."""

from __future__ import annotations

import asyncio
import inspect
import time
from types import SimpleNamespace
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2")

from lifecycle_msgs.msg import Transition
from node_harness import PATIENCE_S, Client, StartNode, change_state
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from floppynet_vpr.ros.guard import GuardedNode, UnforeseenErrors, guarded
from floppynet_vpr.text import shown
from floppynet_vpr_msgs.srv import MapFile


def test_an_error_in_a_callback_is_told_once_and_answered() -> None:
    log: list[str] = []

    def fail(_request: object, _response: object) -> None:
        raise OSError("the disk is gone")

    callback = guarded(fail, UnforeseenErrors(SimpleNamespace(error=log.append)))
    for _ in range(3):
        response = SimpleNamespace(success=True, message="")
        assert callback(None, response) is response
        assert not response.success and "the disk is gone" in response.message
    assert len(log) == 1 and "Traceback" in log[0] and "test_guard.py" in log[0]


def test_so_is_one_in_a_callback_that_waits() -> None:
    log: list[str] = []

    async def fail_later(_request: object, response: SimpleNamespace) -> SimpleNamespace:
        await asyncio.sleep(0)
        if response.message:
            raise OSError("the disk is gone")
        response.message = "done\x1b"
        return response

    callback = guarded(fail_later, UnforeseenErrors(SimpleNamespace(error=log.append)))
    assert inspect.iscoroutinefunction(callback), "rclpy awaits nothing else"
    response = SimpleNamespace(success=True, message="")
    assert asyncio.run(callback(None, response)).message == shown("done\x1b")
    assert asyncio.run(callback(None, response)) is response
    assert not response.success and "the disk is gone" in response.message
    assert len(log) == 1


def test_no_timer_subscription_or_service_of_a_node_can_end_it(ros_domain: int) -> None:
    rclpy.init(domain_id=ros_domain)
    node = GuardedNode("guarded")
    failed: set[str] = set()

    def fail(who: str) -> Any:
        failed.add(who)
        raise OSError("the disk is gone: d\udce9")

    node.create_timer(0.01, lambda: fail("timer"))
    node.create_subscription(String, "said", lambda _message: fail("subscription"), 1)
    node.create_service(Trigger, "asked", lambda _request, _response: fail("service"))
    publisher = node.create_publisher(String, "said", 1)
    asked = node.create_client(Trigger, "asked").call_async(Trigger.Request())
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    give_up = time.monotonic() + PATIENCE_S
    while not (asked.done() and failed == {"timer", "subscription", "service"}):
        assert time.monotonic() < give_up, failed
        publisher.publish(String())
        executor.spin_once(timeout_sec=0.1)
    assert not asked.result().success
    assert r"the disk is gone: d\xe9" in asked.result().message
    assert node.errors.count >= 3
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()


@pytest.mark.parametrize("path", ["/" + "x" * 300, "/proc/1/mem/none"])
def test_load_map_survives_every_path(start_node: StartNode, client: Client, path: str) -> None:
    node = start_node()
    answer = client.call(MapFile, "/vpr/load_map", path=path)
    assert not answer.success and answer.message
    assert client.call(SetBool, "/vpr/pause", data=False).success
    assert node.stop() == 0


def test_a_pause_ends_with_the_node_s_activity_and_is_logged(
    start_node: StartNode, client: Client
) -> None:
    node = start_node(mode="mapping")
    assert client.call(SetBool, "/vpr/pause", data=True).success
    client.wait_for_diagnostics(lambda values: values["summary"] == "paused")
    node.wait_for_log("images are ignored")
    for transition in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        change_state(client, transition)
    client.wait_for_diagnostics(lambda values: values["summary"] not in ("paused", "inactive"))
    assert node.stop() == 0
