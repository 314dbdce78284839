# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From the neighbours of a descriptor to loop-closure candidates and a verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping import Place, ReferenceMap


@dataclass(frozen=True)
class Candidate:
    """A place that the query may show.

    `distance` is that of the descriptors (eq. 6, 0 to 2). `score` is 0 to 1: the cosine of the
    descriptors, 1 - distance^2 / 2, cut off at 0.
    """

    place: Place
    distance: float
    score: float


@dataclass(frozen=True)
class Detection:
    """The verdict on one query: candidates nearest first, and whether the first is a loop closure.

    `threshold` is the distance that was in force.
    """

    detected: bool
    threshold: float
    candidates: tuple[Candidate, ...]


class LoopClosureDetector:
    """Decides for each descriptor whether the robot has been here before.

    `threshold` (distance, 0 to 2) and `top_k` (candidates per query) may be changed at any time.
    """

    def __init__(self, reference: ReferenceMap, threshold: float, top_k: int = 5) -> None:
        """Detect against `reference`."""
        self.reference = reference
        self.threshold = threshold
        self.top_k = top_k

    def detect(self, descriptor: NDArray[np.float32]) -> Detection:
        """Judge one (9216,) float32 descriptor of norm 1; an empty map gives no candidates."""
        found = self.reference.search(descriptor, self.top_k)
        candidates = tuple(
            Candidate(self.reference.places[place], distance, max(0.0, 1 - distance**2 / 2))
            for place, distance in zip(
                found.ids[0].tolist(), found.distances[0].tolist(), strict=True
            )
        )
        detected = bool(candidates) and candidates[0].distance <= self.threshold
        return Detection(detected, self.threshold, candidates)
