# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What is measured as training goes on: accuracy, and places found on pairs of traverses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from floppynet_vpr.datasets.ground_truth import same_place_by_index, same_place_by_position
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.evaluation.measures import s_p100
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.extraction.extractor import normalise
from floppynet_vpr.imaging.network_input import network_input
from floppynet_vpr.synthetic.route import FIRST_LAP, SECOND_LAP, SyntheticRoute
from floppynet_vpr.training.export import export_weights
from floppynet_vpr.training.images import LabelledImages, PixelCache
from floppynet_vpr.training.matching import recall_along_the_drive, tolerant_matches
from floppynet_vpr.training.model import Features, Network
from floppynet_vpr.training.quantise import FULL_PRECISION
from floppynet_vpr.training.recipe import TrainingError, Views
from floppynet_vpr.training.views import make_views

SYNTHETIC_TOLERANCE_M = 2.0

RIGID, TOLERANT, ALONG = "S_P100", "tolerant S_P100", "R@100P along"
"""What is measured on each pair of traverses."""


@dataclass(frozen=True)
class TraversePair:
    """Two traverses as network inputs, (n, 227, 227, 3) uint8 each.

    `truth` is (queries, references) bool: which of them show the same place.
    """

    name: str
    queries: NDArray[np.uint8]
    references: NDArray[np.uint8]
    truth: NDArray[np.bool_]


@dataclass(frozen=True)
class Validation:
    """Images and traverses to validate with, and how many of the images.

    `by_places`: the mean S_P100 of the pairs, rigid and tolerant, decides which weights are the
    best, not the accuracy. Recall at full precision is measured, but one wrong match moves it by
    more than the weights do.
    """

    images: LabelledImages
    pairs: tuple[TraversePair, ...]
    count: int = 1000
    by_places: bool = False

    @property
    def judges(self) -> list[str]:
        """The figures that decide, by name."""
        pairs = [f"{kind} {pair.name}" for pair in self.pairs for kind in (RIGID, TOLERANT)]
        return pairs if self.by_places and pairs else ["accuracy"]

    @property
    def counts(self) -> dict[str, int]:
        """How many images or queries each figure is a share of."""
        found = {"accuracy": min(self.count, len(self.images.labels))}
        for pair in self.pairs:
            found |= dict.fromkeys(
                (f"{kind} {pair.name}" for kind in (RIGID, TOLERANT, ALONG)), len(pair.queries)
            )
        return found

    def measure(
        self, network: Network, features: Features, side: int, image_side: int
    ) -> dict[str, float]:
        """The accuracy of `network`, and how `features` find places, in percent.

        Images are kept at `image_side` pixels and shown whole, at `side`.
        """
        count = self.counts["accuracy"]
        chosen = np.linspace(0, len(self.images.labels) - 1, count).astype(np.int64)
        plain, chance = Views(side=side), torch.Generator()
        cache = PixelCache(self.images, image_side, 0)
        batches = []
        for part in np.array_split(chosen, max(1, count // 50)):
            pixels = torch.from_numpy(cache.batch(part)).float()
            labels = torch.from_numpy(self.images.labels[part])
            batches.append((make_views(pixels, plain, 1, chance)[0], labels))
        figures = {"accuracy": accuracy(network, batches)}
        for pair in self.pairs:
            for kind, value in pair_figures(features, pair).items():
                figures[f"{kind} {pair.name}"] = value
        return figures


def open_pair(text: str) -> TraversePair:
    """Read a pair described as QUERY,REFERENCE,TOLERANCE[,EVERY[,FRAMES]].

    Every EVERY-th of the first FRAMES frames is taken. Raises VprError when that cannot be read.
    """
    parts = text.split(",")
    try:
        query, reference = Path(parts[0]), Path(parts[1])
        tolerance, every, frames = (
            int(value) for value in (*parts[2:], *("1", "0")[len(parts) - 3 :])
        )
    except (ValueError, IndexError):
        raise TrainingError(
            f"'{text}' is no pair of traverses: write QUERY,REFERENCE,TOLERANCE, with ,EVERY and "
            ",FRAMES behind it if only every n-th of the first frames shall be taken"
        ) from None
    count = -(-frames // every) if frames else None
    queries, references = (_inputs(path, every, count) for path in (query, reference))
    name = f"{query.parent.name}/{query.name} -> {reference.name}"
    truth = same_place_by_index(len(queries), len(references), tolerance)
    return TraversePair(name, queries, references, truth)


def synthetic_pair() -> TraversePair:
    """The synthetic route, whole: 130 frames at dusk against 150 by day, right within 2 m.

    Painting it takes about ten seconds, once a run, and no data.
    """
    route = SyntheticRoute()
    queries, references = (
        np.stack([network_input(frame.rgb) for frame in route.frames(lap)])
        for lap in (SECOND_LAP, FIRST_LAP)
    )
    asked, known = (route.positions_m(lap) for lap in (SECOND_LAP, FIRST_LAP))
    truth = same_place_by_position(asked, known, SYNTHETIC_TOLERANCE_M)
    return TraversePair("synthetic", queries, references, truth)


def _inputs(path: Path, every: int, count: int | None) -> NDArray[np.uint8]:
    inputs: list[NDArray[np.uint8]] = []
    for frame in open_source(path, every=every):
        if count is not None and len(inputs) == count:
            break
        inputs.append(network_input(frame.rgb))
    return np.stack(inputs)


def pair_figures(features: Features, pair: TraversePair) -> dict[str, float]:
    """What a network finds on a pair, in percent, from exact pool5 at 227 x 227.

    `RIGID` compares vectors (eq. 5 and 6), `TOLERANT` takes the nearest by the node's
    tolerant matching; `ALONG` follows the drive, image by image.
    """
    queries, references = describe(features, pair.queries), describe(features, pair.references)
    index = faiss.IndexFlatL2(references.shape[1])
    index.add(references)
    _, matches = index.search(queries, 1)
    tolerant = tolerant_matches(queries, references)
    return {
        RIGID: s_p100(matches, pair.truth),
        TOLERANT: s_p100(tolerant, pair.truth),
        ALONG: 100 * recall_along_the_drive(queries, references, pair.truth),
    }


def describe(features: Features, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Descriptors (eq. 5) of (n, 227, 227, 3) uint8: (n, 9216) float32.

    Quantised networks run as they will in the field, the others in torch.
    """
    if features.spec.weight_bits != FULL_PRECISION:
        extractor = create_extractor(export_weights(features))
        return np.stack([normalise(extractor.pool5(image)) for image in inputs])
    features.eval()
    found = []
    with torch.no_grad():
        for image in inputs:
            pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
            pool5 = features(pixels)[0].permute(1, 2, 0).reshape(-1)
            found.append(torch.nn.functional.normalize(pool5, dim=0).numpy())
    return np.stack(found)


def accuracy(network: Network, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Share of right classes in percent, over batches of pixels and labels."""
    network.eval()
    right = total = 0
    with torch.no_grad():
        for pixels, labels in batches:
            _, scores = network(pixels)
            right += int((scores.argmax(1) == labels).sum())
            total += len(labels)
    return 100.0 * right / max(total, 1)
