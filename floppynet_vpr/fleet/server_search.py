# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Search in the server, for maps that no robot can hold: by pgvector, in the bits of places.

An index (HNSW, Hamming distance) answers for a whole map. Where only some of it is asked for, every
place of that part is compared: the graph of an index leads through places that do not count, and
what is behind these is missed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.fleet.connection import Connection, errors_in_words
from floppynet_vpr.fleet.database_map import MapFacts, RegionCondition, require_map
from floppynet_vpr.fleet.map_url import MapUrl
from floppynet_vpr.mapping import MapError
from floppynet_vpr.mapping.grid import POOL5

FOUND = 1000
"""Places that the server gives for an image, the most that an index can."""

_BITS = 8 * POOL5.code_bytes


def require_extension(connection: Connection, url: MapUrl) -> None:
    """Raise MapError where the database has no pgvector."""
    with errors_in_words(url):
        row = connection.execute(
            "SELECT current_setting('server_version_num')::int / 10000, "
            "EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')"
        ).fetchone()
    if row is not None and not row[1]:
        raise MapError(
            f"search in the server needs the extension vector in the database of {url}: install "
            f"the package postgresql-{row[0]}-pgvector there, and run CREATE EXTENSION vector in "
            "the database as its administrator; or set search to local"
        )


def make_index(connection: Connection, url: MapUrl) -> str:
    """Make the index of a map, if there is none; returns its name."""
    from psycopg import sql

    require_extension(connection, url)
    facts = require_map(connection, url)
    name = f"signs_of_map_{facts.id}"
    with errors_in_words(url):
        connection.execute(
            sql.SQL(
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON floppynet_vpr.places "
                "USING hnsw (signs bit_hamming_ops) WHERE map = {map}"
            ).format(name=sql.Identifier(name), map=sql.Literal(facts.id))
        )
    return name


def nearest(
    connection: Connection,
    facts: MapFacts,
    url: MapUrl,
    signs: NDArray[np.uint8],
    without: Iterable[int] = (),
    count: int = FOUND,
) -> list[tuple[int, int]]:
    """Find the places whose signs differ least from (1152,) uint8 `signs`, nearest first.

    Returns session and number of each; `without` are sessions that do not count. To be called in a
    transaction.
    """
    region = RegionCondition.of(url)
    query = "".join(map(str, np.unpackbits(signs).tolist()))
    values = {**region.values, "map": facts.id, "session": url.session, "without": list(without)}
    apart = f"signs <~> %(query)s::bit({_BITS})"
    condition = f"map = {facts.id} AND session <> ALL(%(without)s::bigint[]) {region.condition}"
    if not url.is_whole:
        apart = f"({apart}) + 0"  # no index has that order
    if url.session:
        condition += (
            " AND session IN (SELECT uid FROM floppynet_vpr.sessions "
            "WHERE map = %(map)s AND name = %(session)s)"
        )
    connection.execute(f"SET LOCAL hnsw.ef_search = {FOUND}")
    rows = connection.execute(
        f"SELECT session, number FROM floppynet_vpr.places WHERE {condition} "
        f"ORDER BY {apart} LIMIT {count}",
        {**values, "query": query},
        prepare=False,
    )
    return [(int(session), int(number)) for session, number in rows]
