# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""All extractors give the same integers, and those of Larq Compute Engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from random_networks import random_weights

from floppynet_vpr.extraction import (
    BACKENDS,
    DESCRIPTOR_SIZE,
    ExtractionError,
    create_extractor,
)
from floppynet_vpr.extraction.extractor import normalise
from floppynet_vpr.extraction.hamming import KERNELS, popcount_without_ufunc
from floppynet_vpr.extraction.products import FloatProduct, IntegerProduct, WideProduct
from floppynet_vpr.network.tflite_import import import_tflite

CONCRETE = tuple(name for name in BACKENDS if name not in ("auto", "packed"))
IMAGE_SHAPE = (227, 227, 3)


@pytest.mark.parametrize("backend", CONCRETE)
@pytest.mark.parametrize("name", ["floppynet", "shallownet", "binarynet"])
def test_pool5_equals_larq_compute_engine(name: str, backend: str, data_dir: Path) -> None:
    golden = np.load(data_dir / "golden" / "pool5.npz")
    weights = import_tflite(data_dir / "weights" / f"{name}_places365.tflite")
    extractor = create_extractor(weights, backend)
    for image, expected in zip(golden["images"], golden[name], strict=True):
        pool5 = extractor.pool5(image)
        assert pool5.dtype == np.int16
        np.testing.assert_array_equal(pool5, expected)


@pytest.mark.parametrize(
    ("name", "padding_value"),
    [("floppynet", 1), ("shallownet", 0), ("binarynet", 0), ("binarynet", 1)],
)
def test_backends_agree_on_random_networks_and_images(name: str, padding_value: int) -> None:
    weights = random_weights(name, padding_value, seed=len(name) + padding_value)
    rng = np.random.default_rng(3)
    images = [
        rng.integers(0, 256, IMAGE_SHAPE, np.uint8),
        rng.integers(0, 32, IMAGE_SHAPE, np.uint8),
        np.zeros(IMAGE_SHAPE, np.uint8),
        np.full(IMAGE_SHAPE, 255, np.uint8),
    ]
    results = [
        [extractor.pool5(image) for image in images]
        for extractor in (create_extractor(weights, backend) for backend in CONCRETE)
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@given(st.integers(1, 300), st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_kernels_count_the_differing_bits(rows: int, words: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (rows, 8 * words), np.uint8)
    filters = rng.integers(0, 256, (count, 8 * words), np.uint8)
    expected = np.unpackbits(patches[:, None] ^ filters, axis=-1).sum(-1, dtype=np.int32)
    for kernel in KERNELS.values():
        out = np.full((rows, count), -1, np.int32)
        kernel(filters).distances(patches, out)
        np.testing.assert_array_equal(out, expected, err_msg=kernel.name)


@given(hnp.arrays(np.uint64, st.integers(1, 50)))
def test_popcount_for_old_numpy_counts_ones(words: np.ndarray) -> None:
    expected = [int(word).bit_count() for word in words]
    out = np.empty(len(words), np.uint8)
    popcount_without_ufunc(words.copy(), out)
    np.testing.assert_array_equal(out, expected)


def test_an_extractor_may_be_called_again_and_again() -> None:
    extractor = create_extractor(backend="packed")
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, *IMAGE_SHAPE), np.uint8)
    before = extractor.pool5(first)
    kept = before.copy()
    extractor.pool5(second)
    np.testing.assert_array_equal(before, kept)
    np.testing.assert_array_equal(extractor.pool5(first), kept)


def test_a_descriptor_has_norm_one_and_the_direction_of_pool5() -> None:
    extractor = create_extractor()
    image = np.random.default_rng(5).integers(0, 256, (360, 640, 3), np.uint8)
    descriptor = extractor.describe(image)
    assert descriptor.shape == (DESCRIPTOR_SIZE,)
    assert descriptor.dtype == np.float32
    assert np.linalg.norm(descriptor.astype(np.float64)) == pytest.approx(1, abs=1e-6)


def test_a_feature_map_of_zeros_stays_zeros() -> None:
    assert not normalise(np.zeros((6, 6, 256), np.int16)).any()


@pytest.mark.parametrize(
    "arguments", [{"backend": "gpu"}, {"threads": 0}, {"backend": "packed-fpga"}]
)
def test_wrong_settings_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ExtractionError):
        create_extractor(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", CONCRETE)
def test_an_image_of_another_size_is_refused(backend: str) -> None:
    with pytest.raises(ExtractionError, match="describe"):
        create_extractor(backend=backend).pool5(np.zeros((224, 224, 3), np.uint8))


def test_auto_says_what_it_chose() -> None:
    assert create_extractor().description == create_extractor(backend=CONCRETE[0]).description


def test_without_llvmlite_auto_takes_faiss_and_says_how_to_be_faster() -> None:
    program = (
        "import sys; sys.modules['llvmlite'] = None\n"
        "from floppynet_vpr.extraction import create_extractor\n"
        "print(create_extractor().description)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "faiss" in done.stdout
    assert 'pip install "llvmlite>=0.44"' in done.stderr


def test_every_convolution_can_be_called_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, IMAGE_SHAPE, np.uint8)
    for backend in CONCRETE:
        extractor = create_extractor(backend=backend)
        expected = extractor.pool5(image)
        calls = extractor.stage_calls(image)
        assert backend == "onnxruntime" or list(calls) == ["conv1", "conv2", "conv5"]
        for call in calls.values():
            call()
        np.testing.assert_array_equal(extractor.pool5(image), expected)


matrix_sizes = (st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))


@given(*matrix_sizes, st.integers(0, 2), st.sampled_from([1, 15, 127]), st.integers(0))
def test_products_are_exact(
    rows: int, depth: int, columns: int, zero: int, largest: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 256, (rows, depth), np.uint8)
    right = rng.integers(-largest, largest + 1, (depth, columns)).astype(np.int8)
    expected = (left.astype(np.int64) - zero) @ right
    for unsigned in (None, True):
        product = IntegerProduct(rows, right, zero, unsigned=unsigned)
        product.left[:] = left
        product.compute()
        np.testing.assert_array_equal(product.result, expected)
    if zero == 0:
        floats = FloatProduct(rows, right)
        floats.left[:] = left
        floats.compute()
        np.testing.assert_array_equal(floats.result, expected)


@given(*matrix_sizes, st.booleans(), st.integers(0))
def test_products_with_weights_of_nine_bits_are_exact(
    rows: int, depth: int, columns: int, extreme: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    odd = np.array([-255, 255] if extreme else np.arange(-255, 256, 2), np.int16)
    right = rng.choice(odd, (depth, columns))
    product = WideProduct(rows, right)
    product.left[:] = 255 if extreme else rng.integers(0, 256, (rows, depth))
    product.compute()
    np.testing.assert_array_equal(product.result, product.left.astype(np.int64) @ right)
