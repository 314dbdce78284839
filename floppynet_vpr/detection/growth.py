# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How a map grows that is used while it is made, and where that ends.

An image that shows something new becomes a place, unless its place was recognised surely. Then it
is left out where it looks as one of the looks that the map has of that place, and is kept as
another look of it where it looks different (by night, in rain), up to a number of looks. Where a
drive is not followed yet, an image is left out that looks the same as one place and no other. A map
that has more places than it may drops those that serve least: that were neither added nor
recognised for longest (`ReferenceMap.least_serving`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection.detector import Detection, LoopClosureDetector
from floppynet_vpr.detection.limits import DISTINCT
from floppynet_vpr.detection.options import RIGID_MATCHING, DetectorOptions
from floppynet_vpr.mapping import ReferenceMap

SAME_LOOK, SAME_LOOK_RIGID = 0.85, 0.6
"""Distance up to which an image looks as a place does, less the means of the drives and rigidly.

Of ten synthetic laps, right matches in the same light lie at 0.38 to 0.84 (10 and 90 %), in another
light at 0.88 to 1.22, those of GardensPoint from another lane or by night at 0.88 to 1.26.
"""

SURELY = 0.97
"""Belief in a place from which on another look of it is kept, or as many times 2.1 as distinct.

What was wrongly detected on a first lap was believed up to 0.95; half of what is right is believed
by 0.98 and more. What is not so sure becomes a place of its own, as if it had not been recognised.
"""

_DISTINCT = 3.0
_FOLLOWED = 10
_DROPPED = 16


@dataclass(frozen=True)
class GrowthOptions:
    """Where growth ends.

    `max_looks`: looks that are kept of a place, the first among them; 0: every lap adds its places
    anew. `max_places`: more than so many, and the map drops a sixteenth of them; 0: never.
    """

    max_looks: int = 4
    max_places: int = 100_000


@dataclass(frozen=True)
class Growth:
    """What becomes of an image: nothing, a place or, of the place `look_of`, another look."""

    new: bool
    look_of: int | None = None


class Grower:
    """Decides what becomes of the images of a drive that would be places, one after the other.

    `options` may be replaced at any time.
    """

    def __init__(self, options: GrowthOptions | None = None) -> None:
        """Begin a drive."""
        self.options = options or GrowthOptions()
        self._unsure = _FOLLOWED

    def decide(
        self,
        detector: LoopClosureDetector,
        detection: Detection,
        descriptor: NDArray[np.float32],
    ) -> Growth:
        """Decide on the next image, (9216,) float32, by what `detector` found for it.

        What was recognised is noted in the detector's map as having served, and an image that is
        left out as a gap in its drive.
        """
        in_force = detector.in_force
        self._unsure = 0 if _is_sure(detection, in_force) else self._unsure + 1
        reference, best = detector.reference, _recognised(detector, detection, descriptor)
        if best is None:
            return Growth(new=True)
        looks = reference.looks_of(best)
        looks_the_same = detector.distances(descriptor, looks).min() <= _same_look(in_force)
        if not detection.detected and not looks_the_same:
            return Growth(new=True)
        reference.serve(best)
        if not self.options.max_looks:
            return Growth(new=True)
        if not looks_the_same:
            if self._unsure >= _FOLLOWED:
                return Growth(new=True)
            if len(looks) < self.options.max_looks:
                return Growth(new=True, look_of=reference.places[int(looks[0])].id)
        reference.leave_out()
        return Growth(new=False)


def kept_places(reference: ReferenceMap, options: GrowthOptions) -> NDArray[np.int64] | None:
    """Choose the places that a map keeps that has too many, ascending; None: it has not."""
    most = options.max_places
    if not most or len(reference) <= most:
        return None
    dropped = reference.least_serving(len(reference) - (most - most // _DROPPED))
    return np.setdiff1d(np.arange(len(reference)), dropped)


def within_limit(detector: LoopClosureDetector, options: GrowthOptions) -> LoopClosureDetector:
    """Drop places of a map that has too many: go on with the detector that is returned."""
    kept = kept_places(detector.reference, options)
    if kept is None:
        return detector
    return detector.reduced(detector.reference.select(kept.tolist()), kept)


def _recognised(
    detector: LoopClosureDetector, detection: Detection, descriptor: NDArray[np.float32]
) -> int | None:
    """The place of an image: that detected or, where the drive is not followed yet, a distinct one.

    A drive is followed only some images after it began, or after it went over to another way.
    Without the latter, these first places would be added each time.
    """
    if detection.detected:
        return detection.candidates[0].index
    place, distinctness = detector.alone(descriptor)
    return place if distinctness >= DISTINCT else None


def _same_look(options: DetectorOptions) -> float:
    as_they_are = options.matching == RIGID_MATCHING and not options.subtract_mean
    return SAME_LOOK_RIGID if as_they_are else SAME_LOOK


def _is_sure(detection: Detection, options: DetectorOptions) -> bool:
    """Tell whether a detection is beyond doubt; distances alone never are."""
    least = {"belief": SURELY, "distinctness": _DISTINCT}.get(options.measure)
    return detection.detected and least is not None and detection.measure >= least
