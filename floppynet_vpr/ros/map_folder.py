# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Which files anybody on the network may have the node read and write."""

from __future__ import annotations

from pathlib import Path

from floppynet_vpr.errors import VprError
from floppynet_vpr.files import user_path


class MapFolder:
    """The folder that services are confined to; of an empty name they are not."""

    def __init__(self, name: str) -> None:
        """Take the parameter `map_folder`; raises VprError where it cannot be a folder's name."""
        self._folder = user_path(name).resolve() if name else None

    def path(self, text: str) -> Path:
        """Turn a path that was asked for into the file's; relative ones are of the folder.

        Raises VprError where it leads out of the folder, by links as well.
        """
        path = user_path(text)
        if self._folder is None:
            return path
        found = (self._folder / path).resolve()
        if not found.is_relative_to(self._folder):
            raise VprError(
                f"{path} is outside {self._folder}, the folder that this node's maps are confined "
                "to (parameter map_folder)"
            )
        return found

    def require_none(self, where: str) -> None:
        """Raise VprError where services are confined to a folder, and `where` is no file."""
        if self._folder is not None:
            raise VprError(
                f"{where} is not in {self._folder}, the folder that this node's maps are confined "
                "to (parameter map_folder)"
            )
