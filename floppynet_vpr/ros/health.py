# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How the node is, in a word and in numbers, for /diagnostics."""

from __future__ import annotations

from collections.abc import Iterator

from diagnostic_msgs.msg import DiagnosticStatus

from floppynet_vpr.detection import BY_FEATURES, Detection
from floppynet_vpr.detection.limits import NOT_KNOWN_YET, UNKNOWN
from floppynet_vpr.mapping.keyframes import LOST_SECONDS
from floppynet_vpr.ros.detection_text import detection_facts
from floppynet_vpr.ros.image_subscriber import ImageSubscriber
from floppynet_vpr.ros.recognition import Recognition
from floppynet_vpr.ros.statistics import Snapshot


def complaints(parts: Recognition, last: Detection | None) -> Iterator[str]:
    """Give what a user should put right, the worst first, though images are answered.

    `last` is the last answer, None before the first.
    """
    if parts.poses.missing:
        rarely = (
            f"; meanwhile images become places only every {LOST_SECONDS:g} s"
            if parts.mapping is not None
            else ""
        )
        yield f"an image without a pose: {parts.poses.missing}{rarely}"
    if parts.map.error:
        yield f"the map is not in step with the database: {parts.map.error}"
    if parts.stamps.problem:
        yield parts.stamps.problem
    # Who has no use for CameraInfo need not have a calibrated camera.
    wanted = parts.camera.takes_depth or parts.map.detector.reference.has_points
    if wanted and parts.camera.problem:
        yield f"no transforms: {parts.camera.problem}"
    if parts.camera.takes_depth and not parts.map.detector.reference.features:
        yield (
            "depth is set, but the map that is gone on with keeps no local features, so none is "
            "kept: begin a new map, or build it with build_map --features"
        )
    by_features = parts.settings["verification"] == BY_FEATURES
    if by_features and parts.map.places and not parts.map.detector.reference.features:
        yield (
            "verification is features, but the map keeps no local features, so none are compared: "
            "build it with build_map --features"
        )
    if parts.mapping is None and last is not None and last.limits.origin == UNKNOWN:
        yield f"nothing can be detected: {NOT_KNOWN_YET}"


def health(
    seen: Snapshot,
    parts: Recognition,
    last: Detection | None,
    active: bool,
    silence: str,
    paused: bool,
    errors: int,
) -> tuple[bytes, str]:
    """Give the level and the one thing that most needs to be known; `errors`: unforeseen ones."""
    if not active:
        return DiagnosticStatus.WARN, "inactive"
    if parts.mapping is None and not parts.map.places:
        return DiagnosticStatus.ERROR, f"no map: {parts.map.error}" if parts.map.error else "no map"
    if parts.mapping is not None and parts.mapping.error:
        return DiagnosticStatus.ERROR, f"the map is not saved: {parts.mapping.error}"
    if parts.map.lost:
        return DiagnosticStatus.ERROR, f"{parts.map.lost} places are lost: {parts.map.error}"
    if silence:
        return DiagnosticStatus.ERROR, f"no image: {silence}"
    if paused:
        return DiagnosticStatus.WARN, "paused"
    if errors:
        return DiagnosticStatus.WARN, "errors that nobody foresaw: see the log, please report them"
    if seen.bad:
        return DiagnosticStatus.WARN, "some images cannot be used"
    for complaint in complaints(parts, last):
        return DiagnosticStatus.WARN, complaint
    if seen.dropped:
        return DiagnosticStatus.OK, "running, some images dropped to stay with the newest"
    return DiagnosticStatus.OK, "running"


def facts(
    seen: Snapshot,
    parts: Recognition,
    images: ImageSubscriber | None,
    last: Detection | None,
    errors: int,
) -> dict[str, object]:
    """Give everything that is known, by name; `last` is the last answer, None before the first."""
    facts = {
        **seen.facts,
        "unforeseen errors": errors,
        "mode": parts.settings["mode"],
        "map places": len(parts.map.places),
        "map": parts.map.origin or "none",
        **parts.map.facts,
        **(parts.mapping.facts if parts.mapping is not None else {}),
        **parts.poses.facts,
        **parts.camera.facts,
        "stamps of images": parts.stamps.problem or "as they come",
        **detection_facts(parts.settings.detector_options, last),
        "raw images unpacked by": parts.images.description,
        "backend": parts.extractor.description,
        "weights": parts.extractor.network.fingerprint[:12],
    }
    if images is not None:
        facts["image topic"] = images.topic
        facts["image QoS"] = images.reliability
    return facts
