# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What is usual in a map: how alike its places are, from which a threshold sets itself."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping import ReferenceMap

SAMPLE = 128
"""Places, evenly spread over the map, that stand for all when numbers are estimated."""

_MAD_TO_DEVIATION = 1.4826
_SEARCHES = 64
_NEIGHBOURS = 512
_ALWAYS_NEAR = 5
_FAR_DEVIATIONS = 2.0
_MARGIN_DEVIATIONS = 2.5
_LEAST_PLACES = 20


def robust_spread(values: NDArray[np.float32]) -> tuple[float, float]:
    """Median, and the standard deviation estimated from the median absolute deviation."""
    middle = np.median(values)
    return float(middle), float(_MAD_TO_DEVIATION * np.median(np.abs(values - middle)))


class Background:
    """Numbers about a map as it is now; each is computed when first asked for."""

    def __init__(self, reference: ReferenceMap) -> None:
        """Look at `reference`, with the places that it has at this moment."""
        self._reference = reference
        self.places = len(reference)
        count = min(self.places, SAMPLE)
        self.sample = np.unique(np.linspace(0, max(self.places - 1, 0), count).astype(np.int64))
        """Ids of the places that stand for all, ascending, (n,) int64."""

    @property
    def fits(self) -> bool:
        """Whether the map has hardly grown since."""
        return len(self._reference) <= max(1.25 * self.places, self.places + _LEAST_PLACES)

    @cached_property
    def step(self) -> float:
        """Median distance (eq. 6) from one place to the next; 0 with fewer than two places."""
        sample = self.sample[self.sample < self.places - 1]
        return float(np.median([self.step_after(place) for place in sample.tolist()] or [0.0]))

    def step_after(self, place: int) -> float:
        """Distance (eq. 6) from a place to the next one; of the last place from the one before."""
        first = min(place, self.places - 2)
        if first < 0:
            return 0.0
        pair = self._reference.descriptors(first, first + 2)
        return float(np.linalg.norm(pair[0] - pair[1]))

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        """The mean descriptor, (9216,) float32."""
        return self._sampled.mean(0)

    @cached_property
    def usual(self) -> float:
        """Median distance (eq. 6) between places; 0 with fewer than two of them."""
        return robust_spread(self._pair_distances)[0] if len(self.sample) > 1 else 0.0

    @cached_property
    def threshold(self) -> float:
        """The distance (eq. 6) up to which the map's own places would rightly match.

        Of each place in a sample, take the distance to the nearest place that is no neighbour: so
        near come places that only look alike. The threshold is 2.5 standard deviations below the
        median of these, both estimated robustly. Neighbours are the 5 places on either side, and
        those beyond to which every place on the way is nearer than is usual: 2 standard deviations
        below the median distance between places. Needs 20 places; below that it is 0: no match.
        """
        if self.places < _LEAST_PLACES:
            return 0.0
        far = self.usual - _FAR_DEVIATIONS * robust_spread(self._pair_distances)[1]
        ids = self.sample[:: -(-len(self.sample) // _SEARCHES)]
        descriptors = self._sampled[:: -(-len(self.sample) // _SEARCHES)]
        nearest = [
            self._nearest_stranger(int(place), descriptor, far)
            for place, descriptor in zip(ids, descriptors, strict=True)
        ]
        middle, deviation = robust_spread(np.array(nearest, np.float32))
        return max(0.0, middle - _MARGIN_DEVIATIONS * deviation)

    def _nearest_stranger(self, place: int, descriptor: NDArray[np.float32], far: float) -> float:
        found = self._reference.search(descriptor, _NEIGHBOURS)
        distances = np.full(self.places, np.inf, np.float32)
        known = found.ids[0] < self.places
        distances[found.ids[0][known]] = found.distances[0][known]
        strangers = distances >= far
        strangers[max(0, place - _ALWAYS_NEAR) : place + _ALWAYS_NEAR + 1] = False
        before, after = np.flatnonzero(strangers[:place]), np.flatnonzero(strangers[place:])
        first = before[-1] + 1 if len(before) else 0
        last = place + after[0] if len(after) else self.places
        distances[first:last] = np.inf
        nearest = float(distances.min())
        return nearest if np.isfinite(nearest) else far

    @cached_property
    def _sampled(self) -> NDArray[np.float32]:
        rows = [self._reference.descriptors(place, place + 1) for place in self.sample.tolist()]
        return np.concatenate(rows)

    @cached_property
    def _pair_distances(self) -> NDArray[np.float32]:
        """Distances between all pairs of the sample."""
        products = self._sampled @ self._sampled.T
        upper = products[np.triu_indices(len(products), 1)]
        return np.sqrt(np.maximum(2 - 2 * upper, 0))
