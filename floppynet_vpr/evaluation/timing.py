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
    """What one contender took: median, 10th and 90th percentile, in milliseconds.

    `cpu_ms` is the median time that CPUs spent on it, all threads together. Other processes
    that want the same CPUs stretch the first three but not this one.
    """

    name: str
    threads: int
    runs: int
    median_ms: float
    p10_ms: float
    p90_ms: float
    cpu_ms: float


def measure(
    contenders: Sequence[Contender], runs: int, progress: Callable[[], object] = lambda: None
) -> list[Timing]:
    """Time each contender's call at least `runs` times, in turns of a few calls.

    `progress` is called after each turn. Threads are set for the whole process (`set_threads`)
    and left at one.
    """
    turns = turns_for(runs)
    times, cpu = np.empty((2, len(contenders), turns * _TURN))
    for turn in range(turns):
        for index, contender in enumerate(contenders):
            set_threads(contender.threads)
            contender.call()
            for call in range(_TURN):
                start, cpu_start = time.perf_counter(), time.process_time()
                contender.call()
                column = turn * _TURN + call
                times[index, column] = time.perf_counter() - start
                cpu[index, column] = time.process_time() - cpu_start
            progress()
    set_threads(1)
    results = []
    for contender, row, cpu_row in zip(contenders, 1000 * times, 1000 * cpu, strict=True):
        median, p10, p90 = (float(value) for value in np.percentile(row, (50, 10, 90)))
        cpu_ms = float(np.median(cpu_row))
        results.append(
            Timing(contender.name, contender.threads, len(row), median, p10, p90, cpu_ms)
        )
    return results


def turns_for(runs: int) -> int:
    """How many turns `runs` calls take."""
    return -(-runs // _TURN)
