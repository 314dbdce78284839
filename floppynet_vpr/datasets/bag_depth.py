# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Depth and CameraInfo from a bag, to go with the images of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.bag_files import open_bag
from floppynet_vpr.datasets.bag_poses import read_messages
from floppynet_vpr.datasets.bags_reading import BagFrames
from floppynet_vpr.datasets.depth_topics import CAMERA_INFO, RAW, info_topic_of, is_rectified
from floppynet_vpr.datasets.frames import FrameSource
from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.camera_model import CameraModel
from floppynet_vpr.imaging.depth_image import decode_depth
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.stamps import SECOND_NS, nanoseconds

_TOLERANCE_NS: Final = SECOND_NS // 50
_KEPT_NS: Final = 2 * SECOND_NS


class BagCamera(NamedTuple):
    """A camera of a bag, and the frame its images are in (REP 103's optical one)."""

    model: CameraModel
    frame: str


def read_camera(path: Path, image_topic: str, info_topic: str | None = None) -> BagCamera:
    """Read the CameraInfo of a bag's image topic, the first that there is.

    It is on `info_topic`, or camera_info beside the images. Raises VprError where the bag has none,
    or one that is of no use.
    """
    wanted = "/" + (info_topic or info_topic_of(image_topic)).lstrip("/")
    topic = _topic(path, CAMERA_INFO, wanted, "--camera-info TOPIC")
    for _, _, info in read_messages(path, topic=topic):
        try:
            model = CameraModel.of_info(
                info.width,
                info.height,
                info.distortion_model,
                info.d.tolist(),
                info.k.tolist(),
                info.p.tolist(),
                is_rectified(image_topic),
            )
        except VprError as error:
            raise VprError(f"topic {topic} of the bag {path}: {error}") from None
        return BagCamera(model, info.header.frame_id.strip("/"))
    raise VprError(f"topic {topic} of the bag {path} has no messages")


def open_depth(
    path: Path, source: FrameSource, topic: str, info_topic: str | None = None
) -> tuple[BagCamera, BagDepth]:
    """Open the depth of a bag's images, on `topic`, with the camera that they are of.

    Raises VprError where the source is no bag, or has no such topics, or they do not fit.
    """
    if not isinstance(source, BagFrames):
        raise VprError(f"{path} is no bag, so it has no depth: leave --depth out")
    camera = read_camera(path, source.topic, info_topic)
    camera.model.require_size(next(iter(source)).rgb)
    return camera, BagDepth(path, topic, camera.frame)


class BagDepth:
    """The images of depth of a bag, asked for in the order of time.

    `missed` counts the times that had none.
    """

    def __init__(self, path: Path, topic: str, frame: str) -> None:
        """Look for the topic; `frame` is that of the images that depth has to be aligned to.

        Raises VprError where the bag has no such topic.
        """
        self._path = path
        self._frame = frame
        self.topic = _topic(path, RAW, "/" + topic.lstrip("/"), "--depth TOPIC")
        self._coming = self._read()
        self._kept: deque[tuple[int, Any]] = deque()
        self._ended = False
        self.missed = 0

    def at(self, stamp_ns: int) -> NDArray[np.float32] | None:
        """Give the depth (H, W) float32, metres, of an image with this stamp; None without one.

        A stamp that is within 20 ms is the same. Raises VprError for depth that cannot be used.
        """
        while not self._ended and (not self._kept or self._kept[-1][0] < stamp_ns + _TOLERANCE_NS):
            one = next(self._coming, None)
            self._ended = one is None
            # What is passed over while nothing is asked for must not pile up.
            while self._kept and self._kept[0][0] < stamp_ns - _KEPT_NS:
                self._kept.popleft()
            if one is not None:
                self._kept.append(one)
        near = min(self._kept, key=lambda one: abs(one[0] - stamp_ns), default=None)
        if near is None or abs(near[0] - stamp_ns) > _TOLERANCE_NS:
            self.missed += 1
            return None
        return self._decode(near[1])

    def _read(self) -> Iterator[tuple[int, Any]]:
        for _, received_ns, message in read_messages(self._path, topic=self.topic):
            yield nanoseconds(message.header.stamp) or received_ns, message

    def _decode(self, message: Any) -> NDArray[np.float32]:
        frame = message.header.frame_id.strip("/")
        if frame and self._frame and frame != self._frame:
            raise VprError(
                f"topic {self.topic} of the bag {self._path} is depth in the frame {frame}, the "
                f"images are in {self._frame}: record depth that is aligned to the colour image"
            )
        try:
            return decode_depth(message)
        except ImageError as error:
            raise VprError(f"topic {self.topic} of the bag {self._path}: {error}") from None


def _topic(path: Path, msgtype: str, wanted: str, option: str) -> str:
    with open_bag(path) as bag:
        names = sorted({c.topic for c in bag.connections if c.msgtype == msgtype})
    for name in names:
        if name.lstrip("/") == wanted.lstrip("/"):
            return name
    raise VprError(
        f"the bag {path} has no {msgtype} on {wanted}; it has: {', '.join(names) or 'none'} "
        f"(name one with {option})"
    )
