# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One result for each network's layer, or node, on each pair of traverses: answers, then judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.frames import Progress
from floppynet_vpr.datasets.traverse_pairs import TraversePair
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.answers import Answers, from_search
from floppynet_vpr.evaluation.describers import Describer
from floppynet_vpr.evaluation.descriptor_cache import DescriptorCache
from floppynet_vpr.evaluation.detector_answers import DetectorSetup, detect
from floppynet_vpr.evaluation.judgement import Judgement, judge
from floppynet_vpr.evaluation.measures import memory_efficiency
from floppynet_vpr.evaluation.recording import Recording, in_order
from floppynet_vpr.evaluation.retrieval import retrieve, search_ms, thinned_distances
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.mapping import STORAGES

EXACT = "exact"
"""A map that loses nothing of the descriptors, in place of one of its storages."""

_NEAREST = 25
_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Result:
    """One network's layer, or one node, on one pair of traverses.

    `network` and `layer` are labels for tables, `how` says what computed it and `storage` what was
    searched. `distances` is the matrix of distances, thinned out to at most 400 rows and columns.
    `dimension` is the number of values of a descriptor and `bytes_per_place` what a map keeps of
    it. Sizes and times are None where there are none: times are medians of one image, or of one
    answer, and `extraction_ms` is that of all layers that were computed together. `facts` are what
    else is known of the run.
    """

    pair: TraversePair
    network: str
    title: str
    layer: str
    how: str
    answers: Answers
    judgement: Judgement
    distances: NDArray[np.float32] | None = None
    storage: str = EXACT
    dimension: int | None = None
    bytes_per_place: int | None = None
    size_kib: float | None = None
    extraction_ms: float | None = None
    search_ms: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Network and layer."""
        return f"{self.network} {self.layer}".strip()

    @property
    def eta_m(self) -> float | None:
        """Memory efficiency, KiB per point of S_P100: lower is better."""
        if self.size_kib is None:
            return None
        return memory_efficiency(self.size_kib, self.judgement.s_p100)


def evaluate(
    pair: TraversePair,
    network: Describer,
    cache: DescriptorCache,
    progress: Progress,
    *,
    setup: DetectorSetup,
    convention: str = "count",
    skipped: Callable[[ImageError], object] | None = None,
) -> Iterator[Result]:
    """Evaluate every layer of a network on a pair, one result each.

    Frames that cannot be read are told to `skipped`, and the results are of the pair without them.

    Layers that a map takes, pool5 of the family and those of other networks, are answered by the
    node's detector; of the family's other layers the nearest are searched exactly, and nothing is
    detected. Raises VprError when an image cannot be read and nothing is `skipped`, or none can.
    """
    references = cache.describe(pair.reference, network, progress, skipped)
    queries = cache.describe(pair.query, network, progress, skipped)
    first = network.layers[0]
    pair = pair.only(queries[first].used, references[first].used)
    for layer in network.layers:
        asked, known = queries[layer].values, references[layer].values
        dimension = known.shape[1]
        took_ms: float | None
        if layer in network.networks:
            exact = replace(setup, storage=next(iter(STORAGES)))
            run = detect(
                pair,
                asked,
                known,
                network.networks[layer],
                exact if setup.storage == EXACT else setup,
                progress,
            )
            answers, storage = run.answers, setup.storage
            per_place, took_ms = run.bytes_per_place, run.answer_ms
        elif pair.loop:
            raise VprError(
                f"{network.label} {layer}: of the family's networks only pool5 can be looked for "
                "among the images before, for no map takes another layer"
            )
        else:
            answers, storage = from_search(*retrieve(asked, known, _NEAREST)), EXACT
            per_place, took_ms = dimension * _FLOAT32_BYTES, search_ms(asked, known)
        yield Result(
            pair,
            network.label,
            network.title,
            layer,
            network.how,
            answers,
            judge(answers, pair.truth, convention, pair.driven_m),
            thinned_distances(asked, known),
            storage,
            dimension,
            per_place,
            network.size_kib(layer),
            max(queries[layer].extraction_ms, references[layer].extraction_ms),
            took_ms,
        )


def recorded_result(
    pair: TraversePair, recording: Recording, name: str, convention: str = "count"
) -> Result:
    """Judge what a node answered; raises VprError when it did not answer about this pair."""
    answers = in_order(
        recording.answers,
        pair.query.stamps_ns(),
        pair.reference.stamps_ns(),
        (pair.query.path, pair.reference.path),
    )
    told = recording.diagnostics
    facts = {
        "Weights": told.get("weights", ""),
        "Computed by": told.get("backend", ""),
        "Map": f"{told['map places']} places" if "map places" in told else "",
        "Images": told.get("image topic", ""),
        "Images dropped": told.get("images dropped", ""),
        "Rate": "" if recording.rate_hz is None else f"{recording.rate_hz:.1f} answers per second",
    }
    latency = recording.latency_ms
    if latency is not None:
        facts["Latency"] = f"{latency[0]:.1f} ms median, {latency[1]:.1f} ms p99"
    return Result(
        pair,
        "node",
        "the node",
        "",
        f"{len(recording.answers)} answers recorded in {name}",
        answers,
        judge(answers, pair.truth, convention, pair.driven_m),
        storage="the node's map",
        facts={key: value for key, value in facts.items() if value},
    )


def results_by_pair(results: Sequence[Result]) -> Mapping[str, list[Result]]:
    """Results by the name of their pair, in the order in which the pairs came."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(result.pair.name, []).append(result)
    return grouped


def best_first(results: Sequence[Result]) -> list[Result]:
    """Results in the order of their S_P100, the highest first."""
    return sorted(results, key=lambda result: -result.judgement.s_p100)
