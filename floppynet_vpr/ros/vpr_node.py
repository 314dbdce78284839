# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node: camera images in, loop-closure candidates out, and its map made while driving."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import ExitStack
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.utilities import remove_ros_args
from std_srvs.srv import SetBool

from floppynet_vpr.detection import Detection
from floppynet_vpr.errors import VprError
from floppynet_vpr.ros.answer_publisher import AnswerPublisher
from floppynet_vpr.ros.bond import bond_with_manager
from floppynet_vpr.ros.detection_text import story
from floppynet_vpr.ros.frame_worker import FrameWorker
from floppynet_vpr.ros.guard import GuardedNode
from floppynet_vpr.ros.health import complaints, facts, health
from floppynet_vpr.ros.image_subscriber import ImageSubscriber
from floppynet_vpr.ros.initialization import init_ros, spin_until_shutdown
from floppynet_vpr.ros.map_folder import MapFolder
from floppynet_vpr.ros.map_services import MapServices
from floppynet_vpr.ros.messages import diagnostics_message
from floppynet_vpr.ros.notices import Notices
from floppynet_vpr.ros.parameters import NodeParameters
from floppynet_vpr.ros.progress import Progress
from floppynet_vpr.ros.recognition import Recognition, create_recognition
from floppynet_vpr.ros.silence import SilenceWatch
from floppynet_vpr.ros.statistics import FrameStatistics
from floppynet_vpr.ros.transitions import transition
from floppynet_vpr.signals import hang_up_as_terminate

NODE_NAME = "vpr"
_CHECK_PERIOD_S = 1.0
_FOLLOW_PERIOD_S = 0.2


class VprNode(GuardedNode):
    """The lifecycle node `vpr`.

    Configuring loads weights and map, activating starts to take images. It publishes a
    LoopClosure for every processed image; silence on that topic always means a fault.
    """

    def __init__(self) -> None:
        """Declare the parameters; nothing is loaded before the node is configured."""
        super().__init__(NODE_NAME)
        self._made = ExitStack()
        """Ends what was made when the node was configured, the last thing first."""
        self._running = ExitStack()
        """Ends what runs while the node is active."""
        self._recognition: Recognition | None = None
        self._answers: AnswerPublisher | None = None
        self._images: ImageSubscriber | None = None
        self._worker: FrameWorker | None = None
        self._begin_anew()
        self.settings = NodeParameters(self)

    def _begin_anew(self) -> None:
        """Forget what was counted, told and asked for while the node was active."""
        self._paused = False
        self._last: Detection | None = None
        self._statistics = FrameStatistics()
        self._silence = SilenceWatch(self.get_logger())
        self._notices = Notices(self.get_logger())
        self._progress = Progress(self.get_logger())

    # Life cycle

    @transition("configured", fails_as=TransitionCallbackReturn.FAILURE)
    def on_configure(self, state: LifecycleState) -> None:
        """Load the network and the map, offer topics and services."""
        settings = self.settings
        with ExitStack() as made:  # ends all of it where a step fails
            made.callback(self._drop_parts)
            parts = self._recognition = create_recognition(self, settings, made)
            self._answers = AnswerPublisher(self, parts)
            made.callback(self._answers.close)
            self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
            made.callback(self.destroy_publisher, self._diagnostics)
            folder = MapFolder(self.settings["map_folder"])
            written = parts.mapping.file if parts.mapping is not None else None
            made.callback(MapServices(self, parts.map, written, folder).close)
            pause = self.create_service(SetBool, "~/pause", self._on_pause)
            made.callback(self.destroy_service, pause)
            # Steady time: images may stop, and simulated time with them.
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            for period, look in (
                (_CHECK_PERIOD_S, self._check),
                (_FOLLOW_PERIOD_S, self._follow_publishers),
            ):
                made.callback(self.destroy_timer, self.create_timer(period, look, clock=steady))
            settings.locked = True
            self._made = made.pop_all()

    @transition("active", fails_as=TransitionCallbackReturn.FAILURE)
    def on_activate(self, state: LifecycleState) -> None:
        """Start to take images."""
        recognition, answers = self._recognition, self._answers
        assert recognition is not None and answers is not None, "rclpy configures a node first"
        settings = self.settings
        self._begin_anew()
        with ExitStack() as running:
            running.callback(super().on_deactivate, state)
            super().on_activate(state)
            if recognition.mapping is not None:
                running.callback(recognition.mapping.stop)
                recognition.mapping.start()
            running.callback(answers.relocalisation.stop)
            answers.relocalisation.start()
            running.callback(self._end_images)
            self._worker = FrameWorker(
                self._process,
                settings["queue_size"],
                self._statistics,
                self.get_logger(),
                self.errors,
                self.context.ok,
                settings["threads"],
            )
            self._images = ImageSubscriber(
                self,
                settings["image_transport"],
                settings["qos"],
                settings["queue_size"],
                self._on_image,
            )
            running.callback(bond_with_manager(self, settings).close)
            self.get_logger().info(f"waiting for images on {self._images.topic}")
            self._running = running.pop_all()

    @transition("inactive", fails_as=TransitionCallbackReturn.ERROR)
    def on_deactivate(self, state: LifecycleState) -> None:
        """Stop taking images; the map stays, and what is new of it is saved."""
        self._running.close()

    @transition("cleaned up", fails_as=TransitionCallbackReturn.ERROR)
    def on_cleanup(self, state: LifecycleState) -> None:
        """Drop the network, the map, the topics and the services."""
        self._made.close()

    @transition("shut down", fails_as=TransitionCallbackReturn.ERROR)
    def on_shutdown(self, state: LifecycleState) -> None:
        """Stop whatever runs, and drop what cleanup drops."""
        self._release()

    @transition("not configured any more", fails_as=TransitionCallbackReturn.ERROR)
    def on_error(self, state: LifecycleState) -> None:
        """Bring the node to where it can be configured anew."""
        self._release()

    def start(self) -> bool:
        """Configure and activate; returns whether that worked."""
        return all(
            step() == TransitionCallbackReturn.SUCCESS
            for step in (self.trigger_configure, self.trigger_activate)
        )

    def destroy_node(self) -> None:
        """Stop the worker before what it uses goes, and save what is new of the map."""
        self._release()
        super().destroy_node()

    def _release(self) -> None:
        """Stop whatever runs, and drop all that was made."""
        with ExitStack() as both:  # the second also where the first fails
            both.callback(self._made.close)
            both.callback(self._running.close)

    def _drop_parts(self) -> None:
        """Forget the network and the map."""
        self.settings.locked = False
        self._recognition = self._answers = None

    def _end_images(self) -> None:
        """Take no more images, and finish the one that is worked on."""
        images, worker = self._images, self._worker
        self._images = self._worker = None
        if images is not None:
            images.close()
        if worker is not None:
            worker.close()

    # Images

    def _on_image(self, message: Any) -> None:
        """Hand an image to the worker (executor's thread)."""
        if self._paused or self._worker is None:
            self._statistics.image_received(dropped_older=False)
        else:
            self._worker.put(message)

    def _process(self, message: Any, arrived: float) -> None:
        """Answer an image (worker's thread)."""
        recognition, answers = self._recognition, self._answers
        assert recognition is not None and answers is not None, "the worker ends before they go"
        result = recognition.process(message, arrived)
        query_id = self._statistics.frame_processed(result.times, result.detection.detected)
        self._last = result.detection
        for complaint in complaints(recognition, result.detection):
            self._notices.warn(complaint)
        answers.publish(message.header, query_id, result)

    # Checks

    def _follow_publishers(self) -> None:
        if self._images is not None:
            self._images.follow_publishers()
        if self._recognition is not None:
            self._recognition.camera.follow_publishers()

    def _check(self) -> None:
        """Tell what needs to be known, publish diagnostics and markers, once a second."""
        parts, answers = self._recognition, self._answers
        if parts is None or answers is None:
            return
        seen = self._statistics.snapshot()
        if self._images is not None:
            patience = self.settings["no_image_warning"]
            self._silence.look(self._images, seen.since_last_image, patience)
            if self._last is not None:
                self._progress.look(seen, story(self._last), len(parts.map.places))
        active, errors = self._images is not None, self.errors.count
        level, summary = health(
            seen, parts, self._last, active, self._silence.reason, self._paused, errors
        )
        self._diagnostics.publish(
            diagnostics_message(
                self.get_clock().now().to_msg(),
                f"{self.get_fully_qualified_name().lstrip('/')}: place recognition",
                socket.gethostname(),
                level,
                summary,
                facts(seen, parts, self._images, self._last, errors) | answers.relocalisation.facts,
            )
        )
        answers.look()

    def _on_pause(self, request: Any, response: Any) -> Any:
        self._paused = request.data
        response.success = True
        response.message = "images are ignored" if self._paused else "images are processed"
        self.get_logger().info(response.message)
        return response


def main(args: list[str] | None = None) -> int:
    """Run the node until Ctrl-C or a shutdown; returns the exit status."""
    hang_up_as_terminate()
    try:
        init_ros(args=args)
        _require_ros_args(args)
    except VprError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    node: VprNode | None = None
    try:
        node = VprNode()
        if not node.settings["autostart"]:
            node.get_logger().info(
                "waiting to be configured and activated, by a lifecycle manager or with "
                f"'ros2 lifecycle set {node.get_fully_qualified_name()} configure', then 'activate'"
            )
        elif not node.start():
            return 1
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        spin_until_shutdown(executor)
    except VprError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # Ctrl-C reaches a launched node twice, from the terminal and from launch: the second one
        # must not interrupt the ending.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _require_ros_args(args: list[str] | None) -> None:
    """Raise VprError for words that ROS does not take and nobody would read."""
    words = remove_ros_args(args)[1:]
    if words:
        rclpy.try_shutdown()
        raise VprError(
            f"what is to be done with '{' '.join(words)}'? Parameters go behind --ros-args: "
            "--ros-args -p map:=home.fvm -r image:=/camera/image_raw"
        )


if __name__ == "__main__":
    sys.exit(main())
