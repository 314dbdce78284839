# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Several drives make one map, and no camera moves from one drive into the next."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_drives import WAYS, Descriptors, street, unit

from floppynet_vpr.commands import map_info, merge_maps
from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.detection.background import Background
from floppynet_vpr.detection.bayes_filter import BayesFilter
from floppynet_vpr.detection.line_search import LineSearch
from floppynet_vpr.detection.sequences import SequenceModel, within_window
from floppynet_vpr.mapping import MapError, Pose, ReferenceMap, join_maps, load_maps
from floppynet_vpr.mapping.spans import span_of, spans


def changed(rows: Descriptors, change: float, seed: int) -> Descriptors:
    rng = np.random.default_rng(seed)
    return unit(rows + change * unit(rng.normal(size=(len(rows), 24)) @ WAYS))


def map_of(rows: Descriptors, storage: str = "binary", session: str = "") -> ReferenceMap:
    reference = ReferenceMap("floppynet", "ab" * 32, storage)
    reference.begin_session(session)
    reference.extend(rows, [f"place {i}" for i in range(len(rows))], range(len(rows)))
    return reference


def names_of(reference: ReferenceMap) -> list[str]:
    """The name of the session of each place."""
    return [place.session.name for place in reference.places]


@pytest.mark.parametrize("storage", ["float32", "binary"])
def test_joined_maps_answer_with_the_place_and_its_session(storage: str, tmp_path: Path) -> None:
    day = street(30)
    night = changed(day, 1.0, seed=3)
    maps = {"day": map_of(day, storage), "night": map_of(night, storage)}
    joined = join_maps(maps)
    joined.save(tmp_path / "both.fvm")
    for reference in (joined, ReferenceMap.load(tmp_path / "both.fvm")):
        assert reference.borders == [30]
        ids = [place.id for part in maps.values() for place in part.places]
        assert [place.id for place in reference.places] == ids, "an id is a place's for life"
        assert [reference.index_of(place) for place in ids] == list(range(60))
        kept = np.concatenate([part.descriptors() for part in maps.values()])
        np.testing.assert_array_equal(reference.descriptors(), kept)
        for rows, session in ((day, "day"), (night, "night")):
            found = reference.search(rows, 1).indices[:, 0]
            assert [names_of(reference)[place] for place in found] == [session] * 30
            assert [reference.places[place].stamp_ns for place in found] == list(range(30))


def test_maps_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    rows = street(3)
    with pytest.raises(MapError, match=r"storage.*binary.*float32"):
        join_maps({"a": map_of(rows), "b": map_of(rows, "float32")})
    other = ReferenceMap("floppynet", "cd" * 32)
    with pytest.raises(MapError, match="weights"):
        join_maps({"a": map_of(rows), "b": other})
    with pytest.raises(MapError, match="session named summer"):
        others = street(3, seed=1)
        join_maps({"a": map_of(rows, session="summer"), "b": map_of(others, session="summer")})
    with pytest.raises(MapError, match="a and b hold the same places"):
        join_maps({"a": map_of(rows), "b": map_of(rows)})
    with pytest.raises(MapError, match="at least one"):
        join_maps({})
    for folder in ("one", "two"):
        map_of(rows).save(tmp_path / folder / "map.fvm")
    with pytest.raises(MapError, match="named map"):
        load_maps(f"{tmp_path}/one/map.fvm:{tmp_path}/two/map.fvm")
    with pytest.raises(MapError, match=r"none\.fvm.*build_map"):
        load_maps(f"{tmp_path}/one/map.fvm:{tmp_path}/none.fvm")


def test_several_files_are_loaded_as_one_map_and_one_as_it_is(tmp_path: Path) -> None:
    map_of(street(4)).save(tmp_path / "day.fvm")
    map_of(street(5, seed=1), session="winter night").save(tmp_path / "night.fvm")
    alone = load_maps(str(tmp_path / "day.fvm"))
    assert set(names_of(alone)) == {""}
    both = load_maps(f"{tmp_path / 'day.fvm'}:{tmp_path / 'night.fvm'}")
    assert names_of(both) == ["day"] * 4 + ["winter night"] * 5
    odd = tmp_path / "10:30.fvm"
    alone.save(odd)
    assert len(load_maps(str(odd))) == 4


def test_maps_are_merged_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, count in (("day", 20), ("night", 25), ("rain", 10)):
        map_of(street(count, seed=count)).save(tmp_path / f"{name}.fvm")
    files = [str(tmp_path / f"{name}.fvm") for name in ("day", "night", "rain")]
    two, three = str(tmp_path / "two.fvm"), str(tmp_path / "three.fvm")
    assert merge_maps.main([*files[:2], "--output", two]) == 0
    assert merge_maps.main([two, files[2], "--output", three]) == 0
    assert "night: 25 places" in capsys.readouterr().out
    assert names_of(ReferenceMap.load(Path(three))) == ["day"] * 20 + ["night"] * 25 + ["rain"] * 10
    assert map_info.main([three]) == 0
    assert "rain, 10 places" in capsys.readouterr().out
    assert merge_maps.main([two, files[2], "--output", three]) == 1
    assert "--force" in capsys.readouterr().err
    assert merge_maps.main([two, "--output", str(tmp_path / "four.fvm")]) == 1


def test_places_are_of_the_session_last_begun_and_so_they_are_kept(tmp_path: Path) -> None:
    reference = map_of(street(3))
    for name, frame, fixed in (("a", "map", True), ("b", "odom", False), ("c", "map", True)):
        reference.begin_session(name, "rover", frame, fixed)
        reference.extend(street(4, seed=ord(name)), ["first", "", "", ""], [7, 8, 9, 10])
    reference.begin_session("d", "rover", "odom")
    reference.add(street(1, seed=9)[0], "last", 11)
    reference.begin_session("of nothing")
    reference.save(tmp_path / "map.fvm")
    loaded = ReferenceMap.load(tmp_path / "map.fvm")
    assert loaded.sessions == reference.sessions
    assert list(loaded.places) == list(reference.places)
    assert names_of(loaded) == [""] * 3 + ["a"] * 4 + ["b"] * 4 + ["c"] * 4 + ["d"]
    assert [place.number for place in loaded.places] == [0, 1, 2, *([0, 1, 2, 3] * 3), 0]
    plain, a, b, c, d = loaded.sessions
    assert len({session.uid for session in loaded.sessions}) == 5
    assert (a.robot, a.start_ns, d.start_ns, plain.frame) == ("rover", 7, 11, "")
    assert a.shares_frame(c), "a map's frame is one frame in all sessions"
    assert not b.shares_frame(d), "odometry starts anew in every session"
    assert not a.shares_frame(b)
    assert not plain.shares_frame(plain), "no frame, no poses to compare"


borders = st.lists(st.integers(1, 39), unique=True, max_size=6).map(sorted)


@given(borders, st.integers(0, 60))
def test_spans_divide_the_places_at_the_borders(at: list[int], count: int) -> None:
    found = spans(at, count)
    assert [place for first, last in found for place in range(first, last)] == list(range(count))
    for first, last in found:
        for place in range(first, last):
            assert span_of(place, at, count) == (first, last)
        assert not any(first < border < last for border in at)


@settings(max_examples=25, deadline=None)
@given(borders, st.integers(0, 2**32 - 1))
def test_a_session_is_searched_for_lines_as_if_it_were_alone(at: list[int], seed: int) -> None:
    evidence = np.random.default_rng(seed).normal(0, 1, (8, 40)).astype(np.float32)
    together = LineSearch()
    alone = [LineSearch() for _ in spans(at, 40)]
    for row in evidence:
        belief = together.update(row, True, at)
        for (first, last), search in zip(spans(at, 40), alone, strict=True):
            own = search.update(row[first:last], True)
            shares = belief[first:last] / belief[first:last].sum()
            np.testing.assert_allclose(shares, own / own.sum(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("model", [BayesFilter, LineSearch])
def test_nobody_drives_over_a_border(model: type[SequenceModel]) -> None:
    """A camera that passes the last place of a session is not believed in the next one."""
    evidence = np.full((12, 40), -1.5, np.float32)
    for step in range(9):
        evidence[step, 11 + step] = 3.0
    evidence[9:] = 0.0
    followed = {}
    for at in ((), (20,)):
        running = model()
        for row in evidence[:11]:
            belief = running.update(row, True, at)
        followed[at] = float(belief[20:24].sum())
    assert followed[(20,)] < 0.25 * followed[()]


def test_belief_is_added_up_within_a_session() -> None:
    half = [0.25, 0.3, 0.35, 0.4, 0.45, 0.45, 0.4, 0.35, 0.3, 0.25]
    belief = np.full(20, 0.05, np.float32)
    np.testing.assert_allclose(
        within_window(belief, np.arange(len(belief)), [10]), half * 2, atol=1e-6
    )


def test_what_is_usual_is_learned_within_sessions() -> None:
    day = street(60)
    joined = join_maps({"day": map_of(day), "night": map_of(changed(day, 0.3, seed=5))})
    alone, both = Background(map_of(day)), Background(joined)
    assert both.threshold == pytest.approx(alone.threshold, abs=0.05)
    assert both.step == pytest.approx(alone.step, rel=0.15)
    assert both.step_after(59) == both.step_after(58), "the next session's first is no next place"
    ids, _ = both.strangers(20)
    assert len(ids)
    assert (ids < 60).all()


@pytest.mark.parametrize("sequence", ["filter", "line"])
def test_a_drive_is_followed_in_the_session_that_it_resembles(sequence: str) -> None:
    day = street(120)
    night = changed(day, 1.3, seed=5)
    joined = join_maps({"day": map_of(day), "night": map_of(night)})
    detector = LoopClosureDetector(joined, DetectorOptions(sequence=sequence))
    for rows, session in ((night, "night"), (day, "day")):
        answers = [detector.detect(query) for query in changed(rows, 0.5, seed=6)[20:100]]
        late = answers[30:]
        assert all(answer.candidates[0].place.session.name == session for answer in late)
        assert all(
            abs(answer.candidates[0].place.stamp_ns - 50 - index) <= 2
            for index, answer in enumerate(late)
        )


def test_map_info_gives_the_sessions_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = ReferenceMap("floppynet", "0" * 64)
    reference.begin_session("night", robot="r2", frame="odom")
    reference.extend(street(3), ["a", "b", "c"], [7, 8, 9], [Pose(1.0, 0.0, 0.0), None, None])
    reference.begin_session("day", frame="map", fixed=True)
    reference.extend(street(2, seed=1), ["d", "e"])
    reference.save(tmp_path / "two.fvm")
    assert map_info.main([str(tmp_path / "two.fvm"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["places"], facts["storage"], facts["features_per_place"]) == (5, "binary", 0)
    assert facts["bytes"] == (tmp_path / "two.fvm").stat().st_size
    night, day = facts["sessions"]
    assert (night["name"], night["robot"], night["frame"]) == ("night", "r2", "odom")
    assert (night["places"], night["with_pose"], night["start_ns"]) == (3, 1, 7)
    assert [night["first_id"], day["first_id"]] == [
        reference.places[0].id,
        reference.places[3].id,
    ]
    assert day["frame_uid"] != night["frame_uid"]
