# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of a fleet's database, who may do what with them, and their version.

Everything is in the schema `floppynet_vpr`. What a place is kept as are the bytes of a map file's
row (`mapping.map_file`), cut in columns: `signs` and `numbers` are its row in `codes`, `rest` its
rows in the other tables that `maps.tables` names, one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from floppynet_vpr.fleet.connection import Connection, errors_in_words
from floppynet_vpr.fleet.map_url import MapUrl
from floppynet_vpr.mapping import MapError
from floppynet_vpr.mapping.grid import POOL5

if TYPE_CHECKING:
    from psycopg.sql import Composed

VERSION = 1
"""The version of the tables below; a database of another one is refused."""

CHANNEL = "floppynet_vpr"
"""Where the server tells of new places: the number of the map, and those of the sessions."""


_TABLES = f"""
CREATE TABLE floppynet_vpr.schema_version (
    version integer NOT NULL,
    single boolean PRIMARY KEY DEFAULT true CHECK (single)
);
CREATE TABLE floppynet_vpr.maps (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    network text NOT NULL,          -- the weights that made the descriptors
    fingerprint text NOT NULL,
    storage text NOT NULL,          -- how descriptors are kept
    tables jsonb NOT NULL,          -- those of a map file with a row for each place: [name, bytes]
    made timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE floppynet_vpr.calibrations (
    map integer NOT NULL REFERENCES floppynet_vpr.maps ON DELETE CASCADE,
    mode text NOT NULL,             -- way of detection that was calibrated
    position integer NOT NULL,      -- their order
    learned jsonb NOT NULL,         -- mapping.calibration.Calibration
    PRIMARY KEY (map, mode)
);
CREATE TABLE floppynet_vpr.robots (
    name text PRIMARY KEY,          -- empty: whoever does not say
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE floppynet_vpr.sessions (
    map integer NOT NULL REFERENCES floppynet_vpr.maps ON DELETE CASCADE,
    uid bigint NOT NULL CHECK (uid >= 0),        -- its number for life, 39 bits
    position bigint GENERATED ALWAYS AS IDENTITY,  -- their order in the map
    name text NOT NULL,
    robot text NOT NULL REFERENCES floppynet_vpr.robots,
    start_ns bigint NOT NULL,       -- stamp of its first image
    frame text NOT NULL,            -- of its poses (REP-105); empty: none
    frame_uid bigint NOT NULL,      -- sessions with the same one can be compared by poses
    added integer NOT NULL,         -- places it ever had: the number of the next one
    weight integer NOT NULL,        -- images in the mean
    mean bytea NOT NULL,            -- float32 (36, 256), little-endian: mean turned feature map
    PRIMARY KEY (map, uid)
);
CREATE TABLE floppynet_vpr.places (
    map integer NOT NULL,
    session bigint NOT NULL,
    number integer NOT NULL CHECK (number >= 0),  -- in its session; id = session << 24 | number
    stamp_ns bigint NOT NULL,
    x float8 NOT NULL, y float8 NOT NULL, z float8 NOT NULL,  -- pose in its session's frame;
    qx float8 NOT NULL, qy float8 NOT NULL,                   -- not a number where unknown
    qz float8 NOT NULL, qw float8 NOT NULL,
    signs bit({8 * POOL5.code_bytes}) NOT NULL,
    numbers bytea NOT NULL,
    rest bytea NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (map, session, number),
    FOREIGN KEY (map, session) REFERENCES floppynet_vpr.sessions ON DELETE CASCADE
);
-- Bits do not get smaller by compression, trying costs time.
ALTER TABLE floppynet_vpr.places ALTER signs SET STORAGE EXTERNAL;
ALTER TABLE floppynet_vpr.places ALTER numbers SET STORAGE EXTERNAL;
ALTER TABLE floppynet_vpr.places ALTER rest SET STORAGE EXTERNAL;
ALTER TABLE floppynet_vpr.sessions ALTER mean SET STORAGE EXTERNAL;
CREATE INDEX ON floppynet_vpr.places (map, x, y);
COMMENT ON SCHEMA floppynet_vpr IS 'places that robots recognise';
"""

_RIGHTS = {
    "reader": ("GRANT SELECT ON ALL TABLES IN SCHEMA floppynet_vpr TO {role}",),
    "writer": (
        "GRANT SELECT ON ALL TABLES IN SCHEMA floppynet_vpr TO {role}",
        "GRANT INSERT ON floppynet_vpr.maps, floppynet_vpr.robots, floppynet_vpr.sessions, "
        "floppynet_vpr.places TO {role}",
        "GRANT INSERT, UPDATE, DELETE ON floppynet_vpr.calibrations TO {role}",
        "GRANT UPDATE (added, weight, mean) ON floppynet_vpr.sessions TO {role}",
        "GRANT UPDATE (last_seen) ON floppynet_vpr.robots TO {role}",
        "GRANT TEMPORARY ON DATABASE {database} TO {role}",
    ),
    "admin": ("GRANT ALL ON ALL TABLES IN SCHEMA floppynet_vpr TO {role}",),
}
RIGHTS = tuple(_RIGHTS)


def create_schema(connection: Connection, url: MapUrl) -> bool:
    """Create the tables where there are none; tells whether it did.

    Raises MapError without the right to, or where they are of another version.
    """
    with errors_in_words(url), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('floppynet_vpr'))")
        found = connection.execute("SELECT to_regclass('floppynet_vpr.schema_version')").fetchone()
        if found is None or found[0] is None:
            connection.execute("CREATE SCHEMA IF NOT EXISTS floppynet_vpr")
            connection.execute(_TABLES.encode())
            connection.execute(
                "INSERT INTO floppynet_vpr.schema_version (version) VALUES (%s)", (VERSION,)
            )
            return True
    require_version(connection, url)
    return False


def require_version(connection: Connection, url: MapUrl) -> None:
    """Raise MapError unless the tables are there and of this release's version."""
    with errors_in_words(url):
        row = connection.execute("SELECT version FROM floppynet_vpr.schema_version").fetchone()
    version = 0 if row is None else int(row[0])
    if version > VERSION:
        raise MapError(
            f"the database of {url} has tables of version {version}, this release knows {VERSION}: "
            "update floppynet_vpr on this machine"
        )
    if version < VERSION:
        raise MapError(
            f"the database of {url} has tables of version {version}, this release needs {VERSION}: "
            "run 'ros2 run floppynet_vpr fleet_database init' as its administrator"
        )


def grant(connection: Connection, url: MapUrl, role: str, right: str) -> None:
    """Let a role, which must exist, do what a reader, a writer or an administrator may."""
    from psycopg import sql

    def filled(text: str) -> Composed:
        return sql.SQL(text).format(
            role=sql.Identifier(role), database=sql.Identifier(connection.info.dbname)
        )

    require_version(connection, url)
    with errors_in_words(url), connection.transaction():
        connection.execute(filled("REVOKE ALL ON ALL TABLES IN SCHEMA floppynet_vpr FROM {role}"))
        connection.execute(filled("GRANT USAGE ON SCHEMA floppynet_vpr TO {role}"))
        for statement in _RIGHTS[right]:
            connection.execute(filled(statement))
