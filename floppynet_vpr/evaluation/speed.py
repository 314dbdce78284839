# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What there is to measure: backends, other networks, Larq Compute Engine, single stages.

Time does not depend on the weights, so networks without a weights file get random ones.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.timing import Contender
from floppynet_vpr.extraction import DESCRIPTOR_SIZE, ExtractionError, create_extractor
from floppynet_vpr.extraction.extractor import FamilyExtractor, normalise
from floppynet_vpr.extraction.factory import backends_for
from floppynet_vpr.extraction.onnx_session import onnx_session
from floppynet_vpr.imaging.network_input import network_input
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.network.layers import INPUT_SHAPE, NETWORKS, filter_shapes
from floppynet_vpr.network.onnx_float import random_baseline
from floppynet_vpr.network.weights import ConvWeights, NetworkWeights

REFERENCE = "FloppyNet onnxruntime"
"""The contender that ratios are taken against, on one thread."""
CAMERA_SHAPE = (480, 640, 3)
MAP_PLACES = 1000
_log = logging.getLogger(__name__)


def random_weights(name: str, seed: int = 0) -> NetworkWeights:
    """Make up weights for a binary network of the family."""
    rng = np.random.default_rng(seed)
    spec = NETWORKS[name]
    convs: dict[str, ConvWeights] = {}
    for conv, shape in filter_shapes(spec).items():
        filters = rng.choice(np.array([-1, 1], np.int8), shape)
        scale = np.ones(shape[3], np.float32)
        shift = rng.normal(0, 8, shape[3]).astype(np.float32)
        convs[conv] = ConvWeights(filters, scale, shift) if convs else ConvWeights(filters)
    return NetworkWeights(spec, spec.padding_value, convs)


def backend_contenders(weights: NetworkWeights, threads: Sequence[int]) -> list[Contender]:
    """Give each backend that works here with `weights`, on each number of threads."""
    image = random_image(INPUT_SHAPE)
    contenders = []
    for backend in backends_for(weights):
        for count in threads:
            try:
                extractor = create_extractor(weights, backend, count)
            except ExtractionError as error:
                _log.warning("not measured: %s", error)
                break
            name = f"{weights.spec.title} {backend}"
            contenders.append(Contender(name, count, partial(extractor.pool5, image)))
    return contenders


def sums_of_backends(weights: NetworkWeights) -> dict[str, str]:
    """Give the beginning of the SHA-256 of pool5 of a made-up image, by each backend that works."""
    image = random_image(INPUT_SHAPE)
    sums = {}
    for backend in backends_for(weights):
        try:
            extractor = create_extractor(weights, backend)
        except ExtractionError:
            continue  # said when they were prepared
        pool5 = np.ascontiguousarray(extractor.pool5(image), "<i2")
        sums[backend] = hashlib.sha256(pool5.tobytes()).hexdigest()[:16]
    return sums


def baseline_contender() -> Contender:
    """Give the full-precision Baseline in onnxruntime, on one thread, with random weights."""
    session = onnx_session(random_baseline(), 1)
    image = random_image(INPUT_SHAPE)[np.newaxis]
    return Contender("Baseline onnxruntime", 1, lambda: session.run(None, {"image": image}))


def larq_contenders(tflite: Path) -> list[Contender]:
    """Give Larq Compute Engine's x86 kernels on one thread with the network of a .tflite file.

    Raises ImportError where its package is not installed, RuntimeError where it does not work:
    version 0.16 does not with numpy 2.
    """
    module = importlib.import_module("larq_compute_engine.tflite.python.interpreter")

    try:
        content = tflite.read_bytes()
    except OSError as error:
        raise VprError(f"cannot read {tflite}: {error.strerror}") from None
    image = random_image(INPUT_SHAPE)[np.newaxis].astype(np.float32) / np.float32(255)
    contenders = []
    for name, indirect in (("default", False), ("indirect BGEMM", True)):
        engine = module.Interpreter(content, num_threads=1, use_indirect_bgemm=indirect)
        engine.predict(image)
        title = f"Larq Compute Engine, {name} kernel ({tflite.stem})"
        contenders.append(Contender(title, 1, partial(engine.predict, image)))
    return contenders


def stage_contenders(extractor: FamilyExtractor, backend: str) -> list[Contender]:
    """Give the convolutions of one extractor alone, each with the pool and sign behind it."""
    calls = extractor.stage_calls(random_image(INPUT_SHAPE))
    return [Contender(f"{backend} {name}", 1, call) for name, call in calls.items()]


def common_stage_contenders(weights: NetworkWeights) -> list[Contender]:
    """Give what all backends share: resize, normalise, search of a map of 1,000 places."""
    rng = np.random.default_rng(1)
    camera = random_image(CAMERA_SHAPE)
    pool5 = rng.integers(-600, 600, (6, 6, 256), np.int16)
    descriptors = rng.normal(0, 1, (MAP_PLACES, DESCRIPTOR_SIZE)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    reference_map = ReferenceMap.for_weights(weights)
    for index, descriptor in enumerate(descriptors):
        reference_map.add(descriptor, str(index))
    query = descriptors[MAP_PLACES // 2][np.newaxis]
    return [
        Contender("resize 640x480", 1, lambda: network_input(camera)),
        Contender("normalise", 1, lambda: normalise(pool5)),
        Contender(f"search {MAP_PLACES} places", 1, lambda: reference_map.search(query, 1)),
    ]


def random_image(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Make up an image."""
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
