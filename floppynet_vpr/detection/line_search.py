# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Matching of sequences along straight lines, as in SeqSLAM (Milford and Wyeth, 2012).

The evidence of the last N images (after standing still, one image stands for all) is added up
along lines: a camera of velocity v that is at place i now was at place i - v k, rounded, k images
ago. Places beyond the ends of the map, or beyond a border, add nothing. The score
of a place is the best sum over all velocities (SPEEDS, each backwards and forwards), and the belief
in place i of n

    exp(score[i]) / (n + sum over j of exp(score[j])),

that is, one place among n before anything was seen, with an even chance to be nowhere in the map.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import exp
from floppynet_vpr.detection.sequences import neighbours, velocities

LENGTH = 15
"""Images in a sequence."""


class LineSearch:
    """Searches the last images for straight lines through the map; a `SequenceModel`."""

    def __init__(self) -> None:
        self._velocities = velocities()
        self._evidence: deque[NDArray[np.float32]] = deque(maxlen=LENGTH)

    def update(
        self, log_odds: NDArray[np.float32], moved: bool, borders: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        """Take the next image's evidence, return the belief; see `SequenceModel`."""
        if not moved and self._evidence:
            self._evidence.popleft()
        self._evidence.appendleft(log_odds)
        scores = self._scores(len(log_odds), borders)
        highest = max(0.0, float(scores.max(initial=0)))
        powers = exp(np.append(scores, np.float32(0)) - np.float32(highest))
        weights, nowhere = powers[:-1], powers[-1]
        return weights / np.float32(weights.sum() + len(weights) * nowhere)

    def reduced(self, kept: NDArray[np.int64]) -> LineSearch:
        """Know the evidence of the places `kept` alone; see `SequenceModel`."""
        for age, seen in enumerate(self._evidence):
            self._evidence[age] = seen[kept[kept < len(seen)]]
        return self

    def _scores(self, count: int, borders: Sequence[int]) -> NDArray[np.float32]:
        """The best sum of evidence along any line that ends at each place, (count,) float32."""
        crossed = _Crossed(borders, count)
        best = np.full(count, -np.inf, np.float32)
        for velocity in self._velocities.tolist():
            score = np.zeros(count, np.float32)
            for age, evidence in enumerate(self._evidence):
                passed = int(np.rint(velocity * age))
                first, last = max(0, passed), min(count, len(evidence) + passed)
                if first < last:
                    beyond = crossed.places(passed)
                    kept = score[beyond]
                    score[first:last] += evidence[first - passed : last - passed]
                    score[beyond] = kept
            np.maximum(best, score, out=best)
        return best


class _Crossed:
    """The places that lie beyond a border from where the camera was so many places ago."""

    def __init__(self, borders: Sequence[int], count: int) -> None:
        inside = bool(borders) and borders[0] < count
        self._room = neighbours(borders, count) if inside else None
        self._places: dict[int, NDArray[np.int64]] = {0: np.empty(0, np.int64)}

    def places(self, passed: int) -> NDArray[np.int64]:
        """Indices of these places for `passed` places, backwards below 0."""
        if self._room is None:
            return self._places[0]
        if passed not in self._places:
            before, after = self._room
            room = before if passed > 0 else after
            self._places[passed] = np.flatnonzero(room < abs(passed))
        return self._places[passed]
