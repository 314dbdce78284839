# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Dataset files are read strictly, folders are recognised, and truth follows from their rules.

The folders are small ones that follow the published layouts, with their numbers of frames lowered;
GardensPoint and Nordland (64 x 32) are the real ones where FLOPPYNET_DATA names them.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.datasets.catalogue import (
    DatasetSpec,
    Layout,
    Pair,
    TraverseFiles,
    TruthRule,
    catalogue_folder,
    dataset_files,
    load_dataset,
    read_dataset,
)
from floppynet_vpr.datasets.own_traverses import open_own_pair
from floppynet_vpr.datasets.traverse_pairs import Sample, TraversePair, open_pairs
from floppynet_vpr.errors import VprError

PICTURE = cv2.imencode(".jpg", np.full((8, 8, 3), 127, np.uint8))[1].tobytes()


def write_images(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(PICTURE)


def small(spec: DatasetSpec, frames: int) -> DatasetSpec:
    """The same dataset with `frames` frames in every traverse whose number is known."""
    layouts = tuple(
        replace(
            layout,
            traverses={
                name: replace(files, frames=frames if files.frames else None)
                for name, files in layout.traverses.items()
            },
        )
        for layout in spec.layouts
    )
    return replace(spec, layouts=layouts)


def test_all_five_datasets_of_the_paper_are_known_and_explained() -> None:
    names = ["berlin_kudamm", "gardens_point", "lagout", "nordland", "old_city"]
    assert list(dataset_files()) == names
    for name in names:
        spec = load_dataset(name)
        assert spec.title and spec.about and spec.source and spec.licence


def test_the_template_is_a_valid_dataset() -> None:
    assert read_dataset(catalogue_folder() / "template.yaml").pairs == (Pair("evening", "morning"),)


def test_an_unknown_dataset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(VprError, match=r"berlin_kudamm, gardens_point.*template\.yaml"):
        load_dataset("gardenspoint_walking")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("title: My route", "titel: My route"), "title is missing"),
        (("licence: mine", "license: mine"), "unknown key license"),
        (("rule: frames, tolerance: 2", "rule: seconds"), "rule should be one of frames, metres"),
        (("rule: frames, tolerance: 2", "rule: metres"), "tolerance should be a number"),
        (("query: evening", "query: night"), "a pair names night, which no layout has"),
        (("rate_hz: 10", "rate_hz: fast"), "rate_hz should be a number of 0 or more, not 'fast'"),
        (("- name: two folders", "- nme: two folders"), "layouts 1: name is missing"),
        (("pairs:", "pairs: ["), "is no valid YAML"),
    ],
)
def test_a_wrong_dataset_file_is_refused_with_the_place(
    change: tuple[str, str], said: str, tmp_path: Path
) -> None:
    text = (catalogue_folder() / "template.yaml").read_text()
    assert change[0] in text
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace(*change))
    with pytest.raises(VprError, match=rf"mine\.yaml.*{said}"):
        load_dataset(str(file))


def test_nordland_is_recognised_as_folders_of_either_size(tmp_path: Path) -> None:
    spec = small(load_dataset("nordland"), 12)
    for season in ("summer", "winter"):
        write_images(tmp_path / "Nordland" / season, [f"images-{i:05}.png" for i in range(1, 13)])
    (pair,) = open_pairs(spec, tmp_path)
    assert (pair.query.label, pair.reference.label) == ("winter", "summer")
    assert pair.truth[0].tolist() == [True] * 6 + [False] * 6
    assert pair.rule == "frame numbers at most 5 apart"
    assert open_pairs(spec, tmp_path / "Nordland")[0].query.names == pair.query.names


def test_the_split_with_queries_and_database_is_nordland_too(tmp_path: Path) -> None:
    spec = small(load_dataset("nordland"), 3)
    for name in ("database", "queries"):
        write_images(tmp_path / "images" / "test" / name, ["1.jpg", "2.jpg", "10.jpg"])
    (pair,) = open_pairs(spec, tmp_path)
    assert "27,592" in pair.layout and pair.query.names == ("1.jpg", "2.jpg", "10.jpg")


def test_nordland_is_recognised_as_videos(tmp_path: Path) -> None:
    for season in ("summer", "winter"):
        file = str(tmp_path / f"nordland_{season}.avi")
        writer = cv2.VideoWriter(file, cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 32))
        for _ in range(5):
            writer.write(np.zeros((32, 32, 3), np.uint8))
        writer.release()
    (pair,) = open_pairs(load_dataset("nordland"), tmp_path)
    assert pair.layout == "the four videos" and pair.truth.shape == (5, 5)
    chosen = pair.query.only([1, 3])
    assert [frame.name for frame in chosen.frames()] == list(chosen.names)


def test_the_papers_number_of_frames_is_evenly_spread_and_stays_in_step(tmp_path: Path) -> None:
    spec = replace(small(load_dataset("nordland"), 21), paper_frames=5)
    for season in ("summer", "winter"):
        write_images(tmp_path / season, [f"{i}.jpg" for i in range(21)])
    (pair,) = open_pairs(spec, tmp_path, paper_frames=True, tolerance=1)
    assert pair.query.indices == (0, 5, 10, 15, 20)
    assert np.array_equal(pair.truth, np.abs(np.subtract.outer(range(5), range(5))) <= 1)


def test_an_incomplete_copy_says_what_is_missing(tmp_path: Path) -> None:
    for name in ("day_left", "day_right", "night_right"):
        write_images(tmp_path / name, [f"{i}.jpg" for i in range(7)])
    with pytest.raises(VprError, match=r"not complete.*night_right has 7 frames in place of 200"):
        open_pairs(load_dataset("gardens_point"), tmp_path)


def test_a_wrong_folder_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    write_images(tmp_path / "holiday", ["1.jpg"])
    with pytest.raises(VprError, match=r"it holds: holiday\. Looked for") as caught:
        open_pairs(load_dataset("lagout"), tmp_path)
    assert "lagout_15" in str(caught.value) and "V4RL" in str(caught.value)
    with pytest.raises(VprError, match="is no folder"):
        open_pairs(load_dataset("lagout"), tmp_path / "nowhere")


def test_berlin_kudamm_by_gps_is_within_50_metres(tmp_path: Path) -> None:
    # Frames every 30 m to the north: the neighbours are 30 m off, the next 60 m.
    for name in ("kudamm_1", "kudamm_2"):
        write_images(tmp_path / name, [f"{i}.jpg" for i in range(4)])
        lines = [f"{i}.jpg,{52.5 + i * 30 / 111_267:.8f},13.3" for i in range(4)]
        (tmp_path / name / "gps.csv").write_text("\n".join(["name,latitude,longitude", *lines]))
    spec = small(load_dataset("berlin_kudamm"), 4)
    (pair,) = open_pairs(spec, tmp_path)
    assert np.array_equal(pair.truth, np.abs(np.subtract.outer(range(4), range(4))) <= 1)
    assert pair.query_gps is not None and pair.rule == "within 50 m by GPS"
    (tmp_path / "kudamm_2" / "gps.csv").unlink()
    with pytest.raises(VprError, match="no GPS positions of kudamm_2"):
        open_pairs(spec, tmp_path)


def test_berlin_kudamm_renumbered_uses_its_table(tmp_path: Path) -> None:
    write_images(tmp_path / "berlin_kudamm_1_ref_renamed", [f"{i}.jpg" for i in range(12)])
    write_images(tmp_path / "berlin_kudamm_2_test_renamed", [f"{i}.jpg" for i in range(12)])
    table = tmp_path / "berlin_kudamm_2_test" / "groundTruth.csv"
    table.parent.mkdir()
    table.write_text("Serial No,Query,Ref (Apply Range -2 to 2)\n0,64,2\n11,75,9\n")
    (pair,) = open_pairs(small(load_dataset("berlin_kudamm"), 12), tmp_path)
    assert np.flatnonzero(pair.truth[0]).tolist() == [0, 1, 2, 3, 4]
    assert np.flatnonzero(pair.truth[11]).tolist() == [7, 8, 9, 10, 11]
    assert not pair.truth[1:11].any()


@pytest.mark.parametrize("name", ["lagout", "old_city"])
def test_ground_truth_files_of_the_authors_are_used(name: str, tmp_path: Path) -> None:
    spec = small(load_dataset(name), 3)
    pair = spec.pairs[0]
    for traverse in (pair.query, pair.reference):
        write_images(tmp_path / traverse, [f"{i}.jpg" for i in range(3)])
    with pytest.raises(VprError, match="no ground truth of"):
        open_pairs(spec, tmp_path)
    (tmp_path / "ground_truth.txt").write_text("1 0 0\n0 1 1\n0 0 0\n")
    (found,) = open_pairs(spec, tmp_path)
    assert found.truth.astype(int).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_samples_are_repeatable_and_keep_the_order(tmp_path: Path) -> None:
    write_images(tmp_path / "a", [f"{i}.jpg" for i in range(50)])
    write_images(tmp_path / "b", [f"{i}.jpg" for i in range(50)])

    def opened(sample: Sample | None) -> TraversePair:
        rule = TruthRule("frames", 2)
        return open_own_pair(tmp_path / "a", tmp_path / "b", rule, sample=sample)

    one, again, other = (opened(Sample(20, seed)) for seed in (1, 1, 2))
    assert one.query.indices == again.query.indices != other.query.indices
    assert sorted(set(one.query.indices)) == list(one.query.indices) and len(one.query) == 20
    assert np.array_equal(one.truth, opened(None).truth[list(one.query.indices)])
    assert len(opened(Sample(50, 0)).query) == len(opened(Sample(99, 0)).query) == 50


@pytest.mark.parametrize("rule", ["frames", "file", "metres"])
def test_the_truth_of_a_sample_is_that_of_the_whole(rule: str, tmp_path: Path) -> None:
    for name in ("query", "reference"):
        write_images(tmp_path / name, [f"{i}.jpg" for i in range(20)])
        lines = [f"{52.5 + i * 30 / 111_267:.8f},13.3" for i in range(20)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["latitude,longitude", *lines]))
    (tmp_path / "truth.txt").write_text("".join(f"{i} {i}\n" for i in range(20)))
    tolerance = {"frames": 3, "file": 1, "metres": 70}[rule]
    files = {name: TraverseFiles((name,), gps=(f"{name}.csv",)) for name in ("query", "reference")}
    layout = Layout("all", files, TruthRule(rule, tolerance, ("truth.txt",)), 1)
    pair = Pair("query", "reference")
    spec = DatasetSpec("d", "D", "", "", "", (), (pair,), (layout,), paper_frames=7)
    for paper in (False, True):
        (whole,) = open_pairs(spec, tmp_path, paper_frames=paper)
        (some,) = open_pairs(spec, tmp_path, paper_frames=paper, sample=Sample(5, 0))
        rows = [whole.query.indices.index(index) for index in some.query.indices]
        assert len(rows) == 5 and np.array_equal(some.truth, whole.truth[rows])
        assert some.query.names == tuple(whole.query.names[row] for row in rows)
        assert some.query_gps is not None and whole.query_gps is not None
        assert np.array_equal(some.query_gps, whole.query_gps[rows])


def test_the_fingerprint_of_a_drive_changes_with_its_frames(tmp_path: Path) -> None:
    write_images(tmp_path / "a", ["1.jpg", "2.jpg"])
    pair = open_own_pair(tmp_path / "a", tmp_path / "a", TruthRule("frames", 0))
    before = pair.query.fingerprint
    assert pair.query.only([0]).fingerprint != before
    (tmp_path / "a" / "2.jpg").write_bytes(PICTURE + b"\0")
    assert pair.query.fingerprint != before


def test_the_real_datasets_at_hand_are_complete(data_dir: Path) -> None:
    gardens = open_pairs(load_dataset("gardens_point"), data_dir)
    assert [pair.name for pair in gardens] == [
        "gardens_point: night_right > day_right",
        "gardens_point: day_left > day_right",
    ]
    assert all(pair.truth.shape == (200, 200) and pair.truth.sum() == 994 for pair in gardens)
    (nordland,) = open_pairs(load_dataset("nordland"), data_dir)
    assert nordland.truth.shape == (1788, 1788) and "64 x 32" in nordland.layout
