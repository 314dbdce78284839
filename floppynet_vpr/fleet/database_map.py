# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a map file holds, as rows of the database: read, added to, replaced."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.fleet.connection import Connection, errors_in_words
from floppynet_vpr.fleet.map_url import MapUrl
from floppynet_vpr.fleet.rows import (
    FIXED,
    PlaceRows,
    from_pieces,
    make_rows,
    read_query,
    shown_name,
    to_copy,
)
from floppynet_vpr.fleet.schema import CHANNEL, require_version
from floppynet_vpr.mapping import Calibration, MapError
from floppynet_vpr.mapping.cells import decode
from floppynet_vpr.mapping.grid import POOL5, Grid
from floppynet_vpr.mapping.map_content import POINTS, MapContent, calibrations_of, first_places
from floppynet_vpr.mapping.places import Session
from floppynet_vpr.mapping.session_means import SessionContent
from floppynet_vpr.mapping.storages import CODES, STORAGES
from floppynet_vpr.network.network import shape_text

_AT_ONCE = 4096
_COLUMNS = ", ".join(FIXED)
_SESSION_COLUMNS = "uid, name, robot, start_ns, frame, frame_uid"


@dataclass(frozen=True)
class MapFacts:
    """What the database knows of a map as a whole.

    `tables` are those of a map file with a row for each place, but the bits: their names and bytes.
    """

    id: int
    network: str
    fingerprint: str
    storage: str
    tables: tuple[tuple[str, int], ...]

    @property
    def rest_bytes(self) -> int:
        """What a place takes in these tables."""
        return sum(size for _, size in self.tables)

    def cut(self, rest: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        """Cut rows of all these tables into tables."""
        edges = np.cumsum([size for _, size in self.tables])[:-1].astype(int)
        parts = np.split(rest, edges, axis=1) if self.tables else []
        return {
            name: np.ascontiguousarray(part)
            for (name, _), part in zip(self.tables, parts, strict=True)
        }


def find_map(connection: Connection, url: MapUrl) -> MapFacts | None:
    """Look up a map by its name, None where there is none; raises MapError as `require_version`."""
    require_version(connection, url)
    with errors_in_words(url):
        row = connection.execute(
            "SELECT id, network, fingerprint, storage, tables FROM floppynet_vpr.maps "
            "WHERE name = %s",
            (url.map,),
        ).fetchone()
    if row is None:
        return None
    if row[3] not in STORAGES:
        raise MapError(
            f"{url} keeps descriptors as '{row[3]}', which this release does not know: update "
            "floppynet_vpr on this machine"
        )
    return MapFacts(row[0], row[1], row[2], row[3], tuple((name, size) for name, size in row[4]))


def require_map(connection: Connection, url: MapUrl) -> MapFacts:
    """Look up a map that has to be there; raises MapError, with the names of those that are."""
    facts = find_map(connection, url)
    if facts is None:
        with errors_in_words(url):
            rows = connection.execute("SELECT name FROM floppynet_vpr.maps ORDER BY name")
            names = ", ".join(str(row[0]) for row in rows) or "none"
        raise MapError(
            f"there is no map '{url.map}' in the database of {url} (there: {names}); make one with "
            "'ros2 run floppynet_vpr build_map SOURCE --output URL' or by mapping"
        )
    return facts


def make_map(connection: Connection, url: MapUrl, wanted: MapFacts) -> MapFacts:
    """Look up a map, or make it as `wanted`, whose number does not matter.

    Raises MapError where there is one of that name that holds something else.
    """
    with errors_in_words(url):
        if find_map(connection, url) is None:
            connection.execute(
                "INSERT INTO floppynet_vpr.maps (name, network, fingerprint, storage, tables) "
                "VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (
                    url.map,
                    wanted.network,
                    wanted.fingerprint,
                    wanted.storage,
                    json.dumps(wanted.tables),
                ),
            )
    facts = require_map(connection, url)
    for what, theirs, ours in (
        ("weights", wanted.fingerprint[:12], facts.fingerprint[:12]),
        ("storage", wanted.storage, facts.storage),
        ("bytes a place", dict(wanted.tables) or "bits", dict(facts.tables) or "bits"),
    ):
        if ours != theirs:
            raise MapError(
                f"these places do not go into {url}: its {what} are {ours}, theirs {theirs}; make "
                "them in the same way, or name another map"
            )
    return facts


def require_grid(url: MapUrl, grid: Grid) -> None:
    """Raise MapError unless descriptors of this shape go into a database."""
    if grid != POOL5:
        raise MapError(
            f"{url} is of descriptors of {shape_text(POOL5.shape)}, not of "
            f"{shape_text(grid.shape)}: maps of other networks go into files"
        )


def facts_of(content: MapContent) -> MapFacts:
    """What a database would know of a map with this content; its number is still to come.

    Where local features are in space is not kept.
    """
    sizes = STORAGES[content.storage].tables(content.grid)
    tables = {name: size for name, size in sizes.items() if name != CODES}
    for name, table in content.tables.items():
        if name not in (CODES, POINTS) and len(table):
            tables[name] = table[0].shape[1]
    return MapFacts(0, content.network, content.fingerprint, content.storage, tuple(tables.items()))


@dataclass(frozen=True)
class Known:
    """What a robot has of a session: its mean, of so many images, and the number to go on with."""

    mean: NDArray[np.float32]
    weight: int
    next: int


def read_sessions(
    connection: Connection,
    facts: MapFacts,
    only: Iterable[int] | None = None,
    name: str = "",
    known: Mapping[int, Known] | None = None,
) -> list[SessionContent]:
    """Read the sessions of a map that have more than is known, in their order.

    `only`: those with these numbers; `name`: those of this name. Means are read where they are of
    more images than those known.
    """
    known = known or {}
    rows = connection.execute(
        f"SELECT {_SESSION_COLUMNS}, added, "
        "CASE WHEN weight > coalesce(had_weight, -1) THEN mean ELSE '' END, weight "
        "FROM floppynet_vpr.sessions LEFT JOIN "
        "unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS had(had_uid, had_next, had_weight) "
        "ON uid = had_uid "
        "WHERE map = %s AND added > coalesce(had_next, 0) "
        "AND (%s::bigint[] IS NULL OR uid = ANY(%s)) AND (%s = '' OR name = %s) "
        "ORDER BY position",
        (
            list(known),
            [one.next for one in known.values()],
            [one.weight for one in known.values()],
            facts.id,
            *[None if only is None else list(only)] * 2,
            name,
            name,
        ),
        binary=True,
    )
    return [SessionContent(Session(*row[:6]), row[6], _mean(row[7]), row[8]) for row in rows]


def _mean(row: bytes) -> NDArray[np.float32]:
    if not row:  # its robot has sent none yet
        return np.zeros((POOL5.cells, POOL5.bits), np.float32)
    return np.frombuffer(row, "<f4").reshape(POOL5.cells, POOL5.bits)


@dataclass(frozen=True)
class RegionCondition:
    """The part of a query that chooses places by a URL's region."""

    condition: str = ""
    values: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, url: MapUrl) -> RegionCondition:
        """That of a URL, nothing where it has none."""
        near = url.near
        if near is None:
            return cls()
        return cls(
            "AND x BETWEEN %(x)s - %(r)s AND %(x)s + %(r)s "
            "AND y BETWEEN %(y)s - %(r)s AND %(y)s + %(r)s "
            "AND (x - %(x)s) ^ 2 + (y - %(y)s) ^ 2 <= %(r)s ^ 2",
            {"x": near.x, "y": near.y, "r": near.radius},
        )


def read_rows(
    connection: Connection, facts: MapFacts, url: MapUrl, have: Mapping[int, int]
) -> PlaceRows:
    """Read places of sessions, from a number of each on: `have` says from which, by session.

    Of a URL with a region only those with a pose in it. They come by session, as in `have`. To be
    called in a transaction that sees one state of the database.
    """
    region = RegionCondition.of(url)
    query = read_query(
        "unnest(%(sessions)s::bigint[], %(numbers)s::integer[]) "
        "WITH ORDINALITY AS had(had_session, had_number, had_order) "
        "JOIN floppynet_vpr.places ON map = %(map)s AND session = had_session "
        f"AND number >= had_number {region.condition}"
    )
    values = {"sessions": list(have), "numbers": list(have.values()), "map": facts.id}
    return _read(connection, facts, url, query, {**region.values, **values})


def read_places(
    connection: Connection, facts: MapFacts, url: MapUrl, wanted: Sequence[tuple[int, int]]
) -> PlaceRows:
    """Read single places, by session and number; they come in the order of both."""
    query = read_query(
        "(SELECT session AS had_order, p.* FROM floppynet_vpr.places p WHERE map = %(map)s "
        "AND (session, number) IN (SELECT * FROM unnest(%(sessions)s::bigint[], "
        "%(numbers)s::integer[]))) AS chosen"
    )
    sessions, numbers = [one[0] for one in wanted], [one[1] for one in wanted]
    values = {"sessions": sessions, "numbers": numbers, "map": facts.id}
    return _read(connection, facts, url, query, values)


def _read(
    connection: Connection, facts: MapFacts, url: MapUrl, query: str, values: Mapping[str, object]
) -> PlaceRows:
    with connection.cursor(binary=True) as cursor:
        cursor.execute(query, values)
        try:
            return from_pieces(cursor, facts.rest_bytes)
        except ValueError as error:
            raise MapError(
                f"{url} has places that do not fit its tables ({error}): they were not written by "
                "floppynet_vpr"
            ) from None


def read_content(connection: Connection, url: MapUrl) -> MapContent:
    """Read all that a URL chooses of a map; raises MapError."""
    facts = require_map(connection, url)
    with errors_in_words(url), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return content_of(connection, facts, url)


def content_of(connection: Connection, facts: MapFacts, url: MapUrl) -> MapContent:
    """Read the same in a transaction that sees one state of the database."""
    sessions = read_sessions(connection, facts, name=url.session)
    if url.session and not sessions:
        raise MapError(f"there is no session '{url.session}' in {url.whole}")
    rows = read_rows(connection, facts, url, {one.session.uid: 0 for one in sessions})
    return as_content(
        facts, sessions, rows, calibrations_in(connection, facts) if url.is_whole else ()
    )


def calibrations_in(connection: Connection, facts: MapFacts) -> list[Calibration]:
    """Read what was learned of a map."""
    rows = connection.execute(
        "SELECT learned FROM floppynet_vpr.calibrations WHERE map = %s ORDER BY position",
        (facts.id,),
    )
    return calibrations_of([row[0] for row in rows])


def as_content(
    facts: MapFacts,
    sessions: Sequence[SessionContent],
    rows: PlaceRows,
    calibrations: Sequence[Calibration] = (),
) -> MapContent:
    """Make the content of a map of rows, by session, and their sessions."""
    places = rows.places({one.session.uid: one.session for one in sessions})
    there = {place.session.uid for place in places}
    codes = rows.codes
    return MapContent(
        facts.network,
        facts.fingerprint,
        POOL5,
        facts.storage,
        places,
        [_up_to_date(one, rows, codes) for one in sessions if one.session.uid in there],
        {CODES: [codes], **{name: [part] for name, part in facts.cut(rows.rest).items()}},
        calibrations,
    )


def _up_to_date(one: SessionContent, rows: PlaceRows, codes: NDArray[np.uint8]) -> SessionContent:
    """Go on with the mean of a session where its robot has not sent it since, by its bits."""
    new = (rows.records["session"] == one.session.uid) & (rows.records["number"] >= one.weight)
    if one.weight >= one.added or not new.any():
        return one
    mean, weight = one.mean, one.weight
    for turned in decode(codes[new], POOL5):
        weight += 1
        mean = mean + (turned - mean) / np.float32(weight)
    return replace(one, mean=mean, weight=weight)


def add_content(connection: Connection, url: MapUrl, content: MapContent) -> int:
    """Add the places of a map that are not there yet, and replace calibrations; returns how many.

    All or, where an error is raised, nothing. Of what a map holds, thumbnails, points of local
    features, which places are looks of one, and when they served are left out. Raises MapError
    where the map in the database holds something else.
    """
    require_grid(url, content.grid)
    with errors_in_words(url), connection.transaction():
        facts = make_map(connection, url, facts_of(content))
        known = {
            int(row[0]): (int(row[1]), int(row[2]))
            for row in connection.execute(
                "SELECT uid, added, (SELECT count(*) FROM floppynet_vpr.places p "
                "WHERE p.map = s.map AND p.session = s.uid) "
                "FROM floppynet_vpr.sessions s WHERE map = %s",
                (facts.id,),
            )
        }
        added = last = 0
        for one, (_, count) in zip(content.sessions, first_places(content.places), strict=True):
            first, last = last, last + count
            if known.get(one.session.uid) == (one.added, count):
                continue
            # Numbers may be left out in a drive: the mean is of all images up to the last.
            whole = replace(one, weight=max(one.weight, one.added))
            added += add_places(connection, url, facts, [whole], cut(content, facts, first, last))
        connection.execute("DELETE FROM floppynet_vpr.calibrations WHERE map = %s", (facts.id,))
        for position, learned in enumerate(content.calibrations):
            connection.execute(
                "INSERT INTO floppynet_vpr.calibrations (map, mode, position, learned) "
                "VALUES (%s, %s, %s, %s)",
                (facts.id, learned.mode, position, json.dumps(asdict(learned))),
            )
        return added


def cut(content: MapContent, facts: MapFacts, first: int, last: int) -> Iterator[PlaceRows]:
    """Make rows of places, piece by piece."""
    for start in range(first, last, _AT_ONCE):
        end = min(start + _AT_ONCE, last)
        codes = _part(content.tables[CODES], start, end, POOL5.row_bytes)
        rest = [_part(content.tables[name], start, end, size) for name, size in facts.tables]
        nothing = np.empty((end - start, 0), np.uint8)
        joined = np.concatenate([nothing, *rest], axis=1)
        yield make_rows(content.places[start:end], codes, joined)


def _part(
    table: Sequence[NDArray[np.uint8]], first: int, last: int, size: int
) -> NDArray[np.uint8]:
    parts = [np.empty((0, size), np.uint8)]
    start = 0
    for block in table:
        parts.append(block[max(0, first - start) : max(0, last - start)])
        start += len(block)
    return np.concatenate(parts)


def add_places(
    connection: Connection,
    url: MapUrl,
    facts: MapFacts,
    sessions: Sequence[SessionContent],
    parts: Iterable[PlaceRows],
) -> int:
    """Add places and their sessions, and tell the others; returns how many were not there yet.

    Ids being for life, places may come again and again. Raises MapError where a place that is
    there is another one. To be called in a transaction.
    """
    for one in sessions:
        _add_session(connection, facts, one)
    connection.execute(
        "CREATE TEMPORARY TABLE IF NOT EXISTS incoming ON COMMIT DELETE ROWS "
        f"AS SELECT {_COLUMNS}, name FROM floppynet_vpr.places WITH NO DATA"
    )
    added = 0
    for rows in parts:
        connection.execute("DELETE FROM incoming")
        copying = f"COPY incoming ({_COLUMNS}, name) FROM STDIN (FORMAT binary)"
        with connection.cursor() as cursor, cursor.copy(copying) as copy:
            for piece in to_copy(rows):
                copy.write(piece)
        added += connection.execute(
            f"INSERT INTO floppynet_vpr.places (map, {_COLUMNS}, name) "
            f"SELECT %s, {_COLUMNS}, name FROM incoming ON CONFLICT DO NOTHING",
            (facts.id,),
        ).rowcount
        strangers = connection.execute(
            "SELECT i.session, i.number FROM incoming i "
            "LEFT JOIN floppynet_vpr.places p ON p.map = %s AND p.session = i.session "
            "AND p.number = i.number "
            "WHERE (i.stamp_ns, i.signs, i.numbers, i.rest) "
            "IS DISTINCT FROM (p.stamp_ns, p.signs, p.numbers, p.rest) LIMIT 1",
            (facts.id,),
        ).fetchone()
        if strangers is not None:
            raise MapError(
                f"place {strangers[1]} of session {strangers[0]} is another one in {url} than the "
                "one to be added: two makers of places gave out the same numbers"
            )
    told = " ".join(str(one.session.uid) for one in sessions)
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{facts.id} {told}"[:7900]))
    return added


def _add_session(connection: Connection, facts: MapFacts, one: SessionContent) -> None:
    session = one.session
    connection.execute(
        "INSERT INTO floppynet_vpr.robots (name) VALUES (%s) "
        "ON CONFLICT (name) DO UPDATE SET last_seen = now()",
        (shown_name(session.robot),),
    )
    connection.execute(
        f"INSERT INTO floppynet_vpr.sessions AS s (map, {_SESSION_COLUMNS}, added, mean, weight) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (map, uid) DO UPDATE SET added = greatest(s.added, excluded.added), "
        "mean = CASE WHEN excluded.weight > s.weight THEN excluded.mean ELSE s.mean END, "
        "weight = greatest(s.weight, excluded.weight)",
        (
            facts.id,
            session.uid,
            shown_name(session.name),
            shown_name(session.robot),
            session.start_ns,
            shown_name(session.frame),
            session.frame_uid,
            one.added,
            np.ascontiguousarray(one.mean, "<f4").tobytes() if one.weight else b"",
            one.weight,
        ),
    )


def remove_map(connection: Connection, url: MapUrl) -> None:
    """Remove a map with all its places, if there is one."""
    with errors_in_words(url):
        connection.execute("DELETE FROM floppynet_vpr.maps WHERE name = %s", (url.map,))


def list_maps(connection: Connection, url: MapUrl) -> Iterator[str]:
    """Say what maps there are, and what is in them."""
    require_version(connection, url)
    with errors_in_words(url):
        rows = connection.execute(
            "SELECT m.name, m.network, m.fingerprint, count(s.uid), count(DISTINCT s.robot), "
            "coalesce(sum(s.added), 0) FROM floppynet_vpr.maps m "
            "LEFT JOIN floppynet_vpr.sessions s ON s.map = m.id GROUP BY m.id ORDER BY m.name"
        ).fetchall()
    for name, network, fingerprint, sessions, robots, places in rows:
        yield (
            f"{name}: {places} places in {sessions} sessions of {robots} robots, "
            f"{network} {fingerprint[:12]}"
        )
    if not rows:
        yield "no maps yet"
