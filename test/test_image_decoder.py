# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node has cv_bridge unpack raw images where that is sound, and sees the same without it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import Client, StartNode, image_message, picture
from sensor_msgs.msg import CompressedImage, Image

from floppynet_vpr.imaging.payload import UNPACKED, ImageError, decode_image
from floppynet_vpr.ros.image_decoder import ImageDecoder, Trial, try_cv_bridge

# Unpacks as the cv_bridge of ROS 2 does: what it is, by the names of encodings; then by NumPy.
STAND_IN = """
import re
import numpy as np

class CvBridge:
    def imgmsg_to_cv2(self, message, desired_encoding):
        assert desired_encoding == "passthrough"
        name = message.encoding
        if re.fullmatch(r"(rgb|bgr)a?(8|16)", name):
            bits, channels = (8 if name.endswith("8") else 16), 4 if "a" in name else 3
        elif re.fullmatch(r"(mono|bayer_[rgb]{4})(8|16)", name):
            bits, channels = (8 if name.endswith("8") else 16), 1
        elif found := re.fullmatch(r"(8|16)UC([1-4])", name):
            bits, channels = int(found[1]), int(found[2])
        elif name in ("yuv422", "yuv422_yuy2"):
            bits, channels = 8, 2
        else:
            raise RuntimeError(f"Unrecognized image encoding [{name}]")
        kind = np.dtype(f"{'>' if message.is_bigendian else '<'}u{bits // 8}")
        shape = (message.height, message.step // kind.itemsize // channels, channels)
        pixels = np.ndarray(shape, kind, message.data)[:, : message.width]
        return np.ascontiguousarray(pixels[:, :, 0] if channels == 1 else pixels)
"""
UNKNOWN_TO_IT = {"uyvy", "yuyv"}
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a cv_bridge of this source in front of all others, here and for processes."""
    folder = tmp_path / "site"

    def put(source: str) -> None:
        package = folder / "cv_bridge"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(source)
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    yield put
    sys.modules.pop("cv_bridge", None)


def message_of(encoding: str, pad: int = 0, big: bool = False) -> Image:
    """Random data of 7 rows and 10 columns."""
    step = 10 * UNPACKED[encoding].pixel_bytes + pad
    message = Image(height=7, width=10, encoding=encoding, step=step, is_bigendian=int(big))
    message.data.frombytes(np.random.default_rng(3).bytes(7 * step))
    return message


def assert_decoded_alike(decoder: ImageDecoder, message: Image) -> None:
    own = ImageDecoder("/image", Trial(frozenset()), pytest.fail).decode(message)
    assert np.array_equal(decoder.decode(message), own)


def test_an_absent_cv_bridge_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert str(try_cv_bridge()) == "this package (cv_bridge is not installed)"


def test_a_sound_cv_bridge_unpacks_and_pixels_are_the_same(install: Install) -> None:
    install(STAND_IN)
    trial = try_cv_bridge()
    assert trial.encodings == set(UNPACKED) - UNKNOWN_TO_IT
    assert str(trial) == "cv_bridge, uyvy, yuyv by this package"
    decoder = ImageDecoder("/image", trial, pytest.fail)
    bridge, asked = decoder._bridge, list[str]()

    class Watched:
        def imgmsg_to_cv2(self, message: Image, desired_encoding: str) -> object:
            asked.append(message.encoding)
            return bridge.imgmsg_to_cv2(message, desired_encoding)

    decoder._bridge = Watched()
    for encoding in UNPACKED:
        assert_decoded_alike(decoder, message_of(encoding))
    assert set(asked) == set(trial.encodings)
    asked.clear()
    for encoding in UNPACKED:  # what it would get wrong
        assert_decoded_alike(decoder, message_of(encoding, pad=5))
        assert_decoded_alike(decoder, message_of(encoding, big=True))
    assert not asked
    short = message_of("rgb8")
    short.data = short.data[:-1]
    with pytest.raises(ImageError, match="cut off"):
        decoder.decode(short)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise ImportError('numpy.core.multiarray failed to import')", "multiarray failed"),
        ("raise AttributeError('_ARRAY_API not found')", "_ARRAY_API not found"),
        ("import os; os.abort()", "it ends the process with SIGABRT"),
        (STAND_IN.replace("kind, message", "'u1', message"), "mono16"),
        (STAND_IN + "\n    imgmsg_to_cv2 = None\n", "it unpacks no encoding rightly"),
    ],
    ids=["import error", "numpy 2", "abort", "16 bits wrong", "useless"],
)
def test_what_is_not_sound_is_left_to_this_package(
    install: Install, source: str, told: str
) -> None:
    install(source)
    trial = try_cv_bridge()
    assert told in str(trial)
    assert not {encoding for encoding in trial.encodings if "16" in encoding}
    decoder = ImageDecoder("/image", trial, pytest.fail)
    for encoding in UNPACKED:
        assert_decoded_alike(decoder, message_of(encoding))


def test_a_cv_bridge_that_fails_later_is_told_and_not_used_again(install: Install) -> None:
    install(STAND_IN)
    warnings = list[str]()
    decoder = ImageDecoder("/image", Trial(frozenset({"rgb8"})), warnings.append)

    class Failing:
        def imgmsg_to_cv2(self, message: Image, desired_encoding: str) -> object:
            raise RuntimeError("no more")

    decoder._bridge = Failing()
    for _ in range(3):
        assert_decoded_alike(decoder, message_of("rgb8"))
    assert len(warnings) == 1 and "no more" in warnings[0]
    assert "no more" in decoder.description


def test_the_installed_cv_bridge_is_sound_or_it_is_said_why_not() -> None:
    trial = try_cv_bridge()
    if not trial.encodings:
        pytest.skip(f"raw images are unpacked by {trial}")
    decoder = ImageDecoder("/image", trial, pytest.fail)
    for encoding in UNPACKED:
        assert_decoded_alike(decoder, message_of(encoding))


@pytest.mark.parametrize("source", [STAND_IN, "import os; os.abort()"], ids=["sound", "abort"])
def test_the_node_says_by_whom_images_are_unpacked_and_answers_alike(
    start_node: StartNode, client: Client, install: Install, source: str
) -> None:
    install(source)
    node = start_node(
        mode="both",
        matching="rigid",
        sequence="none",
        threshold=0.05,
        exclude_images=0,
        exclude_seconds=0.0,
    )
    told = "cv_bridge, uyvy" if source is STAND_IN else "this package (the installed cv_bridge"
    node.wait_for_log(f"raw images are unpacked by {told}")
    publisher = client.image_publisher()
    plain = image_message(picture(0), 1)
    padded = image_message(picture(0), 2)  # which this package unpacks in any case
    padded.step += 7
    rows = np.zeros((padded.height, padded.step), np.uint8)
    rows[:, : 3 * padded.width] = picture(0).reshape(padded.height, -1)
    padded.data = type(padded.data)("B", rows.tobytes())
    publisher.publish(plain)
    client.wait_for_answers(1)
    publisher.publish(padded)
    answer = client.wait_for_answers(2)[1]
    assert answer.detected
    values = client.wait_for_diagnostics(lambda v: "raw images unpacked by" in v)
    assert values["raw images unpacked by"].startswith(told)


@pytest.mark.parametrize("topic", ["/camera/depth/image_raw", "/spot/depth_front", "/depth"])
def test_images_of_depth_are_refused_by_their_topic(topic: str) -> None:
    image = message_of("16UC1")
    compressed = CompressedImage(format="16UC1; png compressed ")
    for message in (image, compressed):
        with pytest.raises(ImageError, match="topic_tools relay"):
            ImageDecoder(topic, Trial(frozenset()), pytest.fail).decode(message)
    assert ImageDecoder("/thermal", Trial(frozenset()), pytest.fail).decode(image).any()
    assert ImageDecoder(topic, Trial(frozenset()), pytest.fail).decode(message_of("mono8")).any()


def test_a_camera_s_bits_are_kept_from_image_to_image() -> None:
    decoder = ImageDecoder("/image", Trial(frozenset()), pytest.fail)

    def seen(largest: int) -> int:
        data = np.full((4, 4), largest, np.uint16)
        message = Image(height=4, width=4, encoding="mono16", step=8)
        message.data.frombytes(data.tobytes())
        return int(decoder.decode(message).max())

    assert [seen(value) for value in (1023, 4095, 1023, 4095)] == [255, 255, 64, 255]


def test_all_16_bits_are_decoded_as_without_a_camera() -> None:
    message = message_of("mono16")
    message.data[:2] = type(message.data)("B", b"\xff\xff")
    expected = decode_image(7, 10, "mono16", False, 20, message.data)
    decoder = ImageDecoder("/image", Trial(frozenset()), pytest.fail)
    assert np.array_equal(decoder.decode(message), expected)
