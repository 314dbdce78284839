# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The reference map: places, their storage, search, saving and loading."""

from floppynet_vpr.mapping.building import build_map
from floppynet_vpr.mapping.calibration import Calibration
from floppynet_vpr.mapping.map_content import MapError
from floppynet_vpr.mapping.places import Place, Pose, Session
from floppynet_vpr.mapping.reference_map import ReferenceMap, SearchResult
from floppynet_vpr.mapping.sessions import join_maps, load_maps
from floppynet_vpr.mapping.storages import DEFAULT_STORAGE, STORAGES

__all__ = [
    "DEFAULT_STORAGE",
    "STORAGES",
    "Calibration",
    "MapError",
    "Place",
    "Pose",
    "ReferenceMap",
    "SearchResult",
    "Session",
    "build_map",
    "join_maps",
    "load_maps",
]
