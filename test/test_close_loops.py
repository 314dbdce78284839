# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A drive of three laps that odometry bends is straightened, whatever some loop closures say."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from synthetic_drives import street
from test_bag_trajectories import header, make, stamped, write

from floppynet_vpr.commands import build_map, close_loops
from floppynet_vpr.datasets.bag_depth import open_depth
from floppynet_vpr.datasets.bags_reading import BagFrames
from floppynet_vpr.datasets.depth_topics import DEPTH_TOPIC
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.detection import DetectorOptions
from floppynet_vpr.detection.match_error import MatchError
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.local_features import DEFAULT_FEATURES
from floppynet_vpr.graph.bag_trajectories import fixed_transform, trajectory_of_topic
from floppynet_vpr.graph.g2o import read_g2o
from floppynet_vpr.graph.loop_closer import LoopCloser, LoopCloserOptions
from floppynet_vpr.graph.loop_errors import coverage, error_of
from floppynet_vpr.graph.optimisation import optimise
from floppynet_vpr.graph.pose_graph import LOOP, Edge, PoseGraph
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.graph.trajectory import (
    Trajectory,
    absolute_error,
    positions_of,
    read_tum,
    write_tum,
)
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.synthetic.camera import PinholeCamera
from floppynet_vpr.synthetic.round_trip import (
    LAPS,
    ODOMETRY_TOPIC,
    TRUTH_TOPIC,
    RoundTrip,
    write_round_trip,
)
from floppynet_vpr.synthetic.route import SyntheticRoute

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXAMPLE = DOCS / "examples" / "close_loops.py"
ODOMETRY = ["--odometry", ODOMETRY_TOPIC]
FILES = ["after.tum", "before.tum", "graph.g2o", "loops.csv", "optimised.g2o", "way.png"]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three laps around a small block: by day, at dusk, in rain; odometry drifts."""
    route = SyntheticRoute(length_m=240.0, camera=PinholeCamera(320, 240), closed=True)
    laps = tuple(replace(lap, step_m=2.0, rate_hz=5.0) for lap in LAPS)
    path = tmp_path_factory.mktemp("round_trip") / "bag"
    write_round_trip(RoundTrip(route, laps), path)
    return path


@pytest.fixture(scope="module")
def depth_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two laps by day, a metre beside each other, with depth."""
    route = SyntheticRoute(length_m=240.0, camera=PinholeCamera(320, 240), closed=True)
    beside = replace(LAPS[1], light=LAPS[0].light)
    laps = tuple(replace(lap, step_m=3.0, rate_hz=3.0) for lap in (LAPS[0], beside))
    path = tmp_path_factory.mktemp("depth") / "bag"
    write_round_trip(RoundTrip(route, laps), path, depth=True)
    return path


@pytest.fixture(scope="module")
def written(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes of it without GTSAM."""
    out = tmp_path_factory.mktemp("written") / "out"
    options = ["--odometry", ODOMETRY_TOPIC, "--graph-only"]
    assert close_loops.main([str(bag), "-o", str(out), *options]) == 0
    return out


def true_poses(bag: Path, way: Trajectory) -> list[Transform]:
    _, truth = trajectory_of_topic(bag, TRUTH_TOPIC)
    poses = [truth.at(stamp_ns, 0.0) for stamp_ns in way.stamps_ns]
    return [pose for pose in poses if pose is not None]


def test_the_graph_is_written_without_gtsam(written: Path, bag: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == FILES[1:4]
    graph, way = read_g2o(written / "graph.g2o"), read_tum(written / "before.tum")
    assert graph.poses == list(way.poses)
    assert len(graph.nodes) > 300 and len(graph.loops) > 60
    with (written / "loops.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(loop.start, loop.end) for loop in graph.loops] == [
        (int(row["recognised"]), int(row["node"])) for row in rows
    ]
    assert [way.stamps_ns[int(row["node"])] for row in rows] == [
        int(row["stamp_ns"]) for row in rows
    ]


def test_loop_closures_are_as_far_off_as_their_covariance_says(written: Path, bag: Path) -> None:
    graph, way = read_g2o(written / "graph.g2o"), read_tum(written / "before.tum")
    judged = coverage(graph, dict(enumerate(true_poses(bag, way))))
    assert judged is not None and judged.loops == len(graph.loops)
    assert judged.wrong < 0.1 * judged.loops
    assert min(judged.one_sigma) > 0.6 and min(judged.two_sigma) > 0.9
    assert min(judged.one_sigma) < 0.95, "a covariance that covers everything tells nothing"


def test_the_share_within_sigmas_is_counted_and_the_wrong_ones_apart() -> None:
    graph = PoseGraph()
    truth = {}
    for x, y, degrees in ((0, 0, 0), (1, 0, 0), (0, 3, 4), (40, 0, 0), (0, 0, 0)):
        node = graph.add_node(0, Transform())
        truth[node.id] = Transform.of([x, y, 0, 0, 0, np.radians(degrees) / 2, 1])
    del truth[4]
    covariance = np.diag([1.0, 4.0, 1.0, 1.0, 1.0, np.radians(3.0) ** 2])
    for end in (1, 2, 3, 4):
        graph.add_edge(Edge(0, end, Transform(), covariance, LOOP))
    judged = coverage(graph, truth)
    assert judged is not None
    assert (judged.loops, judged.wrong) == (3, 1)
    assert judged.one_sigma == (1.0, 0.5, 0.5) and judged.two_sigma == (1.0, 1.0, 1.0)
    assert "of 3 loop closures 1 are wrong" in str(judged)
    assert "to the side 50 % and 100 %" in str(judged)
    assert coverage(graph, {}) is None


def test_the_command_straightens_the_way_and_says_by_how_much(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gtsam", reason="needs the extra [graph]")
    command = [str(bag), "-o", str(tmp_path / "out"), "--odometry", ODOMETRY_TOPIC]
    assert close_loops.main([*command, "--truth", TRUTH_TOPIC]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    said = capsys.readouterr().out
    before, after = (read_tum(tmp_path / "out" / name) for name in ("before.tum", "after.tum"))
    truth = true_poses(bag, before)
    errors = [absolute_error(way.poses, truth) for way in (before, after)]
    assert errors[1] < errors[0] / 5
    assert "loop closures" in said and "within 1 and 2 sigma: along the way" in said
    assert f"error: {errors[0]:.2f} m before, {errors[1]:.2f} m after" in said
    assert read_g2o(tmp_path / "out" / "optimised.g2o").poses == list(after.poses)
    picture = cv2.imread(str(tmp_path / "out" / "way.png"))
    assert picture is not None and picture.std() > 5
    (tmp_path / "out" / "graph.g2o").unlink()
    assert close_loops.main(command) == 1
    assert "exists" in capsys.readouterr().err


def test_with_depth_loop_closures_say_from_where_and_how_sure_that_is(
    depth_bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain_out, out = tmp_path / "plain", tmp_path / "out"
    command = [str(depth_bag), *ODOMETRY, "--graph-only"]
    assert close_loops.main([*command, "-o", str(plain_out)]) == 0
    assert close_loops.main([*command, "-o", str(out), "--depth", DEPTH_TOPIC]) == 0
    said = re.search(
        r"(\d+) loop closures, (\d+) of them with a transform", capsys.readouterr().out
    )
    assert said is not None
    plain, graph = read_g2o(plain_out / "graph.g2o"), read_g2o(out / "graph.g2o")
    truth = true_poses(depth_bag, read_tum(out / "before.tum"))
    assert [(one.start, one.end) for one in graph.loops] == [
        (one.start, one.end) for one in plain.loops
    ], "what is recognised does not depend on depth"
    told = [loop for loop in graph.loops if loop.transform.metres]
    assert (len(graph.loops), len(told)) == (int(said[1]), int(said[2]))
    assert len(told) >= 10
    errors = [error_of(loop, truth) for loop in told]
    assert np.median([error.metres for error in errors]) < 0.15
    assert np.median([error.radians for error in errors]) < np.radians(0.5)
    assert np.mean([error.within_1 for error in errors]) > 0.6
    others = {(one.start, one.end): one for one in plain.loops}
    for loop in set(graph.loops) - set(told):
        assert np.allclose(loop.covariance, others[loop.start, loop.end].covariance)


def test_a_bag_with_depth_gives_back_what_was_written(depth_bag: Path) -> None:
    bag = depth_bag
    source = open_source(bag)
    assert isinstance(source, BagFrames)
    assert source.topic == "/camera/image_raw/compressed", "depth is no picture to choose"
    camera, depth = open_depth(bag, source, DEPTH_TOPIC)
    assert (camera.model.width, camera.frame) == (320, "camera_optical_frame")
    lens = PinholeCamera(320, 240)
    assert np.allclose(camera.model.matrix, lens.intrinsics)
    mount = fixed_transform(bag, "base_link", camera.frame)
    assert mount.position == pytest.approx([0.0, 0.0, 1.5])
    assert mount.rotation @ [0, 0, 1] == pytest.approx([1, 0, 0])
    stamps = [frame.stamp_ns for frame in source]
    for stamp_ns in stamps[:5]:
        found = depth.at(stamp_ns)
        assert found is not None
        # The road below the camera: its rows are as far as its height makes them.
        assert found[230, 160] == pytest.approx(lens.focal_px * 1.5 / (230 - 119.5), abs=1e-3)
        assert np.isnan(found[:20]).any(), "the sky has no depth"
    assert depth.at(stamps[5] + 100_000_000) is None and depth.missed == 1


def test_a_map_of_a_bag_keeps_the_depth_of_its_corners(depth_bag: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.fvm"
    command = [str(depth_bag), "-o", str(out), "--every", "20", "--depth", DEPTH_TOPIC]
    assert build_map.main(command) == 0
    reference = ReferenceMap.load(out)
    assert len(reference) == 8 and reference.features == DEFAULT_FEATURES
    for place in range(len(reference)):
        features = reference.features_of(place)
        assert features is not None and features.points is not None
        known = features.points[np.isfinite(features.points).all(axis=1)]
        assert len(known) > 50
        assert known[:, 2].min() > 0.5 and known[:, 1].max() < 1.6, "nothing is below the road"


def test_what_depth_lacks_is_named(
    depth_bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, message in (
        ([*ODOMETRY, "--depth", "/d"], f"no sensor_msgs/msg/Image on /d; it has: {DEPTH_TOPIC}"),
        ([*ODOMETRY, "--camera-info", "/c"], "--camera-info goes with --depth"),
        (
            [*ODOMETRY, "--depth", DEPTH_TOPIC, "--mount", *"0000000"],
            "(0, 0, 0, 0, 0, 0, 0) is no pose",
        ),
        (
            [*ODOMETRY, "--depth", DEPTH_TOPIC, "--camera-info", "/c"],
            "no sensor_msgs/msg/CameraInfo on /c; it has: /camera/camera_info",
        ),
    ):
        out = tmp_path / "out"
        assert close_loops.main([str(depth_bag), "-o", str(out), "--graph-only", *options]) == 1
        assert message in capsys.readouterr().err
        assert list(out.iterdir()) == []


def test_a_fifth_of_the_loops_made_wrong_by_hand_does_no_harm(written: Path, bag: Path) -> None:
    pytest.importorskip("gtsam", reason="needs the extra [graph]")
    graph, way = read_g2o(written / "graph.g2o"), read_tum(written / "before.tum")
    truth = true_poses(bag, way)
    places = positions_of(truth)
    rng, added = np.random.default_rng(3), 0
    covariance, wanted = graph.loops[0].covariance, len(graph.loops) // 4
    while added < wanted:
        start, end = (int(node) for node in sorted(rng.choice(len(truth), 2, replace=False)))
        if np.hypot(*(places[start] - places[end])[:2]) > 20:
            graph.add_edge(Edge(start, end, Transform(), covariance, LOOP))
            added += 1
    done = optimise(graph)
    assert max(done.weights[-added:]) < 0.5
    assert absolute_error(done.graph.poses, truth) < absolute_error(graph.poses, truth) / 5


def test_the_example_runs_without_ros(bag: Path, tmp_path: Path) -> None:
    pytest.importorskip("gtsam", reason="needs the extra [graph]")
    stamps = []
    for frame in open_source(bag):
        name = tmp_path / f"{len(stamps):04}.jpg"
        assert frame.encoded is not None
        name.write_bytes(frame.encoded)
        stamps.append(frame.stamp_ns)
    _, odometry = trajectory_of_topic(bag, ODOMETRY_TOPIC)
    # A folder's images are 0.1 s apart; those of the bag 0.2 s.
    slow = Trajectory(tuple(stamp // 2 for stamp in odometry.stamps_ns), odometry.poses)
    write_tum(tmp_path / "odometry.tum", slow)
    program = [sys.executable, "-W", "error", str(EXAMPLE), str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "was seen before: node" in done.stdout
    straight = read_tum(tmp_path / "straight.tum")
    assert read_g2o(tmp_path / "graph.g2o").poses == list(straight.poses)
    doubled = Trajectory(tuple(2 * stamp for stamp in straight.stamps_ns), straight.poses)
    bent = [odometry.at(stamp, 0.0) for stamp in doubled.stamps_ns]
    truth = true_poses(bag, doubled)
    assert len(EXAMPLE.read_text().splitlines()) < 40
    assert absolute_error(straight.poses, truth) < absolute_error(bent, truth) / 3


def test_the_commands_of_the_page_run_as_written(
    depth_bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drive_bag").symlink_to(depth_bag)
    pages = "".join((DOCS / name).read_text() for name in ("pose_graph.md", "depth.md"))
    pages = pages.replace("\\\n", " ")
    lines = re.findall(r"^ros2 run floppynet_vpr close_loops (.*)$", pages, re.M)
    maps = re.findall(r"^ros2 run floppynet_vpr build_map (.*)$", pages, re.M)
    assert len(lines) == 3 and len(maps) == 1
    assert build_map.main(shlex.split(maps[0])) == 0
    if importlib.util.find_spec("gtsam") is None:
        lines = [line for line in lines if "--graph-only" in line]
    for line in lines:
        assert close_loops.main(shlex.split(line)) == 0, line


def test_what_the_bag_lacks_is_named(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, message in (
        ([], "2 topics of nav_msgs/Odometry"),
        (["--odometry", "/wheels"], "no poses on /wheels; it has them on: /ground_truth, /odom"),
        (["--tf", "odom", "base_link"], "has no tf"),
        (["--odometry", ODOMETRY_TOPIC, "--topic", "/front"], "no image topic /front"),
    ):
        out = tmp_path / "out"
        assert close_loops.main([str(bag), "-o", str(out), "--graph-only", *options]) == 1
        assert message in capsys.readouterr().err
        assert list(out.iterdir()) == []


def image(stamp_ns: int, recorded_ns: int | None = None) -> tuple[str, str, int, Any]:
    """A message with an image of noise."""
    pixels = np.random.default_rng(stamp_ns).integers(0, 256, 48 * 64 * 3, np.uint8)
    message = make(
        "sensor_msgs/msg/Image", header(stamp_ns, "camera"), 48, 64, "rgb8", 0, 64 * 3, pixels
    )
    return "/image", "sensor_msgs/msg/Image", recorded_ns or stamp_ns, message


def pose(stamp_ns: int) -> tuple[str, str, int, Any]:
    """A message with the pose of a robot that drives 2 m a second."""
    here = stamped("geometry_msgs/msg/PoseStamped", stamp_ns, Transform(2e-9 * stamp_ns))
    return "/here", "geometry_msgs/msg/PoseStamped", stamp_ns, here


def test_images_without_a_pose_or_out_of_order_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [image(second * 10**9) for second in (1, 2, 3, 4, 5, 6, 100, 101)]
    images.insert(5, image(3_500_000_000, recorded_ns=5_500_000_000))
    poses = [pose(tenth * 10**8) for tenth in range(10, 61)]
    bag, out = write(tmp_path / "bag", *images, *poses), tmp_path / "out"
    command = ["-o", str(out), "--graph-only", "--odometry", "/here"]
    assert close_loops.main([str(bag), *command]) == 0
    said = capsys.readouterr()
    assert "no pose is near them: 2" in said.err and "out of order: 1" in said.err
    assert "6 places, 0 loop closures" in said.out
    stamps = [stamp_ns // 10**9 for stamp_ns in read_tum(out / "before.tum").stamps_ns]
    assert stamps == [1, 2, 3, 4, 5, 6]
    apart = write(tmp_path / "apart", *images[-2:], *poses)
    assert close_loops.main([str(apart), *command, "--force"]) == 1
    assert "no image of" in capsys.readouterr().err
    assert len(read_g2o(out / "graph.g2o").nodes) == 6


def test_without_gtsam_it_is_said_before_the_work_how_to_get_it(
    bag: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "gtsam", None)
    assert close_loops.main([str(bag), "-o", str(tmp_path / "out")]) == 1
    assert "pip install --no-deps gtsam" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def drive(options: LoopCloserOptions) -> LoopCloser:
    """A closer that went twice along a street of 60 places, a metre apart."""
    places = street(60)
    closer = LoopCloser(options=options)
    for index, descriptor in enumerate(chain(places, places)):
        closer.add_described(descriptor, index * 10**9, Transform(1.001 * index))
    return closer


def test_places_seen_again_are_linked_to_those_of_before() -> None:
    closer = drive(
        LoopCloserOptions(
            detector=DetectorOptions(matching="rigid", sequence="none", threshold=0.5)
        )
    )
    graph = closer.graph
    assert len(graph.nodes) == 120 and len(graph.edges) - len(graph.loops) == 119
    assert [(loop.start, loop.end) for loop in graph.loops] == [(i, i + 60) for i in range(60)]
    sigmas = np.sqrt(np.diag(graph.loops[5].covariance))
    error = MatchError()
    assert sigmas[0] == pytest.approx(np.hypot(error.along_metres, 1.001 * error.along_places))
    assert sigmas[1:3] == pytest.approx(error.side_metres)
    assert np.degrees(sigmas[3:]) == pytest.approx(error.degrees)
    odometry = np.sqrt(np.diag(graph.edges[0].covariance))
    assert odometry[0] == pytest.approx(0.2 * np.sqrt(0.1), rel=0.02)
    assert np.degrees(odometry[5]) == pytest.approx(np.sqrt(0.1), rel=0.05)


def test_standing_still_makes_no_places() -> None:
    closer = LoopCloser()
    for index, descriptor in enumerate(street(30)):
        closer.add_described(descriptor, index, Transform(0.01 * index))
    assert len(closer.graph.nodes) == 1 and closer.graph.edges == []


def test_a_turn_on_the_spot_is_off_by_its_share() -> None:
    closer = LoopCloser(options=LoopCloserOptions(drift=0.05))
    quarter = Transform(qz=np.sqrt(0.5), qw=np.sqrt(0.5))
    for index, (descriptor, pose) in enumerate(zip(street(2), (Transform(), quarter), strict=True)):
        closer.add_described(descriptor, index, pose)
    (edge,) = closer.graph.edges
    assert np.sqrt(edge.covariance[5, 5]) == pytest.approx(0.05 * np.pi / 2, rel=0.01)
    assert np.sqrt(edge.covariance[0, 0]) == pytest.approx(0.01)


def test_an_image_from_before_the_last_place_is_refused() -> None:
    closer = LoopCloser()
    first, second = street(2)
    closer.add_described(first, 2 * 10**9, Transform())
    with pytest.raises(VprError, match=r"1\.000 s comes after a place of 2\.000 s"):
        closer.add_described(second, 10**9, Transform(5.0))
    assert isinstance(closer.graph, PoseGraph) and len(closer.graph.nodes) == 1


def test_a_damaged_image_is_left_out_and_strict_ends_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [image(second * 10**9) for second in (1, 2, 3, 4, 5)]
    images[2][3].data = images[2][3].data[:100]
    bag = write(tmp_path / "bag", *images, *(pose(tenth * 10**8) for tenth in range(10, 61)))
    command = [str(bag), "--graph-only", "--odometry", "/here"]
    assert close_loops.main([*command, "-o", str(tmp_path / "out")]) == 0
    assert "could not be used: 1" in capsys.readouterr().err
    assert close_loops.main([*command, "-o", str(tmp_path / "strict"), "--strict"]) == 1
    assert "message 2 of topic /image" in capsys.readouterr().err
