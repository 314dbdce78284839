# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One interface to every source of images: a folder, a video or a bag.

Whatever walks along images (building a map, evaluating, making a bag) asks `open_source` for
frames and need not know where they come from. Frames are read one at a time, so that an hour of
video takes no more memory than a second of it.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.payload import ImageError

STORAGE_SUFFIXES: Final = (".mcap", ".db3")
"""Suffixes of the files inside a rosbag2."""


@dataclass(frozen=True)
class Frame:
    """One image of a traverse.

    Attributes:
        name: what a person would call it: the file, or the bag or video and an index.
        stamp_ns: when it was seen, nanoseconds. Folders and videos begin at 0, a bag has its
            camera's clock.
        rgb: (H, W, 3) uint8, the pixels as stored (no EXIF orientation).
        encoded: the image file that alone decodes to `rgb`, where the source keeps such files; it
            lets a bag take a JPEG as it is.
    """

    name: str
    stamp_ns: int
    rgb: NDArray[np.uint8]
    encoded: bytes | None = None


class FrameSource(Protocol):
    """A traverse that can be walked along any number of times.

    Attributes:
        label: what a person would call the source, for messages and progress bars.
    """

    label: str

    def __len__(self) -> int:
        """Tell how many frames there are; of a video, how many its container claims."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Read the frames in order, from the first."""
        ...

    def pending(self) -> Iterator[Callable[[], Frame]]:
        """Give for each frame, in order, the function that decodes it, in any thread."""
        ...


def open_source(
    path: Path, *, topic: str | None = None, rate_hz: float = 10.0, every: int = 1
) -> FrameSource:
    """Open a folder of images, a video file or a rosbag2, told apart by looking.

    Args:
        path: the folder, the video, the bag's folder or a storage file (.mcap, .db3) of one.
        topic: the bag's image topic; None takes the only one there is.
        rate_hz: frames per second, for sources that do not say when their images were taken.
        every: take every n-th frame, the first included.

    Raises:
        VprError: nothing there, nothing readable, no images, or several topics to choose from.
    """
    # The kinds import this module for Frame; and a folder of images needs no bag reader.
    from floppynet_vpr.datasets.bags_reading import BagFrames
    from floppynet_vpr.datasets.folder import ImageFolder
    from floppynet_vpr.datasets.video import VideoFile

    if every < 1:
        raise VprError(f"every must be at least 1 (every n-th frame), not {every}")
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        raise VprError(f"the rate must be a positive number of frames per second, not {rate_hz}")
    path = Path(path)
    if not path.exists():
        raise VprError(f"{path} does not exist: name a folder of images, a video or a rosbag2")
    if looks_like_bag(path):
        return BagFrames(path, topic=topic, every=every)
    if topic is not None:
        raise VprError(f"{path} is no rosbag2 and so has no topic {topic}: leave the topic out")
    if path.is_dir():
        return ImageFolder(path, rate_hz=rate_hz, every=every)
    return VideoFile(path, rate_hz=rate_hz, every=every)


def usable(
    pending: Iterable[Callable[[], Frame]], skipped: Callable[[ImageError], object]
) -> Iterator[Frame]:
    """Decode the frames in order; those that cannot be are told to `skipped` and left out."""
    for load in pending:
        try:
            frame = load()
        except ImageError as error:
            skipped(error)
        else:
            yield frame


def looks_like_bag(path: Path) -> bool:
    """Tell whether a path is a rosbag2, sound or not, or a storage file of one."""
    if path.is_file():
        return path.suffix in STORAGE_SUFFIXES
    return (path / "metadata.yaml").is_file() or any(
        suffix in entry.suffixes for entry in path.glob("*") for suffix in STORAGE_SUFFIXES
    )


def natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key that puts image10 after image9.

    Runs of digits compare as numbers, everything else as text without regard to case; names that
    differ only in case or leading zeros keep one order, too.
    """
    parts = re.split(r"([0-9]+)", name)
    key = [
        (int(part), "") if index % 2 else (-1, part.casefold()) for index, part in enumerate(parts)
    ]
    return (*key, (-1, name))


def stamp_of(index: int, rate_hz: float) -> int:
    """Return the time of a frame of an even rate, in nanoseconds from the first."""
    return round(index * 1e9 / rate_hz)
