# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Frames from a video file, through OpenCV."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.folder import IMAGE_SUFFIXES
from floppynet_vpr.datasets.frames import Frame, stamp_of
from floppynet_vpr.errors import VprError

# FFmpeg would draw any text file as a film of scrolling letters, so the suffix has to be right.
VIDEO_SUFFIXES: Final = (
    *(".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".wmv", ".flv", ".ogv", ".3gp", ".mjpeg", ".mjpg", ".h264", ".h265", ".hevc", ".y4m"),
)
"""Suffixes of the files taken for videos, in lower or upper case."""


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
        return (load() for load in self.pending())

    def pending(self) -> Iterator[Callable[[], Frame]]:
        """Give the functions that finish the frames, decoded in order; see `FrameSource`."""
        capture = self._open()
        try:
            index = 0
            while capture.grab():
                if index % self._every == 0:
                    decoded, bgr = capture.retrieve()
                    if not decoded:
                        raise VprError(f"frame {index} of {self._file} cannot be decoded")
                    yield partial(self._frame, index, bgr)
                index += 1
        finally:
            capture.release()

    def _frame(self, index: int, bgr: NDArray[Any]) -> Frame:
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        return Frame(f"{self.label}#{index:06d}", stamp_of(index, self._rate_hz), rgb)

    def _open(self) -> cv2.VideoCapture:
        if self._file.suffix.lower() not in VIDEO_SUFFIXES:
            raise VprError(_why_not(self._file))
        capture = cv2.VideoCapture(str(self._file))
        if not capture.isOpened():
            raise VprError(f"{self._file} is no video that OpenCV can read, or a damaged one")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        return capture


def _why_not(file: Path) -> str:
    if file.suffix == ".bag":
        return (
            f"{file} is a ROS 1 bag: convert it first, with "
            f"`rosbags-convert --src {file} --dst {file.stem}`"
        )
    if file.suffix.lower() in IMAGE_SUFFIXES:
        return f"{file} is a single image: name the folder it is in"
    return (
        f"{file} is no video (looked for {', '.join(VIDEO_SUFFIXES)}), "
        "nor a rosbag2 or a folder of images"
    )
