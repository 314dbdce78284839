# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluates a network's layers on a pair of drives: describe, search, judge."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.pairs import RoutePair
from floppynet_vpr.evaluation.describers import Describer
from floppynet_vpr.evaluation.descriptor_cache import DescriptorCache, Descriptors, Progress
from floppynet_vpr.evaluation.precision_recall import PrecisionRecallCurve
from floppynet_vpr.evaluation.retrieval import Retrieval, retrieve, search_ms
from floppynet_vpr.evaluation.scores import Scores, memory_efficiency, score
from floppynet_vpr.extraction import DESCRIPTOR_SIZE

EXACT = "exact"
"""Search of the descriptors themselves, in place of a map's storage."""

_NEAREST = 25
_FLOAT32_BYTES = 4
_PLACES_AT_ONCE = 256


@dataclass(frozen=True)
class Result:
    """One network's layer on one pair of drives.

    `network` and `layer` are labels for tables, `how` says what computed it and `storage` what was
    searched. `dimension` is the number of values of a descriptor and `bytes_per_place` what a map
    keeps of it. Sizes and times are None where there are none: times are medians of one image, or
    of one search, and `extraction_ms` is that of all layers that were computed together.
    """

    pair: RoutePair
    network: str
    title: str
    layer: str
    how: str
    scores: Scores
    curve: PrecisionRecallCurve
    retrieval: Retrieval
    storage: str = EXACT
    dimension: int | None = None
    bytes_per_place: int | None = None
    size_kib: float | None = None
    extraction_ms: float | None = None
    search_ms: float | None = None

    @property
    def name(self) -> str:
        """Network and layer."""
        return f"{self.network} {self.layer}".strip()

    @property
    def eta_m(self) -> float | None:
        """Memory efficiency, KiB per point of S_P100: lower is better."""
        if self.size_kib is None:
            return None
        return memory_efficiency(self.size_kib, self.scores.s_p100)


def evaluate(
    pair: RoutePair,
    network: Describer,
    cache: DescriptorCache,
    progress: Progress,
    *,
    convention: str = "count",
    storage: str = EXACT,
) -> Iterator[Result]:
    """Evaluate every layer of a network on a pair, one result each.

    With a map's `storage`, descriptors of 9,216 values are searched by such a map, as on a robot;
    others, which no map takes, exactly. Raises VprError when an image cannot be read.
    """
    references = cache.describe(pair.reference, network, progress)
    queries = cache.describe(pair.query, network, progress)
    for layer in network.layers:
        yield _evaluate_layer(
            pair, network, layer, queries[layer], references[layer], convention, storage
        )


def recorded_result(
    pair: RoutePair, retrieval: Retrieval, label: str, how: str, convention: str
) -> Result:
    """Judge what a node answered."""
    scores, curve = score(retrieval, pair.truth, convention)
    return Result(pair, label, label, "", how, scores, curve, retrieval, storage="the node's map")


def _evaluate_layer(
    pair: RoutePair,
    network: Describer,
    layer: str,
    queries: Descriptors,
    references: Descriptors,
    convention: str,
    storage: str,
) -> Result:
    dimension = references.values.shape[1]
    found = retrieve(queries.values, references.values, _NEAREST)
    took_ms: float | None
    if storage != EXACT and dimension == DESCRIPTOR_SIZE:
        searched = storage
        answers, per_place, took_ms = _search_map(queries.values, references.values, storage)
        found = replace(answers, preview=found.preview)
    else:
        searched, per_place = EXACT, dimension * _FLOAT32_BYTES
        took_ms = search_ms(queries.values, references.values)
    scores, curve = score(found, pair.truth, convention)
    return Result(
        pair=pair,
        network=network.label,
        title=network.title,
        layer=layer,
        how=network.how,
        scores=scores,
        curve=curve,
        retrieval=found,
        storage=searched,
        dimension=dimension,
        bytes_per_place=per_place,
        size_kib=network.size_kib(layer),
        extraction_ms=max(queries.extraction_ms, references.extraction_ms),
        search_ms=took_ms,
    )


def _search_map(
    queries: NDArray[np.generic], references: NDArray[np.generic], storage: str
) -> tuple[Retrieval, int, float]:
    """Search as a map with this storage does: also bytes per place, milliseconds per search."""
    from floppynet_vpr.mapping import Place, ReferenceMap

    known = ReferenceMap("", "", storage)
    for start in range(0, len(references), _PLACES_AT_ONCE):
        part = _normalised(references[start : start + _PLACES_AT_ONCE])
        known.extend(part, [Place(start + i, "", 0) for i in range(len(part))])
    asked = _normalised(queries)
    begun = time.perf_counter()
    found = known.search(asked, _NEAREST)
    took_ms = 1e3 * (time.perf_counter() - begun) / max(len(asked), 1)
    answers = Retrieval(found.ids, found.distances.astype(np.float64))
    return answers, known.bytes_per_place, took_ms


def _normalised(rows: NDArray[np.generic]) -> NDArray[np.float32]:
    values = rows.astype(np.float64)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(norms == 0, 1, norms), np.float32)


def results_by_pair(results: Sequence[Result]) -> Mapping[str, list[Result]]:
    """Results by the name of their pair, in the order in which the pairs came."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(result.pair.name, []).append(result)
    return grouped
