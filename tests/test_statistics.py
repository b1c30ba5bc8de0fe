"""Intervals, tests and scores against values known from elsewhere."""

import numpy as np
import pytest

from nolabels.statistics import mcnemar, scores, shares, wilson


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
    assert wilson(correct, total) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def pairs(only_left, only_right, both=5):
    left = np.array([1] * only_left + [0] * only_right + [1] * both, bool)
    right = np.array([0] * only_left + [1] * only_right + [1] * both, bool)
    return left, right


@pytest.mark.parametrize(
    ("only_left", "only_right", "p_value"),
    [(0, 0, 1.0), (0, 5, 2 / 32), (1, 5, 14 / 64), (3, 3, 1.0), (2, 8, 112 / 1024)],
)
def test_mcnemar_is_a_fair_coin_s(only_left, only_right, p_value):
    assert mcnemar(*pairs(only_left, only_right)) == pytest.approx(p_value)
    assert mcnemar(*reversed(pairs(only_left, only_right))) == pytest.approx(p_value)


def test_scores():
    found = scores(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ["a", "b", "never"])
    assert found["accuracy"] == 0.75
    assert found["accuracy_low"] < 0.75 < found["accuracy_high"]
    assert found["f1"] == {"a": pytest.approx(2 / 3), "b": pytest.approx(0.8), "never": 0.0}
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0.8) / 3)


@pytest.mark.parametrize(("classes", "listed"), [(10, True), (11, False)])
def test_f1_of_each_class_up_to_ten(classes, listed):
    answers = np.arange(classes)
    assert ("f1" in scores(answers, answers, [str(number) for number in answers])) is listed


def test_shares():
    assert shares(np.array([1, 1, 0, 1]), ["a", "b", "c"]) == {"a": 0.25, "b": 0.75, "c": 0.0}
