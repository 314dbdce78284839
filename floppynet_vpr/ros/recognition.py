# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What is done with one image: described, looked for in the map, added to it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

from floppynet_vpr.detection import BY_FEATURES, Detection, Verifier
from floppynet_vpr.detection.relative_pose import QUERY_FEATURES, RelativePose, relative_pose
from floppynet_vpr.extraction import Extractor, create_extractor
from floppynet_vpr.extraction.local_features import DEFAULT_FEATURES, extract_features
from floppynet_vpr.imaging.camera_model import CameraModel
from floppynet_vpr.libraries import gains
from floppynet_vpr.mapping import Place, Pose, ReferenceMap
from floppynet_vpr.network.network import shape_text
from floppynet_vpr.network.weights import weights_path
from floppynet_vpr.parameters import MAPPING
from floppynet_vpr.ros.camera_topics import CameraTopics
from floppynet_vpr.ros.detection_text import NOT_ASKED_FOR
from floppynet_vpr.ros.image_decoder import ImageDecoder, Trial, try_cv_bridge
from floppynet_vpr.ros.image_stamps import ImageStamps
from floppynet_vpr.ros.image_subscriber import image_topic
from floppynet_vpr.ros.map_in_use import Drive, Keyframe, MapInUse, PoseFrame
from floppynet_vpr.ros.mapping_mode import MappingMode, Taken, create_mapping_mode
from floppynet_vpr.ros.parameters import NodeParameters
from floppynet_vpr.ros.pose_sources import PoseSource, create_pose_source
from floppynet_vpr.ros.shared_map import create_map
from floppynet_vpr.ros.statistics import FrameTimes
from floppynet_vpr.stamps import nanoseconds

_NO_MAP_HINT = (
    "every image will be answered with 'nothing detected'. Build one with 'ros2 run floppynet_vpr "
    "build_map SOURCE --output FILE.fvm', then start with map:=FILE.fvm or call {service}"
)


@dataclass(frozen=True)
class Recognised:
    """What came of an image: the answer, the pose it was taken at and the place it became.

    It is a `keyframe` if, in a mode that maps, it became a place or would have, were it not known.
    `rgb` is the image, (h, w, 3) uint8, with its `descriptor`, (d,) float32; `reference` the map
    that the answer is about. `camera` took it, None where that is not known; `relative` is its pose
    as seen from the place that was detected.
    """

    detection: Detection
    pose: Pose | None
    added: Place | None
    keyframe: bool
    times: FrameTimes
    rgb: NDArray[np.uint8]
    descriptor: NDArray[np.float32]
    reference: ReferenceMap
    camera: CameraModel | None = None
    relative: RelativePose | None = None


@dataclass(frozen=True)
class Recognition:
    """The parts that an image passes through; `mapping` is None where the map does not grow."""

    settings: NodeParameters
    images: ImageDecoder
    extractor: Extractor
    map: MapInUse
    mapping: MappingMode | None
    poses: PoseSource
    stamps: ImageStamps
    verifier: Verifier
    camera: CameraTopics

    def process(self, message: Any, arrived: float) -> Recognised:
        """Work on an image message that `arrived` then (`time.perf_counter`).

        Raises ImageError for an image that cannot be decoded.
        """
        rgb = self.images.decode(message)
        stamp_ns = self.stamps.taken_at(nanoseconds(message.header.stamp), arrived)
        self.map.begin_image(stamp_ns)
        start = time.perf_counter()
        descriptor = self.extractor.describe(rgb)
        extracted = time.perf_counter()
        self.map.look_for(descriptor)
        # The map may be replaced meanwhile: one detector for all that is done with this image.
        detector = self.map.detector
        detector.options = self.settings.detector_options
        searching = self.settings["mode"] != MAPPING
        detection = detector.detect(descriptor, stamp_ns) if searching else NOT_ASKED_FOR
        if self.settings["verification"] == BY_FEATURES:
            self.verifier.options = self.settings.verification_options
            detection = self.verifier.verify(rgb, detection, detector.reference)
        camera = self.camera.model(message.header, rgb)
        relative = None
        if detection.detected and camera is not None:
            relative = _relative(rgb, detector.reference, detection, camera)
        searched = time.perf_counter()
        growing = self.mapping is not None
        pose = self.poses.at(stamp_ns, self.settings["pose_tolerance"], wait=growing)
        taken = Taken(None, keyframe=False)
        if self.mapping is not None:
            name = f"{message.header.frame_id} {stamp_ns / 1e9:.3f}".strip()
            lost = bool(self.poses.missing)
            frame = PoseFrame(self.poses.frame, self.poses.fixed)
            locate = partial(self.camera.locate, header=message.header, model=camera)
            seen = Keyframe(descriptor, name, stamp_ns, pose, frame)
            taken = self.mapping.take(detector, detection, seen, rgb, lost, locate)
        times = FrameTimes(extracted - start, searched - extracted, time.perf_counter() - arrived)
        return Recognised(
            detection=detection,
            pose=pose,
            added=taken.place,
            keyframe=taken.keyframe,
            times=times,
            rgb=rgb,
            descriptor=descriptor,
            reference=detector.reference,
            camera=camera,
            relative=relative,
        )


def _relative(
    rgb: NDArray[np.uint8], reference: ReferenceMap, detection: Detection, camera: CameraModel
) -> RelativePose | None:
    """From where an image shows the place that was detected, where the map knows its depth."""
    place = reference.features_of(detection.candidates[0].index) if reference.has_points else None
    if place is None or place.points is None:
        return None
    return relative_pose(extract_features(rgb, QUERY_FEATURES), place, camera)


def create_recognition(node: Node, settings: NodeParameters, made: ExitStack) -> Recognition:
    """Make the parts that a node's settings ask for, and say in its log what they are.

    What has to be ended is noted in `made`, also of parts made before one that fails. Raises
    VprError naming the setting, file or package that is not fit.
    """
    log = node.get_logger()
    extractor = create_extractor(
        weights_path(settings["weights"]) if settings["weights"] else None,
        settings["backend"],
        settings["threads"],
    )
    weights = extractor.network
    log.info(
        f"{weights.title} {weights.fingerprint[:12]}, {extractor.description}, descriptors of "
        f"{shape_text(weights.shape)}"
    )
    if lacking := "; ".join(gains()):
        log.info(f"this machine can do without, but would gain by: {lacking}")
    by_features = settings["verification"] == BY_FEATURES
    features = DEFAULT_FEATURES if by_features or settings["depth"] else 0
    drive = Drive(
        settings["session_name"],
        settings["robot"] or node.get_namespace().strip("/"),
        features,
        settings["thumbnails"],
    )
    map_in_use = create_map(settings, weights, drive, log.error)
    made.callback(map_in_use.close)
    mapping = create_mapping_mode(settings, map_in_use, log.error)
    if mapping is not None:
        made.callback(mapping.close)
    _look_at_map(node, settings["map"], map_in_use, mapping)
    poses = create_pose_source(
        node, settings["pose_source"], settings["map_frame"], settings["base_frame"]
    )
    made.callback(poses.close)
    images = _create_decoder(node, settings["image_transport"])
    stamps = ImageStamps(lambda: node.get_clock().now().nanoseconds)
    camera = CameraTopics(
        node,
        settings["image_transport"],
        settings["qos"],
        settings["camera_info"],
        settings["depth"] if mapping is not None else "",
    )
    made.callback(camera.close)
    return Recognition(
        settings, images, extractor, map_in_use, mapping, poses, stamps, Verifier(), camera
    )


def _look_at_map(node: Node, path: str, map_in_use: MapInUse, mapping: MappingMode | None) -> None:
    """Load the map of localization, and say what there is; raises VprError."""
    log, name = node.get_logger(), node.get_fully_qualified_name()
    if map_in_use.keeper:
        log.info(f"the map is that of {map_in_use.keeper}: {map_in_use.state}")
        return
    if mapping is None and path:
        map_in_use.load(path)
    elif mapping is None:
        log.warning(f"no map: {_NO_MAP_HINT.format(service=f'{name}/load_map')}")
    elif mapping.file is None:
        log.warning(
            "the map is only in memory: start with save_map_to:=FILE.fvm, or call "
            f"{name}/save_map in time"
        )
    else:
        log.info(f"the map will be saved to {mapping.file}")
    if map_in_use.places:
        log.info(f"map {map_in_use.origin}: {len(map_in_use.places)} places")


def _create_decoder(node: Node, transport: str) -> ImageDecoder:
    """Make what decodes images, and say by whom raw ones are unpacked."""
    raw = transport == "raw"
    trial = try_cv_bridge() if raw else Trial(frozenset(), "images are compressed")
    decoder = ImageDecoder(image_topic(node, transport), trial, node.get_logger().warning)
    if raw:
        node.get_logger().info(f"raw images are unpacked by {decoder.description}")
    return decoder
