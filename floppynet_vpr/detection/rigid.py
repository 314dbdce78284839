# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Compares an image with the places of a map as the FloppyNet paper does (eq. 5 and 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import products
from floppynet_vpr.detection.background import LEAST_PLACES, Background, Needs, robust_spread
from floppynet_vpr.detection.comparer import Compared
from floppynet_vpr.detection.following import MapFollower
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.descriptor_index import COMPARED

_MAP_MEAN_WEIGHT = 10
_MOST_WEIGHT = 1000


class RigidComparer:
    """Compares images cell upon cell, as they are or less the mean of their drive; a `Comparer`.

    Season and light change all images of a drive alike. With `subtract_mean` the mean descriptor
    of the places is subtracted from them and the running mean of the queries from these, before
    both are normalised and their distance is taken. The running mean starts as that of the places,
    with the weight of 10 images; from 1,000 images on, old ones fade.
    """

    def __init__(self, reference: ReferenceMap, subtract_mean: bool) -> None:
        """Compare with `reference`."""
        self._reference = reference
        self._follower = MapFollower(reference)
        self._subtract_mean = subtract_mean
        self._mean = np.empty(0, np.float32)
        self._weight = _MAP_MEAN_WEIGHT

    @property
    def background(self) -> Background:
        """What is usual in the map."""
        return self._follower.background

    def reduced(self, reference: ReferenceMap) -> RigidComparer:
        """See `Comparer`."""
        reduced = RigidComparer(reference, self._subtract_mean)
        reduced._mean, reduced._weight = self._mean, self._weight
        return reduced

    def seen(self, descriptor: NDArray[np.float32], needs: Needs) -> None:
        """Take a new image into the running mean; see `Comparer`."""
        self._follower.follow(needs)
        if self._subtract_mean and len(self._reference):
            if not len(self._mean):
                self._mean = self.background.mean.copy()
            self._weight = min(self._weight + 1, _MOST_WEIGHT)
            self._mean += (descriptor - self._mean) / np.float32(self._weight)

    def nearest(
        self, descriptor: NDArray[np.float32], count: int, eligible: int
    ) -> NDArray[np.int64]:
        """See `Comparer`."""
        return self._search(self._query(descriptor), count, eligible)[0][:count]

    def standing(self, descriptor: NDArray[np.float32], eligible: int) -> NDArray[np.float32]:
        """See `Comparer`."""
        standing = np.zeros(eligible, np.float32)
        if eligible < LEAST_PLACES:
            return standing
        query = self._query(descriptor)
        ids, fits = self._search(query, COMPARED, eligible)
        usual = fits
        if len(ids) < eligible:
            sample = self.background.sample[::2]
            sample = sample[sample < eligible]
            usual = self._fits(query, sample, self._reference.distances(query, sample))
        median, deviation = robust_spread(usual)
        if deviation > 0:
            standing[ids] = (median - fits) / deviation
        return standing

    def agreeing(self, descriptor: NDArray[np.float32], place: int, eligible: int) -> None:
        """Nothing is known of cells; see `Comparer`."""

    def compare(self, descriptor: NDArray[np.float32], indices: NDArray[np.int64]) -> Compared:
        """Eq. 5 and 6, whatever is subtracted elsewhere; see `Comparer`."""
        order = np.argsort(indices)
        distances = np.empty(len(indices), np.float32)
        # Of a lossy storage they are estimates, which may be a little beyond what is possible.
        distances[order] = np.minimum(self._reference.distances(descriptor, indices[order]), 2)
        return Compared(distances, np.zeros((len(indices), 2), np.int64))

    def _query(self, descriptor: NDArray[np.float32]) -> NDArray[np.float32]:
        return descriptor - self._mean if len(self._mean) else descriptor

    def _search(
        self, query: NDArray[np.float32], count: int, eligible: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find eligible places and their distances, nearest first."""
        excluded = len(self._reference) - eligible
        # Less the mean, the order is another: the nearest must be looked for among more.
        count = max(count, COMPARED) if len(self._mean) else count
        found = self._reference.search(query, count + excluded)
        ids, fits = found.indices[0], self._fits(query, found.indices[0], found.distances[0])
        chosen = np.flatnonzero(ids < eligible)
        chosen = chosen[np.lexsort((ids[chosen], fits[chosen]))]
        return ids[chosen], fits[chosen]

    def _fits(
        self,
        query: NDArray[np.float32],
        ids: NDArray[np.int64],
        distances: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        if not len(self._mean):
            return distances
        return _centred(query, ids, distances, self.background)


def _centred(
    query: NDArray[np.float32],
    ids: NDArray[np.int64],
    distances: NDArray[np.float32],
    background: Background,
) -> NDArray[np.float32]:
    """Turn `distances` of `query` to the places `ids` into those less the places' mean.

    For a query q and places p of mean m, with q.p = (q.q + 1 - d^2) / 2 known from a search,
    cos(q, p - m) = (q.p - q.m) / (|q| |p - m|).
    """
    square = float(products(query, query))
    likeness = (square + 1 - distances**2) / 2 - products(query, background.mean)
    cosines = likeness / (np.float32(max(square, 1e-12) ** 0.5) * background.sizes(ids))
    return np.sqrt(np.maximum(2 - 2 * cosines, 0)).astype(np.float32)
