# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a map's storage costs: right matches on real traverses, time and memory as maps grow.

No dataset at hand has a million places, so large maps are made of synthetic ones. A place is the
direction of `(1 - u) a + u b + 0.5 g`: `a` and `b` are real descriptors drawn at random, `u` is
uniform in 0 to 0.5, `g` is a random direction (Gaussian values). Places made of the same `a` lie
about as far apart as neighbouring frames of a walk. A query is a place seen again: the direction
of `place + 0.5 c + 0.85 h`, where `c` is the direction between two real descriptors drawn at
random (light and season move descriptors so) and `h` random again. That puts it at a median
distance of about 0.75 from its place, like right matches on GardensPoint and Nordland (0.7 to
0.85).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.evaluation.answers import from_search
from floppynet_vpr.evaluation.judgement import Judgement, judge
from floppynet_vpr.extraction.threads import set_threads
from floppynet_vpr.mapping import ReferenceMap

Descriptors = NDArray[np.float32]

_BLOCK = 128
_WARM_UP = 10
_FOUND = 5  # neighbours asked for, as the node does


@dataclass(frozen=True)
class Growth:
    """One thread's search for the 5 nearest among `places` synthetic places.

    Times in milliseconds, `cpu_p99_ms` without what other processes took; `recall` is the share
    of queries whose nearest place is that of exact search; `rss_mib` is the memory that the map
    added to the process. Those of the detector are for all that the node does with a descriptor:
    tolerant matching, the filter along the drive, and verification of cells.
    """

    places: int
    median_ms: float
    p99_ms: float
    cpu_p99_ms: float
    recall: float
    rss_mib: float
    detector_median_ms: float
    detector_p99_ms: float


@dataclass(frozen=True)
class Revisits:
    """Queries for a map of the first `places` synthetic places, and the nearest by exact search."""

    places: int
    queries: Descriptors
    nearest: NDArray[np.int64]


def accuracy(
    storage: str, queries: Descriptors, references: Descriptors, truth: NDArray[np.bool_]
) -> Judgement:
    """Judge the search for all queries in a map of the references, kept as `storage`."""
    reference = ReferenceMap("", "", storage)
    reference.extend(references, [""] * len(references))
    found = reference.search(queries, 1)
    return judge(from_search(found.indices, found.distances.astype(np.float64)), truth)


class SyntheticPlaces:
    """Any number of places made of a few real ones; see the module."""

    def __init__(self, real: Descriptors) -> None:
        """Take real descriptors, (n, 9216) float32 of norm 1, at least 2 different ones."""
        # Two of the same, from a frame in two sets, have no direction between them.
        self._real = np.unique(real, axis=0)

    def blocks(self, count: int) -> Iterator[Descriptors]:
        """Make the first `count` places, (128 or less, 9216) float32 at a time."""
        for start in range(0, count, _BLOCK):
            yield self._block(start // _BLOCK)[: count - start]

    def revisits(self, places: int, count: int) -> Descriptors:
        """Make `count` queries of places drawn from the first `places`, (count, 9216) float32."""
        random = np.random.default_rng([0, places, 1])
        queries = []
        for place in random.integers(0, places, count).tolist():
            seen = self._block(place // _BLOCK)[place % _BLOCK]
            one, other = self._real[random.choice(len(self._real), 2, replace=False)]
            noise = random.standard_normal(len(seen), np.float32)
            queries.append(seen + 0.5 * _unit(one - other) + 0.85 * _unit(noise))
        return _unit(np.stack(queries)).astype(np.float32)

    def _block(self, number: int) -> Descriptors:
        random = np.random.default_rng([0, 0, number])
        one, other = random.integers(0, len(self._real), (2, _BLOCK))
        share = random.uniform(0, 0.5, (_BLOCK, 1)).astype(np.float32)
        noise = random.standard_normal((_BLOCK, self._real.shape[1]), np.float32)
        mixed = (1 - share) * self._real[one] + share * self._real[other]
        return _unit(mixed + np.float32(0.5) * _unit(noise))


def exact_answers(
    places: SyntheticPlaces,
    sizes: Sequence[int],
    queries: int,
    progress: Callable[[int], object] = lambda count: None,
) -> list[Revisits]:
    """Search exactly, in float32, for `queries` revisits in maps of each of `sizes` places."""
    asked = [places.revisits(size, queries) for size in sizes]
    everything = np.concatenate(asked)
    best = np.full(len(everything), -np.inf, np.float32)
    nearest = np.zeros(len(everything), np.int64)
    sizes_left = np.repeat(sizes, queries)
    start = 0
    for block in places.blocks(max(sizes)):
        products = everything @ block.T
        # A query knows only the places of its map.
        products[start + np.arange(len(block)) >= sizes_left[:, None]] = -np.inf
        closest = products.argmax(1)
        values = products[np.arange(len(products)), closest]
        nearest = np.where(values > best, start + closest, nearest)
        best = np.maximum(values, best)
        start += len(block)
        progress(len(block))
    return [
        Revisits(size, part, ids)
        for size, part, ids in zip(sizes, asked, np.split(nearest, len(sizes)), strict=True)
    ]


def grow(
    storage: str,
    places: SyntheticPlaces,
    revisits: Sequence[Revisits],
    progress: Callable[[int], object] = lambda count: None,
) -> list[Growth]:
    """Fill one map kept as `storage` and search it whenever it has the size of some `revisits`.

    They must be in ascending order of size. Uses one thread.
    """
    set_threads(1)
    # Libraries, tables and working buffers are there before memory is looked at.
    warm = next(places.blocks(_BLOCK))
    small = ReferenceMap("", "", storage)
    small.extend(warm, [""] * len(warm))
    small.search(warm, _FOUND)
    del small
    reference = ReferenceMap("", "", storage)
    before = _rss_mib()
    results = []
    left = list(revisits)
    for block in places.blocks(left[-1].places):
        while len(block):
            part = block[: left[0].places - len(reference)]
            reference.extend(part, [""] * len(part))
            progress(len(part))
            block = block[len(part) :]
            if len(reference) == left[0].places:
                results.append(_searched(reference, left.pop(0), before))
    return results


def _searched(reference: ReferenceMap, revisits: Revisits, rss_before: float) -> Growth:
    added = _rss_mib() - rss_before
    found = []

    def search(query: Descriptors) -> None:
        found.append(int(reference.search(query, _FOUND).indices[0, 0]))

    wall, cpu = _times(search, revisits.queries)
    detector = LoopClosureDetector(reference, DetectorOptions(sequence="filter"))
    detected, _ = _times(detector.detect, revisits.queries)
    return Growth(
        places=revisits.places,
        median_ms=float(np.median(wall)),
        p99_ms=float(np.percentile(wall, 99)),
        cpu_p99_ms=float(np.percentile(cpu, 99)),
        recall=float(np.mean(found[-len(revisits.nearest) :] == revisits.nearest)),
        rss_mib=added,
        detector_median_ms=float(np.median(detected)),
        detector_p99_ms=float(np.percentile(detected, 99)),
    )


def _times(
    answer: Callable[[Descriptors], object], queries: Descriptors
) -> tuple[list[float], list[float]]:
    """Milliseconds that each query takes, and those of this thread's CPU, after a few before."""
    wall, cpu = [], []
    for query in queries[:_WARM_UP]:
        answer(query)
    for query in queries:
        start, start_cpu = time.perf_counter(), time.thread_time()
        answer(query)
        wall.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.thread_time() - start_cpu))
    return wall, cpu


def available_bytes() -> int:
    """Memory that can be had without swapping."""
    return _kib(Path("/proc/meminfo"), "MemAvailable") * 1024


def _rss_mib() -> float:
    return _kib(Path("/proc/self/status"), "VmRSS") / 1024


def _kib(file: Path, key: str) -> int:
    lines = file.read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1])


def _unit(vectors: Descriptors) -> Descriptors:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
