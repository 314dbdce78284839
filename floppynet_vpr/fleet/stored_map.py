# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Where a map is kept: one door for all who name one, in a file or in a database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from floppynet_vpr.file_lock import FileLock
from floppynet_vpr.files import require_new, user_path
from floppynet_vpr.fleet.connection import connect, errors_in_words
from floppynet_vpr.fleet.database_map import add_content, find_map, read_content, remove_map
from floppynet_vpr.fleet.map_url import MapUrl, is_url, parse_url
from floppynet_vpr.mapping import MapError, ReferenceMap
from floppynet_vpr.mapping.sessions import join_named, load_maps
from floppynet_vpr.text import utf_8


class StoredMap(Protocol):
    """A map where it is kept; as text, its name for people."""

    @property
    def stem(self) -> str:
        """A short name."""

    def load(self) -> ReferenceMap:
        """Load it; raises MapError."""

    def require_new(self, force: bool) -> None:
        """Raise VprError where nothing can be written, before the work that is to be written."""

    def lock(self) -> AbstractContextManager[object]:
        """Keep others from writing it; raises VprError where another does."""

    def save(self, reference: ReferenceMap) -> str:
        """Write a map there; returns what to tell people, raises VprError."""

    def size(self) -> int:
        """The bytes it takes."""


@dataclass(frozen=True)
class FileMap:
    """A map in a file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def stem(self) -> str:
        """See `StoredMap`."""
        return utf_8(self.path.stem)

    def load(self) -> ReferenceMap:
        """See `StoredMap`."""
        return ReferenceMap.load(self.path)

    def require_new(self, force: bool) -> None:
        """See `StoredMap`."""
        require_new(self.path, force)

    def lock(self) -> AbstractContextManager[object]:
        """See `StoredMap`."""
        return FileLock(self.path)

    def save(self, reference: ReferenceMap) -> str:
        """See `StoredMap`."""
        reference.save(self.path)
        return f"{len(reference)} places, {self.size() / 2**20:.1f} MiB"

    def size(self) -> int:
        """See `StoredMap`."""
        return self.path.stat().st_size


@dataclass
class DatabaseMap:
    """A map in a database: what is saved there is added, and replaces nothing unless forced to."""

    url: MapUrl
    _forced: bool = False

    def __str__(self) -> str:
        return str(self.url)

    @property
    def stem(self) -> str:
        """See `StoredMap`."""
        return "/".join(word for word in (self.url.map, self.url.session) if word)

    def load(self) -> ReferenceMap:
        """See `StoredMap`."""
        with closing(connect(self.url)) as connection:
            return ReferenceMap.of_content(read_content(connection, self.url))

    def require_new(self, force: bool) -> None:
        """See `StoredMap`; places may be added to a map that is there."""
        self._forced = force
        self._require_whole()
        with closing(connect(self.url)) as connection:
            find_map(connection, self.url)

    def lock(self) -> AbstractContextManager[object]:
        """See `StoredMap`; a database sees to that by itself."""
        return nullcontext()

    def save(self, reference: ReferenceMap) -> str:
        """See `StoredMap`."""
        self._require_whole()
        with (
            closing(connect(self.url)) as connection,
            errors_in_words(self.url),
            connection.transaction(),
        ):
            if self._forced:
                remove_map(connection, self.url)
            added = add_content(connection, self.url, reference.content())
        self._forced = False
        return f"{added} new of {len(reference)} places"

    def _require_whole(self) -> None:
        if not self.url.is_whole:
            raise MapError(f"{self.url}: session and near choose what is read, leave them out")

    def size(self) -> int:
        """See `StoredMap`; without what indices take."""
        with closing(connect(self.url)) as connection, errors_in_words(self.url):
            row = connection.execute(
                "SELECT coalesce(sum(pg_column_size(p)), 0) FROM floppynet_vpr.places p "
                "JOIN floppynet_vpr.maps m ON m.id = p.map WHERE m.name = %s",
                (self.url.map,),
            ).fetchone()
        return int(row[0]) if row else 0


def stored_map(text: str) -> StoredMap:
    """Take the name of a map as people write it: a path, or a URL (`MapUrl`); raises VprError."""
    return DatabaseMap(parse_url(text)) if is_url(text) else FileMap(user_path(text))


def load_map(text: str) -> ReferenceMap:
    """Load what a name means: a URL, a file, or several files separated by ':' as one map."""
    return stored_map(text).load() if is_url(text) else load_maps(text)


def shown_map(text: str) -> str:
    """What a name means, as people may read it: without a password."""
    return str(stored_map(text)) if is_url(text) else text


def join_stored(maps: Sequence[StoredMap]) -> ReferenceMap:
    """Load several maps as one; see `mapping.sessions.join_maps`."""
    return join_named([(one.stem, one.load) for one in maps])
