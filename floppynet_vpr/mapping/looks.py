# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Looks of one place, how places follow each other, and when each last served."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.places import Place

NEAR = 4
"""Places on either side along the drive that serve with one that was recognised."""


class Looks:
    """Which places of a map are other looks of one, and which do not follow the one before."""

    def __init__(self) -> None:
        """Start without places."""
        self.breaks: list[int] = []
        """Indices of the places that are no neighbours of the one before, ascending."""
        self._looks = array("q")
        self._firsts = array("q")
        self._first_of: dict[int, int] = {}

    def add(self, place: Place, before: Place | None, index_of: Mapping[int, int]) -> None:
        """Take the next place; `index_of` finds those before it by their ids, and itself."""
        index = index_of[place.id]
        if before is not None and not place.follows(before):
            self.breaks.append(index)
        if place.look_of is not None:
            # Where the first look is gone, the next one stands for it.
            first = index_of.get(place.look_of)
            first = self._first_of.setdefault(place.look_of, index if first is None else first)
            if first != index:
                self._looks.append(index)
                self._firsts.append(first)

    def pairs(self, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The other looks before `end`, ascending, and the first look of each, (n,) int64 both."""
        # Copies: arrays that lend their memory cannot grow.
        looks = np.array(self._looks, np.int64)
        count = int(np.searchsorted(looks, end))
        return looks[:count], np.array(self._firsts, np.int64)[:count]

    def of(self, index: int, end: int) -> NDArray[np.int64]:
        """All looks before `end` of the place that `index` is a look of, ascending, (n,) int64."""
        looks, firsts = self.pairs(end)
        own = firsts[looks == index]
        first = int(own[0]) if len(own) else index
        return np.concatenate([[first], looks[firsts == first]]).astype(np.int64)


class Services:
    """When each place last served, by a clock of its own: being added counts, as recognition does.

    So the place that serves least is the one that was neither added nor recognised for longest.
    """

    def __init__(self) -> None:
        """Start without places."""
        self._last = array("Q")
        self.clock = 0
        """How often a place was added or recognised."""
        self.noted = False
        """Whether any place was recognised; else the order of the places says all."""

    @classmethod
    def of_rows(cls, places: int, rows: NDArray[np.uint64] | None) -> Services:
        """Take over what `rows` gave, None where the order of the places says all."""
        services = cls()
        services.noted = rows is not None
        services._last = array("Q", range(1, places + 1) if rows is None else rows.tolist())
        services.clock = max(services._last, default=0)
        return services

    def add(self, served: int | None = None) -> None:
        """Take the next place, which serves now unless told when."""
        self.clock = self.clock + 1 if served is None else max(self.clock, served)
        self._last.append(self.clock if served is None else served)

    def note(self, indices: Iterable[int]) -> None:
        """Let these places serve now, the first of them last, if that makes a difference."""
        self.noted = True
        self.clock += 1
        for index in indices:
            self._last[index] = self.clock

    def adopt(self, other: Services, indices: NDArray[np.int64]) -> None:
        """Take over places of another map."""
        self.noted |= other.noted
        for index in indices.tolist():
            self.add(other._last[index])

    def rows(self) -> NDArray[np.uint64]:
        """When each place last served, (places,) uint64."""
        return np.array(self._last, np.uint64)

    def least(self, count: int, looks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The `count` places that serve least, ascending; of equals `looks`, then old ones."""
        first = np.ones(len(self._last), bool)
        first[looks] = False
        order = np.lexsort((np.arange(len(first)), first, self.rows()))
        return np.sort(order[:count])
