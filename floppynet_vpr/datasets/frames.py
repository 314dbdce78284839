# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What every source of images gives: frames, one at a time.

An hour of video takes no more memory than a second of it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.ahead import ahead
from floppynet_vpr.imaging.payload import ImageError


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


@dataclass(frozen=True)
class Stretch:
    """Frames of a source, one after the other, that can be read without those before them.

    Attributes:
        numbers: of the frames in the whole source, ascending; None: all that there are.
        since_ns: when the message of the first was recorded, where a bag need not be read from its
            beginning.
    """

    numbers: Sequence[int] | None = None
    since_ns: int | None = None


WHOLE = Stretch()

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Wraps what is made of the frames of a traverse (their number, a label), to show how far it is."""


class FrameSource(Protocol):
    """A traverse that can be walked along any number of times.

    Attributes:
        label: what a person would call the source, for messages and progress bars.
    """

    label: str

    def __len__(self) -> int:
        """Tell how many frames there are; of a video, how many its container claims."""

    def __iter__(self) -> Iterator[Frame]:
        """Read the frames in order, from the first."""

    def pending(
        self, only: Sequence[int] | None = None, since_ns: int | None = None
    ) -> Iterator[Callable[[], Frame]]:
        """Give for each frame, in order, the function that decodes it, in any thread.

        `only` are numbers of frames of the whole source, ascending, in place of every n-th, and
        `since_ns` where to begin reading, as a `Stretch` tells. Where
        the source ends before it has given all that it promises, one more function follows, which
        raises `FramesMissing`.
        """

    def stretches(self, most: int) -> list[Stretch]:
        """Cut the source into stretches of at most `most` frames, where it can be cut.

        Read one after the other they give what `pending` gives.
        """


class FramesMissing(ImageError):
    """A source ended before it had given all the frames that it promises.

    Attributes:
        frames: how many of those wanted are missing.
    """

    def __init__(self, text: str, frames: int) -> None:
        """Say in `text` what gave how many of how many."""
        super().__init__("missing", text)
        self.frames = frames

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.frames)


def cut(numbers: range, most: int) -> list[range]:
    """Cut a range into runs of at most `most` numbers, as even as can be."""
    runs = -(-len(numbers) // most)
    edges = [len(numbers) * run // runs for run in range(runs + 1)]
    return [numbers[first:last] for first, last in pairwise(edges)]


def raising(error: ImageError) -> Callable[[], Frame]:
    """Return a function that raises `error` in place of a frame's turn."""

    def load() -> Frame:
        raise error

    return load


def decoded(
    pending: Iterable[Callable[[], Frame]],
    threads: int,
    skipped: Callable[[ImageError], object] | None = None,
) -> Iterator[Frame]:
    """Decode frames on so many threads and give them in order.

    Those that cannot be decoded are told to `skipped` and left out; without it the error is raised
    when the frame's turn comes.
    """
    for load in ahead(pending, threads):
        try:
            frame = load()
        except ImageError as error:
            if skipped is None:
                raise
            skipped(error)
        else:
            yield frame


def noted(pending: Iterable[Callable[[], Frame]], used: list[int]) -> Iterator[Callable[[], Frame]]:
    """Have each function note its number in `used` once it has decoded its frame.

    With several threads that need not be in order.
    """

    def note(number: int, load: Callable[[], Frame]) -> Frame:
        frame = load()
        used.append(number)
        return frame

    return (partial(note, number, load) for number, load in enumerate(pending))


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
