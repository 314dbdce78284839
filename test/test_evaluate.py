# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`evaluate` from the command line to its files, on small drives, recordings and the real data."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands import evaluate
from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.drives import open_drive
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.evaluation.describers import FamilyNetwork
from floppynet_vpr.evaluation.descriptor_cache import DescriptorCache
from floppynet_vpr.evaluation.recorded_answers import read_answers
from floppynet_vpr.network.weights import load_weights

PLACES = 12


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Two drives along twelve places, the second darker, noisier and two places short."""
    for name, dark, places in (("first", 1.0, PLACES), ("second", 0.6, PLACES - 2)):
        (tmp_path / name).mkdir()
        for place in range(places):
            pattern = np.random.default_rng(place).integers(0, 256, (6, 8, 3)).astype(np.uint8)
            image = cv2.resize(pattern, (160, 120), interpolation=cv2.INTER_CUBIC) * dark
            noise = np.random.default_rng([place, places]).normal(0, 4, image.shape)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
            assert cv2.imwrite(str(tmp_path / name / f"image_{place:02}.png"), image)
    return tmp_path


def run_evaluate(drives: Path, *more: str, output: str = "out") -> tuple[int, Path]:
    out = drives / output
    arguments = ["--query", str(drives / "second"), "--reference", str(drives / "first")]
    return evaluate.main([*arguments, "-o", str(out), *more]), out


def read_json(out: Path) -> list[dict[str, Any]]:
    return list(json.loads((out / "results.json").read_text()))


def no_progress(frames: Iterable[Frame], total: int, label: str) -> Iterable[Frame]:
    return frames


def test_own_drives_are_measured_and_written_down(
    drives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = run_evaluate(drives, "--tolerance", "0", "--layer", "pool5,conv5")
    assert status == 0
    pool5, conv5 = read_json(out)
    assert (pool5["layer"], conv5["layer"]) == ("pool5", "conv5")
    assert pool5["s_p100"] == 100 and pool5["auc_pr"] == 1 and pool5["longest_stretch"] == 0
    assert pool5["truth"] == "frame numbers at most 0 apart"
    assert (pool5["dimension"], conv5["dimension"]) == (6 * 6 * 256, 13 * 13 * 256)
    assert pool5["size_kib"] == conv5["size_kib"] == pytest.approx(154.0, abs=0.05)
    assert pool5["eta_m"] == pytest.approx(1.54, abs=0.005)
    assert pool5["by_query"][3]["match"] == "image_03.png" and pool5["by_query"][3]["right"]
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == ["pool5", "conv5"]
    assert float(rows[0]["s_p100"]) == 100
    printed = capsys.readouterr().out
    assert "10 queries, 12 references; the same place: frame numbers at most 0 apart" in printed


def test_queries_without_a_right_reference_follow_the_convention(drives: Path) -> None:
    # The last two queries show places 8 and 9; the truth knows none for them.
    truth = drives / "truth.csv"
    truth.write_text("query,ref\n" + "".join(f"{i},{i}\n" for i in range(8)))
    _, out = run_evaluate(drives, "--truth", str(truth))
    assert read_json(out)[0]["s_p100"] == 80 and read_json(out)[0]["unanswerable"] == 2
    _, out = run_evaluate(drives, "--truth", str(truth), "--unanswerable", "leave-out")
    assert read_json(out)[0]["s_p100"] == 100 and read_json(out)[0]["queries"] == 8
    assert "are left out" in (out / "report.html").read_text()


def test_a_second_run_extracts_nothing(drives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, out = run_evaluate(drives, "--tolerance", "0")
    first = read_json(out)
    monkeypatch.setattr(FamilyNetwork, "describe", None)
    status, _ = run_evaluate(drives, "--tolerance", "0")
    assert status == 0
    for result in (*first, *read_json(out)):
        result.pop("search_ms")
    assert read_json(out)[0]["by_query"] == first[0]["by_query"]


def test_an_interrupted_run_goes_on_where_it_was(
    drives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[int] = []
    describe = FamilyNetwork.describe

    def stopping(self: FamilyNetwork, rgb: Any) -> Any:
        described.append(1)
        if len(described) == PLACES + 4:
            raise KeyboardInterrupt
        return describe(self, rgb)

    monkeypatch.setattr(FamilyNetwork, "describe", stopping)
    status, out = run_evaluate(drives, "--tolerance", "0")
    assert status == 130
    assert not list((out / "descriptors").glob("*.part"))
    before = len(described)  # a few more than when it was stopped: other threads had begun
    status, _ = run_evaluate(drives, "--tolerance", "0")
    # The references (12) were kept, the queries (10) are described anew.
    assert status == 0 and len(described) - before == PLACES - 2


def test_kept_descriptors_belong_to_images_and_network(drives: Path) -> None:
    cache = DescriptorCache(drives / "cache")
    network = FamilyNetwork("a", load_weights(), ["pool5"])
    drive = open_drive(drives / "first")
    before = cache.describe(drive, network, no_progress)["pool5"].values.copy()
    assert np.array_equal(cache.describe(drive, network, no_progress)["pool5"].values, before)
    picture = (drives / "first" / "image_07.png").read_bytes()
    (drives / "first" / "image_03.png").write_bytes(picture)
    after = cache.describe(open_drive(drives / "first"), network, no_progress)["pool5"].values
    assert np.array_equal(after[3], before[7]) and not np.array_equal(after[3], before[3])
    # A file cut short is computed again.
    after = after.copy()
    for file in (drives / "cache").glob("*.npy"):
        file.write_bytes(file.read_bytes()[:500])
    again = cache.describe(open_drive(drives / "first"), network, no_progress)["pool5"].values
    assert np.array_equal(again, after)


def test_a_storage_is_measured_as_a_map_searches(drives: Path) -> None:
    from floppynet_vpr.extraction import create_extractor, describe_frames
    from floppynet_vpr.mapping import build_map

    _, out = run_evaluate(drives, "--tolerance", "0", "--storage", "binary")
    (result,) = read_json(out)
    extractor = create_extractor()
    known = build_map(
        describe_frames(open_source(drives / "first").pending(), [extractor]),
        extractor.weights,
        storage="binary",
    )
    asked = np.stack([extractor.describe(f.rgb) for f in open_source(drives / "second")])
    expected = known.search(asked, 1).distances[:, 0]
    assert [q["distance"] for q in result["by_query"]] == pytest.approx(expected, abs=2e-6)
    assert result["storage"] == "binary" and result["bytes_per_place"] == known.bytes_per_place


def test_recorded_answers_are_judged_like_the_search_they_came_from(drives: Path) -> None:
    bags = {}
    for name, start in (("first", 10_000_000_000), ("second", 90_000_000_000)):
        bags[name] = drives / f"{name}_bag"
        write_bag(open_source(drives / name), bags[name], start_ns=start)
    arguments = ["--query", str(bags["second"]), "--reference", str(bags["first"])]
    arguments += ["--tolerance", "0"]
    assert evaluate.main([*arguments, "-o", str(drives / "direct")]) == 0
    (direct,) = read_json(drives / "direct")
    record_answers(bags, direct, drives / "answers")
    assert len(read_answers(drives / "answers")) == PLACES - 2
    more = ["--answers", str(drives / "answers"), "-o", str(drives / "judged")]
    assert evaluate.main([*arguments, *more]) == 0
    (judged,) = read_json(drives / "judged")
    assert judged["s_p100"] == direct["s_p100"] == 100
    assert judged["by_query"] == direct["by_query"]


def record_answers(bags: dict[str, Path], result: dict[str, Any], out: Path) -> None:
    """Write LoopClosure messages that answer as a result of `evaluate` says."""
    from rosbags.rosbag2 import Writer

    from floppynet_vpr.evaluation import recorded_answers

    store = recorded_answers._typestore()
    types = store.types
    stamps = {name: [frame.stamp_ns for frame in open_source(bag)] for name, bag in bags.items()}

    def time_of(stamp_ns: int) -> Any:
        return types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000))

    point = types["geometry_msgs/msg/Point"](0.0, 0.0, 0.0)
    turn = types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    pose = types["geometry_msgs/msg/Pose"](point, turn)
    with Writer(out, version=8) as writer:
        connection = writer.add_connection(
            "/vpr/loop_closure", recorded_answers.MESSAGE, typestore=store
        )
        for row, query in enumerate(result["by_query"]):
            stamp = stamps["second"][row]
            place = stamps["first"][query["match_index"]]
            candidate = types["floppynet_vpr_msgs/msg/LoopClosureCandidate"](
                place_id=query["match_index"],
                place=query["match"],
                stamp=time_of(place),
                distance=query["distance"],
                score=0.5,
                session="",
                verified=False,
                inliers=-1,
                pose=pose,
                has_pose=False,
            )
            header = types["std_msgs/msg/Header"](time_of(stamp), "camera")
            message = types[recorded_answers.MESSAGE](
                header=header,
                query_id=row,
                detected=True,
                threshold=0.8,
                candidates=[candidate],
            )
            data = store.serialize_cdr(message, recorded_answers.MESSAGE)
            writer.write(connection, stamp, data)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a --dataset, or your own drives"),
        (["--query", "a"], "name both drives"),
        (["--query", "a", "--reference", "b"], "which frames show the same place"),
        (["--dataset", "nordland"], "--root DIR says where"),
        (["--dataset", "oxford", "--root", "."], "unknown dataset oxford"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--network",
          "resnet"], "unknown network resnet"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--layer",
          "conv3"], "FloppyNet has no layer conv3: it has conv1, pool1"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--network",
          "floppynet-8"], "no weights of floppynet-8: --weights names no folder"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--network",
          "shipped,shipped"], "two networks are called shipped"),
        (["--query", "{d}/first", "--reference", "{d}/first", "--tolerance", "0", "--answers",
          "{d}/first"], "has no metadata.yaml"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(
    arguments: list[str], said: str, drives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [word.format(d=drives) for word in arguments]
    assert evaluate.main([*filled, "-o", str(drives / "out")]) == 1
    assert said in capsys.readouterr().err


def test_the_report_stands_alone_and_is_small(drives: Path) -> None:
    from test_evaluation_report import _Links

    _, out = run_evaluate(drives, "--tolerance", "0", "--layer", "all", "--network",
                          "one=" + str(shipped()), "--paper")  # fmt: skip
    text = (out / "report.html").read_text()
    links = _Links()
    links.feed(text)
    assert links.open == [] and len(text.encode()) < 3_000_000
    assert all(link.startswith("data:image/jpeg;base64,") for link in links.links)
    assert text.count("<tr>") == 1 + 6 and "one conv2" in text
    for part in ("Precision over recall", "Similarity matrix", "surest matches", "search: exact"):
        assert part in text


def shipped() -> Path:
    from floppynet_vpr.network.weights import SHIPPED_WEIGHTS

    return SHIPPED_WEIGHTS


def test_a_sample_of_queries_is_drawn_by_the_seed(drives: Path) -> None:
    chosen = []
    for seed in ("1", "1", "2"):
        _, out = run_evaluate(drives, "--tolerance", "0", "--queries", "5", "--seed", seed)
        chosen.append([query["index"] for query in read_json(out)[0]["by_query"]])
    assert chosen[0] == chosen[1] != chosen[2] and len(chosen[0]) == 5


def test_gardens_point_gives_the_known_figures(data_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("tflite", reason="needs the tflite package")
    arguments = ["--dataset", "gardens_point", "--root", str(data_dir), "--network", "floppynet"]
    arguments += ["--weights", str(data_dir / "weights"), "--paper", "-o", str(tmp_path)]
    assert evaluate.main(arguments) == 0
    results = read_json(tmp_path)
    assert [result["s_p100"] for result in results] == [79.5, 76.0]
    assert all(r["references"] == r["queries"] == 200 for r in results)
    assert results[0]["longest_stretch"] == 7


def test_every_layer_is_what_the_extractor_computes(drives: Path) -> None:
    from floppynet_vpr.extraction import create_extractor
    from floppynet_vpr.imaging.network_input import network_input

    weights = load_weights()
    network = FamilyNetwork("a", weights, ["conv1", "pool1", "conv5", "pool5"])
    rgb = next(iter(open_source(drives / "first"))).rgb
    maps = network.describe(rgb)
    image = network_input(rgb)
    assert np.array_equal(maps["pool5"], create_extractor(weights).pool5(image).ravel())
    conv1 = maps["conv1"].reshape(55, 55, 96)
    for row, column in ((0, 0), (54, 54), (20, 31)):
        patch = image[4 * row : 4 * row + 11, 4 * column : 4 * column + 11].astype(int)
        filters = weights.convs["conv1"].filters.astype(int)
        assert np.array_equal(conv1[row, column], np.einsum("ijc,oijc->o", patch, filters))
    for conv, pool, side in (("conv1", "pool1", 55), ("conv5", "pool5", 13)):
        values = maps[conv].reshape(side, side, -1)[: side // 2 * 2, : side // 2 * 2]
        blocks = values.reshape(side // 2, 2, side // 2, 2, -1).max(axis=(1, 3))
        assert np.array_equal(maps[pool], blocks.ravel())
    assert network.size_kib("conv1") == pytest.approx(34848 / 8 / 1024)
    assert network.size_kib("pool1") == network.size_kib("conv1")
