# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Many drives become one map, and the same one whoever describes them: this process or workers."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from other_networks import cell_network

from floppynet_vpr.building.cluster import named
from floppynet_vpr.building.drives import session_names
from floppynet_vpr.commands import build_map, fleet_database, merge_maps
from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.frames import Frame, FramesMissing
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.errors import VprError
from floppynet_vpr.fleet.local_server import LocalServer
from floppynet_vpr.fleet.stored_map import stored_map
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.mapping import ReferenceMap

DASK = [sys.executable, "-m", "dask"]
FRAMES = 90
START_NS = 1_700_000_000 * 10**9


def picture(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, (160, 120), interpolation=cv2.INTER_CUBIC), np.uint8)


def frames(first: int, count: int) -> Iterator[Frame]:
    for number in range(count):
        yield Frame(str(number), START_NS + number * 10**8, picture(first + number))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A bag of each storage, a folder and a video."""
    root = tmp_path_factory.mktemp("sources")
    write_bag(frames(0, FRAMES), root / "bag", storage="sqlite3")
    write_bag(frames(1000, FRAMES), root / "mcap", storage="mcap")
    (root / "folder").mkdir()
    for number in range(20):
        cv2.imwrite(str(root / "folder" / f"{number}.png"), picture(2000 + number))
    (root / "folder" / "7.png").write_bytes(b"damaged")
    video = cv2.VideoWriter(str(root / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for number in range(15):
        video.write(picture(3000 + number))
    video.release()
    return [root / name for name in ("bag", "mcap", "folder", "film.avi")]


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")

    def _start(self, name: str, *words: str) -> None:
        file = str(self.folder / "scheduler.json")
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "dask",
                    name.split("-")[0],
                    "--scheduler-file",
                    file,
                    *words,
                ],
                stdout=log,
                stderr=log,
            )

    def add_worker(self, name: str) -> None:
        words = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        scratch = ["--local-directory", str(self.folder), "--name", name]
        self._start(name, *words, *scratch)

    def client(self) -> Any:
        from distributed import Client

        return Client(scheduler_file=str(self.folder / "scheduler.json"), timeout=120)

    @property
    def address(self) -> str:
        facts = json.loads((self.folder / "scheduler.json").read_text())
        return str(facts["address"])

    def kill(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("distributed", reason="needs Dask (the extra fleet)")
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        for name in ("worker-0", "worker-1"):
            started.add_worker(name)
        with started.client() as client:
            client.wait_for_workers(2, timeout=240)
        yield started
    finally:
        started.close()


def group_lives(number: int) -> bool:
    """Whether a process of this group is alive."""
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def built(output: Path, *words: object) -> bytes:
    """What build_map writes."""
    assert build_map.main([*map(str, words), "-o", str(output)]) == 0
    return output.read_bytes()


@pytest.fixture(scope="module")
def expected(sources: list[Path], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The map that one process makes of all sources."""
    return built(tmp_path_factory.mktemp("here") / "here.fvm", *sources)


def test_several_sources_are_sessions_in_the_order_they_are_named(
    sources: list[Path], expected: bytes, tmp_path: Path
) -> None:
    (tmp_path / "map.fvm").write_bytes(expected)
    reference = ReferenceMap.load(tmp_path / "map.fvm")
    counts = {"bag": FRAMES, "mcap": FRAMES, "folder": 19, "film.avi": 15}
    assert [session.name for session in reference.sessions] == list(counts)
    assert [place.session.name for place in reference.places] == [
        name for name, count in counts.items() for _ in range(count)
    ]


def test_sources_built_together_are_the_maps_of_each_merged(
    sources: list[Path], tmp_path: Path
) -> None:
    together = built(tmp_path / "together.fvm", *sources[:2])
    single = [tmp_path / "bag.fvm", tmp_path / "mcap.fvm"]
    for source, output in zip(sources, single, strict=False):
        built(output, source)
    merged = tmp_path / "merged.fvm"
    assert merge_maps.main([*map(str, single), "-o", str(merged)]) == 0
    assert together == merged.read_bytes()


@pytest.mark.parametrize("piece", [1000, 7])
def test_workers_of_a_cluster_make_the_same_map(
    piece: int,
    cluster: Cluster,
    sources: list[Path],
    expected: bytes,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = ["--scheduler", cluster.address, "--piece", piece]
    assert built(tmp_path / "map.fvm", *sources, *words) == expected
    told = capfd.readouterr()
    assert "7.png" in told.err and "could not be used: 1" in told.err
    assert f"bag: {FRAMES} frames; 2 workers at tcp://127.0.0.1:" in told.out


def test_keyframes_and_features_are_the_same_in_pieces(cluster: Cluster, tmp_path: Path) -> None:
    """Standing still for longer than a piece, and before the first place of a piece."""
    seen = [0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 0, 1, 1, 4]
    bag = tmp_path / "bag"
    still = (Frame(str(n), 10**8 * (n + 1), picture(seed)) for n, seed in enumerate(seen))
    write_bag(still, bag)
    words = [bag, "--min-distance", "0.2", "--features", "50", "--every", "2"]
    here = built(tmp_path / "here.fvm", *words)
    assert len(ReferenceMap.load(tmp_path / "here.fvm")) == 5
    on_cluster = ["--scheduler", cluster.address, "--piece", "2"]
    assert built(tmp_path / "there.fvm", *words, *on_cluster) == here


def test_thumbnails_names_and_networks_of_other_kinds_are_the_same_on_workers(
    cluster: Cluster, sources: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime (the extra fast)")
    network = cell_network(tmp_path / "cells.onnx", 64)
    words = [sources[0], "--weights", network, "--thumbnails", "--session", "monday"]
    words += ["--robot", "rover", "--threads", "1"]
    here = built(tmp_path / "here.fvm", *words)
    reference = ReferenceMap.load(tmp_path / "here.fvm")
    (session,) = reference.sessions
    assert (session.name, session.robot) == ("monday", "rover")
    assert reference.grid.shape == (7, 7, 64)
    assert reference.thumbnail_of(FRAMES - 1) is not None
    on_cluster = ["--scheduler", cluster.address, "--piece", "40"]
    assert built(tmp_path / "there.fvm", *words[:-2], *on_cluster) == here


def test_several_sources_keep_their_thumbnails_and_their_robot(
    sources: list[Path], tmp_path: Path
) -> None:
    built(tmp_path / "map.fvm", *sources[2:], "--thumbnails", "--robot", "rover")
    reference = ReferenceMap.load(tmp_path / "map.fvm")
    assert {(one.name, one.robot) for one in reference.sessions} == {
        ("folder", "rover"),
        ("film.avi", "rover"),
    }
    assert all(reference.thumbnail_of(index) for index in range(len(reference)))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--session", "monday"], "--session names one drive"),
        (["--camera-info", "/info"], "--camera-info goes with --depth"),
        (["--depth", "/depth", "--workers", "2"], "--depth is read in one process"),
        (["--depth", "/depth", "--strict"], "is no bag, so it has no depth"),
    ],
)
def test_what_does_not_go_together_is_refused(
    words: list[str],
    told: str,
    sources: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "map.fvm"
    assert build_map.main([str(sources[2]), str(sources[3]), "-o", str(output), *words]) == 1
    assert told in capsys.readouterr().err
    assert not output.exists()


def test_what_is_lost_with_a_killed_worker_is_done_again(
    cluster: Cluster, sources: list[Path], expected: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "map.fvm"
    command = [sys.executable, "-m", "floppynet_vpr.commands.build_map", *map(str, sources)]
    command += ["-o", str(output), "--scheduler", cluster.address, "--piece", "5"]
    cluster.add_worker("worker-victim")
    with cluster.client() as client:
        client.wait_for_workers(3, timeout=120)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        (victim,) = (at for at, facts in workers.items() if facts["name"] == "worker-victim")
        with subprocess.Popen(command) as building:
            give_up = time.monotonic() + 120
            while not (client.has_what()[victim] and client.processing()[victim]):
                assert building.poll() is None, "done before the worker had anything to lose"
                assert time.monotonic() < give_up
                time.sleep(0.001)
            cluster.kill("worker-victim")
            assert building.wait(240) == 0
    assert output.read_bytes() == expected


def test_workers_started_by_the_command_make_the_same_map_and_are_gone_afterwards(
    sources: list[Path], expected: bytes, tmp_path: Path
) -> None:
    pytest.importorskip("distributed", reason="needs Dask (the extra fleet)")
    words = [*map(str, sources), "-o", str(tmp_path / "map.fvm"), "--workers", "2"]
    module = [sys.executable, "-m", "floppynet_vpr.commands.build_map"]
    with subprocess.Popen(
        [*module, *words], env={**os.environ, "TMPDIR": str(tmp_path)}, start_new_session=True
    ) as building:
        assert building.wait(300) == 0
    give_up = time.monotonic() + 30
    while group_lives(building.pid):
        assert time.monotonic() < give_up, "workers are left"
        time.sleep(0.02)
    assert (tmp_path / "map.fvm").read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["map.fvm"]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_ends_the_workers_and_leaves_nothing(
    sign: signal.Signals, tmp_path: Path
) -> None:
    pytest.importorskip("distributed", reason="needs Dask (the extra fleet)")
    images, work = tmp_path / "images", tmp_path / "work"
    for folder in (images, work):
        folder.mkdir()
    assert cv2.imwrite(str(images / "0.png"), np.zeros((480, 640, 3), np.uint8))
    for index in range(1, 5000):  # for as long as it takes to be noticed
        (images / f"{index}.png").symlink_to(images / "0.png")
    words = [str(images), "-o", str(work / "map.fvm"), "--workers", "2", "--piece", "50"]
    give_up = time.monotonic() + 120
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "floppynet_vpr.commands.build_map", *words],
        env={**os.environ, "TMPDIR": str(work)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as building:
        assert building.stdout is not None and building.stderr is not None
        assert "2 workers at" in building.stdout.readline()
        while building.poll() is None:
            assert time.monotonic() < give_up
            if sign == signal.SIGINT:  # a terminal sends it to all
                os.killpg(building.pid, sign)
            else:
                building.send_signal(sign)
            # Python loses what arrives while it clears away an object: people press again.
            with contextlib.suppress(subprocess.TimeoutExpired):
                _, told = building.communicate(timeout=30)
        assert building.returncode == 130
        assert told.splitlines()[-1] == "interrupted" and "Traceback" not in told, told
    while group_lives(building.pid):
        assert time.monotonic() < give_up, "workers are left"
        time.sleep(0.02)
    assert list(work.iterdir()) == []


def test_a_source_that_kills_workers_or_that_they_cannot_take_is_named() -> None:
    distributed = pytest.importorskip("distributed", reason="needs Dask (the extra fleet)")
    killed = named(Path("/bags/large"), distributed.KilledWorker("task", None, 3))
    assert isinstance(killed, VprError)
    assert re.match(r"/bags/large was given up: 4 workers died at it", str(killed))
    absent = named(Path("/bags/large"), ModuleNotFoundError("No module named 'cv2'", name="cv2"))
    assert isinstance(absent, VprError) and "/bags/large" in str(absent) and "cv2" in str(absent)
    fault = ZeroDivisionError()
    assert named(Path("/bags/large"), fault) is fault


@pytest.mark.parametrize("on_cluster", [False, True], ids=["here", "cluster"])
def test_a_source_that_cannot_be_used_is_named_and_the_others_are_kept(
    on_cluster: bool,
    sources: list[Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
) -> None:
    where = ["--scheduler", request.getfixturevalue("cluster").address] if on_cluster else []
    bad = tmp_path / "bad.mcap"
    bad.write_bytes(b"no bag at all")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "0.png").write_bytes(b"no image")
    output = tmp_path / "map.fvm"
    mixed = [bad, sources[3], tmp_path / "nothing", empty]
    built(output, *mixed, *where)
    assert [session.name for session in ReferenceMap.load(output).sessions] == ["film.avi"]
    told = capfd.readouterr().err
    for path in (bad, tmp_path / "nothing", empty):
        assert any("left out" in line and str(path) in line for line in told.splitlines()), path
    assert "could not be used: 3 of 4" in told
    before = output.read_bytes()
    words = [*map(str, mixed), "-o", str(output), "--force", "--strict", *where]
    assert build_map.main(words) == 1
    assert str(bad) in capfd.readouterr().err and output.read_bytes() == before
    words = [str(bad), str(empty), "-o", str(tmp_path / "none.fvm"), *where]
    assert build_map.main(words) == 1
    assert "no source gave a frame" in capfd.readouterr().err
    assert not (tmp_path / "none.fvm").exists()


def test_the_same_drive_under_two_names_is_taken_once(
    sources: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "copy" / "film.avi"
    copied.parent.mkdir()
    copied.write_bytes(sources[3].read_bytes())
    built(tmp_path / "map.fvm", sources[3], copied)
    assert len(ReferenceMap.load(tmp_path / "map.fvm").sessions) == 1
    assert "copy/film.avi holds the same places as" in capsys.readouterr().err


def test_a_database_has_each_drive_as_soon_as_it_is_made_and_none_twice(
    cluster: Cluster,
    sources: list[Path],
    expected: bytes,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("psycopg", reason="needs psycopg (the extra fleet)")
    with LocalServer() as server:
        assert fleet_database.main(["init", server.url()]) == 0
        url, there = server.url("week"), ["--scheduler", cluster.address, "--piece", "7"]
        words = [*map(str, sources), "-o", url]
        bad = tmp_path / "bad.mcap"
        bad.write_bytes(b"no bag at all")
        first_two = [str(sources[0]), str(bad)]
        assert build_map.main([*first_two, "-o", url, "--strict", *there]) == 1
        (first,) = stored_map(url).load().sessions
        assert first.name == "bag"
        capsys.readouterr()
        assert build_map.main([*words, *there]) == 0
        assert "bag: 0 new of 90 places" in capsys.readouterr().out
        stored_map(url).load().save(tmp_path / "map.fvm")
        assert (tmp_path / "map.fvm").read_bytes() == expected
        assert build_map.main([*map(str, sources[2:]), "-o", url, "--force"]) == 0
        named = [session.name for session in stored_map(url).load().sessions]
        assert named == ["folder", "film.avi"]


def test_a_session_has_as_many_folders_in_its_name_as_tell_it_apart() -> None:
    paths = [Path(text) for text in ("/a/x/run", "/b/x/run", "/b/y/run", "/b/y/walk")]
    assert session_names(paths) == ["a/x/run", "b/x/run", "y/run", "walk"]
    with pytest.raises(VprError, match="/a/x/run is named twice"):
        session_names([*paths, paths[0]])


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (["--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers at tcp://127.0.0.1:9"),
        (["--scheduler", "nonsense://x"], "no Dask scheduler answers at nonsense://x"),
        (["--workers", "1", "--threads", "2"], "--threads is of one process"),
    ],
)
def test_mistakes_are_explained(
    where: list[str],
    message: str,
    sources: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("distributed", reason="needs Dask (the extra fleet)")
    monkeypatch.setattr("floppynet_vpr.building.cluster._ANSWER_S", 1)
    assert build_map.main([str(sources[0]), "-o", str(tmp_path / "map.fvm"), *where]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_worker_of_another_release_is_refused(
    cluster: Cluster,
    sources: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("floppynet_vpr.building.cluster._release", lambda: "other")
    words = [str(sources[0]), "-o", str(tmp_path / "map.fvm"), "--scheduler", cluster.address]
    assert build_map.main(words) == 1
    assert "runs another floppynet_vpr than this" in capsys.readouterr().err


@pytest.mark.parametrize("most", [1, 4, 1000])
@pytest.mark.parametrize("index", range(4), ids=["sqlite3", "mcap", "folder", "video"])
@pytest.mark.parametrize("every", [1, 3])
def test_stretches_give_the_frames_of_the_whole(
    index: int, most: int, every: int, sources: list[Path]
) -> None:
    def seen(loads: Iterator[Callable[[], Frame]]) -> list[tuple[str, int]]:
        found = []
        for load in loads:
            try:
                frame = load()
            except ImageError:
                continue
            found.append((frame.name, frame.stamp_ns))
        return found

    source = open_source(sources[index], every=every)
    stretches = source.stretches(most)
    assert (len(stretches) > 1) == (index < 3 and most < 1000)
    pieces = [seen(source.pending(one.numbers, one.since_ns)) for one in stretches]
    assert max(map(len, pieces)) <= most or index == 3
    assert [frame for piece in pieces for frame in piece] == seen(source.pending())


def test_a_bag_is_cut_only_where_the_time_of_recording_tells_the_frames_apart(
    tmp_path: Path,
) -> None:
    stamps = [1, 2, 3, 3, 3, 3, 4, 5, 5, 6]
    write_bag((Frame("", 10**9 * stamp, picture(0)) for stamp in stamps), tmp_path / "bag")
    stretches = open_source(tmp_path / "bag").stretches(2)
    assert [one.numbers for one in stretches] == [range(2), range(2, 6), range(6, 10)]


def test_errors_of_frames_come_back_from_another_process_as_they_were() -> None:
    missing = pickle.loads(pickle.dumps(FramesMissing("3 of 4", 1)))
    assert (str(missing), missing.frames, missing.kind) == ("3 of 4", 1, "missing")
    image = pickle.loads(pickle.dumps(ImageError("size", "too short")))
    assert (str(image), image.kind) == ("too short", "size")


def test_the_commands_of_the_page_run_as_written(
    cluster: Cluster, sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg", reason="needs psycopg (the extra fleet)")
    monkeypatch.chdir(tmp_path)
    for name, source in zip(("monday", "tuesday"), sources, strict=False):
        Path(name).symlink_to(source)
    page = (Path(__file__).parents[1] / "docs" / "fleet_building.md").read_text("utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) == 6
    with LocalServer() as server:
        assert fleet_database.main(["init", server.url()]) == 0
        for line in lines:
            told = line.replace("tcp://HOST:8786", cluster.address)
            told = told.replace("robot@HOST/", f"postgres@127.0.0.1:{server.port}/")
            program, *words = shlex.split(told)
            if program == "dask":
                # It would run for ever: what it is told has to be known to it.
                done = subprocess.run([*DASK, words[0], "--help"], capture_output=True, text=True)
                assert all(word in done.stdout for word in words if word.startswith("--"))
                continue
            assert [program, *words[:3]] == ["ros2", "run", "floppynet_vpr", "build_map"]
            assert build_map.main(words[3:]) == 0, line
    assert Path("week.fvm").read_bytes() == Path("same_week.fvm").read_bytes()
    assert Path("week.fvm").read_bytes() == Path("other_week.fvm").read_bytes()
