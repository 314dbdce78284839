# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Warnings that are told once, however often their reason comes up."""

from __future__ import annotations

import re
import threading
from typing import Any


class Notices:
    """Logs warnings, each once; those that differ in numbers alone count as one.

    They may be told by any thread.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def warn(self, text: str) -> None:
        """Log a warning, if it is new."""
        kind = re.sub(r"\d+(\.\d+)?", "0", text)
        with self._lock:
            known = kind in self._told
            self._told.add(kind)
        if not known:
            self._logger.warning(text)
