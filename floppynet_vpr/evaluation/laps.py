# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of a map that is used while it is made, lap after lap of the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.detection.growth import Grower, GrowthOptions, within_limit
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.keyframes import KeyframeGate, KeyframeLimits
from floppynet_vpr.stamps import SECOND_NS

_RATE_HZ = 10


@dataclass(frozen=True)
class Lap:
    """One drive of the way: descriptors (n, 9216) float32 of norm 1, and where each was taken.

    `at` (n,) is in metres or frames along the way, the same for the same place on every lap.
    """

    name: str
    descriptors: NDArray[np.float32]
    at: NDArray[np.float64]


@dataclass(frozen=True)
class LapResult:
    """What came of a lap: images, how many were detected, how many rightly, places at its end.

    `looks` of these places are other looks of one.
    """

    name: str
    images: int
    detected: int
    right: int
    places: int
    looks: int


def drive_laps(
    laps: Sequence[Lap],
    growth: GrowthOptions,
    tolerance: float,
    *,
    around: float = 0.0,
) -> list[LapResult]:
    """Drive laps one after the other, with a map that starts empty, as the node does in mode both.

    A detection is right within `tolerance` along the way, which is `around` long where it ends
    where it began.
    """
    detector = LoopClosureDetector(ReferenceMap("", ""), DetectorOptions())
    gate, grower = KeyframeGate(KeyframeLimits()), Grower(growth)
    places_at: dict[int, float] = {}
    results, stamp_ns = [], 0
    for lap in laps:
        detected = right = 0
        for at, descriptor in zip(lap.at.tolist(), lap.descriptors, strict=True):
            stamp_ns += SECOND_NS // _RATE_HZ
            found = detector.detect(descriptor, stamp_ns)
            if found.detected:
                detected += 1
                apart = abs(places_at[found.candidates[0].place.id] - at)
                right += min(apart, abs(around - apart) if around else apart) <= tolerance
            if not gate.passes(descriptor, stamp_ns):
                continue
            grown = grower.decide(detector, found, descriptor)
            if grown.new:
                known = detector.reference
                place = known.add(descriptor, "", stamp_ns, look_of=grown.look_of)
                places_at[place.id] = at
                detector = within_limit(detector, growth)
        reference = detector.reference
        looks = len(reference.looks(len(reference))[0])
        results.append(LapResult(lap.name, len(lap.at), detected, right, len(reference), looks))
    return results
