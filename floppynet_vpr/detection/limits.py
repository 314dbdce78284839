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

BELIEVED = 0.9
"""Belief in a place from which on it is a loop closure, where nothing else is known."""


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

    Its distance (eq. 6) must not be above `distance`, its belief not below `belief`, its score
    not below `score`; 2, 0 and 0 limit nothing. `origin` says who drew the line; where it is
    "unknown", nothing is a loop closure.
    """

    distance: float
    belief: float
    score: float
    origin: str

    def objection(self, distance: float, belief: float, score: float) -> str:
        """Say in words what a candidate with these values does not fulfil; empty: nothing."""
        if self.origin == UNKNOWN:
            return NOT_KNOWN_YET
        if distance > self.distance:
            return f"distance {distance:.3f} is above {self.distance:.3f}"
        if belief < self.belief:
            return f"belief {belief:.3f} is below {self.belief:.3f}"
        if score < self.score:
            return f"score {score:.3f} is below {self.score:.3f}"
        return ""


def limits_in_force(
    options: DetectorOptions,
    calibration: Calibration | None,
    automatic: Callable[[], float | None],
    places: int,
) -> Limits:
    """Find the limits: those the user gave, else those calibrated, else those that set themselves.

    Without a sequence the last are on the distance, which `automatic` computes when asked; with
    one they are on the belief (0.9). They are not known where `automatic` gives None, and for
    sequences where the map has fewer than 20 `places`.
    """
    distance = options.threshold or ANY_DISTANCE
    if options.confidence or (options.threshold and options.sequence == SINGLE):
        return Limits(distance, 0.0, options.confidence, GIVEN)
    if options.sequence == SINGLE:
        if calibration is not None:
            return Limits(calibration.limit, 0.0, 0.0, CALIBRATED)
        by_itself = automatic()
        if by_itself is None:
            return Limits(NO_DISTANCE, 0.0, 0.0, UNKNOWN)
        return Limits(by_itself, 0.0, 0.0, AUTOMATIC)
    if calibration is not None:
        return Limits(distance, calibration.limit, 0.0, CALIBRATED)
    if places < LEAST_PLACES:
        return Limits(NO_DISTANCE, 0.0, 0.0, UNKNOWN)
    return Limits(distance, BELIEVED, 0.0, AUTOMATIC)
