# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places as records of the journal, and records as what the database is given."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from floppynet_vpr.fleet.database_map import MapFacts, cut, facts_of
from floppynet_vpr.fleet.journal import Record
from floppynet_vpr.fleet.rows import PlaceRows, record_type
from floppynet_vpr.mapping.grid import POOL5
from floppynet_vpr.mapping.map_content import MapContent
from floppynet_vpr.mapping.places import Session
from floppynet_vpr.mapping.session_means import SessionContent

_LEAST_IMAGES = 20
_GROWTH = 1.25


@dataclass(frozen=True)
class Introduced:
    """A session that records belong to, and the map they are for."""

    session: Session
    map: MapFacts


@dataclass(frozen=True)
class Outgoing:
    """Places of one session, to be added to a map."""

    map: MapFacts
    session: SessionContent
    rows: PlaceRows


@dataclass
class _Batch:
    rows: list[bytes]
    names: list[str]
    weight: int
    mean: bytes


def session_record(content: MapContent) -> Record:
    """The record that introduces the only session of a map."""
    (one,) = content.sessions
    return Record({**asdict(one.session), "map": asdict(facts_of(content))})


def place_record(content: MapContent) -> Record:
    """The record of the only place of a map."""
    (place,) = content.places
    (rows,) = cut(content, facts_of(content), 0, 1)
    facts = {"uid": place.session.uid, "number": place.number, "name": place.name}
    return Record(facts, rows.records[0].tobytes())


def mean_record(content: MapContent) -> Record:
    """The record of the mean of a map's only session, of all its images up to now.

    Its weight counts numbers that were left out, too: it tells which places are in it.
    """
    (one,) = content.sessions
    facts = {"uid": one.session.uid, "weight": one.added}
    return Record(facts, np.ascontiguousarray(one.mean, "<f4").tobytes())


def is_worth_sending(weight: int, sent: int) -> bool:
    """Whether the mean of so many images is worth sending after one of `sent`: a quarter more."""
    return weight >= _LEAST_IMAGES and weight >= _GROWTH * sent


def outgoing(records: Sequence[Record], known: MutableMapping[int, Introduced]) -> list[Outgoing]:
    """Sort records by session, in their order; `known` are the sessions introduced so far."""
    batches: dict[int, _Batch] = {}
    for record in records:
        facts = record.facts
        uid = int(facts["uid"])
        if "map" in facts:
            known[uid] = _introduced(facts)
            continue
        batch = batches.setdefault(uid, _Batch([], [], 0, b""))
        if "number" in facts:
            batch.rows.append(record.data)
            batch.names.append(facts["name"])
        else:
            batch.weight, batch.mean = int(facts["weight"]), record.data
    return [_outgoing(batch, known[uid]) for uid, batch in batches.items() if uid in known]


def _introduced(facts: Mapping[str, Any]) -> Introduced:
    kept = dict(facts["map"])
    kept["tables"] = tuple((name, size) for name, size in kept["tables"])
    session = Session(**{key: value for key, value in facts.items() if key != "map"})
    return Introduced(session, MapFacts(**kept))


def _outgoing(batch: _Batch, known: Introduced) -> Outgoing:
    records = np.frombuffer(b"".join(batch.rows), record_type(known.map.rest_bytes))
    added = int(records["number"].max(initial=-1)) + 1
    mean = np.frombuffer(batch.mean or bytes(4 * POOL5.cells * POOL5.bits), "<f4")
    session = SessionContent(
        known.session, added, mean.reshape(POOL5.cells, POOL5.bits), batch.weight
    )
    return Outgoing(known.map, session, PlaceRows(records, batch.names))
