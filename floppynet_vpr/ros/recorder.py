# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Listens to a running node: collects its loop closures, and what it says of itself.

The messages become plain facts at once (evaluation.answers), so that whatever judges them needs no
ROS.
"""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from types import TracebackType

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from floppynet_vpr.evaluation.answers import Answer, FoundPlace
from floppynet_vpr.ros.initialization import init_ros, spin_until_shutdown
from floppynet_vpr.stamps import nanoseconds
from floppynet_vpr_msgs.msg import LoopClosure

_DEPTH = 1000


class LoopClosureRecorder:
    """A subscriber with a thread of its own; use it in a `with` statement.

    It has its own ROS context and takes no signals, so the program around it keeps its Ctrl-C.
    """

    def __init__(self, topic: str = "/vpr/loop_closure", *, domain_id: int | None = None) -> None:
        """Subscribe to `topic` and /diagnostics in ROS domain `domain_id` (None: as everybody)."""
        self._arrived: SimpleQueue[Answer] = SimpleQueue()
        self._diagnostics: dict[str, str] = {}
        self._context = Context()
        init_ros(
            context=self._context,
            domain_id=domain_id,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self._node = rclpy.create_node(
            "loop_closure_recorder", context=self._context, start_parameter_services=False
        )
        quality = QoSProfile(depth=_DEPTH)
        self._topic = topic
        self._node.create_subscription(LoopClosure, topic, self._on_loop_closure, quality)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="loop_closure_recorder")

    def __enter__(self) -> LoopClosureRecorder:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.try_shutdown()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()

    def next_answer(self, timeout_s: float) -> Answer | None:
        """The next loop closure that came in, or None if none does for `timeout_s` seconds."""
        try:
            return self._arrived.get(timeout=timeout_s)
        except Empty:
            return None

    @property
    def publishers(self) -> int:
        """How many publishers of loop closures there are."""
        return int(self._node.count_publishers(self._topic))

    @property
    def diagnostics(self) -> dict[str, str]:
        """The latest that the node said of itself on /diagnostics."""
        return dict(self._diagnostics)

    def _spin(self) -> None:
        spin_until_shutdown(self._executor)

    def _on_loop_closure(self, message: LoopClosure) -> None:
        self._arrived.put(answer_of(message, time.monotonic()))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith("place recognition"):
                self._diagnostics = {value.key: value.value for value in status.values}


def answer_of(message: LoopClosure, arrived_s: float) -> Answer:
    """A LoopClosure message as plain facts."""
    return Answer(
        query_id=message.query_id,
        stamp_ns=nanoseconds(message.header.stamp),
        detected=message.detected,
        threshold=round(message.threshold, 6),  # a float32: 0.8 comes as 0.800000012
        candidates=tuple(
            FoundPlace(
                place_id=candidate.place_id,
                place=candidate.place,
                stamp_ns=nanoseconds(candidate.stamp),
                distance=candidate.distance,
                score=candidate.score,
                verified=candidate.verified,
            )
            for candidate in message.candidates
        ),
        arrived_s=arrived_s,
    )
