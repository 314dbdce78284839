# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What is usual in a map: how alike its places are, from which a threshold sets itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.spans import span_of

SAMPLE = 128
"""Places, evenly spread over the map, that stand for all when numbers are estimated."""

LEAST_PLACES = 20
"""A map of fewer places is too small to know what is usual in it."""

_MAD_TO_DEVIATION = 1.4826
_SEARCHES = 64
_NEIGHBOURS = 256
_ALWAYS_NEAR = 5
_FAR_DEVIATIONS = 2.0
_MARGIN_DEVIATIONS = 2.5


def robust_spread(values: NDArray[np.float32]) -> tuple[float, float]:
    """Median, and the standard deviation estimated from the median absolute deviation."""
    middle = np.median(values)
    return float(middle), float(_MAD_TO_DEVIATION * np.median(np.abs(values - middle)))


@dataclass(frozen=True)
class Needs:
    """What of a background will be asked for: see its properties of these names."""

    mean: bool = False
    step: bool = False
    threshold: bool = False


class Background:
    """Numbers about a map as it is now; each is computed when first asked for.

    All of them take the better part of a second. So that a map may grow while images are answered,
    `prepare` computes them in pieces of a few milliseconds.
    """

    def __init__(self, reference: ReferenceMap) -> None:
        """Look at `reference`, with the places that it has at this moment."""
        self._reference = reference
        self._steps: dict[int, float] = {}
        self._rows: dict[int, NDArray[np.float32]] = {}
        self._strangers: dict[int, float] = {}
        self._decoded: dict[int, NDArray[np.float32]] = {}
        self._sizes = np.empty(0, np.float32)
        self.places = len(reference)
        count = min(self.places, SAMPLE)
        self.sample = np.unique(np.linspace(0, max(self.places - 1, 0), count).astype(np.int64))
        """Ids of the places that stand for all, ascending, (n,) int64."""

    @property
    def fits(self) -> bool:
        """Whether the map has hardly grown since."""
        if not self.places:
            return not len(self._reference)
        if self.places < LEAST_PLACES <= len(self._reference):
            return False
        return len(self._reference) <= max(1.25 * self.places, self.places + LEAST_PLACES)

    def prepare(self, needs: Needs) -> Iterator[None]:
        """Compute what is needed, a piece at a time; the iterator ends when all is there."""
        if needs.mean:
            for place in self.sample.tolist():
                self._descriptor(place)
                yield
            for first in range(0, self.places, SAMPLE):
                self._measure(first + SAMPLE)
                yield
        if needs.step:
            for place in self.sample.tolist():
                self.step_after(place)
                yield
        if needs.threshold:
            for index in range(len(self.sample)):
                self._row(index)
                yield
            for place in self._searched:
                self._nearest_stranger(place)
                yield

    @cached_property
    def step(self) -> float:
        """Median distance (eq. 6) from one place to the next; 0 with fewer than two places."""
        sample = self.sample[~np.isin(self.sample + 1, [*self._reference.breaks, self.places])]
        return float(np.median([self.step_after(place) for place in sample.tolist()] or [0.0]))

    def step_after(self, place: int) -> float:
        """Distance (eq. 6) from a place to the next one; of the last place from the one before.

        Places that are no neighbours of the one before do not count as next ones: 0 where there is
        no other.
        """
        start, end = span_of(place, self._reference.breaks, self.places)
        first = min(place, end - 2)
        if first < start:
            return 0.0
        if first not in self._steps:
            self._steps[first] = float(self.distances(first, np.array([first + 1]))[0])
        return self._steps[first]

    def distances(self, place: int, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Estimate the distances of a place to the places `ids`, ascending, (n,) float32."""
        return self._reference.distances_between(place, ids)

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        """The mean descriptor, (9216,) float32."""
        mean = np.concatenate([self._descriptor(place) for place in self.sample.tolist()]).mean(0)
        self._decoded.clear()
        return mean

    def _descriptor(self, place: int) -> NDArray[np.float32]:
        if place not in self._decoded:
            self._decoded[place] = self._reference.descriptors(place, place + 1)
        return self._decoded[place]

    def sizes(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """How far the places `ids` are from the mean descriptor, (n,) float32, above 0."""
        self._measure(len(self._reference))
        return self._sizes[ids]

    def _measure(self, count: int) -> None:
        """Compute the sizes of the first `count` places."""
        ids = np.arange(len(self._sizes), min(count, len(self._reference)), dtype=np.int64)
        if len(ids):
            squares = self._reference.distances(self.mean, ids) ** 2
            self._sizes = np.concatenate([self._sizes, np.sqrt(np.maximum(squares, 1e-6))])

    @cached_property
    def usual(self) -> float:
        """Median distance (eq. 6) between places; 0 with fewer than two of them."""
        return robust_spread(self._pair_distances)[0] if len(self.sample) > 1 else 0.0

    @cached_property
    def threshold(self) -> float | None:
        """The distance (eq. 6) up to which the map's own places would rightly match.

        Of each place in a sample, take the distance to the nearest place that is no neighbour: so
        near come places that only look alike. The threshold is 2.5 standard deviations below the
        median of these, both estimated robustly. Neighbours are the 5 places on either side, and
        those beyond to which every place on the way is nearer than is usual: 2 standard deviations
        below the median distance between places. Other sessions show the same places, so they are
        left out. Needs 20 places; below that it is None.
        """
        if self.places < LEAST_PLACES:
            return None
        nearest = [self._nearest_stranger(place) for place in self._searched]
        middle, deviation = robust_spread(np.array(nearest, np.float32))
        return max(0.0, middle - _MARGIN_DEVIATIONS * deviation)

    @property
    def _searched(self) -> list[int]:
        """The places of the sample whose nearest strangers are looked for; few places: none."""
        if self.places < LEAST_PLACES:
            return []
        return self.sample[:: -(-len(self.sample) // _SEARCHES)].tolist()

    @cached_property
    def _far(self) -> float:
        """The distance from which on a place is a stranger."""
        return self.usual - _FAR_DEVIATIONS * robust_spread(self._pair_distances)[1]

    def _nearest_stranger(self, place: int) -> float:
        if place not in self._strangers:
            _, distances = self.strangers(place)
            self._strangers[place] = float(distances.min()) if len(distances) else self._far
        return self._strangers[place]

    def strangers(self, place: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find places that look most like this one, of its session and no neighbours of it.

        Returns their ids, (n,) int64 ascending, and distances, (n,) float32; see `threshold` for
        what neighbours are. There may be none.
        """
        descriptor = self._reference.descriptors(place, place + 1)[0]
        near = np.sort(self._reference.search(descriptor, _NEIGHBOURS).indices[0])
        near = near[near < self.places]
        distances = np.full(self.places, np.inf, np.float32)
        distances[near] = self.distances(place, near)
        strangers = distances >= self._far
        start, end = span_of(place, self._reference.borders, self.places)
        strangers[:start] = strangers[end:] = True
        distances[:start] = distances[end:] = np.inf
        strangers[max(start, place - _ALWAYS_NEAR) : min(end, place + _ALWAYS_NEAR + 1)] = False
        before, after = np.flatnonzero(strangers[:place]), np.flatnonzero(strangers[place:])
        first = before[-1] + 1 if len(before) else 0
        last = place + after[0] if len(after) else self.places
        distances[first:last] = np.inf
        found = np.flatnonzero(np.isfinite(distances)).astype(np.int64)
        return found, distances[found]

    @cached_property
    def _pair_distances(self) -> NDArray[np.float32]:
        """Distances between all pairs of the sample, (pairs,) float32."""
        rows = [self._row(index) for index in range(len(self.sample))]
        return np.concatenate([np.empty(0, np.float32), *rows])

    def _row(self, index: int) -> NDArray[np.float32]:
        """Distances of a place of the sample to those before it, (index,) float32."""
        if index not in self._rows:
            place = int(self.sample[index])
            self._rows[index] = self.distances(place, self.sample[:index])
        return self._rows[index]
