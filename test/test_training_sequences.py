# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Training on drives, from earlier runs, and the options that choose the recipe."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands.train import build_parser, main
from floppynet_vpr.commands.train_options import chosen_recipe
from floppynet_vpr.errors import VprError
from floppynet_vpr.network.weights import load_weights
from floppynet_vpr.training.recipe import PRESETS

torch = pytest.importorskip("torch", reason="training needs PyTorch: make test-training")

from floppynet_vpr.training.checkpoint import load_features, mean_features
from floppynet_vpr.training.export import export_weights
from floppynet_vpr.training.images import open_images
from floppynet_vpr.training.recipe import Recipe, Views, trained_spec
from floppynet_vpr.training.sequences import FAR, Sequences, open_sequences
from floppynet_vpr.training.trainer import RunPlan, Trainer
from floppynet_vpr.training.validation import Validation
from floppynet_vpr.training.views import make_views

SIDE = 72
GIB = 2**30


def write_frames(folder: Path, names: str, numbers: range, red: int) -> None:
    """Images of one colour each: red tells the drive, green the number of the frame."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        image = np.full((48, 80, 3), (0, number, red), np.uint8)  # BGR
        assert cv2.imwrite(str(folder / names.format(number)), image)


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Three drives in two folders, 12 + 5 + 3 frames; numbers are not filled with zeros."""
    root = tmp_path / "drives"
    write_frames(root / "floor1", "a2_hall_{}.png", range(12), 10)
    write_frames(root / "floor1", "b2_hall_{}.png", range(3, 8), 20)
    write_frames(root / "floor2" / "left", "frame_{}_left.png", range(9, 12), 30)
    return root


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled pictures, twelve to train on and three to validate with."""
    root = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(5)
    for part, count in (("train", 12), ("val", 3)):
        for number in range(count):
            folder = root / part / f"class_{number % 3}"
            folder.mkdir(parents=True, exist_ok=True)
            small = rng.integers(0, 256, (9, 9, 3), np.uint8)
            image = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            assert cv2.imwrite(str(folder / f"{number}.png"), image)
    return root


def colours(frames: np.ndarray) -> list[tuple[int, int]]:
    """Drive and number of frames, (n, 3, side, side)."""
    return [(int(frame[0, 0, 0]), int(frame[1, 0, 0])) for frame in frames]


def opened(*texts: str, limit: int = GIB) -> tuple[Sequences, list[VprError]]:
    skipped: list[VprError] = []
    return open_sequences(list(texts), SIDE, limit, skipped.append), skipped


def test_files_whose_names_differ_in_their_last_number_are_a_drive_in_its_order(
    drives: Path,
) -> None:
    found, skipped = opened(str(drives))
    expected = [(10, n) for n in range(12)] + [(20, n) for n in range(3, 8)]
    assert colours(found.frames) == expected + [(30, n) for n in range(9, 12)]
    assert found.frames.shape == (20, 3, SIDE, SIDE) and not skipped
    assert found.firsts.tolist() == [*range(11), *range(12, 16), 17, 18]


def test_every_nth_frame_of_each_drive_is_taken(drives: Path) -> None:
    found, _ = opened(f"{drives},3")
    assert colours(found.frames) == [
        *((10, n) for n in (0, 3, 6, 9)), (20, 3), (20, 6), (30, 9)
    ]  # fmt: skip
    assert found.firsts.tolist() == [0, 1, 2, 4]


def test_a_drive_may_be_a_bag_or_a_video_beside_folders(drives: Path, tmp_path: Path) -> None:
    from floppynet_vpr.commands import make_bag

    bag = tmp_path / "bag"
    folder = drives / "floor2" / "left"
    assert make_bag.main([str(folder), str(bag), "--rate", "1"]) == 0
    alone, _ = opened(str(folder))
    both, _ = opened(str(bag), str(folder))
    np.testing.assert_array_equal(both.frames, np.concatenate([alone.frames, alone.frames]))
    assert both.firsts.tolist() == [0, 1, 3, 4]


def test_a_place_is_two_frames_that_follow_each_other_and_places_of_a_drive_are_far_apart() -> None:
    numbers = np.arange(200, dtype=np.uint8)
    frames = np.broadcast_to(numbers[:, None, None, None], (200, 3, 2, 2))
    firsts = np.setdiff1d(np.arange(199), [119])  # two drives: 0 to 119, 120 to 199
    sequences = Sequences(frames, firsts)
    orders, seen = set(), set()
    for seed in range(40):
        one, other = sequences.draw(6, np.random.default_rng(seed))[:, :, 0, 0, 0].astype(int)
        assert len(one) == 6 and np.all(np.abs(one - other) == 1)
        first = np.minimum(one, other)
        assert not np.any(first == 119)
        for drive in (first[first < 120], first[first >= 120]):
            assert np.all(np.diff(np.sort(drive)) >= FAR)
        orders |= set((one < other).tolist())
        seen |= set(first.tolist())
    assert orders == {False, True} and len(seen) > 100
    few = Sequences(frames[:3], np.arange(2))
    assert all(few.draw(6, np.random.default_rng(seed)).shape[1] == 1 for seed in range(20))


def test_a_frame_that_cannot_be_decoded_is_told_and_left_out(drives: Path) -> None:
    (drives / "floor1" / "b2_hall_5.png").write_bytes(b"")
    found, skipped = opened(str(drives / "floor1"))
    assert colours(found.frames)[12:] == [(20, 3), (20, 4), (20, 6), (20, 7)]
    assert len(skipped) == 1 and "b2_hall_5.png" in str(skipped[0])
    with pytest.raises(VprError, match=r"b2_hall_5\.png"):  # --strict
        open_sequences([str(drives)], SIDE, GIB)


def test_what_gives_no_sequences_is_explained(drives: Path, tmp_path: Path) -> None:
    with pytest.raises(VprError, match=r"take 0\.\d GiB: take fewer \(SOURCE,EVERY\)"):
        opened(str(drives), limit=20 * SIDE * SIDE * 3 - 1)
    opened(str(drives), limit=20 * SIDE * SIDE * 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VprError, match="empty holds no images, nor does a folder in it"):
        opened(str(tmp_path / "empty"))
    with pytest.raises(VprError, match="no two frames follow each other"):
        opened(f"{drives / 'floor2'},3")
    with pytest.raises(VprError, match="nowhere does not exist"):
        opened(str(tmp_path / "nowhere"))
    with pytest.raises(VprError, match="EVERY is at least 1"):
        opened(f"{drives},0")


def test_the_indoor_videos_are_drives_of_their_own(data_dir: Path) -> None:
    found, _ = opened(str(data_dir / "indoor_tower" / "floor10"))
    videos = {
        re.sub(r"_frame_\d+$", "", file.stem)
        for file in (data_dir / "indoor_tower" / "floor10").iterdir()
    }
    assert len(videos) > 1
    assert len(found.frames) - len(found.firsts) == len(videos)


def test_each_view_of_a_place_may_look_at_an_image_of_its_own() -> None:
    images = torch.rand(2, 4, 3, 80, 80) * 255
    recipe = Views(SIDE, zoom=(0.5, 1.0), flip=True)
    chance = torch.Generator().manual_seed(2)
    one, other = make_views(images, recipe, 2, chance)
    for view, source in ((one, images[0]), (other, images[1])):
        # Without moves and light both views are the same part, mirrored or not alike.
        (alone,) = make_views(source, recipe, 1, torch.Generator().manual_seed(2))
        assert torch.equal(view, alone)
    assert not torch.equal(one, other)


def contrastive_recipe(**changes: object) -> Recipe:
    views = Views(67, (0.7, 1.0), (0.05, 0.02), advance=0.2)
    chosen = {"batch": 4, "regions": 2, "contrastive": 1.0, "decay": 0.9, "views": views} | changes
    return Recipe(epochs=2, learning_rate=1e-2, **chosen)  # type: ignore[arg-type]


def trainer_of(labelled: Path, output: Path, recipe: Recipe, **more: object) -> Trainer:
    plan = RunPlan(trained_spec("floppynet"), recipe, output, image_side=SIDE)
    validation = Validation(open_images(labelled, "val"), ())
    return Trainer(plan, open_images(labelled, "train"), validation, **more)  # type: ignore[arg-type]


def test_sequences_add_places_to_a_step_and_change_nothing_of_the_pictures(
    labelled: Path, drives: Path, tmp_path: Path
) -> None:
    sequences, _ = opened(str(drives))
    recipe = contrastive_recipe()
    beside = trainer_of(labelled, tmp_path / "beside", recipe, sequences=sequences)
    alone = trainer_of(labelled, tmp_path / "alone", recipe)
    indices = alone.indices(0)
    for with_drives, without in zip(
        beside.views(0, indices, 2), alone.views(0, indices, 2), strict=True
    ):
        assert without.shape == (8, 3, 67, 67) and with_drives.shape == (10, 3, 67, 67)
        assert torch.equal(with_drives[:8], without)
    one, other = (view[8:, :2, 0, 0] for view in beside.views(0, indices, 2))
    assert torch.equal(one[:, 0], other[:, 0])  # the same drive
    assert torch.equal((one - other)[:, 1].abs(), torch.ones(2))  # the next frame
    assert beside.train_step()["contrastive"] != alone.train_step()["contrastive"]
    beside.save()
    with pytest.raises(VprError, match="another network, recipe, teacher, sequences or seed"):
        trainer_of(labelled, tmp_path / "beside", recipe)
    with pytest.raises(VprError, match="a recipe for sequences has the contrastive term"):
        trainer_of(
            labelled, tmp_path / "x", contrastive_recipe(contrastive=0.0), sequences=sequences
        )


def test_bfloat16_is_used_only_where_the_processor_computes_with_it(
    labelled: Path, tmp_path: Path
) -> None:
    for wanted in (True, False):
        trainer = trainer_of(labelled, tmp_path, contrastive_recipe(bfloat16=wanted))
        seen: list[object] = []
        trainer.network.features.register_forward_hook(lambda *a, s=seen: s.append(a[2].dtype))
        trainer.train_step()
        fast = wanted and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        assert seen == [torch.bfloat16 if fast else torch.float32]


def words(labelled: Path, output: Path, *more: str) -> list[str]:
    chosen = [str(labelled), "-o", str(output), "--preset", "vpr", "--image-side", str(SIDE)]
    return [*chosen, "--threads", "1", "--no-synthetic-route", *more]


def test_the_mean_of_runs_is_that_of_their_latent_weights(
    labelled: Path, drives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ("--batch", "4", "--epochs", "0.7")
    one, other, mean = (tmp_path / name for name in ("one", "other", "mean"))
    assert main(words(labelled, one, *short, "--from", "floppynet")) == 0
    further = words(labelled, other, *short, "--from", str(one), "--sequences", str(drives))
    assert main([*further, "--moves", "0.1,0.05", "--classification", "0.3"]) == 0
    assert "20 frames of drives, 17 with a next one" in capsys.readouterr().out
    before, after = load_features(one), load_features(other)
    for name in ("conv1", "conv2", "conv5"):
        # It went on from the latent weights, not from their signs.
        apart = (after.convs[name].latent - before.convs[name].latent).detach().abs().max()
        assert 0 < float(apart) < 0.02

    averaged = words(
        labelled, mean, "--batch", "4", "--seed", "2", "--average", str(one), str(other)
    )
    assert main(averaged) == 0, capsys.readouterr().err
    found = load_features(mean)
    for values, ones, others in zip(
        found.parameters(), before.parameters(), after.parameters(), strict=True
    ):
        torch.testing.assert_close(values, (ones + others) / 2)
    weights = load_weights(mean / "final.fnet")
    np.testing.assert_array_equal(
        weights.convs["conv2"].filters, export_weights(found).convs["conv2"].filters
    )
    own = mean_features([one, other])  # BatchNorm's statistics are not those of a run
    assert not torch.equal(found.norms["conv2"].running_mean, own.norms["conv2"].running_mean)
    assert main([*averaged, "--epochs", "1"]) == 1
    assert "--average trains nothing" in capsys.readouterr().err

    larger = tmp_path / "larger"
    assert main(words(labelled, larger, *short, "--network", "floppynet-4")) == 0
    assert main(words(labelled, tmp_path / "new", "--average", str(one), str(larger))) == 1
    assert "is a run of FloppyNet-4" in capsys.readouterr().err
    assert main(words(labelled, tmp_path / "new", *short, "--from", str(larger))) == 1
    assert "a run of FloppyNet-4 cannot start FloppyNet" in capsys.readouterr().err


def test_moves_and_classification_given_hold_throughout_the_run() -> None:
    preset = PRESETS["vpr"]
    given = ["data", "-o", "run", "--preset", "vpr", "--moves", "0.1,0.05"]
    recipe = chosen_recipe(build_parser().parse_args([*given, "--classification", "0.3"]))
    assert (recipe.views.shift, recipe.final_shift) == ((0.1, 0.05), 1.0)
    assert (recipe.classification, recipe.final_classification) == (0.3, 1.0)
    assert (recipe.views.light, recipe.final_rate) == (preset.views.light, preset.final_rate)
    assert chosen_recipe(build_parser().parse_args(given[:-2])) == preset


def test_every_example_of_the_help_is_understood() -> None:
    parser = build_parser()
    joined = (parser.epilog or "").replace("\\\n", " ")
    examples = re.findall(r"ros2 run floppynet_vpr train (.*)", joined)
    assert len(examples) == 7
    for example in examples:
        chosen_recipe(parser.parse_args(shlex.split(example)))


@pytest.mark.parametrize("text", ["0.1", "0.1,x", "0.1,0.2,0.3", "-0.1,0", "nan,0", "2,0"])
def test_moves_that_are_not_two_shares_are_refused(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["data", "-o", "run", f"--moves={text}"])
    assert "is not SIDEWAYS,UPWARDS of 0 to 1" in capsys.readouterr().err
