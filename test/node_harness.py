# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The real node in a process of its own, and a client that talks to it over DDS."""

from __future__ import annotations

import array
import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from numpy.typing import NDArray
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from floppynet_vpr_msgs.msg import LoopClosure

PATIENCE_S = 120.0
_STATES = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
    Transition.TRANSITION_ACTIVE_SHUTDOWN: State.PRIMARY_STATE_FINALIZED,
}
NODE_MODULE = "floppynet_vpr.ros.vpr_node"
WARN = "1"
"""A level of diagnostics."""


class NodeProcess:
    """`vpr_node` with parameters and remappings, its log kept in a file.

    `prefix` are words that start the command line, `before` is called in the new process.
    """

    def __init__(
        self,
        folder: Path,
        domain: int,
        *ros_args: str,
        prefix: Sequence[str] = (),
        before: Callable[[], object] | None = None,
        **parameters: object,
    ) -> None:
        words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        self._log_file = folder / f"node_{len(list(folder.glob('node_*.log')))}.log"
        with open(self._log_file, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", NODE_MODULE, "--ros-args", *words, *ros_args],
                preexec_fn=before,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ROS_DOMAIN_ID": str(domain), "NO_COLOR": "1"},
            )

    @property
    def log(self) -> str:
        return self._log_file.read_text(encoding="utf-8")

    def wait_for_log(self, text: str) -> None:
        """Wait until the node has printed `text`."""
        self.wait_for_end_or_log(text)
        assert text in self.log, f"the node ended:\n{self.log}"

    def wait_for_end_or_log(self, text: str) -> None:
        """Wait until the node has printed `text` or ended."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.log and self.process.poll() is None:
            assert time.monotonic() < deadline, f"'{text}' did not come:\n{self.log}"
            time.sleep(0.02)

    def stop(self) -> int:
        """Press Ctrl-C and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.process.kill()
        self.process.wait(PATIENCE_S)


StartNode = Callable[..., NodeProcess]


class Client:
    """A ROS node that publishes images and collects what the node under test says."""

    def __init__(self, domain: int, node_name: str = "vpr") -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("test_client", context=self._context)
        self._changed = threading.Condition()
        self.answers: list[LoopClosure] = []
        self.diagnostics: list[dict[str, str]] = []
        self.node.create_subscription(
            LoopClosure, f"/{node_name}/loop_closure", self._on_answer, 1000
        )
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def close(self) -> None:
        rclpy.try_shutdown(context=self._context)
        self._thread.join()
        self.node.destroy_node()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _on_answer(self, message: LoopClosure) -> None:
        with self._changed:
            self.answers.append(message)
            self._changed.notify_all()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        (status,) = message.status
        with self._changed:
            values = {entry.key: entry.value for entry in status.values}
            told = {"summary": status.message, "level": str(status.level[0])}
            self.diagnostics.append(told | values)
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until `condition` holds; it is looked at after every message, and now and then."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while not condition():
                assert time.monotonic() < deadline, f"waited in vain for {what}"
                self._changed.wait(0.1)

    def wait_for_answers(self, count: int) -> list[LoopClosure]:
        self.wait_for(lambda: len(self.answers) >= count, f"{count} answers")
        return self.answers

    def wait_for_diagnostics(self, condition: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """Wait for a diagnostics message from now on that fulfils `condition`."""
        seen = len(self.diagnostics)
        found: list[dict[str, str]] = []

        def look() -> bool:
            found[:] = [values for values in self.diagnostics[seen:] if condition(values)]
            return bool(found)

        self.wait_for(look, "diagnostics")
        return found[0]

    def image_publisher(
        self,
        topic: str = "/image",
        kind: type = Image,
        reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
    ) -> Any:
        """Make a publisher and wait until the node has subscribed with the QoS it ends with.

        What a reliable publisher sends from then on arrives; best effort may lose the first.
        """
        profile = QoSProfile(depth=500, reliability=reliability)
        publisher = self.node.create_publisher(kind, topic, profile)

        def subscribed() -> bool:
            found = self.node.get_subscriptions_info_by_topic(topic)
            return publisher.get_subscription_count() >= len(found) > 0 and any(
                entry.qos_profile.reliability == reliability for entry in found
            )

        self.wait_for(subscribed, f"a subscriber of {topic}")
        return publisher

    def call(self, kind: type, name: str, **fields: object) -> Any:
        """Call a service and return its response.

        One that comes before DDS has told the node of this client is lost: then it is asked again.
        """
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(PATIENCE_S), f"no service {name}"
        asked: list[Any] = []
        asked_at = -math.inf

        def answered() -> bool:
            nonlocal asked_at
            if time.monotonic() - asked_at > PATIENCE_S / 4:
                asked.append(client.call_async(kind.Request(**fields)))
                asked_at = time.monotonic()
            return any(future.done() for future in asked)

        self.wait_for(answered, f"an answer of {name}")
        self.node.destroy_client(client)
        return next(future.result() for future in asked if future.done())


def set_parameter(client: Client, name: str, value: bool | float | str) -> tuple[bool, str]:
    """Set a parameter of the node; returns whether it took it, and its reason."""
    if isinstance(value, bool):
        wrapped = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)
    elif isinstance(value, float):
        wrapped = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
    else:
        wrapped = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
    parameter = Parameter(name=name, value=wrapped)
    (result,) = client.call(SetParameters, "/vpr/set_parameters", parameters=[parameter]).results
    return result.successful, result.reason


def change_state(client: Client, transition: int) -> None:
    """Have the node make a transition of its life cycle."""
    request = ChangeState.Request()
    request.transition.id = transition
    answer = client.call(ChangeState, "/vpr/change_state", transition=request.transition)
    if not answer.success:  # unless it was made when asked first, and the answer was lost
        state = client.call(GetState, "/vpr/get_state").current_state
        assert state.id == _STATES[transition]


def picture(number: int) -> NDArray[np.uint8]:
    """A smooth random picture, another for every number."""
    small = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(small, (160, 120), interpolation=cv2.INTER_CUBIC)


def view(number: float) -> NDArray[np.uint8]:
    """A picture along a way: what it shows moves as `number` grows, up to 34."""
    small = np.random.default_rng(1).integers(0, 256, (6, 80, 3), np.uint8)
    wide = cv2.resize(small, (1600, 120), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(wide[:, round(40 * number) : round(40 * number) + 160])


def image_message(rgb: NDArray[np.uint8], number: int = 0) -> Image:
    """Wrap (H, W, 3) RGB as rgb8, stamped with `number` in seconds."""
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding="rgb8")
    message.step = 3 * rgb.shape[1]
    message.data = array.array("B", rgb.tobytes())
    message.header.stamp.sec = number
    message.header.frame_id = "camera_optical_frame"
    return message
