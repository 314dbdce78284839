# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Checks candidates by geometry: do query and place show the same things from two positions?

The local features of the image are compared with those kept with the place. A feature of the place
and one of the image are a pair when each is the other's most alike, and the second best in the
image differs clearly more (Lowe's ratio test). Two views of rigid surroundings obey one fundamental
matrix; MAGSAC++ (Barath et al., 2020) looks for the one that most pairs agree with. Their number is
the candidate's inliers. Pairs by mere chance agree in 8 or so, because 7 always do.

Light that changes the corners themselves, as night does, leaves too few pairs: then little is
verified, rightly or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection.agreement import NOT_CHECKED
from floppynet_vpr.detection.detector import Candidate, Detection
from floppynet_vpr.extraction.local_features import LocalFeatures, extract_features
from floppynet_vpr.mapping import ReferenceMap

_RATIO = 0.85
_LEAST_PAIRS = 8
_PIXELS = 2.0
_CONFIDENCE = 0.99
_ROUNDS = 500
_FORGETTING = 0.98


@dataclass(frozen=True)
class VerificationOptions:
    """How candidates are to be checked.

    `least_inliers`: features that must agree for a candidate to be verified. `budget_ms`: time for
    an image, in milliseconds; candidates that it does not suffice for are not checked.
    `query_features`: features looked for in an image; more than a place has, to find these again.
    `required`: whether a detection whose place fails the check is none.
    """

    least_inliers: int = 12
    budget_ms: float = 30.0
    query_features: int = 800
    required: bool = True


class Verifier:
    """Checks the candidates of one image after the other.

    `options` may be replaced at any time. It learns how long a check takes on this machine, so as
    not to begin one that would not end in time.
    """

    def __init__(
        self,
        options: VerificationOptions | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Start; `clock` gives seconds."""
        self.options = options or VerificationOptions()
        self._clock = clock
        self._finding, self._checking = 0.0, 0.0

    def verify(
        self, image: NDArray[np.uint8], detection: Detection, reference: ReferenceMap
    ) -> Detection:
        """Fill in what geometry says of the candidates, in their order, while there is time.

        `image` is the query, RGB (h, w, 3) or grey (h, w) uint8, of any size; the candidates are
        places of `reference`. Where that has no features of a place, or the time is up, the
        candidate stays unchecked (`inliers` -1), and so does the verdict on it.
        """
        deadline = self._clock() + self.options.budget_ms / 1000
        kept = [reference.features_of(known.index) for known in detection.candidates]
        if not any(kept) or not self._is_time_for(self._finding + self._checking, deadline):
            return detection
        begun = self._clock()
        query = extract_features(image, self.options.query_features)
        self._finding = _typical(self._finding, self._clock() - begun)
        candidates = list(detection.candidates)
        for index, (candidate, features) in enumerate(zip(candidates, kept, strict=True)):
            if features is None:
                continue
            if not self._is_time_for(self._checking, deadline):
                break
            begun = self._clock()
            candidates[index] = self._judge(candidate, count_inliers(query, features))
            self._checking = _typical(self._checking, self._clock() - begun)
        reason = detection.reason or self._objection(candidates[0])
        return replace(detection, candidates=tuple(candidates), reason=reason)

    def _is_time_for(self, seconds: float, deadline: float) -> bool:
        """Tell whether something that takes so long would end in time.

        When not, what it takes is forgotten bit by bit: one slow moment must not end all checks.
        """
        if self._clock() + seconds <= deadline:
            return True
        self._finding *= _FORGETTING
        self._checking *= _FORGETTING
        return False

    def _judge(self, candidate: Candidate, inliers: int) -> Candidate:
        agreed = candidate.verified or candidate.agreeing == NOT_CHECKED
        verified = agreed and inliers >= self.options.least_inliers
        return replace(candidate, inliers=inliers, verified=verified)

    def _objection(self, best: Candidate) -> str:
        if not self.options.required or best.inliers < 0 or best.verified:
            return ""
        return (
            f"{best.inliers} local features agree with the place, "
            f"{self.options.least_inliers} are needed"
        )


def _typical(before: float, now: float) -> float:
    """Follow a duration: upwards at once, downwards slowly."""
    return max(now, 0.9 * before + 0.1 * now)


def count_inliers(query: LocalFeatures, place: LocalFeatures) -> int:
    """Count the features of two images that agree on one fundamental matrix.

    Equal features give an equal count, on whatever thread and in whatever order.
    """
    pairs = match_features(query, place)
    if len(pairs) < _LEAST_PAIRS:
        return 0
    cv2.setRNGSeed(0)
    try:
        _, agree = cv2.findFundamentalMat(
            query.positions[pairs[:, 0]],
            place.positions[pairs[:, 1]],
            cv2.USAC_MAGSAC,
            _PIXELS,
            _CONFIDENCE,
            _ROUNDS,
        )
    except cv2.error:
        # OpenCV 5.0 gives up in this way where pairs define no matrix.
        return 0
    return 0 if agree is None else int(np.count_nonzero(agree))


def match_features(query: LocalFeatures, place: LocalFeatures) -> NDArray[np.int64]:
    """Find the pairs of features that look the same, (n, 2) int64: index in query, in place."""
    if len(query) < 2 or not len(place):
        return np.empty((0, 2), np.int64)
    kind, norm = cv2.CV_32S, cv2.NORM_HAMMING
    apart, best = cv2.batchDistance(place.bits, query.bits, kind, normType=norm, K=2)
    _, back = cv2.batchDistance(query.bits, place.bits, kind, normType=norm, K=1)
    mutual = back[best[:, 0], 0] == np.arange(len(place))
    chosen = np.flatnonzero(mutual & (apart[:, 0] < _RATIO * apart[:, 1]))
    return np.stack([best[chosen, 0], chosen], axis=1)
