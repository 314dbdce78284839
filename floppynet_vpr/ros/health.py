# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How the node is, in a word and in numbers, for /diagnostics."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus

from floppynet_vpr.detection import Detection
from floppynet_vpr.ros.detection_text import detection_facts
from floppynet_vpr.ros.image_subscriber import ImageSubscriber
from floppynet_vpr.ros.recognition import Recognition
from floppynet_vpr.ros.statistics import Snapshot


def health(
    seen: Snapshot, parts: Recognition, active: bool, silence: str, paused: bool
) -> tuple[bytes, str]:
    """Give the level and the one thing that most needs to be known."""
    if not active:
        return DiagnosticStatus.WARN, "inactive"
    if parts.map.error:
        return DiagnosticStatus.ERROR, parts.map.error
    if parts.mapping is None and not parts.map.places:
        return DiagnosticStatus.ERROR, "no map"
    if parts.mapping is not None and parts.mapping.error:
        return DiagnosticStatus.ERROR, f"the map is not saved: {parts.mapping.error}"
    if silence:
        return DiagnosticStatus.ERROR, f"no image: {silence}"
    if paused:
        return DiagnosticStatus.WARN, "paused"
    if seen.bad:
        return DiagnosticStatus.WARN, "some images cannot be used"
    if parts.poses.missing:
        return DiagnosticStatus.WARN, f"an image without a pose: {parts.poses.missing}"
    if seen.dropped:
        return DiagnosticStatus.OK, "running, some images dropped to stay with the newest"
    return DiagnosticStatus.OK, "running"


def facts(
    seen: Snapshot, parts: Recognition, images: ImageSubscriber | None, last: Detection | None
) -> dict[str, object]:
    """Give everything that is known, by name; `last` is the last answer, None before the first."""
    facts = {
        **seen.facts,
        "mode": parts.settings["mode"],
        "map places": len(parts.map.places),
        "map": parts.map.origin or "none",
        **(parts.mapping.facts if parts.mapping is not None else {}),
        **parts.poses.facts,
        **detection_facts(parts.settings.detector_options, last),
        "backend": parts.extractor.description,
        "weights": parts.extractor.weights.fingerprint[:12],
    }
    if images is not None:
        facts["image topic"] = images.topic
        facts["image QoS"] = images.reliability
    return facts
