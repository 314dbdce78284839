# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Says once why no images come, and when they come again."""

from __future__ import annotations

from typing import Any

from floppynet_vpr.ros.image_subscriber import ImageSubscriber


class SilenceWatch:
    """Watches whether images come, and explains it in the log when they do not."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self.reason = ""
        """Why no image comes; empty: they come."""

    def look(self, images: ImageSubscriber, since_last_image: float, patience: float) -> None:
        """Warn when no image came for more than `patience` seconds, once for every reason."""
        silent = since_last_image > patience
        reason = images.explain_silence() if silent else ""
        if silent and reason != self.reason:
            self._logger.warning(f"no image for {since_last_image:.0f} s: {reason}")
        elif self.reason and not silent:
            self._logger.info(f"images are coming on {images.topic}")
        self.reason = reason
