# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Where the line between a loop closure and none is drawn: by the user, a calibration or itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from floppynet_vpr.detection.background import LEAST_PLACES
from floppynet_vpr.detection.options import SINGLE, DetectorOptions
from floppynet_vpr.mapping import Calibration

ANY_DISTANCE = 2.0
"""The largest distance that descriptors can have (eq. 6): it limits nothing."""

BELIEVED = 0.7
"""Belief in a place from which on it is a loop closure, where nothing else is known."""

BELIEVED_OF_THIS_DRIVE = 0.9
"""The same for a place that was added to the map during this drive.

A drive that never comes back is matched to itself where it looks alike: 0.7 to 0.86 were believed.
"""

DISTINCT = 2.1
"""How distinct a single match has to be, where nothing else is known.

Of 12 pairs of drives that have nothing in common, 1 image in 1,000 is; of the same places by night,
from another lane or in winter, 13 to 56 %, of which 91 to 100 % are right.
"""

GIVEN, CALIBRATED, AUTOMATIC, UNKNOWN = "given", "calibrated", "automatic", "unknown"

NO_DISTANCE = -1.0
"""The limit on the distance that nothing fulfils, where none is known: not even distance 0."""

NOT_KNOWN_YET = (
    f"no limit is known yet: a map sets itself one when it has {LEAST_PLACES} places that differ; "
    "for a smaller one set threshold and sequence none"
)


@dataclass(frozen=True)
class Limits:
    """What the best candidate must fulfil to be a loop closure.

    Its distance must not be above `distance`, its belief not below `belief`, its score not below
    `score`, its distinctness not below `distinctness`; 2, 0, 0 and 0 limit nothing. `origin` says
    who drew the line; where it is "unknown", nothing is a loop closure.
    """

    distance: float
    belief: float
    score: float
    origin: str
    distinctness: float = 0.0

    def objection(self, distance: float, belief: float, score: float, distinctness: float) -> str:
        """Say in words what a candidate with these values does not fulfil; empty: nothing."""
        if self.origin == UNKNOWN:
            return NOT_KNOWN_YET
        if distance > self.distance:
            return f"distance {distance:.3f} is above {self.distance:.3f}"
        if belief < self.belief:
            return f"belief {belief:.3f} is below {self.belief:.3f}"
        if distinctness < self.distinctness:
            return (
                f"distinctness {distinctness:.2f} is below {self.distinctness:.2f}: "
                "another place looks almost as like it"
            )
        if score < self.score:
            return f"score {score:.3f} is below {self.score:.3f}"
        return ""


def limits_in_force(
    options: DetectorOptions,
    calibration: Calibration | None,
    automatic: Callable[[], float | None],
    places: int,
    this_drive: bool = False,
) -> Limits:
    """Find the limits: those the user gave, else those calibrated, else those that set themselves.

    `options` are those in force, with "auto" resolved. With a sequence the last are on the belief;
    without one on how distinct a match is or, where images are compared rigidly, on the distance,
    which `automatic` computes when asked. They are not known where `automatic` gives None, and
    where the map has fewer than 20 `places`. `this_drive` is whether the candidate was added to the
    map during this drive.
    """
    distance = options.threshold or ANY_DISTANCE
    if options.confidence or (options.threshold and options.sequence == SINGLE):
        return Limits(distance, 0.0, options.confidence, GIVEN)
    if options.measure == "distance":
        limit = calibration.limit if calibration is not None else automatic()
        if limit is None:
            return Limits(NO_DISTANCE, 0.0, 0.0, UNKNOWN)
        return Limits(limit, 0.0, 0.0, AUTOMATIC if calibration is None else CALIBRATED)
    if calibration is None and places < LEAST_PLACES:
        return Limits(NO_DISTANCE, 0.0, 0.0, UNKNOWN)
    origin = AUTOMATIC if calibration is None else CALIBRATED
    if options.measure == "belief":
        itself = BELIEVED_OF_THIS_DRIVE if this_drive else BELIEVED
        belief = itself if calibration is None else calibration.limit
        return Limits(distance, belief, 0.0, origin)
    distinct = DISTINCT if calibration is None else calibration.limit
    return Limits(distance, 0.0, 0.0, origin, distinct)
