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


def is_in_order(reference: ReferenceMap) -> bool:
    """Whether the places of each session follow each other as a camera saw them that moved.

    Then a place is more like the next one than like those a quarter, a half and three quarters of
    the session away: of 64 places, spread evenly, one in four by chance, and 42 % or more where
    there is an order. Places that the next one of the map does not follow are not asked. Sessions
    of fewer than 20 places do not count. A map without any that does has yet to be made, by
    driving, if it is empty; else it is not in order.
    """
    background = Background(reference)
    judged = [
        _follows(background, reference.breaks, first, last)
        for first, last in spans(reference.borders, len(reference))
        if last - first >= _LEAST_PLACES
    ]
    return all(judged) if judged else not len(reference)


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
