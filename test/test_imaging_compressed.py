# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Compressed images decode to the pixels that were stored, and damage is noticed."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr.imaging.payload import ImageError, decode_compressed, decode_image

RNG = np.random.default_rng(3)
RGB = cv2.GaussianBlur(RNG.integers(0, 256, (40, 64, 3), np.uint8), (5, 5), 2)
BGR = np.ascontiguousarray(RGB[..., ::-1])
GREY = np.ascontiguousarray(RGB[..., 1])


def encode(extension: str, pixels: np.ndarray) -> bytes:
    written, data = cv2.imencode(extension, pixels)
    assert written
    return bytes(data.tobytes())


@pytest.mark.parametrize(
    "format", ["", "png", "bgr8; png compressed bgr8", "rgb8; png compressed bgr8"]
)
def test_png_is_exact_whatever_the_format_field_says(format: str) -> None:
    assert np.array_equal(decode_compressed(encode(".png", BGR), format), RGB)


@pytest.mark.parametrize(
    "format", ["", "jpeg", "jpg", "bgr8; jpeg compressed bgr8", "rgb8; jpeg compressed bgr8"]
)
def test_jpeg_gives_the_pixels_opencv_decodes_in_rgb_order(format: str) -> None:
    data = encode(".jpg", BGR)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    decoded = decode_compressed(data, format)
    assert np.array_equal(decoded, expected)
    assert np.abs(decoded.astype(int) - RGB).mean() < 4


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tiff", ".ppm"])
def test_lossless_codecs_agree(extension: str) -> None:
    assert np.array_equal(decode_compressed(encode(extension, BGR)), RGB)


def test_grey_and_alpha_files_become_rgb() -> None:
    grey = decode_compressed(encode(".png", GREY), "mono8; png compressed mono8")
    assert np.array_equal(grey, np.stack([GREY] * 3, axis=-1))
    alpha = np.dstack([BGR, GREY])
    assert np.array_equal(decode_compressed(encode(".png", alpha)), RGB)


@given(st.integers(0, 2**32 - 1))
def test_a_sixteen_bit_png_equals_the_raw_message_it_was_made_from(seed: int) -> None:
    deep = np.random.default_rng(seed).integers(0, 65536, (6, 5, 3), np.uint16)
    raw = decode_image(6, 5, "bgr16", False, 30, deep.astype("<u2").tobytes())
    packed = decode_compressed(encode(".png", deep), "bgr16; png compressed bgr16")
    assert np.array_equal(raw, packed)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_compressed_mosaic_equals_the_raw_mosaic(bits: int) -> None:
    mosaic = RNG.integers(0, 2**bits, (8, 10)).astype(f"<u{bits // 8}")
    encoding = f"bayer_gbrg{bits}"
    raw = decode_image(8, 10, encoding, False, 10 * bits // 8, mosaic.tobytes())
    packed = decode_compressed(encode(".png", mosaic), f"{encoding}; png compressed ")
    assert np.array_equal(raw, packed)


@pytest.mark.parametrize(
    "format", ["bayer_rggb8; jpeg compressed mono8", "bayer_rggb8; jpeg compressed bgr8"]
)
def test_a_mosaic_the_driver_had_already_converted_is_left_alone(format: str) -> None:
    picture = GREY if format.endswith("mono8") else BGR
    data = encode(".png", picture)
    assert np.array_equal(decode_compressed(data, format), decode_compressed(data))


def test_exif_orientation_is_ignored() -> None:
    data = encode(".jpg", BGR)
    turned = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)
    segment = b"\xff\xe1" + struct.pack(">H", 8 + len(turned)) + b"Exif\0\0" + turned
    with_exif = data[:2] + segment + data[2:]
    shown = cv2.imdecode(np.frombuffer(with_exif, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (64, 40, 3), "the file must really ask for a quarter turn"
    assert np.array_equal(decode_compressed(with_exif), decode_compressed(data))


def kind_of(data: bytes, format: str = "") -> str:
    with pytest.raises(ImageError) as caught:
        decode_compressed(data, format)
    return caught.value.kind


@given(st.sampled_from([".jpg", ".png"]), st.floats(0.01, 0.99))
def test_a_file_cut_off_anywhere_is_refused(extension: str, kept: float) -> None:
    data = encode(extension, BGR)
    assert kind_of(data[: max(1, int(kept * len(data)))], "jpeg") == "compressed"


@given(st.binary(min_size=1, max_size=200))
def test_rubbish_is_refused(data: bytes) -> None:
    assert kind_of(data) == "compressed"


def test_no_data_is_refused() -> None:
    assert kind_of(b"", "jpeg") == "empty"


@pytest.mark.parametrize(
    "format", ["16UC1; compressedDepth png", "32FC1; compressedDepth", "compresseddepth rvl"]
)
def test_compressed_depth_is_refused_with_its_format(format: str) -> None:
    with pytest.raises(ImageError, match="depth image") as caught:
        decode_compressed(encode(".png", GREY), format)
    assert caught.value.kind == "encoding"
    assert format in str(caught.value)


def test_a_floating_point_file_is_refused() -> None:
    assert kind_of(encode(".tiff", GREY.astype(np.float32))) == "encoding"


def test_a_cut_jpeg_is_refused_though_its_thumbnail_is_whole() -> None:
    data = encode(".jpg", BGR)
    thumbnail = encode(".jpg", BGR[::8, ::8].copy())
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    whole = data[:2] + segment + data[2:]
    assert np.array_equal(decode_compressed(whole), decode_compressed(data))
    assert kind_of(whole[:-100], "jpeg") == "compressed"


def test_padding_behind_a_jpeg_does_no_harm() -> None:
    data = encode(".jpg", BGR)
    assert np.array_equal(decode_compressed(data + bytes(64)), decode_compressed(data))


def test_a_video_behind_a_jpeg_does_no_harm() -> None:
    """Motion Photos are such files; the video's bytes may look like markers."""
    data = encode(".jpg", BGR)
    assert np.array_equal(decode_compressed(data + b"ftyp\xff\xda"), decode_compressed(data))


def test_a_jpeg_that_lacks_only_its_end_marker_is_whole() -> None:
    data = encode(".jpg", BGR)
    assert np.array_equal(decode_compressed(data[:-2]), decode_compressed(data))


@pytest.mark.parametrize("missing", [*range(4, 40), 100, 300])
def test_a_jpeg_that_lacks_more_is_refused_unless_it_makes_no_difference(missing: int) -> None:
    data = encode(".jpg", BGR)
    try:
        decoded = decode_compressed(data[:-missing])
    except ImageError as error:
        assert error.kind == "compressed"
    else:
        assert np.array_equal(decoded, decode_compressed(data))


@pytest.mark.parametrize("name", ["motion_photo_0", "motion_photo_2", "trunc_eoi_missing"])
def test_pictures_from_the_field_are_what_every_viewer_shows(name: str, data_dir: Path) -> None:
    data = (data_dir / "field" / f"{name}.jpg").read_bytes()
    shown = cv2.imdecode(np.frombuffer(data + b"\xff\xd9", np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decode_compressed(data), shown[..., ::-1])
