# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What the node would answer, without ROS: the same map, detector, verification and keyframes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.frames import Frame, Progress
from floppynet_vpr.datasets.traverse import Traverse
from floppynet_vpr.datasets.traverse_pairs import TraversePair
from floppynet_vpr.detection import (
    Detection,
    DetectorOptions,
    LoopClosureDetector,
    VerificationOptions,
    Verifier,
)
from floppynet_vpr.detection.growth import Grower, GrowthOptions, within_limit
from floppynet_vpr.detection.options import SINGLE
from floppynet_vpr.evaluation.answers import (
    DISTANCE,
    Answer,
    Answers,
    Match,
    from_detector,
)
from floppynet_vpr.extraction.extractor import normalise
from floppynet_vpr.extraction.local_features import DEFAULT_FEATURES, extract_features
from floppynet_vpr.extraction.pipeline import DescribedFrame
from floppynet_vpr.mapping import DEFAULT_STORAGE, ReferenceMap, build_map
from floppynet_vpr.mapping.keyframes import KeyframeGate, KeyframeLimits
from floppynet_vpr.network.network import Network


@dataclass(frozen=True)
class DetectorSetup:
    """What the node is set to; `verification` None: candidates are not verified.

    `keyframes` say which images become places where the map is made while driving, `growth` where
    that ends.
    """

    options: DetectorOptions = field(default_factory=DetectorOptions)
    verification: VerificationOptions | None = None
    storage: str = DEFAULT_STORAGE
    keyframes: KeyframeLimits = field(default_factory=KeyframeLimits)
    growth: GrowthOptions = field(default_factory=GrowthOptions)

    @property
    def ordered(self) -> bool:
        """Whether an answer depends on the images before it, so that all must be asked about."""
        return self.options.sequence != SINGLE

    @property
    def features(self) -> int:
        """Local features that the map keeps of each place."""
        return 0 if self.verification is None else DEFAULT_FEATURES


@dataclass(frozen=True)
class DetectorRun:
    """The answers, the bytes that the map keeps of a place, median milliseconds of an answer."""

    answers: Answers
    bytes_per_place: int
    answer_ms: float


def detect(
    pair: TraversePair,
    queries: NDArray[np.generic],
    references: NDArray[np.generic],
    weights: Network,
    setup: DetectorSetup,
    progress: Progress,
) -> DetectorRun:
    """Ask a detector about every query of a pair, in order.

    Where the pair is a loop, its map starts empty and grows as the node's does in mode `both`.
    Feature maps are (queries, d) and (references, d), not normalised, made with `weights`; of a
    loop both are the same.
    """
    if pair.loop:
        known = ReferenceMap.for_weights(weights, setup.storage, setup.features)
    else:
        described = _described(pair.reference, references, setup.features, progress)
        known = build_map(described, weights, storage=setup.storage, features=setup.features)
    reference_of = {place.id: number for number, place in enumerate(known.places)}
    detector = LoopClosureDetector(known, setup.options)
    verifier = None if setup.verification is None else Verifier(setup.verification)
    gate, grower = KeyframeGate(setup.keyframes), Grower(setup.growth)
    images: Iterator[Frame | None] = itertools.repeat(None, len(queries))
    if verifier is not None:
        images = iter(progress(pair.query.frames(), len(pair.query), "verifying"))
    answers, took = [], []
    frames = zip(pair.query.names, pair.query.stamps_ns(), queries, images, strict=True)
    for number, (name, stamp_ns, pool5, image) in enumerate(frames):
        descriptor = normalise(pool5)
        begun = time.perf_counter()
        detection = detector.detect(descriptor, stamp_ns)
        if verifier is not None and image is not None:
            detection = verifier.verify(image.rgb, detection, known)
        took.append(time.perf_counter() - begun)
        answers.append(_answer(detection, reference_of, detector.in_force.measure))
        if pair.loop and gate.passes(descriptor, stamp_ns):
            growth = grower.decide(detector, detection, descriptor)
            if not growth.new:
                continue
            local = None if image is None else extract_features(image.rgb, setup.features)
            place = known.add(descriptor, name, stamp_ns, features=local, look_of=growth.look_of)
            reference_of[place.id] = number
            detector = within_limit(detector, setup.growth)
            known = detector.reference
    milliseconds = 1e3 * float(np.median(took)) if took else 0.0
    return DetectorRun(
        from_detector(answers, detector.in_force.measure), known.bytes_per_place, milliseconds
    )


def _described(
    traverse: Traverse, pool5: NDArray[np.generic], features: int, progress: Progress
) -> Iterator[DescribedFrame]:
    stamps = traverse.stamps_ns()
    described = zip(traverse.names, stamps, map(normalise, pool5), strict=True)
    if not features:
        yield from (DescribedFrame(*frame) for frame in described)
        return
    images = progress(traverse.frames(), len(traverse), f"local features of {traverse.label}")
    for frame, image in zip(described, images, strict=True):
        yield DescribedFrame(*frame, extract_features(image.rgb, features))


def _answer(detection: Detection, reference_of: dict[int, int], measure: str) -> Answer:
    candidates = detection.candidates
    matches = tuple(
        Match(reference_of[known.place.id], known.distance, known.score) for known in candidates
    )
    # What geometry refused is not accepted, however near or believed.
    refused = not candidates or (candidates[0].inliers >= 0 and not candidates[0].verified)
    sureness = -detection.measure if measure == DISTANCE else detection.measure
    return Answer(
        matches,
        -float("inf") if refused else float(sureness),
        detection.detected,
        detection.limits.distance,
    )
