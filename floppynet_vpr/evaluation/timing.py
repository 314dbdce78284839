# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Measures calls side by side: interleaved, warmed up, on a stated number of threads.

A machine's speed drifts with its temperature and its other work. Calls that take turns see the
same drift, so their ratios hold where their times do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from floppynet_vpr.extraction.threads import set_threads

_TURN = 5  # calls in a row; the one before them fills the caches and is not counted


@dataclass(frozen=True)
class Contender:
    """Something to measure: a call, and the threads that libraries may use meanwhile."""

    name: str
    threads: int
    call: Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """What one contender took: median, 10th and 90th percentile, in milliseconds."""

    name: str
    threads: int
    runs: int
    median_ms: float
    p10_ms: float
    p90_ms: float


def measure(
    contenders: Sequence[Contender], runs: int, progress: Callable[[], object] = lambda: None
) -> list[Timing]:
    """Time each contender's call at least `runs` times, in turns of a few calls.

    `progress` is called after each turn. Threads are set for the whole process (`set_threads`)
    and left at one.
    """
    turns = turns_for(runs)
    times = np.empty((len(contenders), turns * _TURN))
    for turn in range(turns):
        for index, contender in enumerate(contenders):
            set_threads(contender.threads)
            contender.call()
            for call in range(_TURN):
                start = time.perf_counter()
                contender.call()
                times[index, turn * _TURN + call] = time.perf_counter() - start
            progress()
    set_threads(1)
    return [
        Timing(
            contender.name,
            contender.threads,
            turns * _TURN,
            *(float(value) for value in np.percentile(1000 * row, (50, 10, 90))),
        )
        for contender, row in zip(contenders, times, strict=True)
    ]


def turns_for(runs: int) -> int:
    """How many turns `runs` calls take."""
    return -(-runs // _TURN)
