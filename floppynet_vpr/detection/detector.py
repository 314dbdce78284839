# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From the descriptor of an image to loop-closure candidates and a verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection.automatic_threshold import AutomaticThreshold
from floppynet_vpr.detection.comparison import Comparer
from floppynet_vpr.detection.limits import AUTOMATIC, UNKNOWN, Limits, limits_in_force
from floppynet_vpr.detection.motion import MotionGate
from floppynet_vpr.detection.options import SEQUENCES, SINGLE, DetectorOptions
from floppynet_vpr.detection.recent import RecentPlaces
from floppynet_vpr.detection.sequences import SequenceModel, log_odds, within_window
from floppynet_vpr.mapping import Place, ReferenceMap


@dataclass(frozen=True)
class Candidate:
    """A place that the query may show.

    `distance` is that of the descriptors (eq. 6, 0 to 2). `score` (0 to 1) is the confidence of a
    calibrated map. Without calibration it is the belief that the camera is within two places of
    this one where sequences are matched, else the cosine, 1 - distance^2 / 2 cut off at 0.
    `inliers` and `verified` are what geometry says (`verification`); -1 inliers: not checked.
    """

    place: Place
    distance: float
    score: float
    inliers: int = -1
    verified: bool = False


@dataclass(frozen=True)
class Detection:
    """The verdict on one query: candidates, best first, and whether the first is a loop closure.

    Best is nearest or, where sequences are matched, most believed. `limits` were in force.
    `measure` is what a calibration would judge the first candidate by: its distance, or the belief
    in it where sequences are matched. `reason` says why nothing was detected, else it is empty.
    """

    limits: Limits
    candidates: tuple[Candidate, ...]
    measure: float
    reason: str

    @property
    def detected(self) -> bool:
        """Whether the first candidate is a loop closure."""
        return not self.reason


class LoopClosureDetector:
    """Decides for each descriptor whether the robot has been here before.

    `options` may be replaced at any time, and the map may grow. A change of `sequence` or
    `subtract_mean` forgets what was seen before.
    """

    def __init__(
        self,
        reference: ReferenceMap,
        options: DetectorOptions | None = None,
        known: int | None = None,
    ) -> None:
        """Detect against `reference`, and find out what is usual in it, a matter of a second.

        Of its places the first `known`, all if not given, are from an earlier drive. The others
        count as added with the first image.
        """
        self.reference = reference
        self.options = options or DetectorOptions()
        self.known = len(reference) if known is None else known
        """Places that were in the map before this drive."""
        self._recent = RecentPlaces(self.known)
        self._threshold = AutomaticThreshold(reference)
        self._restart()
        _ = self.limits

    @property
    def limits(self) -> Limits:
        """What a candidate must fulfil now to be a loop closure."""
        calibration = self.reference.calibrations.get(self.options.mode)
        background = self._comparer.background
        return limits_in_force(
            self.options,
            calibration,
            lambda: self._threshold.value(background),
            len(self.reference),
        )

    def detect(self, descriptor: NDArray[np.float32], stamp_ns: int = 0) -> Detection:
        """Judge one (9216,) float32 descriptor of norm 1, of an image taken at `stamp_ns`.

        An empty map gives no candidates.
        """
        options = self.options
        if options.mode != self._mode:
            self._restart()
        eligible = self._recent.eligible(
            self.reference.places, stamp_ns, options.exclude_images, options.exclude_seconds
        )
        if self._sequence is None:
            self._comparer.seen(descriptor)
            if self.limits.origin in (AUTOMATIC, UNKNOWN):
                self._threshold.watch(descriptor, self._comparer.background)
            ids = self._comparer.nearest(descriptor, options.top_k, eligible)
            beliefs = np.ones(len(ids), np.float32)
        else:
            belief = self._believe(self._sequence, descriptor, eligible)
            ids = _most_believed(belief, options.top_k)
            beliefs = within_window(belief, self.reference.borders)[ids]
        return self._verdict(ids, self._distances(descriptor, ids), beliefs)

    def _restart(self) -> None:
        """Forget what was seen."""
        options = self.options
        self._mode = options.mode
        self._comparer = Comparer(self.reference, options.subtract_mean)
        self._sequence = None if options.sequence == SINGLE else SEQUENCES[options.sequence]()
        self._gate = MotionGate()
        self._here = self._followed = 0
        self._believed = 0.0

    def _believe(
        self, sequence: SequenceModel, descriptor: NDArray[np.float32], eligible: int
    ) -> NDArray[np.float32]:
        """Take the next image, return the belief in each eligible place, (eligible,) float32."""
        background, here = self._comparer.background, self._here
        moved = self._gate.passes(
            descriptor, background.step, lambda: background.step_after(here), self._believed
        )
        if moved:
            self._comparer.seen(descriptor)
        standing = self._comparer.standing(descriptor, eligible)
        # When stamps jump back, places may be recent once more that had been followed.
        self._followed = max(self._followed, eligible)
        unlikely = np.full(self._followed - eligible, -np.inf, np.float32)
        odds = log_odds(np.concatenate([standing, unlikely]))
        belief = sequence.update(odds, moved, self.reference.borders)[:eligible]
        if eligible:
            self._here = int(belief.argmax())
            self._believed = float(belief.sum())
        return belief

    def _distances(
        self, descriptor: NDArray[np.float32], ids: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        order = np.argsort(ids)
        distances = np.empty(len(ids), np.float32)
        distances[order] = self.reference.distances(descriptor, ids[order])
        return distances

    def _verdict(
        self,
        ids: NDArray[np.int64],
        distances: NDArray[np.float32],
        beliefs: NDArray[np.float32],
    ) -> Detection:
        limits, calibration = self.limits, self.reference.calibrations.get(self._mode)
        single = self._sequence is None
        candidates = []
        for place, distance, belief in zip(
            ids.tolist(), distances.tolist(), beliefs.tolist(), strict=True
        ):
            if calibration is not None:
                score = calibration.confidence(distance if single else belief)
            else:
                score = max(0.0, 1 - distance**2 / 2) if single else belief
            candidates.append(Candidate(self.reference.places[place], distance, score))
        if not candidates:
            return Detection(limits, (), 0.0, "the map has no place to match")
        best, belief = candidates[0], float(beliefs[0])
        reason = limits.objection(best.distance, belief, best.score)
        return Detection(limits, tuple(candidates), best.distance if single else belief, reason)


def _most_believed(belief: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Find the places believed in most, best first, ties by the lower id."""
    places = np.arange(len(belief))
    if count < len(belief):
        places = np.flatnonzero(belief >= np.partition(belief, -count)[-count])
    return places[np.argsort(-belief[places], kind="stable")[:count]]
