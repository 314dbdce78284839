# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a bag holds beside the images of a camera with depth: depth, CameraInfo, where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.bag_poses import TF, Row
from floppynet_vpr.imaging.camera_model import CameraModel
from floppynet_vpr.stamps import SECOND_NS

if TYPE_CHECKING:
    from rosbags.rosbag2 import Writer

RAW: Final = "sensor_msgs/msg/Image"
CAMERA_INFO: Final = "sensor_msgs/msg/CameraInfo"
DEPTH_TOPIC: Final = "/camera/aligned_depth_to_color/image_raw"
"""Where `write_bag` puts depth: the name that RealSense's driver gives it."""

ROBOT_FRAME: Final = "base_link"
_MOST_MM: Final = 65534


def info_topic_of(image_topic: str) -> str:
    """The CameraInfo topic that belongs to an image topic: camera_info beside it."""
    base = image_topic.removesuffix("/compressed")
    return f"{base.rpartition('/')[0]}/camera_info"


def is_rectified(image_topic: str) -> bool:
    """Whether the images of a topic are rectified, as image_proc names them: image_rect(_color)."""
    return "rect" in image_topic.removesuffix("/compressed").rpartition("/")[2].split("_")


@dataclass(frozen=True)
class DepthRecording:
    """What is written beside images.

    `camera` took them; `depths` gives the depth of each, (H, W) float32 metres, in their order;
    `mount` is the pose of its optical frame on the robot, for tf_static, None: not written.
    """

    camera: CameraModel
    depths: Iterable[NDArray[np.float32]]
    mount: Row | None = None


def depth_adder(
    writer: Writer, recording: DepthRecording, image_topic: str, frame_id: str
) -> Callable[[int], None]:
    """Return the function that adds what belongs to the image of a stamp, called in their order."""
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    types: dict[str, Any] = dict(store.types)
    depth = writer.add_connection(DEPTH_TOPIC, RAW, typestore=store)
    info = writer.add_connection(info_topic_of(image_topic), CAMERA_INFO, typestore=store)
    mounted = recording.mount
    fixed = None if mounted is None else _static_connection(writer, store)
    depths = iter(recording.depths)
    camera = recording.camera

    def header(stamp_ns: int, frame: str) -> Any:
        stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, SECOND_NS))
        return types["std_msgs/msg/Header"](stamp, frame)

    def add(stamp_ns: int) -> None:
        nonlocal fixed
        if fixed is not None and mounted is not None:
            link = types["geometry_msgs/msg/TransformStamped"](
                header(stamp_ns, ROBOT_FRAME),
                frame_id,
                types["geometry_msgs/msg/Transform"](
                    types["geometry_msgs/msg/Vector3"](*mounted[:3]),
                    types["geometry_msgs/msg/Quaternion"](*mounted[3:]),
                ),
            )
            writer.write(fixed, stamp_ns, store.serialize_cdr(types[TF]([link]), TF))
            fixed = None
        told = types[CAMERA_INFO](
            header=header(stamp_ns, frame_id),
            height=camera.height,
            width=camera.width,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=camera.matrix.reshape(-1),
            r=np.eye(3).reshape(-1),
            p=np.column_stack([camera.matrix, np.zeros(3)]).reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
        )
        writer.write(info, stamp_ns, store.serialize_cdr(told, CAMERA_INFO))
        metres = next(depths)
        data = _millimetres(metres).view(np.uint8).reshape(-1)
        height, width = metres.shape
        image = types[RAW](header(stamp_ns, frame_id), height, width, "16UC1", 0, 2 * width, data)
        writer.write(depth, stamp_ns, store.serialize_cdr(image, RAW))

    return add


def _millimetres(metres: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Depth as 16UC1, little-endian: 0 where unknown or too far for 16 bits."""
    whole = np.rint(np.nan_to_num(metres, nan=0.0) * 1000)
    return np.where(whole <= _MOST_MM, whole, 0).astype("<u2")


def _static_connection(writer: Writer, store: Any) -> Any:
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    never = QosTime(sec=2147483647, nsec=4294967295)
    latched = Qos(
        history=QosHistory.KEEP_LAST,
        depth=1,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL,
        deadline=never,
        lifespan=never,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=never,
        avoid_ros_namespace_conventions=False,
    )
    return writer.add_connection("/tf_static", TF, typestore=store, offered_qos_profiles=[latched])
