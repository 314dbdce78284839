# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The network's input is a plain bilinear resize and leaves pictures of its own size alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr.extraction.local_features import extract_features
from floppynet_vpr.imaging.network_input import INPUT_SIZE, network_input
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.imaging.pixels import to_rgb8


def bilinear(rgb: np.ndarray, size: int) -> np.ndarray:
    """Bilinear interpolation between pixel centres, edges repeated, in floating point."""
    out = rgb.astype(float)
    for axis in (0, 1):
        length = rgb.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, length - 1)
        weight = (at - low).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        out = out.take(low, axis) * (1 - weight) + out.take(high, axis) * weight
    return out


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_any_picture_is_resized_bilinearly_and_the_aspect_ignored(
    height: int, width: int, seed: int
) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    resized = network_input(rgb)
    assert resized.shape == (227, 227, 3)
    assert resized.dtype == np.uint8 and resized.flags.c_contiguous
    assert np.abs(resized - bilinear(rgb, INPUT_SIZE)).max() <= 1.5


def test_a_picture_of_the_right_size_is_returned_as_it_is() -> None:
    rgb = np.zeros((227, 227, 3), np.uint8)
    assert network_input(rgb) is rgb


def test_views_give_the_same_input_as_copies() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    for view in (wide[..., ::-1], wide[::2, 3:], wide[:227, :227], wide[::-1, :, :]):
        result = network_input(view)
        assert result.flags.c_contiguous
        assert np.array_equal(result, network_input(view.copy()))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
    ids=["grey", "alpha", "float", "empty"],
)
def test_anything_but_an_rgb_picture_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ImageError, match="RGB") as caught:
        network_input(wrong)
    assert caught.value.kind == "size"


def test_a_picture_of_one_pixel_is_a_picture() -> None:
    rgb = np.array([[[200, 100, 50]]], np.uint8)
    assert (network_input(rgb) == rgb).all()
    assert to_rgb8(rgb, "bgr").tolist() == [[[50, 100, 200]]]
    assert to_rgb8(rgb.astype(np.uint16) * 257, "rgb").tolist() == rgb.tolist()
    assert len(extract_features(rgb, 10)) == 0
