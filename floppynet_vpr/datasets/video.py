# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Frames from a video file, through OpenCV."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from floppynet_vpr.datasets.folder import IMAGE_SUFFIXES
from floppynet_vpr.datasets.frames import Frame, stamp_of
from floppynet_vpr.errors import VprError


class VideoFile:
    """The frames of a video; stamps follow from its frame rate, names from its frame numbers.

    The length is the container's word, an estimate: decoding a damaged or oddly cut video can end
    before it. A rotation noted in the container is ignored, like an image's EXIF orientation.
    """

    def __init__(self, file: Path, *, rate_hz: float = 10.0, every: int = 1) -> None:
        """Look into the file and close it again.

        Args:
            file: any video OpenCV can decode.
            rate_hz: frames per second, used only if the container does not say.
            every: take every n-th frame; the others are skipped undecoded where possible.

        Raises:
            VprError: no video, or one of which not a single frame decodes.
        """
        self.label = file.name
        self._file = file
        self._every = every
        capture = self._open()
        try:
            frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            fps = float(capture.get(cv2.CAP_PROP_FPS))
            if not capture.grab():
                raise VprError(f"{file} has no frame that OpenCV can decode")
        finally:
            capture.release()
        self._frames = max(1, frames)
        self._rate_hz = fps if 0 < fps < 1e6 else rate_hz

    def __len__(self) -> int:
        return -(-self._frames // self._every)

    def __iter__(self) -> Iterator[Frame]:
        capture = self._open()
        try:
            index = 0
            while capture.grab():
                if index % self._every == 0:
                    decoded, bgr = capture.retrieve()
                    if not decoded:
                        raise VprError(f"frame {index} of {self._file} cannot be decoded")
                    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
                    yield Frame(f"{self.label}#{index:06d}", stamp_of(index, self._rate_hz), rgb)
                index += 1
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        if self._file.suffix == ".bag":
            raise VprError(
                f"{self._file} is a ROS 1 bag: convert it first, with "
                f"`rosbags-convert --src {self._file} --dst {self._file.stem}`"
            )
        if self._file.suffix.lower() in IMAGE_SUFFIXES:
            raise VprError(f"{self._file} is a single image: name the folder it is in")
        capture = cv2.VideoCapture(str(self._file))
        if not capture.isOpened():
            raise VprError(
                f"{self._file} is no video that OpenCV can read (nor a rosbag2, nor a folder)"
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        return capture
