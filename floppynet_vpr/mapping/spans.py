# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of a map between borders: its sessions, or the ways that a camera drove without a gap."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise


def spans(borders: Sequence[int], count: int) -> list[tuple[int, int]]:
    """First place and the one after the last of each part among the first `count` places."""
    edges = [0, *(border for border in borders if 0 < border < count), count]
    return list(pairwise(edges))


def span_of(place: int, borders: Sequence[int], count: int) -> tuple[int, int]:
    """First place and the one after the last of the part of `place`; see `spans`."""
    at = bisect_right(borders, place)
    first = borders[at - 1] if at else 0
    return first, min(count, borders[at]) if at < len(borders) else count
