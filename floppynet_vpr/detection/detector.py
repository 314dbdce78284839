# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From the descriptor of an image to loop-closure candidates and a verdict."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection.agreement import AGREEING, NOT_CHECKED, Agreement
from floppynet_vpr.detection.automatic_threshold import AutomaticThreshold
from floppynet_vpr.detection.background import Needs
from floppynet_vpr.detection.commonness import Commonness
from floppynet_vpr.detection.comparer import Compared, Comparer
from floppynet_vpr.detection.limits import (
    AUTOMATIC,
    CALIBRATED,
    GIVEN,
    UNKNOWN,
    Limits,
    limits_in_force,
)
from floppynet_vpr.detection.motion import MotionGate
from floppynet_vpr.detection.options import (
    AUTO,
    FILTER,
    RIGID_MATCHING,
    SEQUENCES,
    SINGLE,
    TOLERANT_MATCHING,
    UNVERIFIED,
    DetectorOptions,
)
from floppynet_vpr.detection.order import is_in_order
from floppynet_vpr.detection.recent import RecentPlaces
from floppynet_vpr.detection.rigid import RigidComparer
from floppynet_vpr.detection.sequences import SequenceModel, log_odds, within_window
from floppynet_vpr.detection.tolerant import TolerantComparer
from floppynet_vpr.mapping import Place, ReferenceMap
from floppynet_vpr.mapping.cell_products import best_products

_ELSEWHERE = 10
_USUAL_BEST = 2.0


@dataclass(frozen=True)
class Candidate:
    """A place that the query may show; `index` is where the map has it.

    `distance` is that of the matching in force (0 to 2; see `DetectorOptions.matching`). `score`
    (0 to 1) is the confidence of a calibrated map. Without calibration it is the belief that the
    camera is within four places of this one where sequences are matched, else the cosine,
    1 - distance^2 / 2 cut off at 0. `shift` is by how many cells the place shows farther to the
    right, and farther down, what the query shows. `agreeing` is how many cells (0 to 36) agreed
    with the best candidates of the last images on average (`agreement`), `inliers` how many local
    features agree (`verification`), -1: not checked. `verified` is whether all that was checked is
    enough.
    """

    place: Place
    index: int
    distance: float
    score: float
    shift: tuple[int, int] = (0, 0)
    agreeing: float = NOT_CHECKED
    inliers: int = -1
    verified: bool = False


@dataclass(frozen=True)
class Detection:
    """The verdict on one query: candidates, best first, and whether the first is a loop closure.

    Best is nearest or, where sequences are matched, most believed. `limits` were in force.
    `measure` is what a calibration would judge the first candidate by (`DetectorOptions.measure`):
    the belief in it where sequences are matched, else how distinct it is or, where images are
    compared rigidly, its distance. `reason` says why nothing was detected, else it is empty.
    `standing` is by how many standard deviations the first candidate is nearer to this image than
    is usual, whatever was believed before; infinite where the image alone was judged.
    """

    limits: Limits
    candidates: tuple[Candidate, ...]
    measure: float
    reason: str
    standing: float = math.inf

    @property
    def detected(self) -> bool:
        """Whether the first candidate is a loop closure."""
        return not self.reason


class LoopClosureDetector:
    """Decides for each descriptor whether the robot has been here before.

    `options` may be replaced at any time, and the map may grow. A change of `matching`, `sequence`
    or `subtract_mean` forgets what was seen before.
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
        self.drive: set[int] = set()
        """Numbers of sessions that are of this drive, though their places may be among these."""
        self._recent = RecentPlaces(self.known)
        self._threshold = AutomaticThreshold(reference)
        self._restart()
        best_products(reference.grid)  # is compiled now, so that the first image need not wait
        _ = self.limits

    def _restart(self) -> None:
        """Forget what was seen."""
        options = self.options
        self._asked = options.mode
        self._undecided = False
        sequence = options.sequence
        if sequence == AUTO:
            in_order = is_in_order(self.reference, self.known)
            sequence = FILTER if in_order else SINGLE
            self._undecided = in_order is None
        self._match(sequence)
        self._comparer = _comparer(self.reference, options)
        self._commonness = Commonness()
        self._agreement = Agreement()
        self._gate = MotionGate()
        self._moved = True
        self._here = self._followed = self._eligible = 0
        self._believed = 0.0

    def _match(self, sequence: str) -> None:
        """Match single images or a sequence from now on."""
        self._chosen = sequence
        self._sequence = None if sequence == SINGLE else SEQUENCES[sequence]()

    def adopt(self, other: ReferenceMap, indices: NDArray[np.int64]) -> None:
        """Add places of another map (`ReferenceMap.adopt`) that may be matched from now on."""
        self.reference.adopt(other, indices)
        self.known = len(self.reference)
        self._recent.know(self.known)

    @property
    def limits(self) -> Limits:
        """What a candidate from an earlier drive must fulfil now to be a loop closure."""
        return self._limits(this_drive=False)

    def _limits(self, this_drive: bool) -> Limits:
        options = self.in_force
        calibration = self.reference.calibrations.get(options.mode)
        background = self._comparer.background
        return limits_in_force(
            options,
            calibration,
            lambda: self._threshold.value(background),
            len(self.reference),
            this_drive,
        )

    def detect(self, descriptor: NDArray[np.float32], stamp_ns: int = 0) -> Detection:
        """Judge one (9216,) float32 descriptor of norm 1, of an image taken at `stamp_ns`.

        An empty map gives no candidates.
        """
        options = self.options
        if options.mode != self._asked:
            self._restart()
        elif self._undecided and is_in_order(self.reference, self.known):
            self._undecided = False
            self._match(FILTER)
        eligible = self._recent.eligible(
            self.reference.places, stamp_ns, options.exclude_images, options.exclude_seconds
        )
        self._eligible = eligible
        if self._sequence is None:
            self._comparer.seen(descriptor, self._needs)
            if self.in_force.measure == "distance":
                if self.limits.origin in (AUTOMATIC, UNKNOWN):
                    self._threshold.watch(descriptor, self._comparer.background)
                distinctness = 0.0
            else:
                standing = self._comparer.standing(descriptor, eligible)
                looks = self.reference.looks(eligible)
                distinctness = _distinctness(_folded(self._commonness.less(standing), looks))
                self._commonness.watch(standing)
            ids = self._comparer.nearest(descriptor, options.top_k, eligible)
            beliefs = np.ones(len(ids), np.float32)
            standing_here = math.inf
        else:
            distinctness = 0.0
            belief, standing = self._believe(self._sequence, descriptor, eligible)
            ids = _most_believed(belief, options.top_k)
            beliefs = within_window(belief, ids, self.reference.breaks)
            standing_here = float(standing[ids[0]]) if len(ids) else 0.0
            ids = self._nearest_looks(descriptor, ids, eligible)
        compared = self._comparer.compare(descriptor, ids)
        verdict = self._verdict(ids, compared, beliefs, distinctness)
        detection = replace(verdict, standing=standing_here)
        if self._sequence is None or options.verification == UNVERIFIED or not len(ids):
            return detection
        count = self._comparer.agreeing(descriptor, int(ids[0]), eligible)
        return _verified(detection, self._agreement.take(count, self._moved))

    def reduced(self, reference: ReferenceMap, kept: NDArray[np.int64]) -> LoopClosureDetector:
        """Go on with `reference`, the places `kept`, ascending, of this one's map, alone.

        What was seen is not forgotten. This detector must not be used any more.
        """
        reduced = copy(self)
        reduced.reference = reference
        reduced.known = int((kept < self.known).sum())
        reduced._recent = self._recent.reduced(kept)
        reduced._threshold = self._threshold.reduced(reference)
        reduced._comparer = self._comparer.reduced(reference)
        reduced._commonness = self._commonness.reduced(kept)
        reduced._sequence = None if self._sequence is None else self._sequence.reduced(kept)
        reduced._followed = int((kept < self._followed).sum())
        reduced._here = min(int((kept < self._here).sum()), max(0, len(kept) - 1))
        return reduced

    @property
    def in_force(self) -> DetectorOptions:
        """The options, with `sequence` as it was chosen where it is "auto"."""
        return replace(self.options, sequence=self._chosen)

    @property
    def _needs(self) -> Needs:
        """What is asked of a background with the options as they are now."""
        options = self.in_force
        return Needs(
            mean=options.subtract_mean and options.matching == RIGID_MATCHING,
            step=self._sequence is not None,
            threshold=options.measure == "distance"
            and self.limits.origin not in (GIVEN, CALIBRATED),
        )

    def _believe(
        self, sequence: SequenceModel, descriptor: NDArray[np.float32], eligible: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Take the next image, return the belief in each eligible place, and how it stands out."""
        background, here = self._comparer.background, self._here
        moved = self._gate.passes(
            descriptor,
            background.step,
            lambda: background.step_after(here) or background.step,
            self._believed,
        )
        self._moved = moved
        if moved:
            self._comparer.seen(descriptor, self._needs)
        standing = self._comparer.standing(descriptor, eligible)
        looks = self.reference.looks(eligible)
        # When stamps jump back, places may be recent once more that had been followed.
        self._followed = max(self._followed, eligible)
        unlikely = np.full(self._followed - eligible, -np.inf, np.float32)
        uncommon = _folded(self._commonness.less(standing), looks)
        odds = log_odds(np.concatenate([uncommon, unlikely]))
        odds[looks[0]] = -np.inf
        if moved:
            self._commonness.watch(standing)
        belief = sequence.update(odds, moved, self.reference.breaks)[:eligible]
        if eligible:
            self._here = int(belief.argmax())
            self._believed = float(belief.sum())
        return belief, uncommon

    def _nearest_looks(
        self, descriptor: NDArray[np.float32], ids: NDArray[np.int64], eligible: int
    ) -> NDArray[np.int64]:
        """For each first look in `ids`, find the look of that place nearest to the image."""
        others, firsts = self.reference.looks(eligible)
        chosen = np.isin(firsts, ids)
        if not chosen.any():
            return ids
        looks = np.concatenate([ids, others[chosen]])
        places = np.concatenate([ids, firsts[chosen]])
        distances = self._comparer.compare(descriptor, looks).distances
        order = np.lexsort((looks, distances))
        nearest = [int(looks[order][places[order] == place][0]) for place in ids.tolist()]
        return np.array(nearest, np.int64)

    def alone(self, descriptor: NDArray[np.float32]) -> tuple[int, float]:
        """Look at the image just judged as if nothing had been seen before it.

        Returns the place that stands out most, -1 where none is, and how distinct it is.
        """
        standing = self._comparer.standing(descriptor, self._eligible)
        if not len(standing):
            return -1, 0.0
        folded = _folded(self._commonness.less(standing), self.reference.looks(self._eligible))
        return int(folded.argmax()), _distinctness(folded)

    def distances(
        self, descriptor: NDArray[np.float32], indices: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Compare a (9216,) float32 descriptor with places, as candidates are; (n,) float32."""
        return self._comparer.compare(descriptor, indices).distances

    def _is_of_this_drive(self, index: int) -> bool:
        return index >= self.known or self.reference.places[index].session.uid in self.drive

    def _verdict(
        self,
        ids: NDArray[np.int64],
        compared: Compared,
        beliefs: NDArray[np.float32],
        distinctness: float,
    ) -> Detection:
        options = self.in_force
        firsts = [int(self.reference.looks_of(place)[0]) for place in ids[:1].tolist()]
        limits = self._limits(this_drive=any(map(self._is_of_this_drive, firsts)))
        calibration = self.reference.calibrations.get(options.mode)
        single = self._sequence is None
        candidates = []
        for place, distance, shift, belief in zip(
            ids.tolist(),
            compared.distances.tolist(),
            compared.shifts.tolist(),
            beliefs.tolist(),
            strict=True,
        ):
            if calibration is not None:
                measures = {"belief": belief, "distinctness": distinctness, "distance": distance}
                score = calibration.confidence(measures[options.measure])
            else:
                score = max(0.0, 1 - distance**2 / 2) if single else belief
            known = self.reference.places[place]
            candidates.append(Candidate(known, place, distance, score, (shift[0], shift[1])))
        if not candidates:
            return Detection(limits, (), 0.0, "the map has no place to match")
        best, belief = candidates[0], float(beliefs[0])
        reason = limits.objection(best.distance, belief, best.score, distinctness)
        measures = {"belief": belief, "distinctness": distinctness, "distance": best.distance}
        return Detection(limits, tuple(candidates), measures[options.measure], reason)


def _verified(detection: Detection, agreeing: float) -> Detection:
    """Take into account how many cells agree on average."""
    if agreeing == NOT_CHECKED:
        return detection
    best, *others = detection.candidates
    enough = agreeing >= AGREEING
    best = replace(best, agreeing=agreeing, verified=enough)
    reason = detection.reason
    if not enough and not reason:
        reason = f"{agreeing:.1f} cells agree on average, {AGREEING:g} are needed"
    return replace(detection, candidates=(best, *others), reason=reason)


def _folded(
    standing: NDArray[np.float32], looks: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.float32]:
    """Let each place stand out as its best look does, its other looks not at all."""
    others, firsts = looks
    if len(others):
        standing = standing.copy()
        np.maximum.at(standing, firsts, standing[others])
        standing[others] = -np.inf
    return standing


def _distinctness(standing: NDArray[np.float32]) -> float:
    """How many times as far as the best place elsewhere the best place stands out.

    Elsewhere is more than 10 places away; a place there counts as standing out by 2 deviations at
    least. 0 in a map too small to know what is usual.
    """
    if not len(standing):
        return 0.0
    best = int(standing.argmax())
    elsewhere = [standing[: max(0, best - _ELSEWHERE)], standing[best + _ELSEWHERE + 1 :]]
    other = max(float(part.max(initial=_USUAL_BEST)) for part in elsewhere)
    return max(0.0, float(standing[best]) / other)


def _most_believed(belief: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Find the places believed in most, best first, ties by the lower id."""
    places = np.arange(len(belief))
    if count < len(belief):
        places = np.flatnonzero(belief >= np.partition(belief, -count)[-count])
    return places[np.argsort(-belief[places], kind="stable")[:count]]


def _comparer(reference: ReferenceMap, options: DetectorOptions) -> Comparer:
    if options.matching == TOLERANT_MATCHING:
        return TolerantComparer(reference)
    return RigidComparer(reference, options.subtract_mean)
