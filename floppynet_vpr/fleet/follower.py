# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps a robot and the database in step, in a thread that nobody waits for.

The server tells of new places (LISTEN/NOTIFY); in case it does not, all sessions are looked at
every few seconds. Of each session the robot knows the number of the next place, so it asks for
what it has not got, whatever was told and however often the connection broke.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.fleet.connection import Connection, ServerGone, connect, errors_in_words
from floppynet_vpr.fleet.database_map import (
    Known,
    MapFacts,
    add_places,
    as_content,
    calibrations_in,
    find_map,
    make_map,
    read_places,
    read_rows,
    read_sessions,
)
from floppynet_vpr.fleet.journal import Journal
from floppynet_vpr.fleet.map_url import MapUrl
from floppynet_vpr.fleet.outgoing import Introduced, outgoing
from floppynet_vpr.fleet.schema import CHANNEL
from floppynet_vpr.fleet.server_search import nearest, require_extension
from floppynet_vpr.mapping import MapError, ReferenceMap
from floppynet_vpr.mapping.session_means import SessionContent

_WAIT_S = 0.2
_FETCH_S = 0.4
_POLL_S = 5.0
_MOST_HERE = 20000
_SLOW_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0


class Follower:
    """Follows a map in a database, and delivers what is in a journal.

    `take` is handed maps of places that are new here, from this thread, and told whether those
    it has should go.
    """

    def __init__(
        self,
        url: MapUrl,
        take: Callable[[ReferenceMap, bool], None],
        warn: Callable[[str], object],
        journal: Journal | None = None,
        check: Callable[[MapFacts], None] = lambda facts: None,
        robot: str = "",
        searching: bool = False,
    ) -> None:
        """Prepare it; `check` raises VprError for a map that is of no use here.

        `warn` is told once of every reason why the database cannot be used, and of another robot
        that adds to the map by the name of `robot`. When `searching`, the map is not read as a
        whole, but what the server finds for the images that `look_for` is told of.
        """
        self.url = url
        self.error = ""
        """Why the database cannot be used at the moment; empty: it can."""
        self.delivered = 0
        """Places delivered since the start."""
        self._take = take
        self._warn = warn
        self._journal = journal
        self._check = check
        self._robot = robot
        self._searching = searching
        self._looking = threading.Event()
        self._signs: NDArray[np.uint8] | None = None
        self._here: set[tuple[int, int]] = set()
        self.has_namesake = False
        """Whether another robot adds to the map by the same name."""
        self._facts: MapFacts | None = None
        self._known: dict[int, Known] = {}
        self._own: set[int] = set()
        self._at = 0
        self._sent: dict[int, Introduced] = {}
        self._refused_at = float("-inf")
        self.refusal = ""
        """Why the database does not take the journal's places; empty: it does."""
        self._stopping = threading.Event()
        self._answered_at: float | None = None
        self._began = 0.0
        self._thread: threading.Thread | None = None

    def open(self) -> ReferenceMap | None:
        """Load what is there, before `start`; None where there is no such map yet.

        Raises ServerGone where the server does not answer, VprError where that is no use.
        """
        with closing(connect(self.url)) as connection:
            facts = find_map(connection, self.url)
            if facts is None:
                return None
            self._check(facts)
            self._facts = facts
            if self._searching:
                require_extension(connection, self.url)
                return self._nothing(connection, facts)
            return self._fetch(connection, None)

    def look_for(self, signs: NDArray[np.uint8]) -> None:
        """Have the server search for an image with (1152,) uint8 `signs`, the newest one counts."""
        self._signs = signs
        self._looking.set()

    def _nothing(self, connection: Connection, facts: MapFacts) -> ReferenceMap:
        """A map without places, but with what was learned of the map."""
        with errors_in_words(self.url):
            learned = calibrations_in(connection, facts) if self.url.is_whole else ()
            rows = read_places(connection, facts, self.url, [])
        return ReferenceMap.of_content(as_content(facts, [], rows, learned))

    def own(self, uid: int) -> None:
        """Note that the places of a session are from here."""
        self._own.add(uid)

    def start(self) -> None:
        """Follow from now on."""
        self._stopping.clear()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="vpr_fleet", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 0.0) -> None:
        """Follow no more; wait up to so many seconds until all is delivered."""
        deadline = time.monotonic() + patience
        journal = self._journal
        if journal is not None:
            journal.flush(patience)
            while journal.pending and not self.error and time.monotonic() < deadline:
                self._stopping.wait(0.05)
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_LONGEST_PAUSE_S)
            self._thread = None

    @property
    def trouble(self) -> str:
        """What is wrong with the database, also that it is slow; empty: nothing."""
        if self.error or self.refusal:
            return self.error or self.refusal
        silent = time.monotonic() - (self._answered_at or self._began)
        if self._thread is not None and silent > _SLOW_S:
            return f"the database of {self.url} has not answered for {silent:.0f} s"
        return ""

    @property
    def facts(self) -> dict[str, object]:
        """How it stands, for people."""
        answered = self._answered_at
        ago = "not yet" if answered is None else f"{time.monotonic() - answered:.0f} s ago"
        facts: dict[str, object] = {
            "database": self.trouble or "in step",
            "database answered": ago,
            "sessions of others": len(self._known),
        }
        if self._journal is not None:
            facts["robot"] = f"{self._robot or 'no name'}{', as another' * self.has_namesake}"
            facts["places delivered"] = self.delivered
            facts["journal places"] = self._journal.pending
            facts["journal"] = (
                self._journal.error
                or f"{self._journal.size / 2**20:.1f} of {self._journal.limit / 2**20:g} MB"
            )
            facts["places lost"] = self._journal.lost
        return facts

    def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                with closing(connect(self.url)) as connection:
                    self._follow(connection)
                return
            except VprError as error:
                self._failed(str(error))
            except Exception as error:  # a fault must not end it: the next connection may do
                self._failed(f"unexpectedly, please report this: {error!r}")
            if self._answered_at is not None and time.monotonic() - self._answered_at < 2 * pause:
                pause = _FIRST_PAUSE_S
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _failed(self, reason: str) -> None:
        if reason != self.error:
            self._warn(f"{reason}; this is tried again")
        self.error = reason

    def _follow(self, connection: Connection) -> None:
        """Keep in step as long as the connection lasts."""
        changed: set[int] | None = None
        fetched = float("-inf")
        named = self._journal is None
        with errors_in_words(self.url):
            connection.execute(f"LISTEN {CHANNEL}")
        while not self._stopping.is_set():
            self._deliver(connection)
            now = time.monotonic()
            if self._facts is None:
                self._facts = find_map(connection, self.url)
                if self._facts is not None:
                    self._check(self._facts)
                    changed = None
            if now - fetched >= _POLL_S:
                changed = None
            if not named and self._facts and changed is None:
                named = self._claim_name(connection, self._facts)
            if self._facts and self._searching:
                self._search(connection, self._facts)
            elif self._facts and changed != set() and now - fetched >= _FETCH_S:
                if (new := self._fetch(connection, changed)) is not None:
                    self._take(new, False)
                fetched, changed = now, set()
            self._answered_at = time.monotonic()
            self.error = ""
            if self._searching:
                self._looking.wait(_WAIT_S)
                continue
            with errors_in_words(self.url):
                for notice in connection.notifies(timeout=_WAIT_S, stop_after=100):
                    number, *uids = notice.payload.split()
                    if changed is not None and self._facts and number == str(self._facts.id):
                        changed.update(int(uid) for uid in uids)

    def _claim_name(self, connection: Connection, facts: MapFacts) -> bool:
        """Have the robot's name in this map for this connection; False where another one has."""
        with errors_in_words(self.url):
            row = connection.execute(
                "SELECT pg_try_advisory_lock(hashtextextended(%s, %s))",
                (f"floppynet_vpr {self._robot}", facts.id),
            ).fetchone()
        claimed = bool(row and row[0])
        if self.has_namesake is claimed:
            self.has_namesake = not claimed
            if not claimed:
                name = f"named {self._robot}" if self._robot else "without a name"
                self._warn(
                    f"another robot {name} adds to {self.url}: the places of both are kept, but "
                    "nobody can tell whose they are; give each node a name of its own "
                    "(its namespace, or the parameter robot)"
                )
        return claimed

    def _fetch(self, connection: Connection, uids: Iterable[int] | None) -> ReferenceMap | None:
        """Read what is new in some sessions, or in all; None where nothing is."""
        facts = self._facts
        assert facts is not None
        if uids is not None and not (uids := set(uids) - self._own):
            return None
        at_first = not self._known
        with errors_in_words(self.url), connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            sessions = [
                one
                for one in read_sessions(connection, facts, uids, self.url.session, self._known)
                if one.session.uid not in self._own
            ]
            if not sessions and not at_first:
                return None
            have = {one.session.uid: self._next(one.session.uid) for one in sessions}
            rows = read_rows(connection, facts, self.url, have)
            learned = calibrations_in(connection, facts) if at_first and self.url.is_whole else ()
        sessions = [self._newer(one) for one in sessions]
        content = as_content(facts, sessions, rows, learned)
        reached = {one.session.uid: one for one in content.sessions}
        for one in sessions:
            uid = one.session.uid
            known = reached.get(uid, one)
            self._known[uid] = Known(known.mean, known.weight, one.added)
        return ReferenceMap.of_content(content) if len(rows) or at_first else None

    def _search(self, connection: Connection, facts: MapFacts) -> None:
        """Have the server search for the newest image, and read what it finds that is new here."""
        signs, self._signs = self._signs, None
        self._looking.clear()
        if signs is None:
            return
        require_extension(connection, self.url)
        with errors_in_words(self.url), connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            found = nearest(connection, facts, self.url, signs, self._own)
            anew = len(self._here) + len(found) > _MOST_HERE
            wanted = found if anew else [one for one in found if one not in self._here]
            if not wanted:
                return
            rows = read_places(connection, facts, self.url, wanted)
            uids = {uid for uid, _ in wanted}
            sessions = read_sessions(connection, facts, uids, "", self._known)
        sessions = [self._newer(one) for one in sessions]
        for one in sessions:
            self._known[one.session.uid] = Known(one.mean, one.weight, 0)
        self._here = set(wanted) if anew else self._here | set(wanted)
        sessions.sort(key=lambda one: one.session.uid)
        self._take(ReferenceMap.of_content(as_content(facts, sessions, rows)), anew)

    def _next(self, uid: int) -> int:
        return self._known[uid].next if uid in self._known else 0

    def _newer(self, one: SessionContent) -> SessionContent:
        """Of two means of a session, the one of more images."""
        known = self._known.get(one.session.uid)
        if known is None or known.weight < one.weight:
            return one
        return replace(one, mean=known.mean, weight=known.weight)

    def _deliver(self, connection: Connection) -> None:
        """Deliver what is in the journal."""
        journal = self._journal
        if journal is None or time.monotonic() - self._refused_at < _POLL_S:
            return
        while not self._stopping.is_set():
            records, end = journal.read(self._at)
            if not records:
                return
            batches = outgoing(records, self._sent)
            try:
                with errors_in_words(self.url), connection.transaction():
                    for batch in batches:
                        facts = make_map(connection, self.url, batch.map)
                        add_places(connection, self.url, facts, [batch.session], [batch.rows])
            except ServerGone:
                raise
            except MapError as error:  # others' places can be had all the same
                if str(error) != self.refusal:
                    self._warn(f"places wait in the journal, for they are refused: {error}")
                self.refusal, self._refused_at = str(error), time.monotonic()
                return
            self.refusal = ""
            self._answered_at = time.monotonic()
            count = sum(len(batch.rows) for batch in batches)
            self.delivered += count
            self._at = journal.delivered(count, end)
