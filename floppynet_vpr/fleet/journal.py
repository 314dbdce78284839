# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places that wait on the robot's disk until the database has them.

A thread of its own appends them and flushes them to the disk, so nobody waits; a process that is
killed loses what it has only just put in. What is in the file may be delivered more than once,
ids being for life; when all is delivered, the file is emptied.

The file, values little-endian, is one record after the other:

    4 bytes  magic: "FVJ1"
    uint32   bytes of the text
    uint32   bytes that follow the text
    uint32   CRC-32 of both
    text     JSON: the session and, in `places`, how they are kept; or a place
    bytes    of a session its mean, if it is sent, of a place its row as in `rows`
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from floppynet_vpr.errors import VprError
from floppynet_vpr.file_lock import FileLock

_HEAD = struct.Struct("<4sIII")
_MAGIC = b"FVJ1"
_RETRY_S = 1.0
_MOST_WAITING = 10000


@dataclass(frozen=True)
class Record:
    """A record: what it says as JSON, and bytes."""

    facts: dict[str, Any]
    data: bytes = b""

    def packed(self) -> bytes:
        """The record as it is in the file."""
        text = json.dumps(self.facts).encode()
        crc = zlib.crc32(self.data, zlib.crc32(text))
        return _HEAD.pack(_MAGIC, len(text), len(self.data), crc) + text + self.data


class Journal:
    """The journal of one robot and map, for one process at a time."""

    def __init__(self, path: Path, limit: int) -> None:
        """Open it, or begin it; it will not grow beyond `limit` bytes.

        What a crash left half written at its end is cut off. Raises VprError where the disk does
        not let it be written, or another process has it.
        """
        self.path = path
        self.limit = limit
        self.lost = 0
        """Places for which there was no room."""
        self.damaged = 0
        """Bytes that could not be read: a damaged disk, or what a crash left half written."""
        self.error = ""
        """Why it cannot be written at the moment; empty: it can."""
        self._lock = FileLock(path)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._end = os.fstat(self._file).st_size
        except OSError as error:
            self._lock.release()
            raise VprError(f"cannot write the journal {path}: {error.strerror}") from None
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._waiting: deque[tuple[int, Record, Record]] = deque()
        self._introduced: set[int] = set()
        self._closing = False
        self.pending = self._scan()
        """Places in it, and on their way there."""
        self._thread = threading.Thread(target=self._run, name="vpr_journal", daemon=True)
        self._thread.start()

    def _scan(self) -> int:
        """Count the places in the file, and cut off what is half written at its end."""
        count = at = sound = used = 0
        while at < self._end:
            records, at = self.read(at, most=1)
            for record in records:
                count += "number" in record.facts
                used += len(record.packed())
                sound = at
        self.damaged = self._end - used
        if sound < self._end:
            os.ftruncate(self._file, sound)
            self._end = sound
        return count

    def put(self, session: Record, record: Record) -> None:
        """Have a record appended, after that of its session where the file does not have it."""
        with self._changed:
            if len(self._waiting) >= _MOST_WAITING:
                self.lost += 1
                return
            self._waiting.append((int(session.facts["uid"]), session, record))
            self.pending += "number" in record.facts
            self._changed.notify_all()

    def read(self, at: int, most: int = 256) -> tuple[list[Record], int]:
        """Read records from byte `at` on; returns them and where the next one begins.

        Damaged ones are skipped. Where none are returned, none are left.
        """
        records: list[Record] = []
        while len(records) < most and at < self._end:
            head = os.pread(self._file, _HEAD.size, at)
            sizes = _HEAD.unpack(head) if len(head) == _HEAD.size else None
            if sizes and sizes[0] == _MAGIC and at + _HEAD.size + sizes[1] + sizes[2] <= self._end:
                body = os.pread(self._file, sizes[1] + sizes[2], at + _HEAD.size)
                if zlib.crc32(body) == sizes[3]:
                    text, data = body[: sizes[1]], body[sizes[1] :]
                    records.append(Record(json.loads(text), data))
                    at += _HEAD.size + len(body)
                    continue
            at = self._next_magic(at + 1)
        return records, at

    def _next_magic(self, at: int) -> int:
        while at < self._end:
            piece = os.pread(self._file, min(1 << 20, self._end - at), at)
            found = piece.find(_MAGIC)
            if found >= 0:
                return at + found
            if len(piece) < len(_MAGIC):
                break
            at += len(piece) - len(_MAGIC) + 1
        return self._end

    @property
    def size(self) -> int:
        """The bytes of the file."""
        return self._end

    def delivered(self, places: int, up_to: int) -> int:
        """Note that so many places were delivered, all records before byte `up_to` being so now.

        The file is emptied where nothing else is in it. Returns where to read on.
        """
        with self._writing:
            with self._changed:
                self.pending -= places
            if up_to < self._end:
                return up_to
            try:
                os.ftruncate(self._file, 0)
            except OSError:
                return up_to
            self._end = 0
            self._introduced.clear()
            return 0

    def flush(self, patience: float) -> bool:
        """Wait until all that was put in is on the disk; tells whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, patience)

    def close(self) -> None:
        """Write what waits, and let others have the journal."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        os.close(self._file)
        self._lock.release()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                waiting = list(self._waiting)
            if not waiting:
                return
            done = self._write(waiting)
            with self._changed:
                for _ in range(done):
                    self._waiting.popleft()
                self._changed.notify_all()
                if not done:
                    if self._closing:
                        return
                    self._changed.wait_for(lambda: self._closing, _RETRY_S)

    def _append(self, text: bytearray) -> None:
        """Bring bytes onto the disk; raises OSError."""
        done = 0
        while done < len(text):  # a disk that gets full takes some of them first
            done += os.pwrite(self._file, memoryview(text)[done:], self._end + done)
        os.fsync(self._file)

    def _write(self, waiting: list[tuple[int, Record, Record]]) -> int:
        """Append records; returns how many are done with, none where the disk did not take them."""
        with self._writing:
            text = bytearray()
            introduced = set(self._introduced)
            lost = 0
            for uid, session, record in waiting:
                more = record.packed()
                if uid not in introduced:
                    more = session.packed() + more
                if self._end + len(text) + len(more) > self.limit:
                    lost += "number" in record.facts
                    continue
                introduced.add(uid)
                text += more
            try:
                if text:
                    self._append(text)
            except OSError as error:
                self.error = f"the journal {self.path} cannot be written: {error.strerror}"
                return 0
            self._end += len(text)
            self._introduced = introduced
        if lost:
            self.error = f"the journal {self.path} is full ({self.limit / 2**20:g} MB)"
        elif text:
            self.error = ""
        with self._changed:
            self.lost += lost
            self.pending -= lost
        return len(waiting)
