# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Frames and GPS positions from a bag.

mcap and sqlite3, raw and compressed image topics, rosbag2's own zstd compression, and ROS 1 bags.
The layout of the messages read here is the same in every distribution, so one type store reads
them all.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.bag_files import Bag, open_bag
from floppynet_vpr.datasets.frames import WHOLE, Frame, FramesMissing, Stretch, cut, raising
from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.bit_depth import BitDepth, probed
from floppynet_vpr.imaging.payload import (
    ImageError,
    decode_compressed,
    decode_image,
    is_depth_topic,
    refuse_depth,
)
from floppynet_vpr.stamps import nanoseconds

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

RAW: Final = "sensor_msgs/msg/Image"
COMPRESSED: Final = "sensor_msgs/msg/CompressedImage"
FIX: Final = "sensor_msgs/msg/NavSatFix"
ODOMETRY: Final = "nav_msgs/msg/Odometry"


@dataclass(frozen=True)
class _Recorded:
    """A message as it is stored, and what people call it."""

    name: str
    bag: Bag
    connection: "Connection"
    received_ns: int
    data: bytes

    def read(self) -> tuple[Any, int]:
        """Return the message and its stamp in nanoseconds; raises ImageError if it is damaged."""
        try:
            data = self.bag.cdr(self.connection, self.data)
            message: Any = _types().deserialize_cdr(data, self.connection.msgtype)
        except Exception as error:  # the library raises what its parts raise
            raise ImageError("size", f"{self.name} cannot be read: {error}") from error
        return message, nanoseconds(message.header.stamp) or self.received_ns


class BagFrames:
    """The images of one topic of a bag, in the order they were recorded.

    A frame's stamp is its message's header.stamp, the camera's clock; where that is zero, the time
    the message was recorded.
    """

    def __init__(self, path: Path, *, topic: str | None = None, every: int = 1) -> None:
        """Look into the bag (see `open_bag`) for the topic; messages are read while iterating.

        `topic` may be the base topic of a compressed one; None takes the only image topic. Raises
        VprError where the bag cannot be read, the topic is not there, is no image topic or empty,
        or several leave the choice to the caller.
        """
        self.label = path.name or str(path)
        self._path = path
        self._depth = BitDepth(self._probe)
        with open_bag(path) as bag:
            connections = _choose_topic(path, bag.connections, topic)
            self.topic: str = connections[0].topic
            self._messages = sum(connection.msgcount for connection in connections)
        if self._messages == 0:
            raise VprError(f"topic {self.topic} of the bag {path} has no messages")
        self._numbers = range(0, self._messages, every)

    def __len__(self) -> int:
        return len(self._numbers)

    def stamps_ns(self, only: Sequence[int] | None = None) -> list[int]:
        """Read the stamps of all frames, or of those with these numbers, not decoding images."""
        numbers = self._numbers if only is None else only
        return [recorded.read()[1] for _, recorded in self._read(numbers)]

    def first_stamp_ns(self) -> int:
        """Read the stamp of the first frame."""
        return next(recorded.read()[1] for _, recorded in self._read(self._numbers[:1]))

    def __iter__(self) -> Iterator[Frame]:
        return (load() for load in self.pending())

    def pending(
        self, only: Sequence[int] | None = None, since_ns: int | None = None
    ) -> Iterator[Callable[[], Frame]]:
        """Give the functions that decode the messages, read in order; see `FrameSource`."""
        try:
            for number, recorded in self._read(self._numbers if only is None else only, since_ns):
                yield partial(self._frame, number, recorded)
        except FramesMissing as error:
            yield raising(error)

    def stretches(self, most: int) -> list[Stretch]:
        """Cut the bag; see `FrameSource`.

        A stretch is sought by the time of recording, so a bag is cut only where all before was
        recorded earlier. To find such places it is read once, without decoding images.
        """
        runs = cut(self._numbers, most)
        if len(runs) < 2:
            return [WHOLE]
        try:
            times = np.array([r.received_ns for _, r in self._read(range(self._messages))])
        except FramesMissing:
            return [WHOLE]
        latest_before = np.maximum.accumulate(times)[:-1]
        earliest_after = np.minimum.accumulate(times[::-1])[::-1][1:]
        sound = {0, *(np.flatnonzero(latest_before < earliest_after) + 1).tolist()}
        joined: list[range] = []
        for run in runs:
            if run[0] in sound:
                joined.append(run)
            else:
                joined[-1] = range(joined[-1].start, run.stop, run.step)
        return [Stretch(run, int(times[run[0]]) if run[0] else None) for run in joined]

    def _read(
        self, numbers: Sequence[int], since_ns: int | None = None
    ) -> Iterator[tuple[int, _Recorded]]:
        """The messages with these numbers; raises FramesMissing where the bag ends before.

        With `since_ns` the first of them is the first message recorded then or later.
        """
        if not numbers:
            return
        wanted = numbers if isinstance(numbers, range) else frozenset(numbers)
        read, reason = 0, ""
        first = 0 if since_ns is None else numbers[0]
        try:
            with open_bag(self._path) as bag:
                connections = [c for c in bag.connections if c.topic == self.topic]
                messages = bag.messages(connections, since_ns)
                for number, (connection, received_ns, data) in enumerate(messages, first):
                    read = number + 1
                    if number in wanted:
                        name = f"message {number} of topic {self.topic} of {self._path}"
                        yield number, _Recorded(name, bag, connection, received_ns, data)
                    if read > numbers[-1]:
                        return
        except VprError as error:
            reason = f": {error}"
        missing = sum(number >= read for number in numbers)
        raise FramesMissing(
            f"topic {self.topic} of the bag {self._path} gave {read} of the {self._messages} "
            f"messages that it should have{reason}",
            missing,
        )

    def _frame(self, number: int, recorded: _Recorded) -> Frame:
        message, stamp_ns = recorded.read()
        encoded = None
        try:
            rgb = self._decode(message, self._depth)
            # A mosaic's file alone is grey.
            if message.__msgtype__ == COMPRESSED and not message.format.startswith("bayer_"):
                encoded = message.data.tobytes()
        except ImageError as error:
            raise ImageError(error.kind, f"{recorded.name}: {error}") from error
        return Frame(f"{self.label}#{number:06d}", stamp_ns, rgb, encoded)

    def _decode(self, message: Any, depth: BitDepth) -> NDArray[np.uint8]:
        """Decode an image message to (H, W, 3) uint8 RGB; raises ImageError."""
        if message.__msgtype__ == COMPRESSED:
            refuse_depth(self.topic, message.format)
            return decode_compressed(message.data, message.format, depth)
        refuse_depth(self.topic, message.encoding)
        return decode_image(
            message.height,
            message.width,
            message.encoding,
            bool(message.is_bigendian),
            message.step,
            message.data,
            depth,
        )

    def _probe(self, depth: BitDepth) -> None:
        """Show `depth` images spread over the bag, as far as it can be read."""
        with suppress(FramesMissing):
            for _, recorded in self._read(probed(self._messages)):
                with suppress(ImageError):
                    self._decode(recorded.read()[0], depth)


def read_fixes(path: Path) -> list[tuple[int, float, float]]:
    """Read the GPS positions of a bag: stamp in nanoseconds, latitude and longitude in degrees.

    Empty if there are none; fixes without a position are left out. Raises VprError as `open_bag`.
    """
    fixes = []
    with open_bag(path) as bag:
        connections = [c for c in bag.connections if c.msgtype == FIX]
        for connection, received_ns, data in bag.messages(connections):
            name = f"a message of topic {connection.topic} of {path}"
            message, stamp_ns = _Recorded(name, bag, connection, received_ns, data).read()
            if message.status.status >= 0:
                fixes.append((stamp_ns, float(message.latitude), float(message.longitude)))
    return sorted(fixes)


@cache
def _types() -> "Typestore":
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_HUMBLE)


def _choose_topic(
    path: Path, connections: "list[Connection]", topic: str | None
) -> "list[Connection]":
    """Pick the connections of the wanted or the only image topic that is not depth by its name."""
    images = [c for c in connections if c.msgtype in (RAW, COMPRESSED)]
    topics = sorted({c.topic for c in images})
    pictures = [name for name in topics if not is_depth_topic(name)]
    listing = ", ".join(topics)
    if not topics:
        others = ", ".join(sorted({c.topic for c in connections})) or "none at all"
        raise VprError(f"the bag {path} has no image topic; its topics are: {others}")
    if topic is None:
        if len(pictures or topics) > 1:
            raise VprError(
                f"the bag {path} has several image topics, say which with --topic (of evaluate "
                f"--image-topic): {', '.join(pictures or topics)}"
            )
        topic = (pictures or topics)[0]
    # Bags of other makes name topics without the slash; and image_transport's users name the base
    # topic of a compressed one.
    named = {name.lstrip("/"): name for name in topics}
    bare = topic.lstrip("/")
    wanted = named.get(bare) or named.get(f"{bare}/compressed")
    if wanted is None:
        raise VprError(f"the bag {path} has no image topic /{bare}; it has: {listing}")
    return [c for c in images if c.topic == wanted]
