# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One way to open every source of images: a folder, a video or a bag.

Whatever walks along images (building a map, evaluating, making a bag) asks `open_source` for
frames and need not know where they come from.
"""

import errno
import math
import os
from pathlib import Path

from floppynet_vpr.datasets.bag_view import looks_like_bag
from floppynet_vpr.datasets.bags_reading import BagFrames
from floppynet_vpr.datasets.folder import ImageFolder
from floppynet_vpr.datasets.frames import FrameSource
from floppynet_vpr.datasets.video import VideoFile
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import open_file


def open_source(
    path: Path, *, topic: str | None = None, rate_hz: float = 10.0, every: int = 1
) -> FrameSource:
    """Open a folder of images, a video file or a bag of ROS 2 or ROS 1, told apart by looking.

    Args:
        path: the folder, the video, the ROS 1 bag (.bag), the rosbag2's folder or a storage file
            (.mcap, .db3) of one.
        topic: the bag's image topic, or the base topic of a compressed one; None takes the only
            one there is.
        rate_hz: frames per second, for sources that do not say when their images were taken.
        every: take every n-th frame, the first included.

    Raises:
        VprError: nothing there, nothing readable, no images, or several topics to choose from.
    """
    if every < 1:
        raise VprError(f"every must be at least 1 (every n-th frame), not {every}")
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        raise VprError(f"the rate must be a positive number of frames per second, not {rate_hz}")
    path = Path(path)
    try:
        folder = path.is_dir()
        if folder and not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if not folder:
            open_file(path).close()
    except (FileNotFoundError, NotADirectoryError):
        raise VprError(
            f"{path} does not exist: name a folder of images, a video or a bag"
        ) from None
    except (OSError, ValueError) as error:
        raise VprError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    if looks_like_bag(path):
        return BagFrames(path, topic=topic, every=every)
    if topic is not None:
        raise VprError(f"{path} is no bag and so has no topic {topic}: leave the topic out")
    if folder:
        return ImageFolder(path, rate_hz=rate_hz, every=every)
    return VideoFile(path, rate_hz=rate_hz, every=every)


def frames_in(source: FrameSource) -> int:
    """Tell how many frames a source has; a video, which only estimates it, is read for that."""
    return source.count() if isinstance(source, VideoFile) else len(source)
