# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The journal keeps what it was given, through crashes, damage and full disks."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from floppynet_vpr.errors import VprError
from floppynet_vpr.fleet.journal import Journal, Record

SESSION = Record({"uid": 7, "map": {}})


def place(number: int) -> Record:
    return Record({"uid": 7, "number": number}, bytes([number % 256]) * 1300)


def numbers(journal: Journal) -> list[int]:
    """The numbers of all places in the file."""
    found, at = [], 0
    while True:
        records, at = journal.read(at)
        if not records:
            return found
        found += [record.facts["number"] for record in records if "number" in record.facts]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "robot.journal"


def test_what_was_put_in_is_there_for_the_next_process(path: Path) -> None:
    journal = Journal(path, 1 << 20)
    for number in range(100):
        journal.put(SESSION, place(number))
    journal.close()
    journal = Journal(path, 1 << 20)
    assert (journal.pending, journal.damaged, journal.lost) == (100, 0, 0)
    first, _ = journal.read(0, 2)
    assert first == [SESSION, place(0)]
    assert numbers(journal) == list(range(100))
    journal.close()


def test_it_is_emptied_when_all_is_delivered_and_then_introduces_sessions_anew(path: Path) -> None:
    journal = Journal(path, 1 << 20)
    journal.put(SESSION, place(0))
    assert journal.flush(10)
    _, end = journal.read(0)
    assert journal.delivered(1, end) == 0
    assert (journal.size, journal.pending) == (0, 0)
    journal.put(SESSION, place(1))
    assert journal.flush(10)
    assert journal.read(0)[0] == [SESSION, place(1)]
    journal.close()


def test_what_came_meanwhile_is_not_thrown_away_with_what_is_delivered(path: Path) -> None:
    journal = Journal(path, 1 << 20)
    journal.put(SESSION, place(0))
    assert journal.flush(10)
    _, end = journal.read(0)
    journal.put(SESSION, place(1))
    assert journal.flush(10)
    at = journal.delivered(1, end)
    assert journal.read(at)[0] == [place(1)]
    assert journal.pending == 1
    journal.close()


def test_half_a_record_at_the_end_is_cut_off_and_counted(path: Path) -> None:
    journal = Journal(path, 1 << 20)
    journal.put(SESSION, place(0))
    journal.put(SESSION, place(1))
    journal.close()
    os.truncate(path, path.stat().st_size - 5)
    journal = Journal(path, 1 << 20)
    assert numbers(journal) == [0]
    assert journal.damaged == len(place(1).packed()) - 5
    journal.put(SESSION, place(2))
    journal.close()
    journal = Journal(path, 1 << 20)
    assert numbers(journal) == [0, 2]
    journal.close()


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_record_costs_itself_alone(path: Path, seed: int) -> None:
    journal = Journal(path, 1 << 20)
    for number in range(10):
        journal.put(SESSION, place(number))
    journal.close()
    text = bytearray(path.read_bytes())
    head = len(SESSION.packed())
    at = random.Random(seed).randrange(head, len(text))
    text[at] ^= 0x55
    path.write_bytes(text)
    journal = Journal(path, 1 << 20)
    hit = (at - head) // len(place(0).packed())
    assert numbers(journal) == [number for number in range(10) if number != hit]
    assert journal.damaged == len(place(0).packed())
    journal.close()


def test_it_does_not_grow_beyond_its_limit_and_counts_what_it_refuses(path: Path) -> None:
    journal = Journal(path, 10 * 1400)
    for number in range(50):
        journal.put(SESSION, place(number))
    assert journal.flush(10)
    kept = numbers(journal)
    assert kept == list(range(len(kept))) and 5 < len(kept) <= 10
    assert journal.lost == 50 - len(kept) and journal.pending == len(kept)
    assert "is full" in journal.error and path.stat().st_size <= 10 * 1400
    journal.close()


def test_a_disk_that_takes_nothing_is_told_and_tried_again(path: Path) -> None:
    program = (
        "import resource, signal, sys, time\n"
        "from pathlib import Path\n"
        "from floppynet_vpr.fleet.journal import Journal, Record\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))\n"
        "journal = Journal(Path(sys.argv[1]), 1 << 20)\n"
        "for number in range(10):\n"
        "    journal.put(Record({'uid': 7}), Record({'uid': 7, 'number': number}, bytes(1000)))\n"
        "while not journal.error: time.sleep(0.01)\n"
        "print(journal.error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))\n"
        "journal.flush(60)\n"
        "journal.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=120
    )
    assert "cannot be written" in done.stdout, done.stderr
    journal = Journal(path, 1 << 20)
    assert (numbers(journal), journal.damaged) == (list(range(10)), 0)
    journal.close()


def test_two_processes_do_not_share_a_journal(path: Path) -> None:
    journal = Journal(path, 1 << 20)
    with pytest.raises(VprError, match="being written by another process"):
        Journal(path, 1 << 20)
    journal.close()


def test_kill_9_at_any_moment_costs_no_place_that_was_flushed(path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from floppynet_vpr.fleet.journal import Journal, Record\n"
        "journal = Journal(Path(sys.argv[1]), 1 << 30)\n"
        "first = int(sys.argv[2])\n"
        "for number in range(first, first + 100000):\n"
        "    journal.put(Record({'uid': 7}), Record({'uid': 7, 'number': number}, bytes(900)))\n"
        "    if number % 3 == 0 and journal.flush(60): print(number, flush=True)\n"
    )
    first = told = 0
    for attempt in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(path), str(first)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            told = int(line)
            if told >= first + 5 * attempt:
                break
        time.sleep(random.Random(attempt).random() / 50)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        told = max([told, *map(int, rest[:-1])])
        journal = Journal(path, 1 << 30)
        found = numbers(journal)
        journal.close()
        assert found == list(range(len(found))) and len(found) > told
        first = len(found)
