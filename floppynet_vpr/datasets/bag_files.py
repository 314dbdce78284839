# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Opens bags of ROS 2 and of ROS 1 with the `rosbags` library and without ROS.

Once opened they are alike: topics, and messages in CDR, those of a ROS 1 bag converted.
"""

import errno
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, Final

from floppynet_vpr.datasets.bag_view import (
    ROS1_SUFFIX,
    readable_view,
    require_readable,
    rescue_of,
    unfinished_mcap,
)
from floppynet_vpr.errors import VprError
from floppynet_vpr.libraries import require, told

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag1 import Reader as Reader1
    from rosbags.rosbag2 import Reader as Reader2
    from rosbags.typesys.store import Typestore

_HEADER: Final = "std_msgs/msg/Header"
# Types that moved to another package since ROS 1, their layout unchanged.
_RENAMED: Final = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}


class Bag:
    """An open bag: its topics, and when its first message was recorded.

    `connections` have message types as ROS 2 calls them.
    """

    def __init__(self, path: Path, reader: "Reader1 | Reader2") -> None:
        self.path = path
        self.connections = [
            c._replace(msgtype=_RENAMED.get(c.msgtype, c.msgtype)) for c in reader.connections
        ]
        self.start_ns = reader.start_time
        self._reader = reader
        self._stores: dict[str, Typestore] = {}
        self._reading: list[Any] = []

    def close(self) -> None:
        """End what is still being read: SQLite closes no file that a query is under way in."""
        for messages in self._reading:
            messages.close()

    def messages(
        self, connections: "Collection[Connection]", since_ns: int | None = None
    ) -> "Iterator[tuple[Connection, int, bytes]]":
        """Read messages in the order of recording; raises VprError where the bag is damaged.

        `since_ns` leaves out what was recorded before, by the bag's index where it has one. Gives
        connection, time of recording in nanoseconds, and message as it is stored; see `cdr`.
        """
        asked = {c.id: c for c in connections}
        chosen = [c for c in self._reader.connections if c.id in asked]
        messages = self._reader.messages(chosen, since_ns)
        self._reading.append(messages)
        while chosen:
            with blaming(self.path):
                item = next(messages, None)
            if item is None:
                return
            yield asked[item[0].id], item[1], item[2]

    def cdr(self, connection: "Connection", data: bytes) -> bytes:
        """Return a stored message as ROS 2 serializes it; raises VprError if it is damaged."""
        store = self.ros1_types(connection)
        if store is None:
            return data
        try:
            return bytes(store.ros1_to_cdr(data, connection.msgtype))
        except Exception as error:  # the library raises what its parts raise
            raise VprError(
                f"a message on {connection.topic} of the bag {self.path} is damaged: {error}"
            ) from error

    def ros1_types(self, connection: "Connection") -> "Typestore | None":
        """The types of a topic's messages as a ROS 1 bag defines them; None for a rosbag2."""
        if not isinstance(self._reader, _ros1_reader()):
            return None
        if connection.msgtype not in self._stores:
            with blaming(self.path):
                self._stores[connection.msgtype] = _types_in(connection)
        return self._stores[connection.msgtype]


@contextmanager
def open_bag(path: Path) -> Iterator[Bag]:
    """Open a bag for reading: the folder of a rosbag2, a storage file of one, or a ROS 1 bag.

    Raises VprError for no bag, one without its metadata, one that may not be read, a damaged one or
    one cut off.
    """
    with ExitStack() as stack:
        with blaming(path):
            require("rosbags")
            reader = _open_ros1(path) if path.suffix == ROS1_SUFFIX else _open_ros2(path, stack)
            stack.callback(reader.close)
        bag = Bag(path, reader)
        stack.callback(bag.close)
        yield bag


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Turn whatever reading a bag raises into an error that names the bag and what helps.

    The library and those below it raise a dozen unrelated kinds on damaged files.
    """
    try:
        yield
    except VprError:
        raise
    except ImportError as error:
        raise VprError(
            f"the bag {path} cannot be read: {told(error)}; or play it to the node, which maps "
            "what it is shown (mode:=mapping)"
        ) from error
    except Exception as error:
        raise VprError(f"the bag {path} {_trouble(path, error)}") from error


def _trouble(path: Path, error: Exception) -> str:
    """What is wrong with a bag and what to do about it, as the end of a sentence about it."""
    reason = str(error) or type(error).__name__
    if isinstance(error, UnicodeEncodeError):
        return "cannot be opened: its name is no UTF-8, which SQLite needs: rename it"
    if isinstance(error, PermissionError):
        return f"cannot be read: {error.strerror} ({error.filename})"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"cannot be unpacked ({error.strerror}): make room in {gettempdir()}, or name another "
            "folder in TMPDIR"
        )
    if "No usable temporary directory" in reason:
        return "cannot be unpacked, there is no place for it: name a folder with room in TMPDIR"
    if version := re.search(r"[Vv]ersion '?(\d+)'? (is )?not supported", reason):
        return (
            f"is of version {version[1]}, which is not read by the rosbags that is installed, "
            f"{metadata.version('rosbags')}: `pip install --upgrade rosbags`"
            + ("" if path.is_file() else ", or name the storage file in it")
        )
    if unknown := re.search(
        r"(Storage plugin|ompression|encryption|format)\b.*not supported", reason
    ):
        return (
            f"cannot be read ({unknown[0]}): convert it with `ros2 bag convert` where it was made"
        )
    damaged = f"cannot be read ({reason}): it is damaged or was cut off"
    if path.is_dir():
        if reason.startswith(("Could not load YAML", "A metadata key", "Invalid bag metadata")):
            return f"{damaged}; `ros2 bag reindex {path}` writes its metadata.yaml anew"
        unfinished = unfinished_mcap(path)
        storages = sorted([*path.glob("*.mcap"), *path.glob("*.db3")])
        storages = [unfinished] if unfinished else storages
    else:
        storages = [path]
    return "; ".join([damaged, *(rescue_of(file) for file in storages[:1])])


def _open_ros1(path: Path) -> "Reader1":
    require_readable(path)
    reader = _ros1_reader()(path)
    reader.open()
    return reader


def _ros1_reader() -> "type[Reader1]":
    from rosbags.rosbag1 import Reader

    return Reader


def _open_ros2(path: Path, stack: ExitStack) -> "Reader2":
    from rosbags.rosbag2 import Reader

    reader = Reader(readable_view(path, stack))
    reader.open()
    _ignore_recorded_qos(reader)
    return reader


def _ignore_recorded_qos(reader: "Reader2") -> None:
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


def _types_in(connection: "Connection") -> "Typestore":
    """The types that a ROS 1 bag defines for a topic, but with the header of ROS 2.

    With that header the library leaves out `seq`, which ROS 2 dropped.
    """
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    types = get_types_from_msg(connection.msgdef.data, connection.msgtype)
    if _HEADER in types:
        types[_HEADER] = get_typestore(Stores.ROS2_HUMBLE).fielddefs[_HEADER]
    store = get_typestore(Stores.EMPTY)
    store.register(types)
    return store
