# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Frames from a video file, through OpenCV."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.folder import IMAGE_SUFFIXES
from floppynet_vpr.datasets.frames import WHOLE, Frame, FramesMissing, Stretch, raising
from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.payload import ImageError

# FFmpeg would draw any text file as a film of scrolling letters, so the suffix has to be right.
VIDEO_SUFFIXES: Final = (
    *(".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".wmv", ".flv", ".ogv", ".3gp", ".mjpeg", ".mjpg", ".h264", ".h265", ".hevc", ".y4m"),
)
"""Suffixes of the files taken for videos, in lower or upper case."""


# These containers count their frames; of others OpenCV estimates the number from the duration,
# which may be that of the sound.
_COUNTING: Final = (".mp4", ".m4v", ".mov", ".3gp", ".avi")
_SOUND_LONGER_S: Final = 0.5


class VideoFile:
    """The frames of a video; stamps are its own times from 0, names follow from frame numbers.

    The length is the container's word, an estimate: decoding a damaged or oddly cut video can end
    before it. A rotation noted in the container is ignored, like an image's EXIF orientation.
    """

    def __init__(self, file: Path, *, rate_hz: float = 10.0, every: int = 1) -> None:
        """Look into the file and close it again.

        `rate_hz` is used only if the container does not say. Of frames that are not taken no pixels
        are made. Raises VprError for no video, or one of which not a single frame decodes.
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

    def pending(
        self, only: Sequence[int] | None = None, since_ns: int | None = None
    ) -> Iterator[Callable[[], Frame]]:
        """Give the functions that finish the frames, decoded in order; see `FrameSource`."""
        promised = range(0, self._frames, self._every) if only is None else only
        chosen = None if only is None else frozenset(only)
        read, stamp_ns = 0, 0
        for number, stamp_ns, capture in self._grabbed():
            read = number + 1
            if number % self._every == 0 if chosen is None else number in chosen:
                decoded, bgr = capture.retrieve()
                yield partial(self._frame, number, stamp_ns, bgr if decoded else None)
            if only is not None and read > only[-1]:
                return
        if self._ended_early(read, stamp_ns):
            yield raising(
                FramesMissing(
                    f"{self._file} gave {read} of the {self._frames} frames that it should have: "
                    "it is damaged or was cut off",
                    sum(number >= read for number in promised),
                )
            )

    def stretches(self, most: int) -> list[Stretch]:
        """One: a frame of a video can be decoded only after those before it."""
        return [WHOLE]

    def count(self) -> int:
        """Count the frames by reading them; of a file that was cut off, those it should have."""
        stamps = [stamp_ns for _, stamp_ns, _ in self._grabbed()]
        whole = not self._ended_early(len(stamps), stamps[-1])
        return -(-len(stamps) // self._every) if whole else len(self)

    def _grabbed(self) -> Iterator[tuple[int, int, cv2.VideoCapture]]:
        """Go from frame to frame: its number, its stamp, and what would give its pixels."""
        number, begin_ms, time_ms = 0, 0.0, 0.0
        capture = self._open()
        try:
            while capture.grab():
                at_ms = float(capture.get(cv2.CAP_PROP_POS_MSEC))
                begin_ms = begin_ms if number else at_ms
                if number and not at_ms > time_ms:  # the container has no times
                    at_ms = time_ms + 1000 / self._rate_hz
                time_ms = at_ms
                yield number, round((time_ms - begin_ms) * 1e6), capture
                number += 1
        finally:
            capture.release()

    def _ended_early(self, frames: int, last_ns: int) -> bool:
        """Tell whether more is missing than a container's estimate of its length may be off."""
        if frames + 1 >= self._frames:
            return False
        if self._file.suffix.lower() in _COUNTING:
            return True
        return (self._frames - 1) / self._rate_hz - last_ns / 1e9 > _SOUND_LONGER_S

    def _frame(self, index: int, stamp_ns: int, bgr: NDArray[Any] | None) -> Frame:
        if bgr is None:
            raise ImageError("compressed", f"frame {index} of {self._file} cannot be decoded")
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        return Frame(f"{self.label}#{index:06d}", stamp_ns, rgb)

    def _open(self) -> cv2.VideoCapture:
        if self._file.suffix.lower() not in VIDEO_SUFFIXES:
            raise VprError(_why_not(self._file))
        # FFmpeg takes what stands before a colon for a protocol, unless a folder comes first.
        name = str(self._file.absolute())
        with self._file.open("rb") as file:
            if not name.isprintable():  # a name that is no UTF-8 crashes OpenCV
                name = f"/dev/fd/{file.fileno()}"
            capture = cv2.VideoCapture(name)
        if not capture.isOpened():
            raise VprError(f"{self._file} is no video that OpenCV can read, or a damaged one")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        return capture


def _why_not(file: Path) -> str:
    if file.name.endswith(".bag.active"):
        return (
            f"{file} is a ROS 1 bag whose recording was not ended: `rosbag reindex {file}`, then "
            "name it .bag"
        )
    if file.suffix.lower() in IMAGE_SUFFIXES:
        return f"{file} is a single image: name the folder it is in"
    return (
        f"{file} is no video (looked for {', '.join(VIDEO_SUFFIXES)}), "
        "nor a bag or a folder of images"
    )
