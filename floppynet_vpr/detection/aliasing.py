# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Finds places of a map that look alike though they are not the same: where matches go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import dist

import numpy as np

from floppynet_vpr.detection.background import Background
from floppynet_vpr.mapping import Pose, ReferenceMap

SEARCHED = 1000
"""Places, evenly spread over the map, that are compared with all others."""

SAME_METRES = 10.0
"""Places whose poses are no farther apart are the same place seen twice."""

_SAME_PLACES = 5


@dataclass(frozen=True)
class AliasedPair:
    """Two places that look alike: `first` < `second`, their distance (eq. 6, 0 to 2).

    `metres` is how far apart they are, None where their poses are not known.
    """

    first: int
    second: int
    distance: float
    metres: float | None


@dataclass(frozen=True)
class Aliasing:
    """What was found: of `searched` places `aliased` look like one elsewhere.

    That is, they are nearer to it than `limit` (eq. 6), the threshold that the map sets itself for
    matches. `pairs` are these, most alike first; of pairs within 5 places of each other the most
    alike stands for all.
    """

    searched: int
    aliased: int
    limit: float
    pairs: tuple[AliasedPair, ...]


def find_aliasing(
    reference: ReferenceMap,
    most: int = SEARCHED,
    progress: Callable[[Iterable[int]], Iterable[int]] = lambda places: places,
) -> Aliasing:
    """Compare up to `most` places with all others of their session that are no neighbours.

    Neighbours are those that `Background.threshold` takes for such. `progress` may show how far
    the search of the places has come. Maps of fewer than 20 places are too small to tell.
    """
    background = Background(reference)
    limit = background.threshold or 0.0
    count = min(most, len(reference)) if limit else 0
    places = np.unique(np.linspace(0, len(reference) - 1, count).astype(np.int64)).tolist()
    found: dict[tuple[int, int], AliasedPair] = {}
    aliased = 0
    for place in progress(places):
        ids, distances = background.strangers(place)
        alike = [
            _pair(reference, place, other, distance)
            for other, distance in zip(ids.tolist(), distances.tolist(), strict=True)
            if distance < limit
        ]
        apart = [pair for pair in alike if pair.metres is None or pair.metres > SAME_METRES]
        aliased += bool(apart)
        found.update({(pair.first, pair.second): pair for pair in apart})
    pairs = sorted(found.values(), key=lambda pair: (pair.distance, pair.first, pair.second))
    return Aliasing(len(places), aliased, limit, _distinct(pairs))


def _pair(reference: ReferenceMap, place: int, other: int, distance: float) -> AliasedPair:
    first, second = sorted((place, other))
    poses = reference.places[first].pose, reference.places[second].pose
    return AliasedPair(first, second, distance, _metres(*poses))


def _metres(one: Pose | None, other: Pose | None) -> float | None:
    if one is None or other is None:
        return None
    return dist((one.x, one.y, one.z), (other.x, other.y, other.z))


def _distinct(pairs: Iterable[AliasedPair]) -> tuple[AliasedPair, ...]:
    """Leave out pairs both of whose places are near those of a pair before."""
    kept: dict[tuple[int, int], list[AliasedPair]] = {}
    chosen = []
    for pair in pairs:
        cell = pair.first // _SAME_PLACES, pair.second // _SAME_PLACES
        around = [
            known
            for row in (-1, 0, 1)
            for column in (-1, 0, 1)
            for known in kept.get((cell[0] + row, cell[1] + column), ())
        ]
        if all(
            abs(known.first - pair.first) > _SAME_PLACES
            or abs(known.second - pair.second) > _SAME_PLACES
            for known in around
        ):
            kept.setdefault(cell, []).append(pair)
            chosen.append(pair)
    return tuple(chosen)
