"""Calibration without labels."""

import numpy as np
import pytest

from nolabels.calibration import combine, log_softmax, match_prior
from nolabels.stage import UserError

DRAW = np.random.default_rng(0)
SCORES = DRAW.normal(size=(400, 3)) + [3.0, 0.0, -2.0]  # a teacher that nearly always says the first


def mean_probability(scores, bias):
    return np.exp(log_softmax(scores + bias)).mean(0)


@pytest.mark.parametrize("prior", [[1 / 3] * 3, [0.8, 0.15, 0.05], [0.02, 0.9, 0.08]])
def test_the_mean_probability_becomes_the_prior(prior):
    bias = match_prior(SCORES, prior)
    assert bias.mean() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(mean_probability(SCORES, bias), prior, atol=2e-6)


def test_what_the_texts_say_about_all_classes_does_not_matter():
    shifted = SCORES + DRAW.normal(size=(400, 1)) * 50
    np.testing.assert_allclose(match_prior(shifted, [1 / 3] * 3), match_prior(SCORES, [1 / 3] * 3), atol=1e-5)


def test_a_teacher_of_one_answer_gets_its_order_back():
    truth = np.repeat([0, 1], 200)
    scores = np.stack([5 - truth, truth * 1.0], 1) + DRAW.normal(size=(400, 2)) * 0.2
    assert (scores.argmax(1) == 0).all()
    assert ((scores + match_prior(scores, [0.5, 0.5])).argmax(1) == truth).mean() > 0.95


def test_a_class_that_never_scores_is_refused():
    scores = SCORES.copy()
    scores[:, 2] = -np.inf
    with pytest.raises(UserError, match=r"^label.calibration: the class prior must be reachable"):
        match_prior(scores, [1 / 3] * 3)


def test_combine_is_the_weighted_mean_of_calibrated_logs():
    scores, biases, weights = DRAW.normal(size=(5, 2, 3)), DRAW.normal(size=(2, 3)), np.array([0.25, 0.75])
    first, second = (
        np.log(np.exp(scores[:, t] + biases[t]).T / np.exp(scores[:, t] + biases[t]).sum(1)).T for t in (0, 1)
    )
    np.testing.assert_allclose(combine(scores, biases, weights), 0.25 * first + 0.75 * second)
