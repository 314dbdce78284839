# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node: camera images in, loop-closure candidates out.

The executor's thread only takes messages in and keeps the newest; a second thread decodes,
extracts, searches and publishes. So a burst of images never piles up, and services answer while a
frame is worked on.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import SetBool, Trigger

from floppynet_vpr.detection import Detection, LoopClosureDetector
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import Extractor, create_extractor
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.ros.detection_text import detection_facts, story
from floppynet_vpr.ros.frame_queue import FrameQueue
from floppynet_vpr.ros.image_subscriber import ImageSubscriber, decode
from floppynet_vpr.ros.messages import diagnostics_message, loop_closure_message, nanoseconds
from floppynet_vpr.ros.parameters import NodeParameters
from floppynet_vpr.ros.statistics import FrameStatistics, FrameTimes, Snapshot
from floppynet_vpr_msgs.msg import LoopClosure
from floppynet_vpr_msgs.srv import MapFile

NODE_NAME = "vpr"
_CHECK_PERIOD_S = 1.0
_FOLLOW_PERIOD_S = 0.2
_NO_MAP_HINT = (
    "every image will be answered with 'nothing detected'. Build one with 'ros2 run floppynet_vpr "
    "build_map SOURCE --output FILE.fvm', then start with map:=FILE.fvm or call {service}"
)


@dataclass(frozen=True)
class _Arrival:
    """An image message and the moment it came in."""

    message: Any
    moment: float


class VprNode(LifecycleNode):
    """The lifecycle node `vpr`.

    Configuring loads weights and map, activating starts to take images. It publishes a
    LoopClosure for every processed image; silence on that topic always means a fault.
    """

    def __init__(self) -> None:
        """Declare the parameters; nothing is loaded before the node is configured."""
        super().__init__(NODE_NAME)
        self._extractor: Extractor | None = None
        self._detector: LoopClosureDetector | None = None
        self._last: Detection | None = None
        self._map_origin = ""
        self._map_error = ""
        self._paused = False
        self._silence = ""
        self._statistics = FrameStatistics()
        self._images: ImageSubscriber | None = None
        self._arrivals: FrameQueue[_Arrival] = FrameQueue(1)
        self._worker: threading.Thread | None = None
        self.settings = NodeParameters(self)

    # Life cycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network and the map, offer topics and services."""
        try:
            weights = self.settings["weights"]
            self._extractor = create_extractor(
                Path(weights) if weights else None,
                self.settings["backend"],
                self.settings["threads"],
            )
        except VprError as error:
            self.get_logger().error(f"not configured: {error}")
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(
            f"{self._extractor.weights.spec.title} "
            f"{self._extractor.weights.fingerprint[:12]}, {self._extractor.description}"
        )
        self._use_map(ReferenceMap.for_weights(self._extractor.weights), "")
        self._load_first_map()
        self._loop_closures = self.create_lifecycle_publisher(LoopClosure, "~/loop_closure", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._services_offered = [
            self.create_service(MapFile, "~/save_map", self._on_save_map),
            self.create_service(MapFile, "~/load_map", self._on_load_map),
            self.create_service(Trigger, "~/reset_map", self._on_reset_map),
            self.create_service(SetBool, "~/pause", self._on_pause),
        ]
        # Steady time: images may stop, and simulated time with them.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers_running = [
            self.create_timer(_CHECK_PERIOD_S, self._check, clock=steady),
            self.create_timer(_FOLLOW_PERIOD_S, self._follow_publishers, clock=steady),
        ]
        self.settings.locked = True
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to take images."""
        self._statistics = FrameStatistics()
        self._silence = ""
        self._arrivals = FrameQueue(self.settings["queue_size"])
        self._worker = threading.Thread(target=self._work, name="vpr_frames", daemon=True)
        super().on_activate(state)
        self._worker.start()
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
        """Stop taking images; the map stays."""
        self._stop_work()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop the network, the map, the topics and the services."""
        self.settings.locked = False
        for timer in self._timers_running:
            self.destroy_timer(timer)
        for service in self._services_offered:
            self.destroy_service(service)
        self.destroy_publisher(self._diagnostics)
        self.destroy_lifecycle_publisher(self._loop_closures)
        self._extractor = self._detector = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop whatever runs."""
        self._stop_work()
        return TransitionCallbackReturn.SUCCESS

    def start(self) -> bool:
        """Configure and activate; returns whether that worked."""
        return all(
            step() == TransitionCallbackReturn.SUCCESS
            for step in (self.trigger_configure, self.trigger_activate)
        )

    def destroy_node(self) -> None:
        """Stop the worker before what it uses goes."""
        self._stop_work()
        super().destroy_node()

    def _stop_work(self) -> None:
        if self._images is not None:
            self._images.close()
            self._images = None
        self._arrivals.close()
        if self._worker is not None:
            self._worker.join()
            self._worker = None

    # Images

    def _on_image(self, message: Any) -> None:
        """Hand an image to the worker (executor's thread)."""
        if self._paused:
            self._statistics.image_received(dropped_older=False)
            return
        dropped = self._arrivals.put(_Arrival(message, time.perf_counter()))
        self._statistics.image_received(dropped)

    def _work(self) -> None:
        """Process image after image (worker's thread)."""
        while (arrival := self._arrivals.take()) is not None:
            try:
                self._process(arrival)
            except ImageError as error:
                if self._statistics.image_bad(error.kind):
                    self.get_logger().warning(
                        f"an image could not be used: {error} (more of this kind are counted in "
                        "/diagnostics, not reported)"
                    )
            except Exception as error:
                if not self.context.ok():
                    return  # shut down while this frame was on its way
                if self._statistics.image_bad("internal error"):
                    self.get_logger().error(f"an image could not be processed: {error!r}")

    def _process(self, arrival: _Arrival) -> None:
        extractor, detector = self._extractor, self._detector
        if extractor is None or detector is None:
            return
        rgb = decode(arrival.message)
        start = time.perf_counter()
        descriptor = extractor.describe(rgb)
        extracted = time.perf_counter()
        detector.options = self.settings.detector_options
        detection = detector.detect(descriptor, nanoseconds(arrival.message.header.stamp))
        end = time.perf_counter()
        query_id = self._statistics.frame_processed(
            FrameTimes(extracted - start, end - extracted, end - arrival.moment)
        )
        self._last = detection
        self.get_logger().debug(f"image {query_id}: {story(detection)}")
        message = loop_closure_message(arrival.message.header, query_id, detection)
        self._loop_closures.publish(message)

    # Checks

    def _follow_publishers(self) -> None:
        if self._images is not None:
            self._images.follow_publishers()

    def _check(self) -> None:
        """Warn of silence and publish diagnostics, once a second."""
        seen = self._statistics.snapshot()
        if self._images is not None:
            self._watch_for_silence(seen, self._images)
        level, summary = self._health(seen)
        self._diagnostics.publish(
            diagnostics_message(
                self.get_clock().now().to_msg(),
                f"{self.get_name()}: place recognition",
                level,
                summary,
                self._facts(seen),
            )
        )

    def _watch_for_silence(self, seen: Snapshot, images: ImageSubscriber) -> None:
        """Warn when no image comes, once for every reason."""
        silent = seen.since_last_image > self.settings["no_image_warning"]
        reason = images.explain_silence() if silent else ""
        if silent and reason != self._silence:
            self.get_logger().warning(f"no image for {seen.since_last_image:.0f} s: {reason}")
        elif self._silence and not silent:
            self.get_logger().info(f"images are coming on {images.topic}")
        self._silence = reason

    def _health(self, seen: Snapshot) -> tuple[bytes, str]:
        if self._images is None:
            return DiagnosticStatus.WARN, "inactive"
        if self._map_error:
            return DiagnosticStatus.ERROR, self._map_error
        if self._detector is None or not len(self._detector.reference):
            return DiagnosticStatus.ERROR, "no map"
        if self._silence:
            return DiagnosticStatus.ERROR, f"no image: {self._silence}"
        if self._paused:
            return DiagnosticStatus.WARN, "paused"
        if seen.bad:
            return DiagnosticStatus.WARN, "some images cannot be used"
        if seen.dropped:
            return DiagnosticStatus.OK, "running, some images dropped to stay with the newest"
        return DiagnosticStatus.OK, "running"

    def _facts(self, seen: Snapshot) -> dict[str, object]:
        facts: dict[str, object] = {
            "images received": seen.received,
            "images processed": seen.processed,
            "images dropped": seen.dropped,
            "images unusable": sum(seen.bad.values()),
            **{f"unusable: {kind}": count for kind, count in seen.bad.items()},
            "rate (Hz)": f"{seen.rate_hz:.2f}",
        }
        for stage, (middle, high) in seen.milliseconds.items():
            facts[f"{stage} median (ms)"] = f"{middle:.2f}"
            facts[f"{stage} p99 (ms)"] = f"{high:.2f}"
        if self._extractor is not None and self._detector is not None:
            facts["map places"] = len(self._detector.reference)
            facts["map"] = self._map_origin or "none"
            facts.update(detection_facts(self.settings.detector_options, self._last))
            facts["backend"] = self._extractor.description
            facts["weights"] = self._extractor.weights.fingerprint[:12]
        if self._images is not None:
            facts["image topic"] = self._images.topic
            facts["image QoS"] = self._images.reliability
        return facts

    # Map

    def _load_first_map(self) -> None:
        path = self.settings["map"]
        hint = _NO_MAP_HINT.format(service=f"{self.get_fully_qualified_name()}/load_map")
        if not path:
            self.get_logger().warning(f"no map: {hint}")
            return
        try:
            self._load_map(path)
        except VprError as error:
            self._map_error = str(error)
            self.get_logger().error(f"no map: {error}. Until then {hint}")

    def _load_map(self, path: str) -> str:
        if self._extractor is None:
            raise VprError("the node is not configured")
        reference = ReferenceMap.load(Path(path))
        reference.require_weights(self._extractor.weights, path)
        self._use_map(reference, path)
        return f"loaded {len(reference)} places from {path}"

    def _use_map(self, reference: ReferenceMap, origin: str) -> None:
        """Detect against `reference` from the next frame on."""
        self._detector = LoopClosureDetector(reference, self.settings.detector_options)
        self._last = None
        self._map_origin, self._map_error = origin, ""
        if len(reference):
            self.get_logger().info(f"map {origin}: {len(reference)} places")

    def _on_load_map(self, request: Any, response: Any) -> Any:
        try:
            response.message = self._load_map(request.path)
            response.success = True
        except VprError as error:
            response.message = f"{error}; the map in use stays"
        return response

    def _on_save_map(self, request: Any, response: Any) -> Any:
        try:
            if not request.path or self._detector is None:
                raise VprError("give the path of the map file to write")
            self._detector.reference.save(Path(request.path))
            response.message = f"saved {len(self._detector.reference)} places to {request.path}"
            response.success = True
        except VprError as error:
            response.message = str(error)
        return response

    def _on_reset_map(self, request: Any, response: Any) -> Any:
        if self._extractor is not None:
            self._use_map(ReferenceMap.for_weights(self._extractor.weights), "")
        response.success, response.message = True, "the map is empty now"
        return response

    def _on_pause(self, request: Any, response: Any) -> Any:
        self._paused = request.data
        response.success = True
        response.message = "images are ignored" if self._paused else "images are processed"
        return response


def main(args: list[str] | None = None) -> int:
    """Run the node until Ctrl-C or a shutdown; returns the exit status."""
    rclpy.init(args=args)
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
