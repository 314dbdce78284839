# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What is done with one image: described, looked for in the map, added to it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from floppynet_vpr.detection import Detection, Verifier
from floppynet_vpr.extraction import Extractor
from floppynet_vpr.mapping import Place, Pose
from floppynet_vpr.ros.detection_text import NOT_ASKED_FOR
from floppynet_vpr.ros.image_stamps import ImageStamps
from floppynet_vpr.ros.image_subscriber import decode
from floppynet_vpr.ros.map_in_use import MapInUse
from floppynet_vpr.ros.mapping_mode import MappingMode
from floppynet_vpr.ros.messages import nanoseconds
from floppynet_vpr.ros.parameters import MAPPING, NodeParameters
from floppynet_vpr.ros.pose_sources import PoseSource
from floppynet_vpr.ros.statistics import FrameTimes


@dataclass(frozen=True)
class Recognised:
    """What came of an image: the answer, the pose it was taken at and the place it became."""

    detection: Detection
    pose: Pose | None
    added: Place | None
    times: FrameTimes


@dataclass(frozen=True)
class Recognition:
    """The parts that an image passes through; `mapping` is None where the map does not grow."""

    settings: NodeParameters
    extractor: Extractor
    map: MapInUse
    mapping: MappingMode | None
    poses: PoseSource
    stamps: ImageStamps
    verifier: Verifier

    def process(self, message: Any, arrived: float) -> Recognised:
        """Work on an image message that `arrived` then (`time.perf_counter`).

        Raises ImageError for an image that cannot be decoded.
        """
        rgb = decode(message)
        stamp_ns = self.stamps.taken_at(nanoseconds(message.header.stamp), arrived)
        start = time.perf_counter()
        descriptor = self.extractor.describe(rgb)
        extracted = time.perf_counter()
        # The map may be replaced meanwhile: one detector for all that is done with this image.
        detector = self.map.detector
        detector.options = self.settings.detector_options
        searching = self.settings["mode"] != MAPPING
        detection = detector.detect(descriptor, stamp_ns) if searching else NOT_ASKED_FOR
        if self.settings["verify"]:
            self.verifier.options = self.settings.verification_options
            detection = self.verifier.verify(rgb, detection, detector.reference)
        pose = self.poses.at(stamp_ns, self.settings["pose_tolerance"])
        added = None
        if self.mapping is not None:
            name = f"{message.header.frame_id} {stamp_ns / 1e9:.3f}".strip()
            lost = bool(self.poses.missing)
            added = self.mapping.take(detector, rgb, descriptor, name, stamp_ns, pose, lost)
        end = time.perf_counter()
        times = FrameTimes(extracted - start, end - extracted, end - arrived)
        return Recognised(detection, pose, added, times)
