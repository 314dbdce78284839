# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node's copy of a map that many robots share: follows the database, adds to it by a journal.

The detector wants the places of a drive one after the other, and what is recent at the end. So
places of this drive wait in a map of their own until they may be matched, and those of others are
added as they come; where that leaves drives in pieces, the copy is put in order in the background
and replaced as a whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.detection.growth import GrowthOptions
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import user_path
from floppynet_vpr.fleet.connection import ServerGone
from floppynet_vpr.fleet.database_map import MapFacts, facts_of, require_grid
from floppynet_vpr.fleet.follower import Follower
from floppynet_vpr.fleet.journal import Journal, Record
from floppynet_vpr.fleet.map_url import MapUrl, is_url, parse_url
from floppynet_vpr.fleet.outgoing import (
    is_worth_sending,
    mean_record,
    place_record,
    session_record,
)
from floppynet_vpr.mapping import Place, ReferenceMap
from floppynet_vpr.mapping.cells import turn
from floppynet_vpr.mapping.grid import POOL5, Grid
from floppynet_vpr.mapping.map_content import MapContent
from floppynet_vpr.network.network import Network
from floppynet_vpr.parameters import LOCALIZATION, SERVER
from floppynet_vpr.ros.map_in_use import Drive, Keyframe, MapInUse
from floppynet_vpr.ros.parameters import NodeParameters
from floppynet_vpr.stamps import SECOND_NS

_AT_ONCE = 256
_PIECES = 32
_LEAST_SECONDS = 10.0
_SHARE = 0.05
_PATIENCE_S = 3.0


class SharedMap(MapInUse):
    """A `MapInUse` that is a copy of a map in a database."""

    def __init__(
        self,
        weights: Network,
        options: Callable[[], DetectorOptions],
        drive: Drive,
        url: MapUrl,
        journal: Journal | None,
        warn: Callable[[str], object],
        searching: bool,
    ) -> None:
        """Load what is there, and follow it from now on, or when `searching` have it searched.

        Where the server does not answer, the map is empty until it does. Raises VprError where it
        does answer and the map is of no use.
        """
        require_grid(url, Grid(*weights.shape))
        super().__init__(weights, options, replace(drive, thumbnails=False))
        self.keeper = self.origin = str(url)
        self._searching = searching
        self._journal = journal
        self._ours: ReferenceMap | None = None
        self._drives: set[int] = self.detector.drive
        self._session: Record | None = None
        self._last: MapContent | None = None
        self._means_sent: dict[int, int] = {}
        self._recent: deque[tuple[int, int]] = deque()
        self._released = 0
        self._images = 0
        self._offered: deque[ReferenceMap] = deque()
        self._order = _Order(options)
        self._follower = Follower(
            url, self._take, warn, journal, self._check, drive.robot, searching
        )
        self.state = "not there yet"
        """What came of loading it, for people."""
        try:
            loaded = self._follower.open()
            if loaded is not None:
                self._use(loaded, self.origin)
                self.state = "searched there" if searching else f"{len(loaded)} places"
            elif journal is None:
                raise VprError(f"there is no map '{url.map}' in the database of {url}")
        except ServerGone as error:
            self.state = f"{error}; the node goes on, and looks again"
            warn(self.state)
        self._follower.start()

    @property
    def error(self) -> str:
        """What is wrong with the database or the journal; empty: nothing."""
        journal = self._journal
        if journal is not None and journal.error:
            return journal.error
        reason = self._follower.trouble
        if reason and journal is not None:
            return f"{journal.pending} places wait in the journal: {reason}"
        return reason

    @property
    def lost(self) -> int:
        """Places for which the journal had no room."""
        return 0 if self._journal is None else self._journal.lost

    @property
    def facts(self) -> dict[str, object]:
        """The state of the copy, for people."""
        return {**self._follower.facts, "map put in order": self._order.times}

    def close(self) -> None:
        """Deliver what can be delivered now, and follow no more; the journal keeps the rest."""
        self._send_mean(least=True)
        self._follower.stop(_PATIENCE_S)
        self._order.join()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def begin_image(self, stamp_ns: int) -> None:
        """Take in what others have added, and what of this drive may be matched by now."""
        self._images += 1
        with self._lock:
            self._put_in_order()
            detector = self.detector
            count = 0
            while self._offered and count < _AT_ONCE:
                new = self._offered.popleft()
                detector.adopt(new, np.arange(len(new), dtype=np.int64))
                count += len(new)
            count += self._release(detector, stamp_ns)
            self._version += count > 0
            self._order.look(detector.reference)

    def _release(self, detector: LoopClosureDetector, stamp_ns: int) -> int:
        """Let places of this drive be matched that are not recent any more; returns how many."""
        options = detector.options
        first = self._released
        while self._recent:
            image, taken = self._recent[0]
            near = abs(stamp_ns - taken) < options.exclude_seconds * SECOND_NS
            if self._images - image <= options.exclude_images or near:
                break
            self._recent.popleft()
            self._released += 1
        if self._ours is not None and self._released > first:
            detector.adopt(self._ours, np.arange(first, self._released, dtype=np.int64))
        return self._released - first

    def _put_in_order(self) -> None:
        """Detect against the map in order, where that is ready, and what was added since."""
        ready = self._order.take()
        if ready is None or ready[0] is not self.detector.reference:
            return
        former, detector = ready
        detector.drive = self._drives
        more = np.arange(len(detector.reference), len(former), dtype=np.int64)
        detector.adopt(former, more)
        self.detector = detector

    def add(
        self, detector: LoopClosureDetector, seen: Keyframe, look_of: int | None = None
    ) -> Place | None:
        """Add a place to this drive and to the journal; see `MapInUse.add`.

        A database keeps no thumbnails, and another look of a place as a place of its own.
        """
        with self._lock:
            if self._ours is None:
                like = self.detector.reference
                self._ours = ReferenceMap.for_weights(self._weights, like.storage, like.features)
            drive = self._ours
            self._begin_session(drive, seen)
            place = drive.add(seen.descriptor, seen.name, seen.stamp_ns, seen.pose, seen.features)
            self._recent.append((self._images, seen.stamp_ns))
            self._version += 1
            one = drive.select([len(drive) - 1]).content()
        uid = place.session.uid
        if uid not in self._drives:
            self._send_mean(least=True)
            self._drives.add(uid)
            self._follower.own(uid)
            self._session = session_record(one)
        assert self._journal is not None and self._session is not None, "only mapping adds places"
        self._journal.put(self._session, place_record(one))
        self._last = one
        self._send_mean(least=False)
        return place

    def leave_out(self) -> None:
        """Tell that this drive went on without a new place; see `MapInUse.leave_out`."""
        with self._lock:
            if self._ours is not None:
                self._ours.leave_out()

    def limit(self, options: GrowthOptions) -> int:
        """Drop nothing: the places are those of all robots."""
        return 0

    def _send_mean(self, least: bool) -> None:
        """Send the mean of the drive's session where it has changed much, or at `least` a bit."""
        if self._last is None or self._journal is None or self._session is None:
            return
        (one,) = self._last.sessions
        sent = self._means_sent.get(one.session.uid, 0)
        if is_worth_sending(one.weight, sent) or (least and one.weight > sent):
            self._journal.put(self._session, mean_record(self._last))
            self._means_sent[one.session.uid] = one.weight

    def _salt(self) -> str:
        # Two robots may begin alike, playing one bag: their drives are two all the same.
        return uuid.uuid4().hex

    def content(self) -> tuple[int, MapContent]:
        """Look at all of the copy, and this drive, as a map file has it; see `MapInUse`."""
        with self._lock:
            version, reference = self._version, self.detector.reference
            whole = reference.select(range(len(reference)))
            if self._ours is not None:
                recent = np.arange(self._released, len(self._ours), dtype=np.int64)
                whole.adopt(self._ours, recent)
        return version, whole.regrouped().content()

    def look_for(self, descriptor: NDArray[np.float32]) -> None:
        """Have the server search for an image; see `MapInUse.look_for`."""
        if self._searching:
            self._follower.look_for(np.packbits(turn(descriptor, POOL5)[0] >= 0))

    def _take(self, new: ReferenceMap, anew: bool) -> None:
        """Be handed new places by the follower (its thread)."""
        if anew:
            with self._lock:
                self._offered.clear()
            self._use(new, self.origin)
            return
        if len(self.detector.reference) == 0 and self._ours is None:
            self._use(new, self.origin)
            return
        for first in range(0, len(new), _AT_ONCE):
            piece = range(first, min(first + _AT_ONCE, len(new)))
            part = new if len(new) <= _AT_ONCE else new.select(piece)
            with self._lock:
                self._offered.append(part)

    def _use(self, reference: ReferenceMap, origin: str) -> None:
        super()._use(reference, origin)
        with self._lock:
            self.detector.drive = self._drives
            if self._ours is not None:
                self.detector.adopt(self._ours, np.arange(self._released, dtype=np.int64))

    def _check(self, facts: MapFacts) -> None:
        """Raise VprError unless the places of the database's map go with those here."""
        theirs = ReferenceMap(facts.network, facts.fingerprint, facts.storage)
        theirs.require_weights(self._weights, self.keeper)
        if self._ours is None:
            return
        ours = facts_of(self._ours.select([0]).content())
        if (ours.storage, dict(ours.tables)) != (facts.storage, dict(facts.tables)):
            raise VprError(
                f"{self.keeper} keeps its places otherwise than this drive, which began without "
                "the server: start the node anew, its places stay in the journal"
            )


class _Order:
    """Puts a map in order in the background, when that is due."""

    def __init__(self, options: Callable[[], DetectorOptions]) -> None:
        self.times = 0
        """How often that was done."""
        self._options = options
        self._thread: threading.Thread | None = None
        self._ready: tuple[ReferenceMap, LoopClosureDetector] | None = None
        self._due = time.monotonic() + _LEAST_SECONDS
        self._pieces = 0

    def look(self, reference: ReferenceMap) -> None:
        """Begin where drives are in many pieces, and not long after the last time."""
        if self._thread is not None or len(reference.borders) - self._pieces < _PIECES:
            return
        if time.monotonic() >= self._due:
            self._thread = threading.Thread(
                target=self._run, args=(reference,), name="vpr_map_order", daemon=True
            )
            self._thread.start()

    def take(self) -> tuple[ReferenceMap, LoopClosureDetector] | None:
        """Give the map that was put in order, and a detector for it, once they are ready."""
        if self._ready is None:
            return None
        ready, self._ready = self._ready, None
        self.join()
        return ready

    def join(self) -> None:
        """Wait for the work that was begun."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, reference: ReferenceMap) -> None:
        began = time.monotonic()
        grouped = reference.regrouped()
        detector = LoopClosureDetector(grouped, self._options())
        now = time.monotonic()
        self._due = now + max(_LEAST_SECONDS, (now - began) / _SHARE)
        self._pieces = len(grouped.borders)
        self.times += 1
        self._ready = reference, detector


def create_map(
    settings: NodeParameters,
    weights: Network,
    drive: Drive,
    warn: Callable[[str], object],
) -> MapInUse:
    """Make the map that the parameter `map` asks for: one's own, or a copy of a shared one."""
    name = settings["map"]
    if not is_url(name):
        return MapInUse(weights, lambda: settings.detector_options, drive)
    url = parse_url(name)
    journal = None
    if settings["mode"] != LOCALIZATION:
        journal = Journal(
            _journal_path(settings["journal"], url, drive.robot), settings["journal_size"] << 20
        )
    try:
        return SharedMap(
            weights,
            lambda: settings.detector_options,
            drive,
            url,
            journal,
            warn,
            settings["search"] == SERVER,
        )
    except VprError:
        if journal is not None:
            journal.close()
        raise


def _journal_path(folder: str, url: MapUrl, robot: str) -> Path:
    """The journal of a robot for a map: whoever connects, and with what options."""
    home = os.environ.get("ROS_HOME") or "~/.ros"
    where = user_path(folder) if folder else user_path(home) / "floppynet_vpr"
    address = re.sub(r"//[^@/]*@", "//", url.connection.partition("?")[0])
    digest = hashlib.sha256(f"{address} {url.map}".encode()).hexdigest()[:12]
    return where / f"{robot.replace('/', '_') or 'robot'}-{digest}.journal"
