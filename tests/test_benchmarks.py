"""The benchmarks' own parts; what they measure is run by hand, on a quiet machine."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality, scale, speed
from benchmarks import training as trained
from nolabels.core import params
from nolabels.setup import presets
from nolabels.students import trainer
from tests import tiny


def test_in_turn_takes_the_median_of_calls_that_alternate():
    called, ticks = [], iter([0.0, 1, 1, 11, 11, 13, 13, 23, 23, 27, 27, 37])
    original, speed.time.perf_counter = speed.time.perf_counter, lambda: next(ticks)
    try:
        seconds = speed.in_turn(3, lambda: called.append("a"), lambda: called.append("b"))
    finally:
        speed.time.perf_counter = original
    assert called == ["a", "b"] * 4
    assert seconds == [2, 10]


@pytest.mark.parametrize(
    ("ours", "peer", "ratio", "wanted"),
    [(30.0, 6.0, None, 5.0), (0.4, None, 0.4, 0.4)],
    ids=["peer", "alone"],
)
def test_a_row(ours, peer, ratio, wanted):
    found = speed.row("name", ours, peer, "texts/s", ">= 5", ratio)
    assert found["ratio"] == wanted
    assert set(found) == {"name", "ours", "peer", "unit", "ratio", "asked"}


def test_the_page_holds_the_rows_of_the_json():
    rows = json.loads(speed.JSON.read_text(encoding="utf-8"))
    text = Path(speed.PAGE).read_text(encoding="utf-8")
    named = re.findall(r"^\| ([^|]+?) \|", text, flags=re.M)
    assert named == [row["name"] for row in rows]
    assert speed.table(rows) in text
    assert [row["part"] for row in rows] == sorted((row["part"] for row in rows), key=list(speed.PARTS).index)


@pytest.mark.parametrize(
    ("ratio", "asked", "short"),
    [
        *[(4.453, ">= 5", True), (5.0, ">= 5", False), (3.45, "<= 3", True), (1.1, "<= 1.1", False)],
        *[(156.0, "< 600", False), (1.0, "< 1.0", True), (1.0, "1", False), (0.999, "1", True)],
        *[(1.683, "flat", True), (1.02, "flat", False)],
    ],
)
def test_a_row_that_misses_what_was_asked_is_short(ratio, asked, short):
    row = speed.row("name", 1.0, None, "s", asked, ratio)
    assert speed.is_short(row) == short
    first, *_, last = speed.table([row]).splitlines()
    assert first.startswith(f"{int(short)} of 1 rows are short") and last.endswith(
        "| **short** |" if short else "|  |"
    )


# ---------------------------------------------------------------------- quality


def result(student, teacher=None, seconds=1.0):
    """What benchmarks.quality keeps of one student, right where the text of 0 and 1 says so."""
    of = {
        part: {"right": student if part == "test" else "1", "ece": 0.1, "floor": 0.0}
        for part in ("test", "dev")
    }
    told = {part: {"right": teacher, "ece": 0.2, "floor": 0.0} for part in ("test", "dev")}
    return {"texts": 4, "seconds": seconds, "student": of, "teacher": told if teacher else None}


def test_a_row_of_quality_is_the_mean_of_the_seeds_and_what_was_gained():
    before = [result("1000"), result("1000")]
    found = quality.row(
        quality.Form("form"),
        [result("1110", "1100", 2), result("1010", "1100", 4), result("1111", "1100", 9)],
        before,
    )
    assert (found["student_mean"], found["student_sd"], found["seconds"]) == (0.75, 0.25, 4)
    assert (found["teacher_mean"], found["teacher_ece"], found["student_ece"]) == (0.5, 0.2, 0.1)
    assert found["gain"] == 0.5
    assert found["gain_low"] < 0.5 < found["gain_high"]
    assert found["teacher_sd"] == pytest.approx(0.25, abs=0.02)  # of the mean of four: sqrt(0.25 / 4)
    alone = quality.row(quality.Form("form"), [result("1110")], None)
    assert (alone["student_sd"], alone["teacher_mean"]) == (None, None)
    assert "gain" not in alone


@pytest.mark.parametrize(
    ("form", "rows", "steps"),
    [
        (quality.Form("as params.yaml has it"), 1000, 4 * 1000 / 16),
        (quality.Form("few", pool=250), 250, 4 * 1000 / 16),
        (quality.Form("all", pool=None), 8000, 2 * 8000 / 32),
        (quality.Form("gold", long=True), 1000, 2 * 8000 / 32),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_students_are_compared_after_as_many_steps(form, rows, steps):
    values, best = params.load(), presets.params_of(quality.BEST)
    found = quality.recipe(form, rows, values, best, 8000)
    assert found.epochs * rows / found.batch_size == steps


def test_a_student_of_the_benchmark_learns(tmp_path, monkeypatch):
    values = params.load()
    settings = values.train.model_copy(update={"epochs": 1, "max_tokens": 16})
    monkeypatch.chdir(tmp_path)
    tiny.base_model(tmp_path / "models/base")
    texts = np.array([text for _, text in tiny.sentences(40)])
    wanted = np.tile([0.3, 0.7], (40, 1))
    found, seconds = quality.student(texts, wanted, {"dev": texts[:5]}, settings, values)
    assert found["dev"].shape == (5, 2) and seconds > 0


def test_pools_of_uneven_classes_are_what_they_are_said_to_be():
    random = np.random.default_rng(0)
    gold = random.random(4000) < 0.5
    evidence = random.normal(np.where(gold, 3, -3), 2.0)
    scores = np.stack([-evidence / 2, evidence / 2], -1)[:, None].astype(np.float32)
    values = params.load()
    data = quality.Data({}, {"pool": np.stack([~gold, gold], 1)}, None, {"pool": scores})
    rows = quality.uneven(data, values, [1, 2], size=2000, share=0.2)
    assert [one["name"] for one in rows[:3]] == [
        f"20% negative, prior {how}" for how in ("uniform", "estimated", "declared")
    ]
    uniform, estimated, declared = rows[:3]
    assert (uniform["share"], declared["share"]) == (0.5, 0.2)
    assert estimated["share"] == pytest.approx(0.2, abs=0.03)
    assert estimated["teacher_macro_f1"] == pytest.approx(declared["teacher_macro_f1"], abs=0.02)
    assert uniform["teacher_mean"] < declared["teacher_mean"]


def test_the_page_of_quality_holds_the_rows_of_its_json():
    rows = json.loads(quality.JSON.read_text(encoding="utf-8"))
    text = quality.PAGE.read_text(encoding="utf-8")
    forms, pools = [one for one in rows if "share" not in one], [one for one in rows if "share" in one]
    assert quality.table(forms) in text
    assert quality.uneven_table(pools) in text
    fields = {"name", "teacher_mean", "teacher_sd", "student_mean", "student_sd", "seeds", "pool", "seconds"}
    assert all(fields <= set(one) for one in rows)


# ---------------------------------------------------------------------- scale


def test_the_texts_of_scale_are_as_long_as_they_are_said_to_be(tmp_path):
    scale.write_texts(tmp_path / "own/texts.csv", 20_500)
    lines = (tmp_path / "own/texts.csv").read_text().splitlines()
    assert len(lines) == 20_501 and lines[0] == "text" and len(set(lines)) == len(lines)
    assert 180 < sum(map(len, lines[1:])) / 20_500 < 220


def test_ten_million_texts_are_on_the_line_through_the_two_largest_sizes():
    rows = [
        {"stage": "label", "texts": texts, "seconds": seconds, "mib": mib}
        for texts, seconds, mib in ((1_000, 99.0, 7), (1_000_000, 60.0, 1024), (2_000_000, 120.0, 2048))
    ]
    assert scale.table(rows).splitlines()[-1] == (
        "| label | 99 s, 7 MiB | 60 s, 1024 MiB | 120 s, 2048 MiB | 10 min, 10.0 GiB |"
    )


def test_the_page_of_scale_holds_the_rows_of_its_json():
    rows = json.loads(scale.JSON.read_text(encoding="utf-8"))
    assert scale.table(rows) in scale.PAGE.read_text(encoding="utf-8")
    assert {row["stage"] for row in rows} == {name.split()[0] for name in scale.STAGES}


def test_the_order_from_long_to_short_is_the_trainer_s():
    from transformers.trainer_pt_utils import LengthGroupedSampler

    lengths = np.random.default_rng(0).integers(5, 60, 900)
    theirs = lengths[list(LengthGroupedSampler(16, lengths=lengths.tolist()))]
    ours = lengths[trained.longest_first(lengths, 16, np.random.default_rng(0))]
    # both fall through each group of 50 batches; they rise between groups, and where theirs moves the longest text
    for given in (theirs, ours):
        assert (np.diff(given) > 0).sum() < 10
    assert (np.diff(lengths[trainer.shuffled_batches(lengths, 16, np.random.default_rng(0))]) > 0).sum() > 100


def test_the_table_of_the_training_s_forms():
    rows = [
        {"task": task, "form": form, "accuracy": 0.5 + place / 10 + seed / 100}
        for place, form in enumerate(trained.FORMS)
        for task in ("a", "b")
        for seed in (0, 2)
    ]
    lines = trained.page(rows).splitlines()
    assert lines[0] == "| form | a | b | mean |" and len(lines) == 5
    assert lines[2].endswith("| 0.510 ± 0.014 | 0.510 ± 0.014 | 0.510 |")
