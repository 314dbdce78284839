# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Writes frames into a rosbag2 with the `rosbags` library and without ROS.

Version 8 metadata and the message definitions of Humble are what every distribution since Humble
reads. A bag appears under its name only when it is complete.
"""

import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.bag_view import ROS1_SUFFIX, STORAGE_SUFFIXES, looks_like_bag
from floppynet_vpr.datasets.bags_reading import (
    COMPRESSED,
    FIX,
    ODOMETRY,
    RAW,
)
from floppynet_vpr.datasets.depth_topics import DepthRecording, depth_adder
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.errors import VprError
from floppynet_vpr.file_lock import FileLock
from floppynet_vpr.files import TEMPORARY_SUFFIX
from floppynet_vpr.imaging.pixels import convert_colour
from floppynet_vpr.stamps import SECOND_NS

if TYPE_CHECKING:
    from rosbags.rosbag2 import Writer

RAW_ENCODINGS: Final = ("bgr8", "rgb8", "mono8")
"""The pixel encodings written in raw images."""
CODECS: Final = ("jpeg", "png")
"""The codecs of compressed images."""
ENCODINGS: Final = (*RAW_ENCODINGS, *CODECS)
STORAGES: Final = ("sqlite3", "mcap")
GPS_TOPIC: Final = "/gps/fix"
"""Where GPS positions are in a bag."""
CAMERA_FRAME: Final = "camera_optical_frame"
"""frame_id of every message: z forward, x right, y down (REP 103)."""

_TOPIC: Final = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")
_JPEG_QUALITY: Final = 95
_LAST_STAMP_NS: Final = (2**31 - 1) * SECOND_NS  # builtin_interfaces/Time counts int32 seconds


@dataclass(frozen=True)
class WrittenBag:
    """What `write_bag` wrote: the bag's folder, its topic of images and its type, and how much."""

    path: Path
    topic: str
    msgtype: str
    messages: int
    duration_ns: int
    size_bytes: int


def natural_encoding(names: Iterable[str]) -> str:
    """The encoding that keeps files of these names as they are; bgr8 where none does."""
    suffixes = {Path(name).suffix.lower() for name in names}
    if suffixes <= {".jpg", ".jpeg"}:
        return "jpeg"
    return "png" if suffixes == {".png"} else "bgr8"


def default_topic(encoding: str, camera: str = "/camera/image_raw") -> str:
    """Return a camera's topic, raw or compressed, as image_transport names it for an encoding."""
    base = camera.removesuffix("/compressed")
    return f"{base}/compressed" if encoding in CODECS else base


def write_bag(
    frames: Iterable[Frame],
    out: Path,
    *,
    topic: str | None = None,
    encoding: str = "bgr8",
    storage: str = "sqlite3",
    start_ns: int = 0,
    frame_id: str = CAMERA_FRAME,
    positions: Iterable[Sequence[float]] | None = None,
    poses: Mapping[str, NDArray[np.float64]] | None = None,
    depth: DepthRecording | None = None,
    force: bool = False,
) -> WrittenBag:
    """Write frames, in the order of time, as an image topic of a new rosbag2, with what goes along.

    A frame that still has its JPEG (or 8-bit PNG) file is stored as that file when the encoding
    (one of `ENCODINGS`) asks for that codec, so that the bag's pixels are the folder's. Other
    frames are encoded anew, JPEG with quality 95. `topic` None is `default_topic`. Every
    distribution plays the storage "sqlite3"; for "mcap" Humble needs
    ros-humble-rosbag2-storage-mcap. `start_ns` is added to every frame's stamp; header.stamp and
    time of recording are the sum.

    All else is stamped like the images. `positions`, latitude and longitude in degrees of every
    frame, each taken after it, become sensor_msgs/NavSatFix on `GPS_TOPIC`. `poses`, by topic
    (n, 7) x, y, z, qx, qy, qz, qw, become nav_msgs/Odometry, from the topic's name as frame to
    base_link. `depth` is written as CameraInfo beside the images, depth (16UC1) on `DEPTH_TOPIC`,
    and the camera's mount on tf_static.

    Raises VprError for a bad argument, something in the way (`force` replaces a bag, and nothing
    else), no frames, or no room on the disk. No bag, or the old one, is left then; the same goes
    for Ctrl-C.
    """
    if encoding not in ENCODINGS:
        raise VprError(f"encoding {encoding!r} is none of {', '.join(ENCODINGS)}")
    if storage not in STORAGES:
        raise VprError(f"storage {storage!r} is none of {', '.join(STORAGES)}")
    out = Path(os.path.abspath(out))
    _check_out(out, force)
    topic = default_topic(encoding) if topic is None else "/" + topic.removeprefix("/")
    if not _TOPIC.fullmatch(topic):
        raise VprError(f"{topic} is no topic name: letters, digits, _ and / only")
    msgtype = COMPRESSED if encoding in CODECS else RAW
    try:
        with _appearing_when_complete(out) as unfinished:
            first_ns, last_ns, messages = 0, 0, 0
            with _open_writer(unfinished, storage) as writer:
                add = _message_adder(writer, topic, msgtype, encoding, frame_id)
                add_fix = None if positions is None else _fix_adder(writer)
                places = iter(positions or ())
                add_poses = [
                    (_pose_adder(writer, name), rows) for name, rows in (poses or {}).items()
                ]
                add_depth = None if depth is None else depth_adder(writer, depth, topic, frame_id)
                for frame in frames:
                    last_ns = _checked_stamp(start_ns + frame.stamp_ns, frame.name)
                    first_ns = first_ns if messages else last_ns
                    add(frame, last_ns)
                    if add_fix is not None:
                        add_fix(next(places), last_ns)
                    if add_depth is not None:
                        add_depth(last_ns)
                    for add_pose, rows in add_poses:
                        add_pose(rows[messages], last_ns)
                    messages += 1
                if not messages:
                    raise VprError(f"there are no frames to write to {out}")
            size = sum(file.stat().st_size for file in unfinished.iterdir())
    except (OSError, sqlite3.Error) as error:  # a full disk is the one or the other
        reason = getattr(error, "strerror", None) or error
        raise VprError(f"cannot write the bag {out}: {reason}") from error
    return WrittenBag(out, topic, msgtype, messages, last_ns - first_ns, size)


def _check_out(out: Path, force: bool) -> None:
    if out.suffix in (*STORAGE_SUFFIXES, ROS1_SUFFIX):
        raise VprError(f"{out} would be a folder, as every rosbag2: name it {out.with_suffix('')}")
    if not out.exists():
        return
    if not force:
        raise VprError(f"{out} exists already: choose another name, or --force to replace it")
    if not (out.is_dir() and looks_like_bag(out)):
        raise VprError(f"{out} is no bag, so it is not replaced: choose another name")


@contextmanager
def _appearing_when_complete(out: Path) -> Iterator[Path]:
    """Give a place to write to, and move it to `out` at the end; after an error, remove it."""
    # Metadata names the files after the folder, so it has its final name from the start.
    with (
        FileLock(out),
        tempfile.TemporaryDirectory(TEMPORARY_SUFFIX, f".{out.name}.", out.parent) as scratch,
    ):
        unfinished = Path(scratch, out.name)
        yield unfinished
        if out.exists():
            out.rename(Path(scratch, "replaced"))
        unfinished.rename(out)


def _open_writer(path: Path, storage: str) -> "Writer":
    from rosbags.rosbag2 import StoragePlugin, Writer

    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    return Writer(path, version=8, storage_plugin=plugin)


def _message_adder(
    writer: "Writer", topic: str, msgtype: str, encoding: str, frame_id: str
) -> Callable[[Frame, int], None]:
    """Return the function that adds one frame, with its stamp in nanoseconds, to the open bag."""
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    types: dict[str, Any] = dict(store.types)
    connection = writer.add_connection(topic, msgtype, typestore=store)

    def add(frame: Frame, stamp_ns: int) -> None:
        stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, SECOND_NS))
        header = types["std_msgs/msg/Header"](stamp, frame_id)
        if msgtype == COMPRESSED:
            message = types[msgtype](header, encoding, _encode(frame, encoding))
        else:
            pixels = _raw_pixels(frame.rgb, encoding)
            height, width = pixels.shape[:2]
            data = pixels.reshape(-1)
            message = types[msgtype](header, height, width, encoding, 0, data.size // height, data)
        writer.write(connection, stamp_ns, store.serialize_cdr(message, msgtype))

    return add


def _fix_adder(writer: "Writer") -> Callable[[Sequence[float], int], None]:
    """Return the function that adds one GPS position, with its stamp in nanoseconds."""
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    types: dict[str, Any] = dict(store.types)
    connection = writer.add_connection(GPS_TOPIC, FIX, typestore=store)
    # GPS without augmentation; nothing is known of altitude and accuracy.
    status = types["sensor_msgs/msg/NavSatStatus"](status=0, service=1)

    def add(position: Sequence[float], stamp_ns: int) -> None:
        stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, SECOND_NS))
        message = types[FIX](
            header=types["std_msgs/msg/Header"](stamp, "gps"),
            status=status,
            latitude=position[0],
            longitude=position[1],
            altitude=float("nan"),
            position_covariance=np.zeros(9),
            position_covariance_type=0,
        )
        writer.write(connection, stamp_ns, store.serialize_cdr(message, FIX))

    return add


def _pose_adder(writer: "Writer", topic: str) -> Callable[[NDArray[np.float64], int], None]:
    """Return the function that adds one pose, with its stamp in nanoseconds, to the open bag."""
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    types: dict[str, Any] = dict(store.types)
    connection = writer.add_connection(topic, ODOMETRY, typestore=store)
    vector, unknown = types["geometry_msgs/msg/Vector3"], np.zeros(36)
    still = types["geometry_msgs/msg/Twist"](vector(0.0, 0.0, 0.0), vector(0.0, 0.0, 0.0))

    def add(row: NDArray[np.float64], stamp_ns: int) -> None:
        values = row.tolist()
        stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, SECOND_NS))
        pose = types["geometry_msgs/msg/Pose"](
            types["geometry_msgs/msg/Point"](*values[:3]),
            types["geometry_msgs/msg/Quaternion"](*values[3:]),
        )
        message = types[ODOMETRY](
            header=types["std_msgs/msg/Header"](stamp, topic.strip("/")),
            child_frame_id="base_link",
            pose=types["geometry_msgs/msg/PoseWithCovariance"](pose, unknown),
            twist=types["geometry_msgs/msg/TwistWithCovariance"](still, unknown),
        )
        writer.write(connection, stamp_ns, store.serialize_cdr(message, ODOMETRY))

    return add


def _raw_pixels(rgb: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    if encoding == "rgb8":
        return np.ascontiguousarray(rgb)
    code = cv2.COLOR_RGB2GRAY if encoding == "mono8" else cv2.COLOR_RGB2BGR
    return convert_colour(rgb, code)


def _encode(frame: Frame, codec: str) -> NDArray[np.uint8]:
    """Return the frame's own file if it is what is asked for, else encode its pixels."""
    if frame.encoded is not None and _is_stored_as(frame.encoded, codec):
        return np.frombuffer(frame.encoded, np.uint8)
    bgr = convert_colour(frame.rgb, cv2.COLOR_RGB2BGR)
    if codec == "png":
        done, data = cv2.imencode(".png", bgr)
    else:
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise VprError(f"OpenCV cannot encode {frame.name} as {codec}")
    return np.asarray(data, np.uint8)


def _is_stored_as(file: bytes, codec: str) -> bool:
    if codec == "jpeg":
        return file.startswith(b"\xff\xd8\xff")
    # 8 bits of grey or RGB: other consumers of bags expect nothing deeper and no alpha.
    return file.startswith(b"\x89PNG\r\n\x1a\n") and file[24:26] in (b"\x08\x00", b"\x08\x02")


def _checked_stamp(stamp_ns: int, name: str) -> int:
    if not 0 <= stamp_ns <= _LAST_STAMP_NS:
        raise VprError(
            f"the stamp of {name}, {stamp_ns / 1e9:.0f} s, is outside ROS time (0 to 2^31 s)"
        )
    return stamp_ns
