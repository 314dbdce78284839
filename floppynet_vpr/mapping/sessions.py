# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Several drives in one map: summer and winter, day and night."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os.path import isfile

import numpy as np

from floppynet_vpr.files import user_path
from floppynet_vpr.mapping.map_content import MapError
from floppynet_vpr.mapping.reference_map import ReferenceMap
from floppynet_vpr.text import utf_8

SEPARATOR = ":"
"""Between the files of several maps that are to be used as one."""


def load_maps(text: str) -> ReferenceMap:
    """Load a map file, or several whose names are separated by ':' as one map.

    Of several, places that have no session get the name of their file, without its suffix. Raises
    MapError when one cannot be loaded or they do not go together.
    """
    paths = [user_path(name) for name in map_names(text)]
    return join_named([(utf_8(path.stem), partial(ReferenceMap.load, path)) for path in paths])


def map_names(text: str) -> list[str]:
    """The names of the map files that a text means: one that is there, or several."""
    if isfile(user_path(text)):
        return [text]
    return [name for name in text.split(SEPARATOR) if name] or [text]


def join_named(maps: Sequence[tuple[str, Callable[[], ReferenceMap]]]) -> ReferenceMap:
    """Load maps, each with a name, as one map; see `load_maps`."""
    if len(maps) == 1:
        return maps[0][1]()
    names = [name for name, _ in maps]
    for name in names:
        if names.count(name) > 1:
            raise MapError(f"two maps are named {name}: rename one, sessions are told by the name")
    return join_maps({name: load() for name, load in maps})


def join_maps(maps: Mapping[str, ReferenceMap]) -> ReferenceMap:
    """Make one map of several, one after the other, what is kept of places copied bit for bit.

    Places that have no session get their map's name for one. Calibrations are left behind, for
    they are of single maps. Raises MapError when there is no map, and unless all are of the same
    weights and storage, with no session in two of them.
    """
    if not maps:
        raise MapError("no map to join: name at least one")
    _check(maps)
    first = next(iter(maps.values()))
    slots = max(reference.features for reference in maps.values())
    pictures = any(reference.thumbnails for reference in maps.values())
    joined = ReferenceMap(
        first.network, first.fingerprint, first.storage, slots, first.grid, pictures
    )
    for name, reference in maps.items():
        joined.adopt(reference, np.arange(len(reference), dtype=np.int64), name)
    return joined


def _check(maps: Mapping[str, ReferenceMap]) -> None:
    """Raise MapError unless the maps can be one."""
    (first_name, first), *_ = maps.items()
    named: dict[str, str] = {}
    numbered: dict[int, str] = {}
    for name, reference in maps.items():
        for what, ours, theirs in (
            ("weights", first.fingerprint[:12], reference.fingerprint[:12]),
            ("storage", first.storage, reference.storage),
        ):
            if ours != theirs:
                raise MapError(
                    f"the maps {first_name} and {name} cannot be one: the {what} of the first "
                    f"are {ours}, of the second {theirs}; build both in the same way"
                )
        for session in reference.sessions:
            if session.uid in numbered:
                raise MapError(
                    f"the maps {numbered[session.uid]} and {name} hold the same places: leave "
                    "one of them out"
                )
            text = session.name or name
            if named.get(text, name) != name:
                raise MapError(
                    f"the maps {named[text]} and {name} both have a session named {text}: "
                    "leave one of them out, or rename its file and build it again"
                )
            named[text] = name
            numbered[session.uid] = name
