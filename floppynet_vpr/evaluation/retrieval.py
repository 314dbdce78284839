# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Exact search for the nearest references, whatever the size of the descriptors.

A map searches descriptors of 9,216 values as the robot does; here are those of every layer, too, up
to 290,400 values, whose dot products are summed in float64: integers stay exact.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

_BLOCK_VALUES = 1 << 24
_QUERIES_AT_ONCE = 512
_PREVIEW_SIZE = 400
_TIMED_QUERIES = 50
_LARGEST_INDEX = 1 << 30


def retrieve(
    queries: NDArray[np.generic], references: NDArray[np.generic], k: int = 25
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the `k` nearest references of every query, or all if there are fewer.

    Both are (n, values) of any number type and need not be normalised; a row of zeros stays one.
    Returns their numbers and distances (eq. 6, 0 to 2), (queries, k) each, nearest first, ties by
    the lower number.
    """
    k = min(k, len(references))
    norms = _norms(references)
    ids = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k), np.float64)
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        block = _distances(queries[start : start + _QUERIES_AT_ONCE], references, norms)
        for row, apart in enumerate(block, start):
            ids[row] = _nearest(apart, k)
            distances[row] = apart[ids[row]]
    return ids, distances


def thinned_distances(
    queries: NDArray[np.generic], references: NDArray[np.generic]
) -> NDArray[np.float32]:
    """The matrix of distances, thinned out to at most 400 rows and columns, evenly spread."""
    few = references[_thinned(len(references))]
    return _distances(queries[_thinned(len(queries))], few, _norms(few)).astype(np.float32)


def search_ms(queries: NDArray[np.generic], references: NDArray[np.generic]) -> float | None:
    """Median milliseconds of a search for the nearest reference, one query at a time.

    The search is faiss's exact one over float32, on the threads that faiss has. None for references
    that would take more than 1 GiB: nobody searches so much for one image.
    """
    import faiss

    if references.size * 4 > _LARGEST_INDEX:
        return None
    rows = np.ascontiguousarray(references, np.float32)
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    times = []
    for query in queries[:_TIMED_QUERIES]:
        row = np.ascontiguousarray(query, np.float32)[None]
        begun = time.perf_counter()
        index.search(row, 1)
        times.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(times))


def _distances(
    queries: NDArray[np.generic], references: NDArray[np.generic], norms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """All distances of some queries, (queries, references)."""
    dots = np.zeros((len(queries), len(references)))
    width = max(1, _BLOCK_VALUES // max(len(references), 1))
    for start in range(0, queries.shape[1], width):
        part = slice(start, start + width)
        dots += queries[:, part].astype(np.float64) @ references[:, part].astype(np.float64).T
    own = _norms(queries)
    squares = (own > 0)[:, None] + (norms > 0)[None, :].astype(np.float64)
    with np.errstate(invalid="ignore"):
        cosines = np.nan_to_num(dots / (own[:, None] * norms[None, :]))
    return np.asarray(np.sqrt(np.maximum(squares - 2 * cosines, 0)))


def _norms(rows: NDArray[np.generic]) -> NDArray[np.float64]:
    norms = np.empty(len(rows))
    for index, row in enumerate(rows):
        values = row.astype(np.float64)
        norms[index] = np.sqrt(values @ values)
    return norms


def _nearest(distances: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """The `k` smallest, ascending, ties by the lower index."""
    if k == 0:
        return np.empty(0, np.int64)
    limit = np.partition(distances, k - 1)[k - 1]
    candidates = np.flatnonzero(distances <= limit)
    return candidates[np.argsort(distances[candidates], kind="stable")][:k]


def _thinned(count: int) -> NDArray[np.int64]:
    shown = np.linspace(0, max(count - 1, 0), min(count, _PREVIEW_SIZE))
    return np.round(shown).astype(np.int64)
