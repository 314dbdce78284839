# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Compares an image with the places of a map with shifts, less the means of both drives.

A camera in another lane, or tilted, shows the same things a cell or two away; other light or
another season changes all images of a drive alike. Of a global descriptor, which has no cells, only
the means are subtracted. See `mapping.centred` for the distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection.background import LEAST_PLACES, Background, Needs, robust_spread
from floppynet_vpr.detection.comparer import Compared
from floppynet_vpr.detection.following import MapFollower
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.cells import turn
from floppynet_vpr.mapping.centred import Comparison
from floppynet_vpr.mapping.centred_map import CentredMap, CentredQuery
from floppynet_vpr.mapping.descriptor_index import COMPARED
from floppynet_vpr.mapping.grid import POOL5
from floppynet_vpr.mapping.shifts import tolerant

_MAP_MEAN_WEIGHT = 10
_MOST_WEIGHT = 1000
_USUAL_PLACES = 32
_LEAST_DEVIATION = 0.02


class TolerantComparer:
    """Compares images less the running mean of their drive; a `Comparer`.

    The running mean starts as that of the map, with the weight of 10 images; from 1,000 images on,
    old ones fade.
    """

    def __init__(self, reference: ReferenceMap) -> None:
        """Compare with `reference`."""
        self._reference = reference
        self._follower = MapFollower(reference)
        self._shifts = tolerant(reference.grid)
        self._centred = CentredMap(reference, self._shifts)
        self._mean = self._centred.mean
        self._weight = _MAP_MEAN_WEIGHT
        self._image = _Image(np.empty(0, np.float32), np.empty(0, np.float32))

    @property
    def background(self) -> Background:
        """What is usual in the map."""
        return self._follower.background

    def reduced(self, reference: ReferenceMap) -> TolerantComparer:
        """See `Comparer`."""
        reduced = TolerantComparer(reference)
        reduced._mean, reduced._weight = self._mean, self._weight
        return reduced

    def seen(self, descriptor: NDArray[np.float32], needs: Needs) -> None:
        """Take a new image into the running mean; see `Comparer`."""
        self._follower.follow(needs)
        self._renew()
        if self._centred.knows_means:
            self._weight = min(self._weight + 1, _MOST_WEIGHT)
            turned = self._looked_at(descriptor).turned
            self._mean = self._mean + (turned - self._mean) / np.float32(self._weight)
            self._image.query = self._image.found = None

    def _renew(self) -> None:
        """Take new means of the map's sessions where it has grown by a quarter."""
        count, former = len(self._reference), self._centred
        enough = count >= LEAST_PLACES and not former.knows_means
        if enough or count > max(1.25 * former.places, former.places + LEAST_PLACES):
            self._centred = CentredMap(self._reference, self._shifts)
            self._image.query = self._image.found = None
            if not former.knows_means:
                self._mean = self._centred.mean

    def nearest(
        self, descriptor: NDArray[np.float32], count: int, eligible: int
    ) -> NDArray[np.int64]:
        """See `Comparer`."""
        indices, found = self._search(descriptor, count, eligible)
        return indices[np.lexsort((indices, found.squares))[:count]]

    def standing(self, descriptor: NDArray[np.float32], eligible: int) -> NDArray[np.float32]:
        """See `Comparer`."""
        standing = np.zeros(eligible, np.float32)
        if eligible < LEAST_PLACES:
            return standing
        indices, found = self._search(descriptor, COMPARED, eligible)
        distances = np.sqrt(found.squares)
        usual = distances
        if len(indices) < eligible:
            sample = self.background.sample[::2]
            sample = sample[sample < eligible]
            usual = np.sqrt(self._centred.compare(self._query(descriptor), sample).squares)
        median, deviation = robust_spread(usual)
        if deviation > 0:
            standing[indices] = (median - distances) / deviation
        return standing

    def agreeing(self, descriptor: NDArray[np.float32], place: int, eligible: int) -> int | None:
        """How many cells agree under the shift at which most do; see `Comparer`.

        Two cells that meet agree when they are more alike than is usual by a standard deviation.
        What is usual for each pair of cells, and the deviation from it, is known from 32 places
        spread over the map. In a map of fewer than 20 places nothing is usual, and how many cells
        of another grid than pool5's would have to agree is not known.
        """
        sample = self.background.sample
        sample = sample[:: -(-len(sample) // _USUAL_PLACES) or 1]
        sample = sample[sample < eligible]
        if self._reference.grid != POOL5 or eligible < LEAST_PLACES or not len(sample):
            return None
        query = self._query(descriptor)
        usual = self._centred.cell_cosines(query, sample)
        found = self._centred.cell_cosines(query, np.array([place]))[0]
        deviations = np.maximum(usual.std(axis=0), np.float32(_LEAST_DEVIATION))
        agree = found - usual.mean(axis=0) > deviations
        return int(np.add.reduceat(agree.astype(np.int64), self._shifts.first[:-1]).max())

    def compare(self, descriptor: NDArray[np.float32], indices: NDArray[np.int64]) -> Compared:
        """See `Comparer`."""
        order = np.argsort(indices)
        found = self._centred.compare(self._query(descriptor), indices[order])
        distances = np.empty(len(indices), np.float32)
        distances[order] = np.sqrt(found.squares)
        shifts = np.empty((len(indices), 2), np.int64)
        shifts[order] = self._shifts.steps[found.shifts]
        return Compared(distances, shifts)

    def _search(
        self, descriptor: NDArray[np.float32], count: int, eligible: int
    ) -> tuple[NDArray[np.int64], Comparison]:
        """Find the nearest of the eligible places, once for all that is asked of an image."""
        image = self._looked_at(descriptor)
        count = max(count, COMPARED)
        asked = count, eligible, len(self._reference)
        if image.found is None or image.found[0] != asked:
            image.found = asked, *self._centred.nearest(self._query(descriptor), count, eligible)
        return image.found[1:]

    def _query(self, descriptor: NDArray[np.float32]) -> CentredQuery:
        """Prepare an image, once for all that is asked of it."""
        image = self._looked_at(descriptor)
        if image.query is None:
            image.query = self._centred.query(image.turned - self._mean)
        return image.query

    def _looked_at(self, descriptor: NDArray[np.float32]) -> _Image:
        """What is known of the image with this descriptor."""
        if self._image.descriptor is not descriptor:
            self._image = _Image(descriptor, turn(descriptor, self._reference.grid)[0])
        return self._image


@dataclass
class _Image:
    """What was computed of the last image; `found` begins with what it was found for."""

    descriptor: NDArray[np.float32]
    turned: NDArray[np.float32]
    query: CentredQuery | None = None
    found: tuple[tuple[int, int, int], NDArray[np.int64], Comparison] | None = None
