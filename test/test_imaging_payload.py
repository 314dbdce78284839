# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The raw image decoder gives back the RGB values that were encoded, whatever the layout."""

import array
import math
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.payload import ENCODINGS, ImageError, decode_image

Pixels = NDArray[np.uint8]

CHANNELS = {"rgb": (0, 1, 2), "bgr": (2, 1, 0), "rgba": (0, 1, 2, 3), "bgra": (2, 1, 0, 3)}
COLOUR_8 = [*(f"{order}8" for order in CHANNELS), "8UC3", "8UC4"]
COLOUR_16 = [*(f"{order}16" for order in CHANNELS), "16UC3", "16UC4"]
ORDERS = {"8UC3": "bgr", "8UC4": "bgra", "16UC3": "bgr", "16UC4": "bgra"}
PATTERNS = ("rggb", "bggr", "gbrg", "grbg")

sizes = st.integers(1, 24)
padding = st.integers(0, 7)


def picture(height: int, width: int, seed: int, channels: int = 3) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def lay_out(pixels: NDArray[Any], pad: int, big: bool) -> tuple[int, bytes]:
    """Write rows with `pad` bytes of rubbish after each; return step and data."""
    items = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    rows = [row.tobytes() + b"\xa5" * pad for row in items]
    return len(rows[0]), b"".join(rows)


@given(sizes, sizes, padding, st.sampled_from(COLOUR_8), st.booleans(), st.integers(0, 99))
def test_eight_bit_colour_comes_back_as_it_was(
    height: int, width: int, pad: int, encoding: str, big: bool, seed: int
) -> None:
    rgba = picture(height, width, seed, 4)
    stored = rgba[..., CHANNELS[ORDERS.get(encoding, encoding.removesuffix("8"))]]
    step, data = lay_out(stored, pad, big)
    assert np.array_equal(decode_image(height, width, encoding, big, step, data), rgba[..., :3])


@given(sizes, sizes, padding, st.sampled_from(COLOUR_16), st.booleans(), st.integers(0, 99))
def test_sixteen_bit_colour_of_either_byte_order_is_scaled_by_257(
    height: int, width: int, pad: int, encoding: str, big: bool, seed: int
) -> None:
    rgba = picture(height, width, seed, 4)
    noise = np.random.default_rng(seed).integers(-128, 129, rgba.shape)
    deep = np.clip(rgba.astype(int) * 257 + noise, 0, 65535).astype(np.uint16)
    stored = deep[..., CHANNELS[ORDERS.get(encoding, encoding.removesuffix("16"))]]
    step, data = lay_out(stored, pad, big)
    assert np.array_equal(decode_image(height, width, encoding, big, step, data), rgba[..., :3])


@given(sizes, sizes, padding, st.sampled_from(["mono8", "8UC1"]), st.integers(0, 99))
def test_grey_becomes_three_equal_channels(
    height: int, width: int, pad: int, encoding: str, seed: int
) -> None:
    grey = picture(height, width, seed)[..., 0]
    step, data = lay_out(grey, pad, big=False)
    rgb = decode_image(height, width, encoding, False, step, data)
    assert np.array_equal(rgb, np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
@pytest.mark.parametrize("big", [False, True])
def test_every_sixteen_bit_value_is_rounded_to_the_nearest_eight_bit_one(
    encoding: str, big: bool
) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    step, data = lay_out(values, 3, big)
    rgb = decode_image(256, 256, encoding, big, step, data)
    assert np.array_equal(rgb[..., 0], (values.astype(int) + 128) // 257)


def mosaic_of(rgb: NDArray[Any], pattern: str) -> NDArray[Any]:
    """Sample a picture through a colour filter array named as ROS does, from the top left."""
    height, width, _ = rgb.shape
    channel = np.array(["rgb".index(letter) for letter in pattern]).reshape(2, 2)
    which = np.tile(channel, (height // 2 + 1, width // 2 + 1))[:height, :width]
    return np.take_along_axis(rgb, which[..., None], axis=2)[..., 0]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_hand_made_red_green_and_blue_mosaics_show_their_colour(pattern: str) -> None:
    for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 120, 230]):
        rgb = np.full((6, 8, 3), colour, np.uint8)
        step, data = lay_out(mosaic_of(rgb, pattern), 0, big=False)
        assert np.array_equal(decode_image(6, 8, f"bayer_{pattern}8", False, step, data), rgb)


@given(
    st.integers(3, 24),
    st.integers(3, 24),
    padding,
    st.sampled_from(PATTERNS),
    st.sampled_from([8, 16]),
    st.booleans(),
    st.integers(0, 99),
)
def test_a_demosaiced_picture_keeps_every_sample_of_the_mosaic(
    height: int, width: int, pad: int, pattern: str, bits: int, big: bool, seed: int
) -> None:
    rgb = picture(height, width, seed)
    samples = mosaic_of(rgb if bits == 8 else rgb.astype(np.uint16) * 257, pattern)
    step, data = lay_out(samples, pad, big)
    decoded = decode_image(height, width, f"bayer_{pattern}{bits}", big, step, data)
    inner = (slice(1, -1), slice(1, -1))  # OpenCV fills the border from its neighbours
    assert np.array_equal(mosaic_of(decoded, pattern)[inner], mosaic_of(rgb, pattern)[inner])


def bt601(y: NDArray[Any], u: NDArray[Any], v: NDArray[Any]) -> NDArray[Any]:
    """The textbook conversion, limited range, in floating point."""
    luma, blue, red = 255 / 219 * np.maximum(y - 16.0, 0), u - 128.0, v - 128.0
    colours = (luma + 1.596 * red, luma - 0.391 * blue - 0.813 * red, luma + 2.018 * blue)
    return np.clip(np.stack(colours, axis=-1), 0, 255)


def packed_422(y: Pixels, u: Pixels, v: Pixels, order: str) -> Pixels:
    """Interleave full-size planes; a last odd column is completed with zero luma."""
    width = y.shape[1]
    luma = np.pad(y, ((0, 0), (0, width % 2)))
    pairs = {"y": luma[:, 0::2], "Y": luma[:, 1::2], "u": u[:, 0::2], "v": v[:, 0::2]}
    return np.stack([pairs[letter] for letter in order], axis=-1).reshape(len(y), -1)


YUV_ORDERS = {"uyvy": "uyvY", "yuv422": "uyvY", "yuyv": "yuYv", "yuv422_yuy2": "yuYv"}
planes = st.tuples(sizes, sizes, st.integers(0, 99))


def yuv_planes(size: tuple[int, int, int], across: int, down: int) -> tuple[Pixels, Pixels, Pixels]:
    height, width, seed = size
    y, u, v = np.moveaxis(picture(height, width, seed), -1, 0)
    columns = np.arange(width) // across * across
    rows = np.arange(height) // down * down
    return y, u[np.ix_(rows, columns)], v[np.ix_(rows, columns)]


@given(planes, padding, st.sampled_from(sorted(YUV_ORDERS)))
def test_packed_yuv_422_follows_bt601(size: tuple[int, int, int], pad: int, encoding: str) -> None:
    y, u, v = yuv_planes(size, 2, 1)
    step, data = lay_out(packed_422(y, u, v, YUV_ORDERS[encoding]), pad, big=False)
    rgb = decode_image(*y.shape, encoding, False, step, data)
    assert np.abs(rgb - bt601(y, u, v)).max() <= 2


def semi_planar(y: Pixels, u: Pixels, v: Pixels, encoding: str, pad: int) -> tuple[int, bytes]:
    shared = 1 if encoding == "nv24" else 2
    step = math.ceil(y.shape[1] / shared) * shared + pad
    chroma_step = step * 2 // shared
    pairs = (v, u) if encoding == "nv21" else (u, v)
    chroma = np.stack([p[::shared, ::shared] for p in pairs], axis=-1)
    rows = [row.tobytes().ljust(step, b"\xa5") for row in y]
    rows += [row.tobytes().ljust(chroma_step, b"\xa5") for row in chroma]
    return step, b"".join(rows)


@given(planes, padding, st.sampled_from(["nv12", "nv21", "nv24"]))
def test_semi_planar_yuv_follows_bt601(size: tuple[int, int, int], pad: int, encoding: str) -> None:
    shared = 1 if encoding == "nv24" else 2
    y, u, v = yuv_planes(size, shared, shared)
    step, data = semi_planar(y, u, v, encoding, pad)
    rgb = decode_image(*y.shape, encoding, False, step, data)
    assert np.abs(rgb - bt601(y, u, v)).max() <= 2


@given(planes)
def test_all_yuv_layouts_of_one_picture_give_the_same_pixels(size: tuple[int, int, int]) -> None:
    y, u, v = yuv_planes(size, 2, 2)
    results = []
    for encoding in ("nv12", "nv21", "nv24"):
        step, data = semi_planar(y, u, v, encoding, 0)
        results.append(decode_image(*y.shape, encoding, False, step, data))
    for encoding, order in YUV_ORDERS.items():
        step, data = lay_out(packed_422(y, u, v, order), 0, big=False)
        results.append(decode_image(*y.shape, encoding, False, step, data))
    assert all(np.array_equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize(
    "wrap",
    [
        bytes,
        bytearray,
        memoryview,
        lambda data: array.array("B", data),
        lambda data: np.frombuffer(data, np.uint8),
        lambda data: np.repeat(np.frombuffer(data, np.uint8), 2)[::2],
    ],
    ids=["bytes", "bytearray", "memoryview", "array", "numpy", "strided numpy"],
)
def test_any_buffer_of_bytes_will_do(wrap: Callable[[bytes], Any]) -> None:
    rgb = picture(5, 7, 1)
    assert np.array_equal(decode_image(5, 7, "rgb8", False, 21, wrap(rgb.tobytes())), rgb)


def test_rgb8_is_a_view_on_the_message() -> None:
    data = array.array("B", picture(4, 4, 0).tobytes())
    decoded = decode_image(4, 4, "rgb8", False, 12, data)
    assert np.shares_memory(decoded, np.frombuffer(data, np.uint8))


def rejected(*fields: Any) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode_image(*fields)
    assert isinstance(caught.value, VprError)
    return caught.value


@pytest.mark.parametrize("height, width", [(0, 4), (4, 0), (0, 0)])
def test_an_image_without_pixels_is_refused(height: int, width: int) -> None:
    assert rejected(height, width, "rgb8", False, 12, b"").kind == "empty"


@given(st.sampled_from(ENCODINGS), sizes, sizes)
def test_a_step_shorter_than_a_row_is_refused(encoding: str, height: int, width: int) -> None:
    error = rejected(height + 3, width + 3, encoding, False, width + 2, b"\0" * 9)
    assert error.kind == "step"


@given(st.sampled_from(ENCODINGS), st.integers(3, 9), st.integers(3, 9), st.integers(1, 40))
def test_missing_and_surplus_bytes_are_refused(
    encoding: str, height: int, width: int, bytes_off: int
) -> None:
    step = width * 8 + 1
    chroma = {"nv12": -(-height // 2), "nv21": -(-height // 2), "nv24": 2 * height}
    whole = step * (height + chroma.get(encoding, 0))
    assert decode_image(height, width, encoding, False, step, bytes(whole)).shape[:2] == (
        height,
        width,
    )
    for size in (max(0, whole - bytes_off), whole + bytes_off):
        error = rejected(height, width, encoding, False, step, bytes(size))
        assert error.kind == "size"
        assert str(size) in str(error) and str(whole) in str(error)


@pytest.mark.parametrize("encoding", ["32FC1", "16SC1", "64FC3", "8SC4"])
def test_measurements_are_refused_as_no_picture(encoding: str) -> None:
    error = rejected(2, 2, encoding, False, 8, bytes(16))
    assert error.kind == "encoding"
    assert "not a picture" in str(error)


@pytest.mark.parametrize("encoding", ["", "BGR8", "h264", "8UC2"])
def test_an_unknown_encoding_is_refused_with_the_known_ones(encoding: str) -> None:
    error = rejected(2, 2, encoding, False, 8, bytes(16))
    assert error.kind == "encoding"
    assert repr(encoding) in str(error) and "bayer_rggb8" in str(error)


def test_a_mosaic_too_small_to_interpolate_is_refused() -> None:
    assert rejected(2, 8, "bayer_rggb8", False, 8, bytes(16)).kind == "size"


@pytest.mark.parametrize(
    "encoding",
    [
        *(f"{order}{bits}" for order in CHANNELS for bits in (8, 16)),
        *(f"bayer_{pattern}{bits}" for pattern in PATTERNS for bits in (8, 16)),
        *("mono8", "mono16", "yuv422", "yuv422_yuy2"),
    ],
)
def test_cv_bridge_decodes_to_the_same_pixels(encoding: str) -> None:
    """Little-endian and unpadded only: cv_bridge reads nothing else correctly."""
    try:
        from cv_bridge import CvBridge
        from sensor_msgs.msg import Image
    except (ImportError, AttributeError) as error:  # NumPy 2 breaks it with either
        pytest.skip(f"cv_bridge does not import here: {error}")
    assert sys.byteorder == "little"
    item_bytes = 2 if encoding.endswith("16") else 1
    channels = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4}.get(encoding.rstrip("0123456789"), 1)
    if encoding.startswith("yuv"):
        channels = 2
    height, step = 12, 16 * channels * item_bytes
    data = array.array("B", np.random.default_rng(7).bytes(height * step))
    message = Image(
        height=height, width=16, encoding=encoding, is_bigendian=0, step=step, data=data
    )
    try:
        expected = CvBridge().imgmsg_to_cv2(message, "rgb8")
    except (RuntimeError, TypeError, AttributeError, KeyError, cv2.error) as error:
        pytest.skip(f"this cv_bridge cannot convert {encoding}: {error}")
    assert np.array_equal(decode_image(height, 16, encoding, False, step, data), expected)
