# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The descriptor of each image in the form in which rtabmap takes global descriptors."""

from __future__ import annotations

import importlib
import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Header

_KIND: Final = 1
"""rtabmap's number for descriptors of a network; those it compares must have the same."""

_MATRIX_TYPES: Final = {"f": 5, "B": 0}
"""OpenCV's numbers for matrices of one channel, by numpy's letter: CV_32FC1, CV_8UC1."""


class GlobalDescriptors:
    """~/global_descriptor, rtabmap_msgs/GlobalDescriptor, sent while somebody listens.

    Not offered where rtabmap_msgs is not installed.
    """

    def __init__(self, node: Node, fingerprint: str) -> None:
        """Offer the topic; `fingerprint` is that of the network, which `info` tells."""
        self._node = node
        self._info = np.frombuffer(fingerprint.encode(), np.uint8)
        self._kinds: Any = None
        self._publisher: Any = None
        try:
            self._kinds = importlib.import_module("rtabmap_msgs.msg")
        except ImportError:
            return
        self._publisher = node.create_publisher(
            self._kinds.GlobalDescriptor, "~/global_descriptor", 10
        )

    def close(self) -> None:
        """Offer it no more."""
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)

    def publish(self, header: Header, descriptor: NDArray[np.float32]) -> None:
        """Send the (d,) float32 descriptor of an image with this header."""
        if self._publisher is None or not self._publisher.get_subscription_count():
            return
        self._publisher.publish(
            self._kinds.GlobalDescriptor(
                header=header,
                type=_KIND,
                info=_packed(self._info),
                data=_packed(descriptor),
            )
        )


def _packed(row: NDArray[Any]) -> bytes:
    """Pack a matrix of one row as rtabmap does: zlib, then rows, columns and type, 4 bytes each."""
    shape = struct.pack("<3i", 1, len(row), _MATRIX_TYPES[row.dtype.char])
    return zlib.compress(row.tobytes()) + shape
