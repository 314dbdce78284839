# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Pose graphs: motions compose exactly, files keep every digit, wrong loops do no harm."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr.errors import VprError
from floppynet_vpr.graph.drive_graph import DriveGraph
from floppynet_vpr.graph.g2o import read_g2o, write_g2o
from floppynet_vpr.graph.loop_errors import error_of, misplaced, summary
from floppynet_vpr.graph.optimisation import optimise
from floppynet_vpr.graph.pose_graph import (
    LOOP,
    ODOMETRY,
    Edge,
    PoseGraph,
    diagonal_covariance,
)
from floppynet_vpr.graph.se3 import Transform, interpolate
from floppynet_vpr.graph.trajectory import Trajectory, absolute_error, read_tum, write_tum

metres = st.floats(-1e3, 1e3)
quaternions = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: math.hypot(*q) > 0.1)
transforms = st.builds(
    lambda *a: Transform.of([*a[:3], *a[3]]), metres, metres, metres, quaternions
)


def assert_same(one: Transform, other: Transform, tolerance: float = 1e-9) -> None:
    assert one.position == pytest.approx(other.position, abs=tolerance * 1e3)
    assert one.rotation == pytest.approx(other.rotation, abs=tolerance)


@given(transforms, transforms)
def test_composing_is_the_product_of_matrices(one: Transform, other: Transform) -> None:
    both = one @ other
    assert both.rotation == pytest.approx(one.rotation @ other.rotation, abs=1e-12)
    assert both.position == pytest.approx(one.rotation @ other.position + one.position, abs=1e-9)


@given(transforms, transforms, transforms)
def test_motions_are_a_group(one: Transform, two: Transform, three: Transform) -> None:
    assert_same((one @ two) @ three, one @ (two @ three))
    assert_same(one @ one.inverse(), Transform())
    assert_same(one.inverse() @ one, Transform())
    assert_same((one @ two).inverse(), two.inverse() @ one.inverse())
    assert_same(one @ Transform(), one)


@given(transforms)
def test_a_rotation_matrix_is_one(one: Transform) -> None:
    assert one.rotation @ one.rotation.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(one.rotation) == pytest.approx(1)


@given(transforms)
def test_a_matrix_gives_back_its_transform(one: Transform) -> None:
    assert_same(Transform.of_matrix(one.rotation, one.position), one)


@given(transforms, st.lists(st.floats(-1e-6, 1e-6), min_size=6, max_size=6))
def test_the_adjoint_takes_small_motions_to_the_other_side(
    one: Transform, motion: list[float]
) -> None:
    def small(values: list[float]) -> Transform:
        return Transform.of([*values[:3], *(value / 2 for value in values[3:]), 1.0])

    assert_same(one @ small(motion), small((one.adjoint @ motion).tolist()) @ one)


def test_the_error_of_an_edge_is_how_far_the_truth_is_from_it() -> None:
    covariance = diagonal_covariance(0.1, 0.02)
    edge = Edge(0, 1, Transform(1.0), covariance, LOOP)
    start = Transform(5.0, 1.0, 0.0, 0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))
    angle = 0.03
    end = start @ Transform(1.05, 0.15, 0.0, 0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2))
    error = error_of(edge, {0: start, 1: end})
    assert error.metres == pytest.approx(math.hypot(0.05, 0.15))
    assert error.radians == pytest.approx(angle)
    # Of six values that across the way and the heading are beyond one deviation, none beyond two.
    assert (error.within_1, error.within_2) == (pytest.approx(4 / 6), 1.0)
    assert "off by 16 cm and 1.72 degrees in the middle" in summary([error])
    poses, true = [start, start @ Transform(1.0)], {0: Transform(), 1: start.inverse() @ end}
    assert misplaced(poses, true, [edge]) == pytest.approx(error.metres)


@given(st.floats(-3.1, 3.1))
def test_the_angle_of_a_turn_is_exact_near_zero_and_half_a_turn(angle: float) -> None:
    turn = Transform(qz=math.sin(angle / 2), qw=math.cos(angle / 2))
    assert turn.radians == pytest.approx(abs(angle), rel=1e-12, abs=1e-300)


@given(transforms, transforms, st.floats(0, 1))
def test_a_share_of_the_way_is_that_share_of_the_turn(
    one: Transform, other: Transform, share: float
) -> None:
    whole = one.inverse() @ other
    part = one.inverse() @ interpolate(one, other, share)
    assert part.position == pytest.approx(share * whole.position, abs=1e-8)
    assert part.radians == pytest.approx(share * whole.radians, abs=2e-4)
    assert_same(interpolate(one, other, 0.0), one, 1e-7)
    assert_same(interpolate(one, other, 1.0), other, 1e-7)


def test_what_is_no_pose_is_refused() -> None:
    for values in ([0.0] * 7, [0.0] * 3, [math.nan, 0, 0, 0, 0, 0, 1], [0.0] * 7 + [1.0]):
        with pytest.raises(VprError, match="is no pose"):
            Transform.of(values)


covariances = st.integers(0, 2**31).map(
    lambda seed: (lambda m: m @ m.T + 0.1 * np.eye(6))(
        np.random.default_rng(seed).normal(size=(6, 6))
    )
)


@given(st.lists(transforms, min_size=3, max_size=5), transforms, covariances)
def test_a_graph_comes_back_from_g2o_text(
    tmp_path_factory: pytest.TempPathFactory,
    poses: list[Transform],
    seen: Transform,
    covariance: np.ndarray,
) -> None:
    graph = PoseGraph()
    for pose in poses:
        graph.add_node(0, pose)
    graph.add_edge(Edge(0, 1, seen, covariance, ODOMETRY))
    graph.add_edge(Edge(2, 0, seen.inverse(), covariance, LOOP))
    path = tmp_path_factory.mktemp("g2o") / "graph.g2o"
    write_g2o(path, graph)
    again = read_g2o(path)
    assert again.nodes == graph.nodes
    for one, other in zip(graph.edges, again.edges, strict=True):
        assert (one.start, one.end, one.kind) == (other.start, other.end, other.kind)
        assert_same(one.transform, other.transform)
        assert one.covariance == pytest.approx(other.covariance, rel=1e-6, abs=1e-8)


def test_g2o_lines_are_as_the_format_says(tmp_path: Path) -> None:
    graph = PoseGraph()
    graph.add_node(5, Transform())
    graph.add_node(6, Transform(1.0, 2.0, 3.0, 0.0, 0.0, 1.0, 0.0))
    covariance = np.diag([0.25, 0.25, 0.25, 0.01, 0.01, 0.04])
    graph.add_edge(Edge(0, 1, Transform(1.0), covariance, ODOMETRY))
    write_g2o(tmp_path / "graph.g2o", graph)
    first, second, edge = (tmp_path / "graph.g2o").read_text().splitlines()
    assert first == "VERTEX_SE3:QUAT 0 0.0 0.0 0.0 0.0 0.0 0.0 1.0"
    assert second == "VERTEX_SE3:QUAT 1 1.0 2.0 3.0 0.0 0.0 1.0 0.0"
    assert edge.startswith("EDGE_SE3:QUAT 0 1 1.0 0.0 0.0 0.0 0.0 0.0 1.0 ")
    information = [float(word) for word in edge.split()[10:]]
    rows = [information[0:6], information[6:11], information[11:15], information[15:18]]
    assert rows == [[4, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0], [4, 0, 0, 0], [100, 0, 0]]
    assert information[18:] == pytest.approx([100, 0, 25])


def test_a_graph_that_is_full_forgets_its_oldest_nodes_and_goes_on() -> None:
    drive = DriveGraph(most=20)
    for step in range(100):
        here = drive.go_on(step, Transform(float(step)))
        assert here == step and drive.last == step
        if step > 2:
            drive.close(here - 2, here, np.eye(6), Transform())
        graph = drive.graph
        assert len(graph.nodes) <= 20
        assert [node.pose.x for node in graph.nodes] == list(drive.keys)
        assert [node.id for node in graph.nodes] == list(range(len(graph.nodes)))
        for edge in graph.edges:
            apart = graph.nodes[edge.end].pose.x - graph.nodes[edge.start].pose.x
            assert apart == (1 if edge.kind == ODOMETRY else 2)
    assert drive.forgotten > 70 and len(drive.graph.loops) > 10
    assert drive.node(95).pose.x == 95.0


def test_a_place_beside_the_way_is_no_step_of_it() -> None:
    drive = DriveGraph()
    first = drive.go_on(1, Transform())
    beside = drive.stand(0, Transform(50.0))
    drive.close(beside, first, np.eye(6), Transform())
    drive.go_on(2, Transform(1.0))
    kinds = [(edge.start, edge.end, edge.kind) for edge in drive.graph.edges]
    assert kinds == [(1, 0, LOOP), (0, 2, ODOMETRY)]


@pytest.mark.parametrize(
    "line",
    [
        "VERTEX_SE2 0 0 0 0",
        "VERTEX_SE3:QUAT 0 0 0 0 0 0 0 0",
        "VERTEX_SE3:QUAT 0 0 0 0 0 0",
        "EDGE_SE3:QUAT 0 1 0 0 0 0 0 0 1",
        "VERTEX_SE3:QUAT zero 0 0 0 0 0 0 1",
        "EDGE_SE3:QUAT 0 1 0 0 0 0 0 0 1 " + " ".join(["1 0 0 0 0 0"] * 3 + ["1 0 1"]),
    ],
)
def test_what_is_no_pose_graph_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.g2o"
    path.write_text(f"# a comment\n\n{line}\n")
    with pytest.raises(VprError, match=r"bad\.g2o, line 3"):
        read_g2o(path)


@given(st.lists(st.tuples(st.integers(0, 2**61), transforms), min_size=1, max_size=5))
def test_a_trajectory_comes_back_from_a_tum_file_to_the_nanosecond(
    tmp_path_factory: pytest.TempPathFactory, stamped: list[tuple[int, Transform]]
) -> None:
    way = Trajectory.of(stamped)
    path = tmp_path_factory.mktemp("tum") / "way.tum"
    write_tum(path, way)
    assert read_tum(path) == way


def test_what_is_no_trajectory_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "way.tum"
    path.write_text("# seconds x y z qx qy qz qw\n1.5 0 0 0 0 0 0 1\n2.5 0 0 0\n")
    with pytest.raises(VprError, match=r"way\.tum, line 3"):
        read_tum(path)


def test_a_pose_is_found_between_two_and_not_far_from_all() -> None:
    way = Trajectory.of([(10**9, Transform(1.0)), (2 * 10**9, Transform(3.0))])
    assert way.at(1_250_000_000, 1.0) == Transform(1.5)
    assert way.at(900_000_000, 0.2) == Transform(1.0)
    assert way.at(1_250_000_000, 0.3) == Transform(1.0)
    assert way.at(1_500_000_000, 0.3) is None


@given(st.integers(0, 1000), transforms)
def test_the_error_is_the_same_wherever_the_way_is_laid(seed: int, moved: Transform) -> None:
    rng = np.random.default_rng(seed)
    truth = [Transform(*row) for row in rng.normal(0, 10, (12, 3))]
    noisy = [Transform(*(pose.position + rng.normal(0, 1, 3))) for pose in truth]
    assert absolute_error([moved @ pose for pose in truth], truth) == pytest.approx(0, abs=1e-6)
    here = absolute_error(noisy, truth)
    assert absolute_error([moved @ pose for pose in noisy], truth) == pytest.approx(here, abs=1e-6)
    unaligned = np.sqrt(
        np.mean([((a.inverse() @ b).metres) ** 2 for a, b in zip(noisy, truth, strict=True)])
    )
    assert 0 < here <= unaligned + 1e-9


def test_an_edge_that_nothing_can_be_done_with_is_refused() -> None:
    graph = PoseGraph()
    graph.add_node(0, Transform())
    graph.add_node(0, Transform())
    good = diagonal_covariance(1.0, 1.0)
    for start, end, covariance, message in (
        (0, 2, good, "names node 2"),
        (1, 1, good, "to itself"),
        (0, 1, -good, "positive definite"),
        (0, 1, good[:3, :3], "positive definite"),
        (0, 1, good * math.nan, "positive definite"),
    ):
        with pytest.raises(VprError, match=message):
            graph.add_edge(Edge(start, end, Transform(), covariance, LOOP))


def circles(laps: int, wrong: float = 0.0) -> tuple[PoseGraph, list[Transform]]:
    """A drive in a circle, its odometry drifting, each later lap recognised, some of it wrongly."""
    around, count = 40, 40 * laps
    step = Transform(
        2.0, 0.0, 0.0, 0.0, 0.0, math.sin(math.pi / around), math.cos(math.pi / around)
    )
    bent = math.pi / around + math.radians(0.1)
    drifting = Transform(2.04, 0.0, 0.0, 0.0, 0.0, math.sin(bent), math.cos(bent))
    graph, truth, pose, drifted = PoseGraph(), [], Transform(), Transform()
    rng = np.random.default_rng(5)
    for index in range(count):
        truth.append(pose)
        graph.add_node(index, drifted)
        if index:
            graph.add_edge(
                Edge(index - 1, index, drifting, diagonal_covariance(0.1, 0.01), ODOMETRY)
            )
        if index >= around:
            seen = index % around
            if rng.random() < wrong:
                seen = int(rng.integers(around))
            graph.add_edge(Edge(seen, index, Transform(), diagonal_covariance(0.5, 0.05), LOOP))
        pose, drifted = pose @ step, drifted @ drifting
    return graph, truth


def test_the_best_poses_are_near_the_truth_with_and_without_wrong_loops() -> None:
    pytest.importorskip("gtsam", reason="needs the extra [graph]")
    for wrong in (0.0, 0.2):
        graph, truth = circles(3, wrong)
        done = optimise(graph)
        before, after = (absolute_error(g.poses, truth) for g in (graph, done.graph))
        assert after < before / 5
        assert done.graph.poses[0].values == pytest.approx(graph.poses[0].values, abs=1e-3)
        false = [(e.start - e.end) % 40 not in (0, 1, 39) for e in graph.loops]
        assert (sum(false) > 10) == (wrong > 0)
        for weight, is_false in zip(done.weights, false, strict=True):
            assert (weight < 0.5) or not is_false


def test_without_loops_the_graph_stays_as_it_is() -> None:
    pytest.importorskip("gtsam", reason="needs the extra [graph]")
    graph, _ = circles(1)
    assert optimise(graph).graph.poses == graph.poses


def test_a_node_that_no_odometry_leads_to_is_named() -> None:
    pytest.importorskip("gtsam", reason="needs the extra [graph]")
    graph, _ = circles(1)
    graph.add_node(0, Transform())
    with pytest.raises(VprError, match="node 40"):
        optimise(graph)
    with pytest.raises(VprError, match="empty"):
        optimise(PoseGraph())
