# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A map file is written whole or not at all, and a damaged one is refused."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_drives import street

from floppynet_vpr.errors import VprError
from floppynet_vpr.mapping import STORAGES, MapError, Pose, ReferenceMap, load_maps
from floppynet_vpr.network.weights import load_weights

HEAD_BYTES = 32
HEADER_BYTES = 64


def save_map(path: Path, places: int = 3, seed: int = 0) -> bytes:
    reference = ReferenceMap.for_weights(load_weights())
    rng = np.random.default_rng(seed)
    for index in range(places):
        if index == 2:
            reference.begin_session("night", "bob", "odom")
        row = rng.normal(size=9216).astype(np.float32)
        pose = Pose(index, 2, 3) if index % 2 else None
        reference.add(row / np.linalg.norm(row), f"frame {index}.png", index, pose)
    reference.save(path)
    return path.read_bytes()


def save_grown(path: Path, places: int = 3) -> bytes:
    """Save a map with all the tables that a map may have."""
    reference = ReferenceMap.for_weights(load_weights(), features=10, thumbnails=True)
    for index, descriptor in enumerate(street(places)):
        look_of = reference.places[0].id if index == 2 else None
        reference.add(
            descriptor, f"{index}", index, look_of=look_of, thumbnail=b"\xff\xd8picture\xff\xd9"
        )
    reference.serve(1)
    reference.save(path)
    return path.read_bytes()


def with_checksum(content: bytes) -> bytes:
    """Make the checksum right again, so that only the checks behind it are left."""
    head, body = content[:HEAD_BYTES], content[HEADER_BYTES:]
    return head + hashlib.sha256(head + body).digest() + body


def assert_refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(MapError) as refusal:
        ReferenceMap.load(path)
    text = str(refusal.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_a_missing_map_is_named_with_the_way_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"none\.fvm.*build_map"):
        ReferenceMap.load(tmp_path / "none.fvm")


def test_a_folder_is_not_a_map(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=str(tmp_path)):
        ReferenceMap.load(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\x89", b"\x89PNG\r\n\x1a\n" + bytes(100), b"{}", bytes(10_000)]
)
def test_a_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    assert "not a map" in assert_refused(tmp_path / "foreign", content)


def test_another_format_version_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "map.fvm"
    content = bytearray(save_map(path))
    content[8:10] = (99).to_bytes(2, "little")
    assert "format 99" in assert_refused(path, with_checksum(bytes(content)))


@pytest.mark.parametrize("save", [save_map, save_grown])
def test_a_file_cut_off_anywhere_is_refused(save: Callable[[Path], bytes], tmp_path: Path) -> None:
    path = tmp_path / "map.fvm"
    content = save(path)
    for length in [*range(HEADER_BYTES + 2), *range(1024, len(content), 1024), len(content) - 1]:
        assert_refused(path, content[:length])


def test_bytes_behind_the_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.fvm"
    assert_refused(path, save_map(path) + b"\0")


@pytest.mark.parametrize("save", [save_map, save_grown])
def test_a_flipped_bit_anywhere_is_refused(save: Callable[[Path], bytes], tmp_path: Path) -> None:
    path = tmp_path / "map.fvm"
    content = save(path)
    rng = random.Random(0)
    header = range(8 * HEADER_BYTES)
    body = rng.sample(range(8 * HEADER_BYTES, 8 * len(content)), 300)
    last_of_text = HEADER_BYTES + int.from_bytes(content[16:24], "little") - 1
    assert content[last_of_text] == ord(" ")
    for bit in [*header, *body, 8 * last_of_text, 8 * len(content) - 1]:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        assert_refused(path, bytes(damaged))


def drop(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda facts: {name: value for name, value in facts.items() if name != key}


def put(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda facts: facts | changes


def put_session(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    """Change the first of the two sessions, of two places and one."""
    return lambda facts: (
        facts | {"sessions": [facts["sessions"][0] | changes, facts["sessions"][1]]}
    )


def put_table(index: int, *values: Any) -> Callable[[dict[str, Any]], Any]:
    def change(facts: dict[str, Any]) -> dict[str, Any]:
        tables = list(facts["tables"])
        tables[index] = list(values)
        return facts | {"tables": tables}

    return change


@pytest.mark.parametrize(
    "change",
    [
        *map(
            drop,
            ["network", "fingerprint", "storage", "dimension", "tables", "sessions", "names"],
        ),
        put(storage="clay"),
        put(storage="float32"),
        put(storage=None),
        put(dimension=9215),
        put(dimension="9216"),
        put(dimension=0),
        put(dimension=-9216),
        put(dimension=2**80),
        put(names=["a", "b"]),
        put(names=["a", "b", "c", "d"]),
        put(names=["a", "b", 3]),
        put(names="abc"),
        put(names=None),
        put(network=7),
        put(fingerprint=None),
        put(calibrations=[{"mode": "none"}]),
        put(calibrations=3),
        put(sessions=[]),
        put(sessions=[1, 2]),
        lambda facts: facts | {"sessions": facts["sessions"][:1]},
        lambda facts: facts | {"sessions": facts["sessions"] * 2},
        lambda facts: facts | {"sessions": [facts["sessions"][0] | {"places": 1}] * 3},
        put_session(places=1),
        put_session(places=3),
        put_session(places="2"),
        put_session(places=-2),
        put_session(uid=-1),
        put_session(uid=2**39),
        put_session(uid="7"),
        put_session(name=None),
        put_session(robot=1),
        put_session(start_ns=1.5),
        put_session(frame=True),
        put_session(frame_uid=None),
        put_session(added=None),
        put_session(weight="2"),
        put(tables=[]),
        put(tables={}),
        put(tables=[1, 2, 3, 4, 5]),
        put_table(0, "means", 36864, 3),
        put_table(0, "means", 36860, 2),
        put_table(1, "numbers", 4),
        put_table(1, "numbers", 4, 3, 1),
        put_table(1, "numbers", 8, 3),
        put_table(2, "stamps", 8, 2),
        put_table(3, "positions", 56, 3),
        put_table(4, "codes", "1296", 3),
        put_table(4, "codes", 1296, 2**62),
        lambda facts: facts | {"tables": facts["tables"] + [["features", 1298, 3]]},
        lambda facts: facts | {"tables": facts["tables"] + [["features", 3.5, 3]]},
        lambda facts: facts | {"tables": facts["tables"] + [["thumbnails", 4096, 3]]},
        lambda facts: facts | {"tables": facts["tables"] + [["thumbnails", 4095, 0]] * 2},
        lambda facts: facts | {"tables": facts["tables"] + [["growth", 16, 3]]},
        lambda facts: facts | {"tables": facts["tables"] + [["growth", 8, 3]]},
        lambda facts: facts | {"tables": facts["tables"] + [["growth", 16]]},
        lambda facts: facts | {"tables": facts["tables"] + [["clay", 16, 3]]},
        lambda facts: facts | {"tables": facts["tables"] + [["points", 432, 3]]},
        lambda facts: facts | {"tables": facts["tables"] + [[]]},
        lambda facts: facts | {"tables": facts["tables"][::-1]},
        lambda facts: [],
        lambda facts: None,
        lambda facts: 3,
    ],
)
def test_inconsistent_facts_are_refused_even_with_a_right_checksum(
    change: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    path = tmp_path / "map.fvm"
    content = save_map(path)
    facts = facts_of(content)
    assert [one["places"] for one in facts["sessions"]] == [2, 1]
    replace_text(path, content, json.dumps(change(facts)).encode())


@pytest.mark.parametrize(
    ("table", "row", "values"),
    [
        ("growth", 1, np.array([2**63, 1], "<u8")),
        ("growth", 1, np.array([1, 2**64 - 1], "<u8")),
        ("numbers", 1, np.array([0], "<u4")),
        ("numbers", 0, np.array([2**24], "<u4")),
        ("means", 1, np.full(9216, np.nan, "<f4")),
        ("means", 0, np.full(9216, np.inf, "<f4")),
    ],
    ids=[
        "a look of no id",
        "served beyond counting",
        "a number twice",
        "a number too large",
        "means not a number",
        "means not finite",
    ],
)
def test_wrong_tables_are_refused_even_with_a_right_checksum(
    table: str, row: int, values: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "map.fvm"
    content = bytearray((save_grown if table == "growth" else save_map)(path))
    start = HEADER_BYTES + int.from_bytes(content[16:24], "little")
    for name, row_bytes, rows in facts_of(content)["tables"]:
        if name == table:
            start += row * row_bytes
            assert row_bytes == values.nbytes
            break
        start += row_bytes * rows
    assert content[start : start + values.nbytes] != values.tobytes()
    content[start : start + values.nbytes] = values.tobytes()
    assert f"{table} is wrong" in assert_refused(path, with_checksum(bytes(content)))


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN"],
    ids=["empty", "cut off", "no UTF-8", "too deep", "a number"],
)
def test_text_that_is_no_json_is_refused_even_with_a_right_checksum(
    text: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "map.fvm"
    replace_text(path, save_map(path), text)


def facts_of(content: bytes | bytearray) -> dict[str, Any]:
    length = int.from_bytes(content[16:24], "little")
    facts = json.loads(content[HEADER_BYTES : HEADER_BYTES + length])
    assert isinstance(facts, dict)
    return facts


def replace_text(path: Path, content: bytes, text: bytes) -> None:
    length = int.from_bytes(content[16:24], "little")
    text += b" " * (-len(text) % 64)
    head = content[:16] + len(text).to_bytes(8, "little") + content[24:HEADER_BYTES]
    assert_refused(path, with_checksum(head + text + content[HEADER_BYTES + length :]))


@pytest.mark.parametrize("field", [16, 24])
@pytest.mark.parametrize("value", [0, 1, 63, 2**40, 2**63, 2**64 - 1])
def test_wrong_sizes_are_refused_even_with_a_right_checksum(
    field: int, value: int, tmp_path: Path
) -> None:
    path = tmp_path / "map.fvm"
    content = bytearray(save_map(path))
    content[field : field + 8] = value.to_bytes(8, "little")
    assert_refused(path, with_checksum(bytes(content)))


@pytest.mark.parametrize("storage", STORAGES)
def test_sessions_frames_and_ids_survive_saving_selecting_and_joining(
    storage: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(12, 9216)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    maps = {}
    for name, part in (("summer", rows[:6]), ("winter", rows[6:])):
        reference = ReferenceMap("floppynet", "0" * 64, storage)
        for robot, frame, half in (("ann", "map", part[:3]), ("\u00e9va", "odom", part[3:])):
            reference.begin_session(f"{name} {robot}", robot, frame, fixed=frame == "map")
            for index, row in enumerate(half):
                reference.add(row, f"{index}", 10**18 + index, Pose(index, 0, 0))
        reference.save(tmp_path / f"{name}.fvm")
        maps[name] = reference
    joined = load_maps(f"{tmp_path}/summer.fvm:{tmp_path}/winter.fvm")
    places = [place for reference in maps.values() for place in reference.places]
    assert list(joined.places) == places
    assert len({place.id for place in places}) == 12
    assert joined.borders == [3, 6, 9]
    ann, eva, other_ann, other_eva = joined.sessions
    assert ann.shares_frame(other_ann)
    assert not eva.shares_frame(other_eva)
    assert [one.robot for one in joined.sessions] == ["ann", "\u00e9va"] * 2
    means = np.concatenate([reference.means() for reference in maps.values()])
    np.testing.assert_array_equal(joined.means(), means)
    joined.save(tmp_path / "joined.fvm")
    loaded = ReferenceMap.load(tmp_path / "joined.fvm")
    selected = loaded.select([0, 4, 5, 10])
    selected.save(tmp_path / "selected.fvm")
    again = ReferenceMap.load(tmp_path / "selected.fvm")
    assert list(loaded.places) == places
    assert list(again.places) == [places[index] for index in (0, 4, 5, 10)]
    assert again.sessions == [ann, eva, other_eva]
    np.testing.assert_array_equal(again.means(), means[[0, 1, 3]])
    np.testing.assert_array_equal(again.descriptors(), joined.descriptors()[[0, 4, 5, 10]])
    # What is added later takes no id that a forgotten place had.
    added = again.add(rows[0], "later", 10**18)
    assert added.id not in {place.id for place in places}
    assert added.session not in loaded.sessions


def test_maps_with_the_same_places_cannot_be_joined(tmp_path: Path) -> None:
    save_map(tmp_path / "one.fvm")
    (tmp_path / "two.fvm").write_bytes((tmp_path / "one.fvm").read_bytes())
    with pytest.raises(MapError, match=r"one and two.*same places"):
        load_maps(f"{tmp_path}/one.fvm:{tmp_path}/two.fvm")


KILLS = int(os.environ.get("FLOPPYNET_KILLS", "20"))
"""How often a saving process is killed; 200 take a minute."""

KILLER = """
import os, random, signal, sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from floppynet_vpr.mapping import ReferenceMap
path, kills = Path(sys.argv[1]), int(sys.argv[3])
maps = [ReferenceMap.load(path.with_suffix(suffix)) for suffix in (".old", ".new")]
whole = [path.with_suffix(suffix).read_bytes() for suffix in (".old", ".new")]
rng = random.Random(1)
found = [0, 0]
deadline = time.monotonic() + 120
while sum(found) < kills or (not all(found) and time.monotonic() < deadline):
    start = time.monotonic()
    maps[0].save(path)
    takes = time.monotonic() - start
    started, starting = os.pipe()
    child = os.fork()
    if not child:
        os.write(starting, b"!")
        while True:
            for reference in reversed(maps):
                reference.save(path)
    os.read(started, 1)
    time.sleep(rng.uniform(0, 4 * takes))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(started)
    os.close(starting)
    found[whole.index(path.read_bytes())] += 1
    ReferenceMap.load(path)
print(*found)
"""


def test_killing_a_saving_process_leaves_the_old_map_or_the_new_one(tmp_path: Path) -> None:
    save_map(tmp_path / "map.old", places=40)
    save_map(tmp_path / "map.new", places=41, seed=1)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            KILLER,
            str(tmp_path / "map.fvm"),
            str(Path(__file__).parent),
            str(KILLS),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    old, new = map(int, done.stdout.split())
    assert old + new >= KILLS
    assert min(old, new) > 0, "kills that hit no saving show nothing"


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_mapping_file import save_map
from synthetic_drives import street

from floppynet_vpr.errors import VprError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_map(Path(sys.argv[1]), places=40, seed=9)
except VprError as error:
    print(error)
else:
    sys.exit("saved beyond the limit")
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
def test_a_disk_without_room_leaves_the_old_map_and_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "map.fvm"
    before = save_map(path)
    process = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert str(path) in process.stdout
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.fvm"]


def test_a_folder_that_takes_no_files_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(VprError, match=str(blocked / "map.fvm")):
        save_map(blocked / "map.fvm")
