# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The name of a map in a database, and how it is told without its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import isfinite
from urllib.parse import quote, unquote

from floppynet_vpr.mapping import MapError

SCHEMES = ("postgresql://", "postgres://")
_EXAMPLE = "postgresql://user@host/database?map=NAME"
_OWN = ("map", "session", "near")
_HIDDEN = "***"


@dataclass(frozen=True)
class Region:
    """A circle in the frame of the poses: position and radius in metres."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class MapUrl:
    """A map in a database: `connection` is for libpq, the rest chooses map and places.

    `session` is the name of the only session wanted, `near` the only region; empty and None: all.
    """

    connection: str
    map: str
    session: str = ""
    near: Region | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all places of the map are meant."""
        return not self.session and self.near is None

    @property
    def whole(self) -> MapUrl:
        """The name of the same map with all its places."""
        return replace(self, session="", near=None)

    def __str__(self) -> str:
        """As people may read it: without a password."""
        own = [("map", self.map), ("session", self.session)]
        words = [f"{key}={quote(value, safe='')}" for key, value in own if value]
        if self.near is not None:
            words.append(f"near={self.near.x:g},{self.near.y:g},{self.near.radius:g}")
        shown = without_password(self.connection)
        return f"{shown}{'&' if '?' in shown else '?'}{'&'.join(words)}" if words else shown

    def __repr__(self) -> str:
        return f"MapUrl({self})"

    def scrubbed(self, text: str) -> str:
        """Take what is secret out of what a library says."""
        text = text.replace(self.connection, without_password(self.connection))
        for secret in _secrets(self.connection):
            text = text.replace(secret, _HIDDEN)
        return text


def is_url(text: str) -> bool:
    """Whether a name is that of a map in a database."""
    return text.startswith(SCHEMES)


def parse_url(text: str, map_needed: bool = True) -> MapUrl:
    """Take the name of a map apart; raises MapError, without a password in its text.

    `map`, `session` and `near` are this package's, everything else goes to libpq as it is. Without
    `map_needed` it may be that of a database only.
    """
    base, _, query = text.partition("?")
    ours: dict[str, str] = {}
    theirs = []
    for word in query.split("&") if query else []:
        key, equals, value = word.partition("=")
        if key not in _OWN:
            theirs.append(word)
        elif not equals or not value or key in ours:
            raise MapError(f"{without_password(text)}: write {key}=VALUE once, as in {_EXAMPLE}")
        else:
            ours[key] = unquote(value)
    if "@" in _split(base)[0]:
        raise MapError(f"{without_password(text)}: write an @ in a name or password as %40")
    connection = base + ("?" + "&".join(theirs) if theirs else "")
    if map_needed and "map" not in ours:
        raise MapError(
            f"{without_password(text)} does not say which map of the database is meant: add "
            f"?map=NAME, as in {_EXAMPLE}"
        )
    for key, value in ours.items():
        if "\0" in value:
            raise MapError(f"{without_password(text)}: {key} has a zero byte in it")
    near = _region(ours["near"], text) if "near" in ours else None
    return MapUrl(connection, ours.get("map", ""), ours.get("session", ""), near)


def _region(value: str, text: str) -> Region:
    try:
        x, y, radius = (float(number) for number in value.split(","))
    except ValueError:
        x = y = radius = float("nan")
    if not (isfinite(x) and isfinite(y) and 0 < radius < float("inf")):
        raise MapError(
            f"{without_password(text)}: near is {value}, but must be X,Y,RADIUS in metres, such as "
            "near=12.5,-3,50"
        )
    return Region(x, y, radius)


def without_password(text: str) -> str:
    """Hide the password of a URL, wherever libpq lets one stand."""
    user, at, rest = _split(text)
    if at and ":" in user:
        user = f"{user.partition(':')[0]}:{_HIDDEN}"
    shown = f"{user}{at}{rest}"
    for scheme in SCHEMES:
        if text.startswith(scheme):
            shown = scheme + shown
    return re.sub(r"([?&](?:ssl)?password=)[^&]*", rf"\g<1>{_HIDDEN}", shown)


def _split(text: str) -> tuple[str, str, str]:
    """User and password, the @ if there is one, and what follows; without the scheme."""
    for scheme in SCHEMES:
        text = text.removeprefix(scheme)
    authority, mark, query = text.partition("?")
    # An @ that is not written as %40 belongs to the last word before the host: better too much is
    # hidden than too little.
    user, at, rest = authority.rpartition("@")
    return (user, at, rest + mark + query) if at else ("", "", text)


def _secrets(connection: str) -> list[str]:
    user, _, _ = _split(connection)
    found = [user.partition(":")[2], *re.findall(r"[?&](?:ssl)?password=([^&]*)", connection)]
    return sorted({form for one in found if one for form in (one, unquote(one))}, key=len)[::-1]
