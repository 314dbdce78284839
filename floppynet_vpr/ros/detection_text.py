# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What was detected and why not, in words for the log and for /diagnostics."""

from __future__ import annotations

from floppynet_vpr.detection import Detection, DetectorOptions, Limits
from floppynet_vpr.detection.agreement import AGREEING, NOT_CHECKED
from floppynet_vpr.detection.limits import AUTOMATIC, CALIBRATED, GIVEN, NOT_KNOWN_YET, UNKNOWN
from floppynet_vpr.detection.options import RIGID_MATCHING
from floppynet_vpr.mapping import Place
from floppynet_vpr.text import shown

_ORIGINS = {
    GIVEN: "as set by parameters",
    CALIBRATED: "as the map was calibrated",
    AUTOMATIC: "set by itself",
}


NOT_ASKED_FOR = Detection(Limits(0.0, 0.0, 0.0, GIVEN), (), 0.0, "mode is mapping")
"""The answer to every image of a node that only makes a map."""


def story(detection: Detection, added: Place | None = None) -> str:
    """One image's answer in a line: verdict, reason, candidates, and the place it became."""
    candidates = ", ".join(
        f"{named(known.place)} (distance {known.distance:.3f}, score {known.score:.3f})"
        for known in detection.candidates
    )
    new = f"; added as place {named(added)}" if added is not None else ""
    return f"{verdict(detection)}; candidates: {candidates or 'none'}{new}"


def verdict(detection: Detection) -> str:
    """What was detected, or why nothing was."""
    return "loop closure" if detection.detected else f"nothing detected, {detection.reason}"


def named(place: Place) -> str:
    """A place for people: the number in its session, which is named if it has a name."""
    return f"{shown(place.session.name)} {place.number}".strip()


def detection_facts(options: DetectorOptions, last: Detection | None) -> dict[str, str]:
    """How loop closures are detected, and the last answer, by name; `last` None: none yet."""
    facts = {"matching": options.matching, "sequence": options.sequence}
    if options.matching == RIGID_MATCHING:
        facts["mean subtracted"] = str(options.subtract_mean)
    if last is not None:
        if last.candidates and last.candidates[0].agreeing != NOT_CHECKED:
            facts["cells that agree"] = f"{last.candidates[0].agreeing:.1f}, {AGREEING:g} needed"
        facts["detected if"] = _conditions(last.limits)
        facts["last answer"] = "loop closure" if last.detected else last.reason
    return facts


def _conditions(limits: Limits) -> str:
    if limits.origin == UNKNOWN:
        return f"never: {NOT_KNOWN_YET}"
    told = [f"distance <= {limits.distance:.3f}"]
    told += [f"belief >= {limits.belief:.3f}"] if limits.belief else []
    told += [f"distinctness >= {limits.distinctness:.2f}"] if limits.distinctness else []
    told += [f"score >= {limits.score:.3f}"] if limits.score else []
    return f"{', '.join(told)} ({_ORIGINS[limits.origin]})"
