# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node's parameters, each written once; everything that knows them is made from this table.

The node declares them, vpr.launch.py offers them as arguments, and `make parameters` writes
config/vpr.yaml and the table in docs/node.md. A new parameter is one more row here. No ROS is
needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

from floppynet_vpr.detection import (
    MATCHING_CHOICES,
    SEQUENCE_CHOICES,
    VERIFICATION_CHOICES,
    DetectorOptions,
    VerificationOptions,
)
from floppynet_vpr.detection.growth import GrowthOptions
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import BACKENDS

Value = bool | int | float | str

NEVER, WHEN_LOST, ALWAYS = INITIALPOSE_CHOICES = ("never", "when_lost", "always")
LOCAL, SERVER = "local", "server"
LOCALIZATION, MAPPING, BOTH = "localization", "mapping", "both"


class Range(NamedTuple):
    """What a number may be, the limits included."""

    minimum: float
    maximum: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.minimum:g} to {self.maximum:g} {self.unit}".rstrip()


@dataclass(frozen=True)
class Setting:
    """One parameter, whose type is that of its default.

    The first sentence of `text` says what it is; the others are for those who want to set it.
    Numbers have a range. `live` means that setting it takes effect
    while the node runs; `fixed` that it is given at start for good; the others are read when the
    node is configured.
    """

    name: str
    default: Value
    text: str
    range: Range | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    fixed: bool = False

    @property
    def summary(self) -> str:
        """The first sentence of the text, without its full stop."""
        return self.text.partition(". ")[0].removesuffix(".")

    @property
    def written_default(self) -> str:
        """The default as it is written in YAML."""
        plain = isinstance(self.default, str) and self.default
        return str(self.default) if plain else json.dumps(self.default)

    @property
    def values(self) -> str:
        """The range with its unit, or the choices; empty for text."""
        if self.choices:
            return ", ".join(self.choices)
        if self.range is not None:
            return str(self.range)
        return "true, false" if isinstance(self.default, bool) else ""

    @property
    def allowed(self) -> str:
        """What a value must be, in words."""
        if self.choices:
            return f"one of {self.values}"
        if isinstance(self.default, bool):
            return "true or false"
        if isinstance(self.default, str):
            return "text"
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        return f"{kind} from {self.values}"

    def checked(self, value: object) -> Value:
        """Return a value in the parameter's type: whole numbers will do for others.

        Raises VprError if it is of another type, out of range or not one of the choices.
        """
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if isinstance(value, kind) and type(value) is kind and self._admits(value):
            return value
        raise VprError(f"{self.name} is {value!r}, but must be {self.allowed}")

    def read(self, text: str) -> Value:
        """Return the value that was written on a command line; raises VprError, see `checked`."""
        value: object = text
        try:
            if isinstance(self.default, bool):
                value = {"true": True, "false": False}.get(text.lower(), text)
            elif not isinstance(self.default, str):
                value = type(self.default)(text)
        except ValueError:
            pass
        return self.checked(value)

    def _admits(self, value: Value) -> bool:
        if self.choices:
            return value in self.choices
        if isinstance(value, str) or self.range is None:
            return True
        return self.range.minimum <= value <= self.range.maximum


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "mode",
        LOCALIZATION,
        "localization looks for loop closures in a map and never changes it, mapping "
        "adds places to the map while driving, both does both. What both has only just added is "
        "not matched: see exclude_images and exclude_seconds.",
        choices=(LOCALIZATION, MAPPING, BOTH),
    ),
    Setting(
        "map",
        "",
        "Map file to load, or several separated by ':' (day and night, summer and winter). Made by "
        "build_map or by mapping. Empty: none; ~/load_map loads one later. "
        "postgresql://user@host/database?map=NAME is a map that robots share: what one adds, the "
        "others recognise, and mapping adds to it.",
    ),
    Setting(
        "save_map_to",
        "",
        "Map file that mapping writes, and goes on with if it exists. One node at a time writes a "
        "file. Empty: the map is in memory only, until ~/save_map is called.",
    ),
    Setting(
        "map_folder",
        "",
        "Folder that ~/save_map and ~/load_map are confined to, and save_map_to. Relative paths in "
        "requests are of this folder. Empty: any folder, but no file is replaced that is not a "
        "map.",
        fixed=True,
    ),
    Setting(
        "save_period",
        30.0,
        "Time between two savings of save_map_to, all that a crash or kill -9 may cost. The map is "
        "also saved on deactivation and at the end (Ctrl-C).",
        Range(0.5, 3600.0, "s"),
        live=True,
    ),
    Setting(
        "search",
        LOCAL,
        "Where a shared map is searched: local keeps a copy of all of it, server asks the database "
        "for the 1,000 places most alike, for maps too large for the robot. The server needs the "
        "extension vector. What it found, up to 20,000 places, is kept and matched; so the "
        "first images find nothing.",
        choices=(LOCAL, SERVER),
    ),
    Setting(
        "journal",
        "",
        "Folder in which the places of a shared map wait on disk until the database has them. "
        "Empty: floppynet_vpr in ROS_HOME, which is ~/.ros.",
    ),
    Setting(
        "journal_size",
        256,
        "Size up to which that journal grows while there is no database. A place takes about "
        "1.5 kB, with local features more.",
        Range(1, 100000, "MB"),
    ),
    Setting(
        "keyframe_distance",
        0.3,
        "Descriptor distance from the last place at which an image becomes one. 0 asks for "
        "nothing. Standing still gives up to 0.2, driving on by 2 m about 0.7.",
        Range(0.0, 2.0),
        live=True,
    ),
    Setting(
        "keyframe_seconds",
        0.0,
        "Time from the last place, by the stamps, that an image must be, too. 0 asks for nothing.",
        Range(0.0, 3600.0, "s"),
        live=True,
    ),
    Setting(
        "keyframe_metres",
        0.5,
        "Where poses are known, distance from the last place that an image must be, too, unless it "
        "is turned by keyframe_degrees. 0 does not count.",
        Range(0.0, 10000.0, "m"),
        live=True,
    ),
    Setting(
        "keyframe_degrees",
        15.0,
        "Turn since the last place that will do instead of keyframe_metres. 0 does not count.",
        Range(0.0, 180.0, "degrees"),
        live=True,
    ),
    Setting(
        "session_name",
        "",
        "Name of this drive in the map, such as night or monday. Sessions of maps that are used "
        "as one are told apart by it. Empty: none.",
    ),
    Setting(
        "robot",
        "",
        "Name of who drives, in the map. Empty: the node's namespace.",
    ),
    Setting(
        "thumbnails",
        False,
        "Keep a small picture of each place in a new map, 4 kB more, for ~/match_image. A map "
        "that is gone on with keeps them if it has kept them so far.",
    ),
    Setting(
        "max_looks",
        GrowthOptions.max_looks,
        "Looks that mode both keeps of a place, by day, by night, in rain. A place that is "
        "recognised surely and looks as one of them is not added again. 0 adds it on every lap.",
        Range(0, 100),
        live=True,
    ),
    Setting(
        "max_places",
        GrowthOptions.max_places,
        "Places that a map made while driving may have; 0 sets no limit. A map with more drops a "
        "sixteenth of them: those that were neither added nor recognised for longest.",
        Range(0, 10_000_000),
        live=True,
    ),
    Setting(
        "pose_source",
        "none",
        "Where the poses of places come from. odometry: nav_msgs/Odometry on `odom`; pose: "
        "geometry_msgs/PoseStamped on `pose`; tf: tf2, from map_frame to base_frame. none: places "
        "have no poses, and nothing is drawn in ~/markers.",
        choices=("none", "odometry", "pose", "tf"),
    ),
    Setting(
        "pose_tolerance",
        0.1,
        "Time that a pose may be from the image it is taken for.",
        Range(0.001, 10.0, "s"),
        live=True,
    ),
    Setting(
        "map_frame",
        "",
        "Frame of the map's poses; empty: that of the messages with poses, else `map`. Poses in "
        "any other frame are not used.",
    ),
    Setting("base_frame", "base_link", "Frame of the robot, or its camera, for pose_source tf."),
    Setting(
        "weights",
        "",
        "Weights file (.fnet), the name of a network whose weights the package carries, or any "
        "other network as an ONNX model with its description beside it (docs/other_networks.md); "
        "empty: floppynet.",
    ),
    Setting(
        "backend",
        "auto",
        "How the network is computed: auto takes the fastest that works here, packed the fastest "
        "on packed bits. All give the same numbers. Other networks (.onnx) take auto, a GPU if "
        "onnxruntime has one, or onnxruntime.",
        choices=BACKENDS,
    ),
    Setting("threads", 1, "CPU threads of the network and the search.", Range(1, 64)),
    Setting(
        "image_transport",
        "raw",
        "raw subscribes to `image`, compressed to `image/compressed`.",
        choices=("raw", "compressed"),
    ),
    Setting(
        "qos",
        "auto",
        "QoS of the image subscription: auto follows the publisher. sensor_data is best effort "
        "(cameras), reliable is for bags and simulators that publish so.",
        choices=("auto", "sensor_data", "reliable"),
    ),
    Setting(
        "queue_size",
        1,
        "Images that may wait while one is worked on; the oldest is dropped for a new one. 1 keeps "
        "to the newest image. More is for replays in which every image counts.",
        Range(1, 1000),
    ),
    Setting("top_k", DetectorOptions.top_k, "Candidates in a message.", Range(1, 50), live=True),
    Setting(
        "threshold",
        DetectorOptions.threshold,
        "Largest descriptor distance of a loop closure; 0 sets itself. Smaller: fewer false "
        "closures; larger: more closures found. It sets itself to what calibrate found if the map "
        "is calibrated, else, with rigid matching of single images, by how near places of the map "
        "come that only look alike. Sequences and tolerant matching need no threshold.",
        Range(0.0, 2.0),
        live=True,
    ),
    Setting(
        "confidence",
        DetectorOptions.confidence,
        "Smallest score of a loop closure; 0 sets itself. It sets itself to what calibrate found, "
        "else to 0.7 for sequences (0.9 for places added during this drive), and to nothing for "
        "single images.",
        Range(0.0, 1.0),
        live=True,
    ),
    Setting(
        "matching",
        DetectorOptions.matching,
        "How images are compared: tolerant with shifts, less what all images of their drive share; "
        "rigid as the FloppyNet paper does. Tolerant recognises from another lane, by night and in "
        "winter.",
        choices=MATCHING_CHOICES,
        live=True,
    ),
    Setting(
        "sequence",
        DetectorOptions.sequence,
        "How images follow each other: none compares single ones; filter (a Bayes filter) and line "
        "(a search for straight lines) follow the camera through the map; auto is filter where the "
        "map is in the order of a drive, else none. Following finds far more closures, and far "
        "fewer false ones. Speed and direction may differ, from half to three places of the map "
        "while the view changes as much as between two of them.",
        choices=SEQUENCE_CHOICES,
        live=True,
    ),
    Setting(
        "subtract_mean",
        DetectorOptions.subtract_mean,
        "With rigid matching, compare images less what all images of their drive share, such as "
        "season or light. Tolerant matching always does.",
        live=True,
    ),
    Setting(
        "verification",
        DetectorOptions.verification,
        "How a detection is verified: one that fails is none. cells: of the 36 cells of the "
        "feature maps 14.5 must agree, on average of the last 16 images, where a sequence is "
        "matched tolerantly. features: local features of image and place must agree as well on how "
        "the camera has moved. The map must keep them (build_map --features 300); a new map does, "
        "if this is set when the node is configured. By night that finds little. none: nothing.",
        choices=VERIFICATION_CHOICES,
        live=True,
    ),
    Setting(
        "verify_budget",
        VerificationOptions.budget_ms,
        "Time that the local features of an image may take. Candidates that it does not suffice "
        "for stay unchecked.",
        Range(1.0, 10000.0, "ms"),
        live=True,
    ),
    Setting(
        "least_inliers",
        VerificationOptions.least_inliers,
        "Local features that must agree for a candidate to be verified.",
        Range(8, 1000),
        live=True,
    ),
    Setting(
        "depth",
        "",
        "Topic of depth images, aligned to the colour images (16UC1 millimetres or 32FC1 metres). "
        "Places that are added then keep where their corners are in space, and whoever recognises "
        "them is told from where. Only adding takes depth. Empty: none.",
    ),
    Setting(
        "camera_info",
        "",
        "Topic of the camera's CameraInfo. Empty: camera_info beside the images, as drivers name "
        "it.",
    ),
    Setting(
        "exclude_images",
        DetectorOptions.exclude_images,
        "Places added to the map during the last so many images are not matched.",
        Range(0, 100000),
        live=True,
    ),
    Setting(
        "exclude_seconds",
        DetectorOptions.exclude_seconds,
        "Places added since the map was loaded are not matched if their stamps are less than this "
        "from the image's.",
        Range(0.0, 86400.0, "s"),
        live=True,
    ),
    Setting(
        "publish_initialpose",
        NEVER,
        "When the pose of a place that is recognised surely goes out on `initialpose`, for AMCL, "
        "slam_toolbox or rtabmap. never; when_lost: after ~/relocalise, and while the pose on "
        "localization_pose is less sure than lost_metres; always: whenever a place is recognised "
        "surely.",
        choices=INITIALPOSE_CHOICES,
        live=True,
    ),
    Setting(
        "initialpose_frame",
        "map",
        "Frame that such a pose has to be in: that of the map which the localization uses.",
        live=True,
    ),
    Setting(
        "initialpose_images",
        5,
        "Images in a row that must recognise the same stretch of the map.",
        Range(1, 1000),
        live=True,
    ),
    Setting(
        "initialpose_period",
        10.0,
        "Time between two such poses, at least; one that ~/relocalise asks for does not wait.",
        Range(0.0, 3600.0, "s"),
        live=True,
    ),
    Setting(
        "lost_metres",
        0.0,
        "Standard deviation of the position on `localization_pose` above which the robot is lost, "
        "for when_lost. 0: it never is.",
        Range(0.0, 10000.0, "m"),
        live=True,
    ),
    Setting(
        "relocalise_seconds",
        30.0,
        "Time after which ~/relocalise answers that nothing was recognised.",
        Range(0.1, 3600.0, "s"),
        live=True,
    ),
    Setting(
        "no_image_warning",
        5.0,
        "Time without an image after which the node says why, with the topic and its publishers.",
        Range(0.5, 3600.0, "s"),
        live=True,
    ),
    Setting(
        "autostart",
        True,
        "Configure and activate at start; false leaves that to a lifecycle manager or `ros2 "
        "lifecycle set`.",
    ),
    Setting(
        "bond_heartbeat_period",
        0.1,
        "Time between two heartbeats to nav2's lifecycle manager, as its own nodes have it. Sent "
        "where autostart is false and bondpy is installed, from the next activation on; 0 sends "
        "none.",
        Range(0.0, 60.0, "s"),
        live=True,
    ),
)

INPUT_TOPICS = {
    "image": "Camera topic (sensor_msgs/Image), such as /camera/image_raw. With "
    "image_transport:=compressed its compressed form, <image>/compressed, is used.",
    "odom": "Odometry topic (nav_msgs/Odometry), used with pose_source:=odometry.",
    "pose": "Pose topic (geometry_msgs/PoseStamped), used with pose_source:=pose.",
    "localization_pose": "Pose by the localization (geometry_msgs/PoseWithCovarianceStamped), such "
    "as /amcl_pose, used with publish_initialpose:=when_lost and lost_metres.",
}
"""The topics the node subscribes to, and what each is, for launch files that remap them."""

OUTPUT_TOPICS = {
    "initialpose": "Topic on which the localization takes the pose to start from "
    "(geometry_msgs/PoseWithCovarianceStamped), used with publish_initialpose.",
}
"""The topics outside its namespace that the node publishes, in the same way."""
