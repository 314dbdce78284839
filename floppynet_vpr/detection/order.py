# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Tells a map that follows a drive from a heap of photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from floppynet_vpr.detection.background import Background
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.spans import spans

_LEAST_PLACES = 20
_SAMPLE = 64
_SHARE = 0.42


def is_in_order(reference: ReferenceMap, known: int | None = None) -> bool | None:
    """Whether the places of each session follow each other as a camera saw them that moved.

    Then a place is more like the next one than like those a quarter, a half and three quarters of
    the session away: of 64 places, spread evenly, one in four by chance, and 42 % or more where
    there is an order. Places that the next one of the map does not follow are not asked.
    Sessions of fewer than 20 places do not count. Of the places the first
    `known`, all if not given, were there before this drive; those after them were added by driving,
    in order, and count when they are 20. Where nothing counts, an empty map is in order, for it has
    yet to be made by driving; of another that is not known yet, which is None.
    """
    known = len(reference) if known is None else known
    background = Background(reference)
    judged = [
        _follows(background, reference.breaks, first, min(last, known))
        for first, last in spans(reference.borders, len(reference))
        if min(last, known) - first >= _LEAST_PLACES
    ]
    if judged:
        return all(judged)
    return True if not known or len(reference) - known >= _LEAST_PLACES else None


def _follows(background: Background, breaks: Sequence[int], first: int, last: int) -> bool:
    count = last - first
    sample = np.unique(np.linspace(0, count - 2, min(count - 1, _SAMPLE)).astype(np.int64))
    sample = sample[~np.isin(first + sample + 1, breaks)]
    nearer = 0
    for place in sample.tolist():
        far = [first + (place + part * count // 4) % count for part in (1, 2, 3)]
        others = np.unique([first + place + 1, *far])
        distances = dict(
            zip(others.tolist(), background.distances(first + place, others).tolist(), strict=True)
        )
        nearer += all(distances[first + place + 1] < distances[other] for other in far)
    return bool(len(sample)) and nearer >= _SHARE * len(sample)
