# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Records what a running node says: its loop closures, and its account of itself.

The messages go into a bag as they come, as `ros2 bag record` would write them, and what was said
comes out as plain facts (evaluation.recording), so that whatever judges it needs no ROS.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from floppynet_vpr.evaluation.recording import (
    DIAGNOSTICS,
    LOOP_CLOSURE,
    RecordedAnswer,
    read_answer,
    read_diagnostics,
    types,
)
from floppynet_vpr.ros.initialization import init_ros, spin_until_shutdown
from floppynet_vpr_msgs.msg import LoopClosure

_DEPTH = 1000


class LoopClosureRecorder:
    """A subscriber with a thread of its own; use it in a `with` statement.

    It has its own ROS context and takes no signals, so the program around it keeps its Ctrl-C.
    """

    def __init__(
        self, bag: Path, topic: str = "/vpr/loop_closure", *, domain_id: int | None = None
    ) -> None:
        """Record `topic` and /diagnostics in ROS domain `domain_id` (None: as everybody).

        `bag` must not exist.
        """
        from rosbags.rosbag2 import StoragePlugin, Writer

        self._arrived: SimpleQueue[RecordedAnswer] = SimpleQueue()
        self._diagnostics: dict[str, str] = {}
        self._bag = Writer(bag, version=8, storage_plugin=StoragePlugin.MCAP)
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
        self._connections: dict[str, Any] = {}
        for name, kind, received in (
            (topic, LoopClosure, self._on_loop_closure),
            ("/diagnostics", DiagnosticArray, self._on_diagnostics),
        ):
            self._node.create_subscription(kind, name, received, quality, raw=True)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(
            target=spin_until_shutdown, args=(self._executor,), name="loop_closure_recorder"
        )

    def __enter__(self) -> LoopClosureRecorder:
        self._bag.open()
        for topic, kind in ((self._topic, LOOP_CLOSURE), ("/diagnostics", DIAGNOSTICS)):
            self._connections[kind] = self._bag.add_connection(topic, kind, typestore=types())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._context.try_shutdown()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        self._bag.close()

    def next_answer(self, timeout_s: float) -> RecordedAnswer | None:
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

    def _on_loop_closure(self, message: bytes) -> None:
        self._arrived.put(read_answer(message, self._record(LOOP_CLOSURE, message)))

    def _on_diagnostics(self, message: bytes) -> None:
        self._record(DIAGNOSTICS, message)
        self._diagnostics = read_diagnostics(message) or self._diagnostics

    def _record(self, kind: str, message: bytes) -> int:
        """Write a serialised message to the bag; returns when, in nanoseconds."""
        now_ns = time.time_ns()
        self._bag.write(self._connections[kind], now_ns, message)
        return now_ns
