# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The same bits on every processor, for every batch: sums, functions, map files and answers."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr.arithmetic import exp, length, log, products
from floppynet_vpr.mapping.cells import encode, turn, turn_back
from floppynet_vpr.mapping.grid import POOL5

PROCESSORS = {
    "as it is": {},
    "AVX2": {
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX "
        "AVX512_CNL AVX512_ICL",
        "FAISS_OPT_LEVEL": "AVX2",
    },
    "SSE": {
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL "
        "AVX512_ICL X86_V3 X86_V4",
        "FAISS_OPT_LEVEL": "generic",
    },
}
"""What makes numpy, OpenBLAS and faiss compute as on lesser processors."""

_PROGRAM = """
import hashlib, sys
from itertools import product
from pathlib import Path
import numpy as np
from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.mapping import STORAGES, ReferenceMap

random = np.random.RandomState(5)
scenes = random.randint(0, 256, (40, 12, 16, 3)).astype(np.uint8).repeat(20, 1).repeat(20, 2)
extractor = create_extractor()
descriptors = [extractor.describe(scene) for scene in scenes]
digest = hashlib.sha256()
for storage in STORAGES:
    known = ReferenceMap.for_weights(extractor.weights, storage)
    for index, descriptor in enumerate(descriptors):
        known.add(descriptor, str(index), index)
    path = Path(sys.argv[1]) / "map.fvm"
    known.save(path)
    digest.update(path.read_bytes())
    for sequence, matching in product(("none", "filter", "line"), ("tolerant", "rigid")):
        options = DetectorOptions(sequence=sequence, matching=matching, subtract_mean=True)
        detector = LoopClosureDetector(known, options)
        for index, descriptor in enumerate(descriptors[::-1]):
            found = detector.detect(descriptor, 10**9 * index)
            digest.update(repr(found).encode())
print(digest.hexdigest())
"""


def test_maps_and_answers_are_the_same_on_every_processor(tmp_path: Path) -> None:
    digests = {}
    for name, variables in PROCESSORS.items():
        folder = tmp_path / name
        folder.mkdir()
        # Numpy warns of each feature to be disabled that this processor does not have.
        ended = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _PROGRAM, str(folder)],
            env={key: value for key, value in os.environ.items() if key not in PROCESSORS["SSE"]}
            | variables,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, f"{name}: {ended.stderr}"
        digests[name] = ended.stdout
    assert len(set(digests.values())) == 1, digests
    assert len(digests["SSE"].strip()) == 2 * hashlib.sha256().digest_size


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_row_has_the_same_product_among_any_others(count: int, seed: int) -> None:
    rows, query = np.split(
        np.random.default_rng(seed).normal(size=(count + 1, 8960)).astype(np.float32), [count]
    )
    together = products(rows, query[0])
    alone = [products(row[None], query[0])[0] for row in rows]
    np.testing.assert_array_equal(together, alone)


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_a_descriptor_is_turned_and_coded_alike_among_any_others(count: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, 9216)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    turned = turn(rows, POOL5)
    code, back = encode(turned), turn_back(turned, POOL5)
    for index, row in enumerate(rows):
        alone = turn(row[None], POOL5)
        np.testing.assert_array_equal(alone[0], turned[index])
        np.testing.assert_array_equal(encode(alone)[0], code[index])
        np.testing.assert_array_equal(turn_back(alone, POOL5)[0], back[index])


@given(st.floats(-80, 80, width=32))
def test_exp_is_the_exponential(x: float) -> None:
    expected = np.exp(x)
    assert abs(float(exp(np.array([x], np.float32))[0]) - expected) <= 4e-7 * expected


@given(st.floats(2.0**-100, 2.0**100, width=32))
def test_log_is_the_logarithm(x: float) -> None:
    expected = np.log(x)
    assert abs(float(log(np.array([x], np.float32))[0]) - expected) <= 6e-8 * abs(expected)


def test_length_is_the_norm() -> None:
    assert length(np.array([3.0, 4.0])) == 5.0
