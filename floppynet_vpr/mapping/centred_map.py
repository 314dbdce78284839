# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A map whose places are seen less the mean of their session, as it was at one moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.cells import Codes, Rounded, round_cells
from floppynet_vpr.mapping.centred import Comparison, Means, cell_cosines, compare
from floppynet_vpr.mapping.descriptor_index import COMPARED
from floppynet_vpr.mapping.reference_map import ReferenceMap
from floppynet_vpr.mapping.shifts import Shifts
from floppynet_vpr.mapping.spans import spans

_QUERY_BITS = 4
_PRIOR_PLACES = 10
_LEAST_PLACES = 20


@dataclass(frozen=True)
class CentredQuery:
    """An image less the mean of its drive: rounded, its signs, and products.

    `signs` is (cells, cell_bytes) uint8.
    `mean_products` (sessions + 1, shifts) float32 are those with the means of the map's sessions.
    """

    rounded: Rounded
    signs: NDArray[np.uint8]
    mean_products: NDArray[np.float32]


class CentredMap:
    """Finds and compares places less the mean of their session, with shifts.

    The means are those of the moment in which it was made. That of a session of few places is
    drawn to the mean of the whole map, with the weight of 10 places; a session that began later
    has the mean of the whole map. Of fewer than 20 places no mean is known, and none subtracted.
    """

    def __init__(self, reference: ReferenceMap, shifts: Shifts) -> None:
        """Look at `reference`, which may grow."""
        self._reference = reference
        self._shifts = shifts
        self.places = len(reference)
        """Places that the map had at that moment."""
        counts = [last - first for first, last in spans(reference.borders, self.places)]
        means, weights = reference.means(), np.array(counts, np.float32)[: len(reference.sessions)]
        self.knows_means = self.places >= _LEAST_PLACES
        """Whether there are places enough for means."""
        if not self.knows_means:
            means = np.zeros_like(means)
        grid = reference.grid
        whole = np.zeros((grid.cells, grid.bits), np.float32)
        for mean, weight in zip(means, weights.tolist(), strict=True):
            whole += mean * np.float32(weight / max(1, self.places))
        self.mean = whole
        """The mean turned feature map of the whole map, (cells, bits) float32."""
        drawn = [
            mean + (whole - mean) * np.float32(_PRIOR_PLACES / (_PRIOR_PLACES + weight))
            for mean, weight in zip(means, weights.tolist(), strict=True)
        ]
        self._known = len(drawn)
        self._means = Means(np.stack([*drawn, whole]), grid)
        self._remainders = np.empty((0, grid.cells), np.float32)
        self._measured = np.empty(0, np.bool_)

    def query(self, turned: NDArray[np.float32]) -> CentredQuery:
        """Prepare an image's turned feature map, (cells, bits) float32, less its drive's mean."""
        rounded = round_cells(turned, _QUERY_BITS)
        signs = np.packbits(turned >= 0, axis=-1)
        return CentredQuery(rounded, signs, self._means.products(rounded, self._shifts))

    def nearest(
        self, query: CentredQuery, count: int, end: int
    ) -> tuple[NDArray[np.int64], Comparison]:
        """Find at least `count` places before `end`, by comparing 256 or more.

        Returns the indices of all that were compared, ascending, and the comparison.
        """
        indices = self._reference.candidates(query.signs, max(count, COMPARED), self._shifts, end)
        return indices, self.compare(query, indices)

    def compare(self, query: CentredQuery, indices: NDArray[np.int64]) -> Comparison:
        """Compare a query with the places `indices`, ascending."""
        codes, remainders, sessions = self._known_of(indices)
        products = query.mean_products[sessions]
        return compare(query.rounded, codes, remainders, products, self._shifts)

    def cell_cosines(self, query: CentredQuery, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compare a query's cells with those of the places `indices`, ascending: (n, pairs)."""
        codes, remainders, sessions = self._known_of(indices)
        products = self._means.pair_products(query.rounded, self._shifts)[sessions]
        return cell_cosines(query.rounded, codes, remainders, products, self._shifts)

    def _known_of(
        self, indices: NDArray[np.int64]
    ) -> tuple[Codes, NDArray[np.float32], NDArray[np.int64]]:
        """The codes and remainders of places, and which mean is subtracted from each."""
        sessions = np.searchsorted(self._reference.borders, indices, side="right")
        sessions = np.minimum(sessions, self._known).astype(np.int64)
        codes = self._reference.codes(indices)
        self._measure(indices, codes, sessions)
        return codes, self._remainders[indices], sessions

    def _measure(
        self, indices: NDArray[np.int64], codes: Codes, sessions: NDArray[np.int64]
    ) -> None:
        """Compute the remainders of those places that were not compared before."""
        known, count = len(self._measured), len(self._reference)
        if known < count:  # Half as much again; room that is never filled costs no memory.
            self._measured = np.concatenate(
                [self._measured, np.zeros(count + count // 2 - known, np.bool_)]
            )
            former = self._remainders
            self._remainders = np.empty((len(self._measured), former.shape[1]), np.float32)
            self._remainders[:known] = former
        new = np.flatnonzero(~self._measured[indices])
        for session in np.unique(sessions[new]).tolist():
            rows = new[sessions[new] == session]
            part = Codes(codes.signs[rows], codes.norms[rows], codes.factors[rows])
            self._remainders[indices[rows]] = self._means.remainders(part, session)
        self._measured[indices[new]] = True
