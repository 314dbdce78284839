# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The services that save, load, reset and reduce the node's map."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rclpy.node import Node
from std_srvs.srv import Trigger

from floppynet_vpr.errors import VprError
from floppynet_vpr.file_lock import FileLock
from floppynet_vpr.fleet.map_url import is_url, parse_url
from floppynet_vpr.mapping import Pose
from floppynet_vpr.mapping.map_file import is_map
from floppynet_vpr.mapping.sessions import SEPARATOR, map_names
from floppynet_vpr.ros.map_folder import MapFolder
from floppynet_vpr.ros.map_in_use import MapInUse
from floppynet_vpr_msgs.srv import ForgetPlaces, MapFile


class MapServices:
    """Offers ~/save_map, ~/load_map, ~/reset_map and ~/forget.

    Every answer says in one sentence what was done, or what was wrong and what to do.
    """

    def __init__(
        self, node: Node, map_in_use: MapInUse, written: Path | None, folder: MapFolder
    ) -> None:
        """Offer them; `written` is the file that the map is saved to on its own, if any.

        Requests may name files in `folder`.
        """
        self._node = node
        self._map = map_in_use
        self._written = written
        self._folder = folder
        self._services = [
            node.create_service(MapFile, "~/save_map", self._save),
            node.create_service(MapFile, "~/load_map", self._load),
            node.create_service(Trigger, "~/reset_map", self._reset),
            node.create_service(ForgetPlaces, "~/forget", self._forget),
        ]

    def close(self) -> None:
        """Offer them no more."""
        for service in self._services:
            self._node.destroy_service(service)

    @contextmanager
    def _answer(self, response: Any, otherwise: str = "") -> Iterator[None]:
        """Have what was done, or what was wrong, in the response, and the former in the log."""
        try:
            yield
            response.success = True
            self._node.get_logger().info(response.message)
        except VprError as error:
            response.message = f"{error}{otherwise}"

    def _save(self, request: Any, response: Any) -> Any:
        with self._answer(response):
            if not request.path:
                raise VprError("give the path of the map file to write")
            path = self._folder.path(request.path)
            if path.exists() and not is_map(path):
                raise VprError(f"{path} exists and is not a map: choose another name")
            own = self._written is not None and path.resolve() == self._written.resolve()
            # The node has the lock on the file that it writes by itself.
            with nullcontext() if own else FileLock(path):
                response.message = self._map.save(path)
        return response

    def _load(self, request: Any, response: Any) -> Any:
        with self._answer(response, "; the map in use stays"):
            if self._written is not None:
                raise VprError(
                    f"the map in use is being saved to {self._written}, which another map would "
                    "overwrite: start the node anew with other parameters"
                )
            response.message = self._map.load(self._in_folder(request.path))
        return response

    def _in_folder(self, text: str) -> str:
        """Turn what was asked for into the map's name; raises VprError where it is elsewhere."""
        if is_url(text):
            self._folder.require_none(str(parse_url(text)))
            return text
        return SEPARATOR.join(str(self._folder.path(name)) for name in map_names(text))

    def _reset(self, request: Any, response: Any) -> Any:
        with self._answer(response):
            self._map.reset()
            response.message = "the map is empty now"
            if self._written is not None:
                response.message += f", and {self._written} will be with the next saving"
        return response

    def _forget(self, request: Any, response: Any) -> Any:
        with self._answer(response):
            if request.radius > 0:
                at = request.position
                response.forgotten = self._map.forget_around(Pose(at.x, at.y, at.z), request.radius)
            else:
                response.forgotten = self._map.forget_ids(request.first_id, request.end_id)
            left = len(self._map.places)
            response.message = f"forgot {response.forgotten} places, {left} are left"
        return response
