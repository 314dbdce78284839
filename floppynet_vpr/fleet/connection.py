# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Connections to the database: what may go wrong with one, in words.

psycopg, which brings a libpq of its own, is imported here alone, and only when there is a database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from floppynet_vpr.fleet.map_url import MapUrl
from floppynet_vpr.mapping import MapError

if TYPE_CHECKING:
    import psycopg

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

_PATIENCE_S = 5
"""Time that a server may take to answer before it counts as gone."""

_DEFAULTS = {
    "connect_timeout": _PATIENCE_S,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
    "fallback_application_name": "floppynet_vpr",
}
_ENVIRONMENT = {"connect_timeout": "PGCONNECT_TIMEOUT"}


class ServerGone(MapError):
    """The server does not answer, or cannot do its work at the moment: trying later may help."""


def connect(url: MapUrl) -> Connection:
    """Connect to the database of a map, in autocommit mode.

    Raises ServerGone where there is no server, MapError where trying again would not help.
    """
    psycopg = _psycopg()
    with errors_in_words(url):
        given = psycopg.conninfo.conninfo_to_dict(url.connection)
        wanted = {
            key: value
            for key, value in _DEFAULTS.items()
            if key not in given and _ENVIRONMENT.get(key, "") not in os.environ
        }
        return psycopg.connect(url.connection, autocommit=True, **wanted)


def _psycopg() -> Any:
    try:
        import psycopg
        import psycopg.conninfo  # noqa: F401 (used as an attribute of what is returned)
    except ImportError as error:
        raise MapError(
            "a map in a database needs psycopg, which cannot be loaded "
            f"({error}): pip install 'floppynet_vpr[fleet]'"
        ) from None
    return psycopg


@contextmanager
def errors_in_words(url: MapUrl) -> Iterator[None]:
    """Turn errors of psycopg into MapError or ServerGone: one sentence, without a password."""
    psycopg = _psycopg()
    try:
        yield
    except psycopg.Error as error:
        text = url.scrubbed(" ".join(str(error).split()))
        raise _in_words(psycopg, error, text, url) from None


def _in_words(psycopg: Any, error: Any, text: str, url: MapUrl) -> MapError:
    errors = psycopg.errors
    state = getattr(error, "sqlstate", None) or ""
    if isinstance(error, errors.InsufficientPrivilege):
        return MapError(
            f"the role that {url} is opened with has no right to this ({text}): have an "
            "administrator run 'ros2 run floppynet_vpr fleet_database grant'"
        )
    if isinstance(error, (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn)):
        return MapError(
            f"the database of {url} has no maps yet: run 'ros2 run floppynet_vpr fleet_database "
            "init' as its administrator"
        )
    # Class 28: who is connecting; 3D: no such database; 42, 22, 23: what is asked.
    lasting = state[:2] in ("28", "3D", "42", "22", "23", "0A")
    if not state and isinstance(error, psycopg.ProgrammingError):
        return MapError(f"{url} is no address of a database: {text}")
    refused = (
        "password authentication failed",
        "no password supplied",
        "does not exist",
        "no pg_hba",
    )
    if lasting or (not state and any(sign in text for sign in refused)):
        return MapError(f"the database of {url} refuses this: {text}")
    return ServerGone(f"the database of {url} does not answer: {text}")
