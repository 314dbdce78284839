# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A discrete Bayes filter over places and velocities: where is the camera, given all it has seen?

Its state is the place i of n and the velocity v, or "nowhere in the map". Exactly, with the
numbers below:

Start: nowhere with probability 1/2, else every state alike.

When the camera moves on, from one image to the next,

1. the velocity stays with probability 0.9, or changes to one of the two next to it (SPEEDS, each
   backwards and forwards; at the ends there is one next to it);
2. the place becomes i + v; between two places the probability is shared linearly, and what leaves
   the map, or crosses a border in it, is nowhere;
3. with probability 0.02 the camera is carried off (the kidnapped robot): to nowhere or to any
   state alike, with probability 1/2 each; from nowhere that happens with probability 0.1.

Every image multiplies the probability of each state by exp(log-odds of its place), that of nowhere
by 1, and all are divided by their sum. The belief in a place is the sum over its velocities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import exp
from floppynet_vpr.detection.sequences import neighbours, velocities

_CHANGE = 0.1
_CARRIED_OFF = 0.02
_ARRIVES = 0.1
_NOWHERE = 0.5


class BayesFilter:
    """Keeps track of where in the map the camera is; a `SequenceModel`.

    An update takes time in proportion to the places of the map, a fraction of a millisecond for
    10,000 of them.
    """

    def __init__(self) -> None:
        """Start anywhere."""
        self._velocities = velocities()
        self._prior = np.empty((len(self._velocities), 0), np.float32)
        self._prior_nowhere = 1.0
        self._likelihood = np.empty(0, np.float32)
        self._started = False

    def update(
        self, log_odds: NDArray[np.float32], moved: bool, borders: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        """Take the next image's evidence, return the belief; see `SequenceModel`."""
        count = len(log_odds)
        if not self._started:
            self._spread(count)
        elif moved:
            self._move(borders)
        if count > self._prior.shape[1]:
            self._grow(count)
        self._likelihood = exp(log_odds)
        belief = self._prior.sum(0) * self._likelihood
        return belief / np.float32(belief.sum() + self._prior_nowhere)

    def reduced(self, kept: NDArray[np.int64]) -> BayesFilter:
        """Believe the same of the places `kept` alone; see `SequenceModel`."""
        known = kept[kept < self._prior.shape[1]]
        gone = np.setdiff1d(np.arange(self._prior.shape[1]), known)
        lost = self._prior[:, gone] * self._likelihood[gone]
        self._prior_nowhere += float(lost.sum())
        self._prior, self._likelihood = self._prior[:, known], self._likelihood[known]
        return self

    def _spread(self, count: int) -> None:
        """Believe in every state alike."""
        if count:
            share = (1 - _NOWHERE) / (len(self._velocities) * count)
            self._prior = np.full((len(self._velocities), count), share, np.float32)
            self._prior_nowhere = _NOWHERE
            self._started = True

    def _grow(self, count: int) -> None:
        """Take in places that are new in the map: nobody has been believed there before."""
        more = ((0, 0), (0, count - self._prior.shape[1]))
        self._prior = np.pad(self._prior, more)

    def _move(self, borders: Sequence[int]) -> None:
        """Turn the belief after the last image into that before the next one."""
        posterior = np.multiply(self._prior, self._likelihood, out=self._prior)
        total = float(posterior.sum()) + self._prior_nowhere
        nowhere = self._prior_nowhere / total
        _change_velocities(posterior)
        moved = np.empty_like(posterior)
        crossed = _Crossings(borders, moved.shape[1])
        for index, velocity in enumerate(self._velocities.tolist()):
            _shift(posterior[index], velocity, moved[index], crossed)
        inside = float(moved.sum()) / total
        carried = _CARRIED_OFF * inside + _ARRIVES * nowhere
        moved *= np.float32((1 - _CARRIED_OFF) / total)
        moved += np.float32((1 - _NOWHERE) * carried / moved.size)
        self._prior = moved
        left = (1 - _CARRIED_OFF) * inside + (1 - _NOWHERE) * carried
        self._prior_nowhere = max(0.0, 1 - left)


def _change_velocities(states: NDArray[np.float32]) -> None:
    """Let (velocities, places) probabilities change to the velocities next to their own."""
    # Not as a product of matrices: its threads would wait for a busy processor.
    to_each = np.full((len(states), 1), _CHANGE / 2, np.float32)
    to_each[[0, -1]] = _CHANGE
    leaving = states * to_each
    states *= np.float32(1 - _CHANGE)
    states[1:] += leaving[:-1]
    states[:-1] += leaving[1:]


class _Crossings:
    """Which places are reached only by crossing a border, by how many places one moves."""

    def __init__(self, borders: Sequence[int], count: int) -> None:
        inside = bool(borders) and borders[0] < count
        self._room = neighbours(borders, count) if inside else None
        self._masks: dict[int, NDArray[np.bool_]] = {}

    def clear(self, moved: NDArray[np.float32], by: int) -> None:
        """Set to 0 what crossed a border when (n,) probabilities moved `by` places."""
        if self._room is None or not by:
            return
        if by not in self._masks:
            before, after = self._room
            self._masks[by] = before < by if by > 0 else after < -by
        moved[self._masks[by]] = 0


def _shift(
    source: NDArray[np.float32], by: float, target: NDArray[np.float32], crossed: _Crossings
) -> None:
    """Move (n,) probabilities by a number of places, shared between the two nearest places."""
    whole = int(np.floor(by))
    part = np.float32(by - whole)
    _place(source, whole, 1 - part, target)
    crossed.clear(target, whole)
    if part:
        other = _place(source, whole + 1, part, np.empty_like(target))
        crossed.clear(other, whole + 1)
        target += other


def _place(
    source: NDArray[np.float32], by: int, share: np.float32, target: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Write `share` of `source`, moved by `by` places, over `target`; returns it."""
    count = len(source)
    by = max(-count, min(count, by))
    if by >= 0:
        target[:by] = 0
        np.multiply(source[: count - by], share, out=target[by:])
    else:
        target[by:] = 0
        np.multiply(source[-by:], share, out=target[:by])
    return target
