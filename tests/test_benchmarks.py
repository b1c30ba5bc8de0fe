"""The benchmarks' own parts; what they measure is run by hand, on a quiet machine."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks import measuring, precision, quality, quality_forms, scale, speed, training_forms
from benchmarks import training as trained
from nolabels.core import params
from nolabels.setup.merging import merged
from nolabels.students import trainer


def test_in_turn_takes_the_median_of_calls_that_alternate():
    called, ticks = [], iter([0.0, 1, 1, 11, 11, 13, 13, 23, 23, 27, 27, 37])
    original, measuring.time.perf_counter = measuring.time.perf_counter, lambda: next(ticks)
    try:
        seconds = measuring.in_turn(3, lambda: called.append("a"), lambda: called.append("b"))
    finally:
        measuring.time.perf_counter = original
    assert called == ["a", "b"] * 4
    assert seconds == [2, 10]


@pytest.mark.parametrize(
    ("ours", "peer", "ratio", "wanted"),
    [(30.0, 6.0, None, 5.0), (0.4, None, 0.4, 0.4)],
    ids=["peer", "alone"],
)
def test_a_row(ours, peer, ratio, wanted):
    found = measuring.row("name", ours, peer, "texts/s", ">= 5", ratio)
    assert found["ratio"] == wanted
    assert set(found) == {"name", "ours", "peer", "unit", "ratio", "asked"}


def test_the_page_holds_the_rows_of_the_json():
    rows = json.loads(speed.JSON.read_text(encoding="utf-8"))
    text = Path(speed.PAGE).read_text(encoding="utf-8")
    named = re.findall(r"^\| ([^|]+?) \|", text, flags=re.M)
    assert named == [row["name"] for some in speed.by_processor(rows).values() for row in some]
    assert all(measuring.table(some) in text for some in speed.by_processor(rows).values())
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
    row = measuring.row("name", 1.0, None, "s", asked, ratio)
    assert measuring.is_short(row) == short
    first, *_, last = measuring.table([row]).splitlines()
    assert first.startswith(f"{int(short)} of 1 rows are short") and last.endswith(
        "| **short** |" if short else "|  |"
    )


# ---------------------------------------------------------------------- quality


def result(student, teacher="1100", seconds=1.0):
    """What benchmarks.quality measures of one student, right where the text of 0 and 1 says so."""
    of = [{"dev": right, "test": "10", "ece": 0.1, "floor": 0.02} for right in (student, teacher)]
    return {"texts": 4, "seconds": seconds, "student": of[0], "teacher": of[1]}


def test_a_row_of_quality_is_the_mean_of_the_seeds_and_what_was_gained():
    before = [result("1000"), result("1000")]
    row = quality.row(
        "reviews", "form", [result("1110", seconds=2), result("1010"), result("1111", seconds=9)], before
    )
    assert (row["student_dev"], row["dev_sd"], row["seconds"]) == (0.75, 0.25, 2)
    assert (row["teacher_dev"], row["student_test"], row["student_ece"]) == (0.5, 0.5, 0.08)
    assert row["gain"] == 0.5 and row["gain_low"] < 0.5 < row["gain_high"]
    alone = quality.row("reviews", "form", [result("1110")], None)
    assert alone["dev_sd"] is None and "gain" not in alone


@pytest.mark.parametrize("name", quality_forms.TASKS)
def test_each_form_of_quality_is_a_valid_preset_that_adds_to_the_one_before(name):
    task, shipped = quality_forms.TASKS[name], yaml.safe_load(params.PATH.read_text(encoding="utf-8"))
    made = {
        form: params.Params.model_validate(merged(shipped, merged(values, task.values)))
        for form, values in quality_forms.forms(task.most).items()
    }
    assert len({values.model_dump_json() for values in made.values()}) == len(made)
    assert set(quality_forms.BEFORE) | {"the notebook's recipe"} == set(made)
    first, default = made["the notebook's recipe"], made["+ a base of 109 M (the default)"]
    assert list(first.score) == ["teacher"] and first.train.targets == "hard"
    own = params.load()
    assert (default.train, default.label, default.score) == (own.train, own.label, own.score)


def test_the_page_of_quality_holds_the_rows_of_its_json():
    rows = json.loads(quality.JSON.read_text(encoding="utf-8"))
    text = quality.PAGE.read_text(encoding="utf-8")
    for task in {row["task"] for row in rows}:
        assert quality.table([row for row in rows if row["task"] == task]) in text


# ---------------------------------------------------------------------- precision


def test_the_page_of_precision_holds_the_rows_of_its_json():
    rows = json.loads(precision.JSON.read_text(encoding="utf-8"))
    assert Path(precision.PAGE).read_text(encoding="utf-8") == precision.page(rows)
    assert all(row["float32"]["equal"] == 1 for row in rows)


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
    ours = lengths[training_forms.longest_first(lengths, 16, np.random.default_rng(0))]
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
    assert lines[0] == "| form | a | b | mean |" and len(lines) == 2 + len(trained.FORMS)
    assert lines[2].endswith("| 0.510 ± 0.014 | 0.510 ± 0.014 | 0.510 |")
