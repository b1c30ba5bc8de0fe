"""Intervals, tests and scores against values known from elsewhere."""

import numpy as np
import pytest

from nolabels.core import params
from nolabels.core.labels import class_shares, one_hot
from nolabels.reporting.statistics import (
    calibration_error,
    classification_scores,
    confidence_histogram,
    coverage_curve,
    mcnemar_p_value,
    reliability_bins,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(correct, total, low, high):
    assert wilson_interval(correct, total) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def task(names, multi_label=False):
    classes = [params.Class(name=name, words=name) for name in names]
    return params.Task(classes=classes, multi_label=multi_label, threshold=0.5, reject=None)


def pairs(only_left, only_right, both=5):
    left = np.array([1] * only_left + [0] * only_right + [1] * both, bool)
    right = np.array([0] * only_left + [1] * only_right + [1] * both, bool)
    return left, right


@pytest.mark.parametrize(
    ("only_left", "only_right", "p_value"),
    [(0, 0, 1.0), (0, 5, 2 / 32), (1, 5, 14 / 64), (3, 3, 1.0), (2, 8, 112 / 1024)],
)
def test_mcnemar_is_a_fair_coin_s(only_left, only_right, p_value):
    assert mcnemar_p_value(*pairs(only_left, only_right)) == pytest.approx(p_value)
    assert mcnemar_p_value(*reversed(pairs(only_left, only_right))) == pytest.approx(p_value)


def test_scores():
    found = classification_scores(
        one_hot([0, 0, 1, 1], 3), one_hot([0, 1, 1, 1], 3), task(["a", "b", "never"])
    )
    assert found["accuracy"] == 0.75
    assert found["accuracy_low"] < 0.75 < found["accuracy_high"]
    assert found["f1"] == {"a": pytest.approx(2 / 3), "b": pytest.approx(0.8), "never": 0.0}
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0.8) / 3)
    assert "micro_f1" not in found  # it is the accuracy


def test_scores_of_several_labels_per_text():
    gold = np.array([[1, 1], [0, 0], [1, 0], [0, 1]], bool)
    answers = np.array([[1, 1], [0, 0], [1, 1], [0, 0]], bool)
    found = classification_scores(gold, answers, task(["a", "b"], multi_label=True))
    assert found["accuracy"] == 0.5  # every class right
    assert found["f1"] == {"a": 1.0, "b": 0.5}
    assert found["macro_f1"] == 0.75
    assert found["micro_f1"] == 0.75  # 3 right, 1 too many, 1 missing


@pytest.mark.parametrize(("classes", "listed"), [(10, True), (11, False)])
def test_f1_of_each_class_up_to_ten(classes, listed):
    answers = np.eye(classes, dtype=bool)
    names = [str(number) for number in range(classes)]
    assert ("f1" in classification_scores(answers, answers, task(names))) is listed


def test_shares():
    assert class_shares(one_hot([1, 1, 0, 1], 3), ["a", "b", "c"]) == {"a": 0.25, "b": 0.75, "c": 0.0}


def test_calibration_error():
    # two bins of equal mass: confidence 0.6 and right half of the time, 0.9 and always right
    confidence = np.array([0.6] * 4 + [0.9] * 4)
    error, _ = calibration_error(confidence, np.array([1, 0, 1, 0, 1, 1, 1, 1], bool), bins=2)
    assert error == pytest.approx(0.1)


def test_the_floor_is_what_a_perfect_model_shows():
    draw = np.random.default_rng(3)
    confidence = draw.uniform(0.5, 1, 900)
    found = [calibration_error(confidence, draw.random(900) < confidence) for _ in range(20)]
    assert np.mean([error for error, _ in found]) == pytest.approx(found[0][1], rel=0.15)
    # a quarter of the texts has about twice the floor
    assert calibration_error(confidence[:225], np.ones(225, bool))[1] == pytest.approx(
        2 * found[0][1], rel=0.2
    )


def test_reliability():
    confidence, right = np.array([0.9, 0.6, 0.8, 0.5]), np.array([1, 0, 1, 1], bool)
    low, high = reliability_bins(confidence, right, bins=2)
    assert low == {
        "confidence": pytest.approx(0.55),
        "accuracy": 0.5,
        **dict(zip(("low", "high"), wilson_interval(1, 2), strict=True)),
        "texts": 2,
    }
    assert (high["confidence"], high["accuracy"]) == (pytest.approx(0.85), 1.0)
    # fewer answers than bins: one each, and none is empty
    assert [found["texts"] for found in reliability_bins(confidence, right)] == [1] * 4
    assert reliability_bins(confidence[:0], right[:0]) == []


def test_the_surest_answers_come_first():
    found = coverage_curve(np.array([0.6, 0.9, 0.7, 0.8]), np.array([0, 1, 0, 1], bool), steps=4)
    assert found == [(0.25, 1.0), (0.5, 1.0), (0.75, pytest.approx(2 / 3)), (1.0, 0.5)]
    # fewer answers than steps: never a share of no answers
    assert coverage_curve(np.array([0.6]), np.array([True]), steps=3) == [(1 / 3, 1), (2 / 3, 1), (1.0, 1)]
    assert coverage_curve(np.zeros(0), np.zeros(0, bool)) == []


def test_a_histogram_counts_every_answer():
    # 0.4999 is what 4 decimals can make of an even answer
    found = confidence_histogram(np.array([0.4999, 0.5, 0.74, 0.76, 1.0]), 0.5, bins=2)
    assert found == [(0.625, 3), (0.875, 2)]
