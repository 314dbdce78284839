# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What of this machine stands in the way of recognising places, or could be better."""

from __future__ import annotations

import importlib
import locale
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from floppynet_vpr.detection.background import LEAST_PLACES
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.machine import describe_machine
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.fleet.stored_map import load_map, shown_map
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.network.weights import NetworkWeights, load_weights, shipped_weights
from floppynet_vpr.surroundings import what_is_denied

OK, HINT, FAULT = "ok", "hint", "fault"

_PYTHONS = ((3, 10), (3, 13))
_LEAST_SHARED_BYTES = 64 << 20
_TIMED = 10
_ABSENT = {
    "cv2": "images cannot be decoded: pip install opencv-python-headless",
    "faiss": "large maps are searched without it, if at all: pip install faiss-cpu",
    "llvmlite": "an image takes 3 times as long: pip install llvmlite",
    "onnxruntime": "networks of more than one bit and ONNX models do not run: "
    "pip install onnxruntime",
    "rosbags": "bags cannot be read or written: pip install rosbags",
    "sklearn": "calibrate does not work: pip install scikit-learn",
    "matplotlib": "reports and pictures cannot be drawn: pip install matplotlib",
    "scipy": "GPS tracks and .mat files cannot be read: pip install scipy",
    "geographiclib": "GPS positions cannot be read: pip install geographiclib",
    "yaml": "dataset files cannot be read: pip install PyYAML",
    "tqdm": "commands do not start: pip install tqdm",
    "gtsam": "close_loops cannot optimise: pip install --no-deps gtsam, with Python 3.11 or newer",
    "torch": "train does not work: make train-env, or pip install torch",
}
_SELDOM_WANTED = ("gtsam", "torch")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `level` is OK, HINT or FAULT, `text` says what to do."""

    level: str
    subject: str
    text: str


def examine_machine() -> Iterator[Finding]:
    """Look at Python, the libraries, the processor, shared memory and the locale."""
    yield _python()
    yield from _libraries()
    yield _recognition()
    yield _shared_memory()
    yield _letters()


def _python() -> Finding:
    machine = describe_machine()
    text = f"{machine.python} on {machine.cpu}, {machine.cores} cores"
    if _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]:
        return Finding(OK, "Python", text)
    return Finding(HINT, "Python", f"{text}: tried are 3.10 to 3.13, take one of them")


def _libraries() -> Iterator[Finding]:
    present = []
    for name, cost in _ABSENT.items():
        try:
            importlib.import_module(name)
        except Exception as error:  # a library built for another numpy raises what it likes
            reason = " ".join(str(error).split())[:120]
            level = OK if name in _SELDOM_WANTED else HINT
            yield Finding(level, name, f"not there ({reason}); {cost}")
        else:
            present.append(name)
    yield Finding(OK, "libraries", ", ".join(present))


def _recognition() -> Finding:
    """Describe an image and find it in a map, which is what the node does."""
    try:
        extractor = create_extractor()
        image = np.random.default_rng(0).integers(0, 256, (227, 227, 3), np.uint8)
        extractor.describe(image)
        times = []
        for _ in range(_TIMED):
            begun = time.perf_counter()
            descriptor = extractor.describe(image)
            times.append(1e3 * (time.perf_counter() - begun))
        reference = ReferenceMap.for_weights(extractor.weights)
        reference.add(descriptor, "itself")
        found = reference.search(descriptor, 1)
    except Exception as error:
        reason = str(error) if isinstance(error, VprError) else what_is_denied(error) or repr(error)
        return Finding(FAULT, "network", f"the node cannot start: {reason}")
    if int(found.indices[0, 0]) != 0:
        return Finding(FAULT, "network", "a map of one image does not find it: report this")
    return Finding(OK, "network", f"{extractor.description}, an image in {min(times):.1f} ms")


def _shared_memory() -> Finding:
    folder = Path("/dev/shm")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Finding(
            HINT, "shared memory", f"{folder} cannot be written: images go by the network, slower"
        )
    free = shutil.disk_usage(folder).free
    text = f"{free >> 20} MiB free in {folder}"
    if free < _LEAST_SHARED_BYTES:
        return Finding(
            HINT, "shared memory", f"{text}: images may be lost; docker run --shm-size=512m"
        )
    return Finding(OK, "shared memory", text)


def _letters() -> Finding:
    name = locale.getpreferredencoding(False)
    if name.replace("-", "").lower() == "utf8":
        return Finding(OK, "locale", name)
    return Finding(
        HINT, "locale", f"{name}: names beyond ASCII are not shown right; export LC_ALL=C.UTF-8"
    )


def examine_map(names: str, weights: Path | None) -> Iterator[Finding]:
    """Look at the map of the node's parameter `map`, and whether `weights` belong to it.

    `names` may be several files separated by ':', or a map in a database; `weights` None: those
    that the package carries.
    """
    try:
        known = load_weights(weights)
        reference = load_map(names)
        yield Finding(OK, "map", _described(shown_map(names), reference))
        yield from _fitness(reference, known)
    except VprError as error:
        yield Finding(FAULT, "map", str(error))


def _described(names: str, reference: ReferenceMap) -> str:
    posed = sum(place.pose is not None for place in reference.places)
    text = f"{names}: sound, {len(reference)} places, {posed} with a pose"
    return text + (f", up to {reference.features} local features" if reference.features else "")


def _fitness(reference: ReferenceMap, weights: NetworkWeights) -> Iterator[Finding]:
    if reference.fingerprint != weights.fingerprint:
        own = {load_weights(file).fingerprint: name for name, file in shipped_weights().items()}
        name = own.get(reference.fingerprint)
        remedy = (
            f"set weights:={name}"
            if name
            else "set weights to the file it was built with, or build it again"
        )
        yield Finding(FAULT, "map", f"it is of another network ({reference.network}): {remedy}")
    if len(reference) < LEAST_PLACES:
        yield Finding(
            HINT,
            "map",
            f"fewer than {LEAST_PLACES} places set no limit: nothing is detected until threshold "
            "is set, with sequence none",
        )
