"""What is said of accuracy without gold, on labels that are good and on labels that are not."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import task_tables, task_wording
from nolabels.core import params
from nolabels.core.labels import one_hot
from nolabels.labeling import agreement, forecast
from nolabels.reporting import sentences
from tests import tiny


def task(names=("negative", "positive"), words=None, multi_label=False):
    classes = [params.Class(name=name, words=word) for name, word in zip(names, words or names, strict=True)]
    return params.Task(classes=classes, multi_label=multi_label, threshold=0.5, reject=None)


def test_expected_accuracy_is_how_sure_the_answers_are():
    assert forecast.expected_accuracy(np.array([[0.9, 0.1], [0.3, 0.7]]), task()) == pytest.approx(0.8)
    # with several labels all decisions must be right
    assert forecast.expected_accuracy(np.array([[0.9, 0.2]]), task(multi_label=True)) == pytest.approx(0.72)


@pytest.mark.parametrize(
    ("expected", "low", "high"), [(0.8, 0.725, 0.875), (0.99, 0.915, 1), (0.05, 0, 0.125)]
)
def test_the_interval_is_as_wide_as_it_was_found_to_be(expected, low, high):
    assert forecast.accuracy_interval(expected) == pytest.approx((expected, low, high))


def test_the_margin_and_what_is_said_of_it_are_those_of_the_eight_tasks():
    rows = json.loads(Path("benchmarks/tasks.json").read_text(encoding="utf-8"))
    rows = [row for row in rows if row["name"] in task_wording.wording().tasks]
    fitted = task_tables.line_of(rows)
    assert fitted == pytest.approx(forecast.LINE, abs=0.005)
    assert max(len(row["shares"]) for row in rows) == forecast.MOST_CLASSES
    families, unsure = task_tables.families_of(rows), 0.0
    for row in rows:
        others = [one for own in families.values() if row not in own for one in own]
        for line in (forecast.LINE, task_tables.line_of(others)):
            assert abs(task_tables.forecast_with(row, line) - row["chosen"]["accuracy"]) <= forecast.MARGIN
        unsure = max(unsure, abs(row["chosen"]["confidence"] - row["chosen"]["accuracy"]))
    assert f"off by up to {unsure * 100:.0f} points on the eight" in " ".join(forecast.__doc__.split())
    assert f"off by up to {unsure * 100:.0f} percentage points" in sentences.FORECASTS["confidence"]
    assert f"off by up to {unsure * 100:.0f} points" in Path("docs/how-it-works.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("agreed", "classes", "accuracy"),
    [
        (0.7, 2, 0.7 + 0.3 * 0.22),  # more are right than agree
        (0.7, 6, 0.7 - 0.3 * 0.26),  # fewer
        (0.7, 60, 0.7 - 0.3 * 0.26),  # as with the most that were measured
        (1, 2, 1),
        (1, 6, 1),
        (0.2, 6, 1 / 6),  # no less than chance
    ],
)
def test_accuracy_follows_from_agreement_and_the_number_of_classes(agreed, classes, accuracy):
    assert forecast.accuracy_of_agreement(agreed, classes) == pytest.approx(accuracy)


def test_kappa():
    left = one_hot([0, 0, 1, 1], 2)
    assert agreement.kappa(left, left) == 1
    assert agreement.kappa(left, one_hot([0, 1, 0, 1], 2)) == 0
    assert agreement.kappa(left, left[::-1]) == -1
    # one label everywhere says nothing
    assert agreement.kappa(one_hot([0] * 4, 2), one_hot([0] * 4, 2)) == 0
    # several labels per text: the classes apart
    several = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], bool)
    assert agreement.kappa(several, several ^ [[False, True]]) == 0


def test_templates_are_compared_in_pairs():
    left, right = one_hot([0, 0, 1, 1], 2), one_hot([0, 1, 0, 1], 2)
    assert agreement.template_agreement([left, left, right]) == pytest.approx(1 / 3)
    assert agreement.template_agreement([left]) is None


def test_labels_that_have_nothing_to_do_with_the_texts_are_seen():
    rows = tiny.sentences(300)
    texts = [text for _, text in rows]
    good = one_hot([rating > 0 for rating, _ in rows], 2)
    found = forecast.text_agreement(texts, good, task())
    shuffled = forecast.text_agreement(texts, good[np.random.default_rng(0).permutation(300)], task())
    assert found > 0.5 and abs(shuffled) < 0.15
    assert forecast.warnings(0.8, found, 0.0, [], None, 0.9, 2) == []
    assert forecast.warnings(0.8, found, 0.0, [], 0.6, 0.6, 2) == []
    assert forecast.text_agreement(texts, one_hot([0] * 300, 2), task()) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0.1, 0.4, 0.0, [], None, 0.9, 2), "the templates contradict each other (kappa 0.10)"),
        (
            (0.8, 0.4, 0.0, [], 0.58, 0.9, 2),
            "the encoders agree on 58% of the texts alone, so less than 60% of the labels may be right",
        ),
        (
            (0.8, 0.4, 0.0, [], 0.66, 0.9, 6),
            "the encoders agree on 66% of the texts alone, so less than 50% of the labels may be right",
        ),
        (
            (0.8, 0.4, 0.0, [], 0.7, 0.54, 2),
            "the mean confidence of the answers is 54%, below 60%",
        ),
        (
            (None, 0.01, 0.0, [], None, 0.9, 2),
            "the labels have little to do with the words of the texts (kappa 0.01)",
        ),
        (
            (0.8, 0.4, 0.45, [], None, 0.9, 2),
            "45% of the labels follow what the teacher prefers to answer: with label.calibration "
            "prior_matching they would be others",
        ),
        (
            (0.8, 0.4, 0.0, [("good", "bad")], None, 0.9, 2),
            "the class 'good' is asked for as 'bad', which is the name of another class",
        ),
    ],
)
def test_warnings(given, said):
    assert forecast.warnings(*given) == [said]


def test_words_that_are_another_class_s_name():
    assert forecast.swapped_verbalizers(task(words=("positive", "Negative"))) == [
        ("negative", "positive"),
        ("positive", "Negative"),
    ]
    assert forecast.swapped_verbalizers(task(words=("bad", "positive"))) == []
