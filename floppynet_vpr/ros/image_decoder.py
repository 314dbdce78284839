# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Decodes the node's image messages, raw ones with cv_bridge where that is sound.

cv_bridge is what ROS users expect, but many installations have one that does not work: NumPy 2
makes it raise, or end the process, and some releases get 16 bits wrong. So it is tried before it
is imported, in a process of its own. It unpacks the pixels only; what follows is this package's.
"""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from floppynet_vpr.imaging.bit_depth import BitDepth
from floppynet_vpr.imaging.payload import (
    UNPACKED,
    check_image,
    decode_compressed,
    decode_image,
    picture_of,
    refuse_depth,
    unpack_image,
)

_TRIAL_S = 60.0
_RIGHT = "right: "


@dataclass(frozen=True)
class Trial:
    """What came of trying cv_bridge.

    `encodings`: those it unpacks rightly, none where it cannot be used. `why_not`: why it cannot.
    """

    encodings: frozenset[str]
    why_not: str = ""

    def __str__(self) -> str:
        if not self.encodings:
            return f"this package ({self.why_not})"
        wrong = [encoding for encoding in UNPACKED if encoding not in self.encodings]
        return "cv_bridge" + (f", {', '.join(wrong)} by this package" if wrong else "")


def try_cv_bridge() -> Trial:
    """Find out what the installed cv_bridge can be used for."""
    if importlib.util.find_spec("cv_bridge") is None:
        return Trial(frozenset(), "cv_bridge is not installed")
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TRIAL_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Trial(frozenset(), f"cv_bridge cannot be tried: {error}")
    lines = done.stdout.splitlines()
    right = frozenset(line.removeprefix(_RIGHT) for line in lines if line.startswith(_RIGHT))
    if done.returncode < 0:
        reason = f"it ends the process with {signal.Signals(-done.returncode).name}"
    elif done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
    elif not right:
        reason = "it unpacks no encoding rightly"
    else:
        return Trial(right)
    return Trial(frozenset(), f"the installed cv_bridge is not sound: {reason}")


class ImageDecoder:
    """Decodes the messages of one image topic to RGB."""

    def __init__(self, topic: str, trial: Trial, warn: Callable[[str], object]) -> None:
        """Decode what comes on `topic`, with cv_bridge as far as the `trial` says.

        `warn` is told if cv_bridge fails nevertheless; from then on it is not used.
        """
        self._topic = topic
        self._warn = warn
        self._depth = BitDepth()
        self._trial = trial
        self._bridge: Any = None
        if trial.encodings:
            from cv_bridge import CvBridge

            self._bridge = CvBridge()

    @property
    def description(self) -> str:
        """By whom raw images are unpacked."""
        return str(self._trial)

    def decode(self, message: Image | CompressedImage) -> NDArray[np.uint8]:
        """Decode an image message to (H, W, 3) uint8 RGB; raises ImageError."""
        if isinstance(message, CompressedImage):
            refuse_depth(self._topic, message.format)
            return decode_compressed(message.data, message.format, self._depth)
        refuse_depth(self._topic, message.encoding)
        if self._bridge is not None and message.encoding in self._trial.encodings:
            pixels = self._unpack(message)
            if pixels is not None:
                return picture_of(pixels, message.encoding, self._depth)
        return decode_image(
            message.height,
            message.width,
            message.encoding,
            bool(message.is_bigendian),
            message.step,
            message.data,
            self._depth,
        )

    def _unpack(self, message: Image) -> NDArray[Any] | None:
        """Have cv_bridge unpack a message, None where it cannot; raises ImageError."""
        layout = check_image(
            message.height, message.width, message.encoding, message.step, message.data
        )
        whole = layout.columns(message.width) == message.width
        if message.is_bigendian or message.step != message.width * layout.pixel_bytes or not whole:
            return None
        try:
            return np.asarray(self._bridge.imgmsg_to_cv2(message, "passthrough"))
        except Exception as error:
            self._bridge = None
            self._trial = Trial(frozenset(), f"cv_bridge failed: {error!r}")
            self._warn(f"raw images are unpacked by {self._trial} from now on")
            return None


def _try() -> int:
    """Compare what cv_bridge makes of each encoding with what this package does."""
    from cv_bridge import CvBridge

    bridge = CvBridge()
    height, width = 5, 6
    for encoding, layout in UNPACKED.items():
        step = width * layout.pixel_bytes
        data = np.random.default_rng(0).bytes(height * step)
        message = Image(height=height, width=width, encoding=encoding, step=step)
        message.data.frombytes(data)
        expected = unpack_image(height, width, encoding, False, step, data)
        try:
            found = np.asarray(bridge.imgmsg_to_cv2(message, "passthrough"))
        except Exception:  # an encoding that this release does not know
            continue
        if found.dtype == expected.dtype and np.array_equal(found, expected):
            print(f"{_RIGHT}{encoding}")
    return 0


if __name__ == "__main__":
    sys.exit(_try())
