# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Frames from a rosbag2, with the `rosbags` library and without ROS.

mcap and sqlite3, raw and compressed image topics, and rosbag2's own zstd compression. The layout of
the two image messages is the same in every ROS 2 distribution, so one type store reads them all.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Any, Final

from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.payload import ImageError, decode_compressed, decode_image
from floppynet_vpr.stamps import nanoseconds

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Reader

RAW: Final = "sensor_msgs/msg/Image"
COMPRESSED: Final = "sensor_msgs/msg/CompressedImage"
FIX: Final = "sensor_msgs/msg/NavSatFix"
ODOMETRY: Final = "nav_msgs/msg/Odometry"

STORAGE_SUFFIXES: Final = (".mcap", ".db3")
"""Suffixes of the files inside a rosbag2."""


def looks_like_bag(path: Path) -> bool:
    """Tell whether a path is a rosbag2, sound or not, or a storage file of one."""
    if path.is_file():
        return path.suffix in STORAGE_SUFFIXES
    return (path / "metadata.yaml").is_file() or any(
        suffix in entry.suffixes for entry in path.glob("*") for suffix in STORAGE_SUFFIXES
    )


@contextmanager
def open_bag(path: Path) -> "Iterator[Reader]":
    """Open a rosbag2 for reading.

    Args:
        path: the bag's folder, or one of its storage files.

    Raises:
        VprError: no bag, a bag without its metadata, a damaged one or one cut off.
    """
    from rosbags.rosbag2 import Reader

    with ExitStack() as stack:
        with _blaming(path):
            reader = Reader(_with_logs_merged(_readable_part(path), stack))
            reader.open()
            stack.callback(reader.close)
            _ignore_recorded_qos(reader)
        yield reader


def read_messages(
    reader: "Reader", connections: "Collection[Connection]"
) -> "Iterator[tuple[Connection, int, bytes]]":
    """Read an open bag's messages in the order of recording.

    Args:
        reader: from `open_bag`.
        connections: those of `reader.connections` to read.

    Yields:
        Connection, time of recording in nanoseconds, serialized message (CDR).

    Raises:
        VprError: the bag is damaged or was cut off.
    """
    messages = reader.messages(connections)
    while True:
        with _blaming(Path(str(reader.path))):
            item = next(messages, None)
        if item is None:
            return
        yield item


class BagFrames:
    """The images of one topic of a bag, in the order they were recorded.

    A frame's stamp is its message's header.stamp, the camera's clock; where that is zero, the time
    the message was recorded.
    """

    def __init__(self, path: Path, *, topic: str | None = None, every: int = 1) -> None:
        """Look into the bag for the topic; the messages are read while iterating.

        Args:
            path: the bag's folder, or one of its storage files.
            topic: the image topic, None for the only one.
            every: take every n-th message.

        Raises:
            VprError: the bag cannot be read, the topic is not there, is no image topic or empty,
                or several image topics leave the choice to the caller.
        """
        self.label = path.name or str(path)
        self._path = path
        self._every = every
        with open_bag(path) as reader:
            connections = _choose_topic(path, reader.connections, topic)
            self.topic: str = connections[0].topic
            self._messages = sum(connection.msgcount for connection in connections)
        if self._messages == 0:
            raise VprError(f"topic {self.topic} of the bag {path} has no messages")

    def __len__(self) -> int:
        return -(-self._messages // self._every)

    def stamps_ns(self) -> list[int]:
        """Read the stamps of all frames, without decoding images."""
        return [_stamp_ns(message, received) for _, received, message in self._read()]

    def __iter__(self) -> Iterator[Frame]:
        return (load() for load in self.pending())

    def pending(self) -> Iterator[Callable[[], Frame]]:
        """Give the functions that decode the messages, read in order; see `FrameSource`."""
        for index, received_ns, message in self._read():
            yield partial(self._frame, index, received_ns, message)

    def _read(self) -> Iterator[tuple[int, int, Any]]:
        """Every n-th message: its number, when it was received, and what it says."""
        from rosbags.typesys import Stores, get_typestore

        deserialize = get_typestore(Stores.ROS2_HUMBLE).deserialize_cdr
        with open_bag(self._path) as reader:
            connections = [c for c in reader.connections if c.topic == self.topic]
            messages = read_messages(reader, connections)
            for index, (connection, received_ns, data) in enumerate(messages):
                if index % self._every == 0:
                    with _blaming(self._path):
                        message = deserialize(data, connection.msgtype)
                    yield index, received_ns, message

    def _frame(self, index: int, received_ns: int, message: Any) -> Frame:
        stamp_ns = _stamp_ns(message, received_ns)
        name = f"{self.label}#{index:06d}"
        encoded = None
        try:
            if message.__msgtype__ == RAW:
                rgb = decode_image(
                    message.height,
                    message.width,
                    message.encoding,
                    bool(message.is_bigendian),
                    message.step,
                    message.data,
                )
            else:
                rgb = decode_compressed(message.data, message.format)
                if not message.format.startswith("bayer_"):  # a mosaic's file alone is grey
                    encoded = message.data.tobytes()
        except ImageError as error:
            raise ImageError(
                error.kind, f"message {index} of topic {self.topic} of {self._path}: {error}"
            ) from error
        return Frame(name, stamp_ns, rgb, encoded)


def read_fixes(path: Path) -> list[tuple[int, float, float]]:
    """Read the GPS positions of a bag: stamp in nanoseconds, latitude and longitude in degrees.

    Empty if there are none; fixes without a position are left out. Raises VprError as `open_bag`.
    """
    from rosbags.typesys import Stores, get_typestore

    deserialize = get_typestore(Stores.ROS2_HUMBLE).deserialize_cdr
    fixes = []
    with open_bag(path) as reader:
        connections = [c for c in reader.connections if c.msgtype == FIX]
        if not connections:
            return []
        for _, received_ns, data in read_messages(reader, connections):
            with _blaming(path):
                message: Any = deserialize(data, FIX)
            if message.status.status >= 0:
                stamp_ns = _stamp_ns(message, received_ns)
                fixes.append((stamp_ns, float(message.latitude), float(message.longitude)))
    return sorted(fixes)


def _stamp_ns(message: Any, received_ns: int) -> int:
    return nanoseconds(message.header.stamp) or received_ns


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Turn whatever reading a bag raises into an error that names the bag.

    The library and those below it raise a dozen unrelated kinds on damaged files.
    """
    try:
        yield
    except VprError:
        raise
    except Exception as error:
        raise VprError(
            f"the bag {path} cannot be read ({str(error) or type(error).__name__}): "
            "it is damaged or was cut off; `ros2 bag reindex` may rescue it"
        ) from error


def _choose_topic(
    path: Path, connections: "list[Connection]", topic: str | None
) -> "list[Connection]":
    """Pick the connections of the wanted or the only image topic."""
    images = [c for c in connections if c.msgtype in (RAW, COMPRESSED)]
    topics = sorted({c.topic for c in images})
    listing = ", ".join(topics)
    if not topics:
        others = ", ".join(sorted({c.topic for c in connections})) or "none at all"
        raise VprError(f"the bag {path} has no image topic; its topics are: {others}")
    if topic is None:
        if len(topics) > 1:
            raise VprError(f"the bag {path} has several image topics, name one of: {listing}")
        topic = topics[0]
    # Bags of other makes name topics without the slash; and image_transport's users name the base
    # topic of a compressed one.
    named = {name.lstrip("/"): name for name in topics}
    bare = topic.lstrip("/")
    wanted = named.get(bare) or named.get(f"{bare}/compressed")
    if wanted is None:
        raise VprError(f"the bag {path} has no image topic /{bare}; it has: {listing}")
    return [c for c in images if c.topic == wanted]


def _with_logs_merged(part: Path, stack: ExitStack) -> Path:
    """Return a bag whose sqlite files hold all that was written to them.

    Beside a file whose recorder was killed, or that was copied while it was written, sqlite's log
    (-wal) still has the last messages, and the library does not look there. Such files are copied,
    and the logs merged into the copies, which go with `stack`; the bag itself is not touched.
    """
    files = sorted(part.iterdir()) if part.is_dir() else [part]
    logged = [file for file in files if file.suffix == ".db3" and _log_bytes(file)]
    if not logged:
        return part
    try:
        copy = Path(stack.enter_context(TemporaryDirectory(prefix="floppynet_vpr_bag_")))
        for file in files:
            if file not in logged and not file.name.endswith(("-wal", "-shm")):
                (copy / file.name).symlink_to(file.absolute())
        for file in logged:
            for name in (file.name, f"{file.name}-wal"):
                copyfile(file.with_name(name), copy / name)
            with closing(sqlite3.connect(copy / file.name)) as database:
                database.execute("PRAGMA journal_mode=DELETE")
    except (OSError, sqlite3.Error) as error:
        raise VprError(
            f"the bag {part} has messages in sqlite's log, which could not be merged in a copy: "
            f"{error}. Make room in {gettempdir()}, or name another folder in TMPDIR"
        ) from error
    return copy if part.is_dir() else copy / part.name


def _log_bytes(file: Path) -> int:
    log = file.with_name(f"{file.name}-wal")
    return log.stat().st_size if log.is_file() else 0


def _ignore_recorded_qos(reader: "Reader") -> None:
    """Give the storages' topics the QoS that metadata.yaml notes.

    The library takes a storage's topic for another one, and drops its messages, where the two
    differ: after an edit of metadata.yaml, or where a split bag's files were recorded differently.
    QoS says how a message was sent, not which topic it is of.
    """
    noted = {(c.topic, c.msgtype): c.ext for c in reader.connections}
    for storage in getattr(reader.storage, "storages", ()):  # a single file has no metadata.yaml
        storage.connections[:] = [
            c._replace(ext=noted.get((c.topic, c.msgtype), c.ext)) for c in storage.connections
        ]


def _readable_part(path: Path) -> Path:
    """Return what to hand to the library: the folder wherever it describes the file."""
    if path.is_dir():
        if not (path / "metadata.yaml").is_file():
            raise VprError(
                f"{path} has no metadata.yaml (recording was not ended properly): "
                f"run `ros2 bag reindex {path}`, or name the storage file in it"
            )
        return path
    siblings = [file for file in path.parent.iterdir() if file.suffix in STORAGE_SUFFIXES]
    if siblings == [path] and (path.parent / "metadata.yaml").is_file():
        return path.parent
    return path
