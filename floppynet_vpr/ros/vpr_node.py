# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node: camera images in, loop-closure candidates out, and its map made while driving."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import SetBool

from floppynet_vpr.detection import Detection, Verifier
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.extraction.local_features import DEFAULT_FEATURES
from floppynet_vpr.network.weights import weights_path
from floppynet_vpr.ros.answer_publisher import AnswerPublisher
from floppynet_vpr.ros.frame_worker import FrameWorker
from floppynet_vpr.ros.guard import UnforeseenErrors, guarded
from floppynet_vpr.ros.health import facts, health
from floppynet_vpr.ros.image_subscriber import ImageSubscriber
from floppynet_vpr.ros.initialization import init_ros
from floppynet_vpr.ros.map_in_use import MapInUse
from floppynet_vpr.ros.map_services import MapServices
from floppynet_vpr.ros.mapping_mode import MappingMode, create_mapping_mode
from floppynet_vpr.ros.messages import diagnostics_message
from floppynet_vpr.ros.parameters import NodeParameters
from floppynet_vpr.ros.pose_sources import create_pose_source
from floppynet_vpr.ros.recognition import Recognition
from floppynet_vpr.ros.silence import SilenceWatch
from floppynet_vpr.ros.statistics import FrameStatistics
from floppynet_vpr.ros.transitions import explained

NODE_NAME = "vpr"
_CHECK_PERIOD_S = 1.0
_FOLLOW_PERIOD_S = 0.2
_NO_MAP_HINT = (
    "every image will be answered with 'nothing detected'. Build one with 'ros2 run floppynet_vpr "
    "build_map SOURCE --output FILE.fvm', then start with map:=FILE.fvm or call {service}"
)


class VprNode(LifecycleNode):
    """The lifecycle node `vpr`.

    Configuring loads weights and map, activating starts to take images. It publishes a
    LoopClosure for every processed image; silence on that topic always means a fault.
    """

    def __init__(self) -> None:
        """Declare the parameters; nothing is loaded before the node is configured."""
        # Before the rest: rclpy makes services and subscriptions of its own.
        self._errors = UnforeseenErrors(rclpy.logging.get_logger(NODE_NAME))
        super().__init__(NODE_NAME)
        self._configured = False
        self._mapping: MappingMode | None = None
        self._last: Detection | None = None
        self._paused = False
        self._statistics = FrameStatistics()
        self._silence = SilenceWatch(self.get_logger())
        self._images: ImageSubscriber | None = None
        self._worker: FrameWorker | None = None
        self.settings = NodeParameters(self)

    # Callbacks, of which none may end the node

    def create_service(self, *arguments: Any, **options: Any) -> Any:
        """Offer a service; see `rclpy.node.Node`."""
        kind, name, callback, *rest = arguments
        return super().create_service(kind, name, guarded(callback, self._errors), *rest, **options)

    def create_subscription(self, *arguments: Any, **options: Any) -> Any:
        """Subscribe to a topic; see `rclpy.node.Node`."""
        kind, topic, callback, *rest = arguments
        guard = guarded(callback, self._errors)
        return super().create_subscription(kind, topic, guard, *rest, **options)

    def create_timer(self, *arguments: Any, **options: Any) -> Any:
        """Start a timer; see `rclpy.node.Node`."""
        period, callback, *rest = arguments
        return super().create_timer(period, guarded(callback, self._errors), *rest, **options)

    # Life cycle

    @explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network and the map, offer topics and services."""
        settings = self.settings
        self._close_mapping()  # of a configuration that failed half-way
        self._extractor = create_extractor(
            weights_path(settings["weights"]) if settings["weights"] else None,
            settings["backend"],
            settings["threads"],
        )
        self._map = MapInUse(
            self._extractor.weights,
            lambda: settings.detector_options,
            DEFAULT_FEATURES if settings["verify"] else 0,
        )
        self._mapping = create_mapping_mode(settings, self._map, self.get_logger().error)
        self._poses = create_pose_source(
            self, settings["pose_source"], settings["map_frame"], settings["base_frame"]
        )
        self.get_logger().info(
            f"{self._extractor.weights.spec.title} "
            f"{self._extractor.weights.fingerprint[:12]}, {self._extractor.description}"
        )
        self._recognition = Recognition(
            settings, self._extractor, self._map, self._mapping, self._poses, Verifier()
        )
        self._look_at_map()
        self._answers = AnswerPublisher(self, self._map, self._poses)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._map_services = MapServices(
            self, self._map, self._mapping.file if self._mapping else None
        )
        self._pause_service = self.create_service(SetBool, "~/pause", self._on_pause)
        # Steady time: images may stop, and simulated time with them.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers_running = [
            self.create_timer(_CHECK_PERIOD_S, self._check, clock=steady),
            self.create_timer(_FOLLOW_PERIOD_S, self._follow_publishers, clock=steady),
        ]
        settings.locked = True
        self._configured = True
        return TransitionCallbackReturn.SUCCESS

    @explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to take images."""
        self._statistics = FrameStatistics()
        self._silence = SilenceWatch(self.get_logger())
        self._last = None
        self._paused = False
        super().on_activate(state)
        self._worker = FrameWorker(
            self._process,
            self.settings["queue_size"],
            self._statistics,
            self.get_logger(),
            self.context.ok,
            self.settings["threads"],
        )
        if self._mapping is not None:
            self._mapping.start()
        self._images = ImageSubscriber(
            self,
            self.settings["image_transport"],
            self.settings["qos"],
            self.settings["queue_size"],
            self._on_image,
        )
        self.get_logger().info(f"waiting for images on {self._images.topic}")
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop taking images; the map stays, and what is new of it is saved."""
        self._stop_work()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop the network, the map, the topics and the services."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop whatever runs, and drop what cleanup drops."""
        self._stop_work()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _release(self) -> None:
        """Drop all that was made when the node was configured."""
        self._close_mapping()
        self.settings.locked = False
        if not self._configured:
            return
        self._configured = False
        for timer in self._timers_running:
            self.destroy_timer(timer)
        self._map_services.close()
        self.destroy_service(self._pause_service)
        self._answers.close()
        self._poses.close()
        self.destroy_publisher(self._diagnostics)
        # With them go the network and the map.
        del self._recognition, self._map_services, self._answers, self._map, self._extractor

    def start(self) -> bool:
        """Configure and activate; returns whether that worked."""
        return all(
            step() == TransitionCallbackReturn.SUCCESS
            for step in (self.trigger_configure, self.trigger_activate)
        )

    def destroy_node(self) -> None:
        """Stop the worker before what it uses goes, and save what is new of the map."""
        self._stop_work()
        self._close_mapping()
        super().destroy_node()

    def _stop_work(self) -> None:
        if self._images is not None:
            self._images.close()
            self._images = None
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        if self._mapping is not None:
            self._mapping.stop()

    def _close_mapping(self) -> None:
        if self._mapping is not None:
            self._mapping.close()
            self._mapping = None

    # Images

    def _on_image(self, message: Any) -> None:
        """Hand an image to the worker (executor's thread)."""
        if self._paused or self._worker is None:
            self._statistics.image_received(dropped_older=False)
        else:
            self._worker.put(message)

    def _process(self, message: Any, arrived: float) -> None:
        """Answer an image (worker's thread)."""
        result = self._recognition.process(message, arrived)
        query_id = self._statistics.frame_processed(result.times)
        self._last = result.detection
        self._answers.publish(message.header, query_id, result)

    # Checks

    def _follow_publishers(self) -> None:
        if self._images is not None:
            self._images.follow_publishers()

    def _check(self) -> None:
        """Warn of silence, publish diagnostics and markers, once a second."""
        seen = self._statistics.snapshot()
        if self._images is not None:
            patience = self.settings["no_image_warning"]
            self._silence.look(self._images, seen.since_last_image, patience)
        parts = self._recognition
        level, summary = health(
            seen, parts, self._images is not None, self._silence.reason, self._paused
        )
        self._diagnostics.publish(
            diagnostics_message(
                self.get_clock().now().to_msg(),
                f"{self.get_fully_qualified_name().lstrip('/')}: place recognition",
                socket.gethostname(),
                level,
                summary,
                facts(seen, parts, self._images, self._last),
            )
        )
        self._answers.publish_markers()

    # Map

    def _look_at_map(self) -> None:
        """Load the map of localization, and say what there is."""
        if self._mapping is None:
            self._load_map()
        elif self._mapping.file is None:
            self.get_logger().warning(
                "the map is only in memory: start with save_map_to:=FILE.fvm, or call "
                f"{self.get_fully_qualified_name()}/save_map in time"
            )
        else:
            self.get_logger().info(f"the map is saved to {self._mapping.file}")
        if self._map.places:
            self.get_logger().info(f"map {self._map.origin}: {len(self._map.places)} places")

    def _load_map(self) -> None:
        path = self.settings["map"]
        hint = _NO_MAP_HINT.format(service=f"{self.get_fully_qualified_name()}/load_map")
        if not path:
            self.get_logger().warning(f"no map: {hint}")
            return
        try:
            self._map.load(Path(path))
        except VprError as error:
            self._map.error = str(error)
            self.get_logger().error(f"no map: {error}. Until then {hint}")

    def _on_pause(self, request: Any, response: Any) -> Any:
        self._paused = request.data
        response.success = True
        response.message = "images are ignored" if self._paused else "images are processed"
        self.get_logger().info(response.message)
        return response


def main(args: list[str] | None = None) -> int:
    """Run the node until Ctrl-C or a shutdown; returns the exit status."""
    try:
        init_ros(args=args)
    except VprError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    node: VprNode | None = None
    try:
        node = VprNode()
        if node.settings["autostart"] and not node.start():
            return 1
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except (InvalidParameterValueException, InvalidParameterTypeException) as error:
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


if __name__ == "__main__":
    sys.exit(main())
