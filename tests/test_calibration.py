"""Calibration without labels."""

import numpy as np
import pytest

from nolabels.core.stage import UserError
from nolabels.labeling.calibration import (
    agreement_weights,
    class_log_odds,
    fit_mixture,
    log_softmax,
    match_prior,
    reject_threshold,
    sigmoid,
)

DRAW = np.random.default_rng(0)
SCORES = DRAW.normal(size=(400, 3)) + [3.0, 0.0, -2.0]  # a teacher that nearly always says the first


def mean_probability(scores, bias):
    return np.exp(log_softmax(scores + bias)).mean(0)


@pytest.mark.parametrize("prior", [[1 / 3] * 3, [0.8, 0.15, 0.05], [0.02, 0.9, 0.08]])
def test_the_mean_probability_becomes_the_prior(prior):
    bias = match_prior(SCORES, prior)
    assert bias.mean() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(mean_probability(SCORES, bias), prior, atol=2e-5)


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


def grouped(count, classes, shares, rise, width=1.0, seed=1):
    """N x K scores of texts in groups, with biases of the classes and of the texts; and the groups."""
    draw = np.random.default_rng(seed)
    groups = draw.choice(classes, count, p=shares)
    scores = draw.normal(size=(count, classes)) * width + draw.normal(size=classes) * 3
    return scores + draw.normal(size=(count, 1)) * 5 + rise * np.eye(classes)[groups], groups


@pytest.mark.parametrize(
    ("classes", "shares"),
    [(2, [0.5, 0.5]), (2, [0.9, 0.1]), (3, [0.6, 0.3, 0.1]), (8, [0.125] * 8)],
    ids=["even", "uneven", "three", "eight"],
)
def test_the_mixture_finds_temperature_and_shares(classes, shares):
    scores, groups = grouped(4000, classes, shares, rise=3.0, width=1.2)
    found = fit_mixture(scores)
    assert found.temperature == pytest.approx(1.2**2 / 3, rel=0.1)
    np.testing.assert_allclose(found.shares, shares, atol=0.03)
    # the probabilities that follow mean what they say
    bias = match_prior(scores / found.temperature, found.shares)
    probabilities = np.exp(log_softmax(scores / found.temperature + bias))
    right = probabilities.argmax(1) == groups
    assert probabilities.max(1).mean() == pytest.approx(right.mean(), abs=0.02)


def test_the_mixture_holds_to_a_given_prior():
    scores, _ = grouped(4000, 3, [0.6, 0.3, 0.1], rise=3.0)
    found = fit_mixture(scores, [0.6, 0.3, 0.1])
    assert found.shares.tolist() == [0.6, 0.3, 0.1] and found.temperature == pytest.approx(1 / 3, rel=0.1)


def test_equal_scores_are_no_groups():
    assert fit_mixture(np.ones((50, 3))) is None


def test_a_template_that_tells_nothing_hardly_counts():
    draw = np.random.default_rng(4)
    groups = draw.choice(3, 600)
    good = 3 * np.eye(3)[groups][:, None] + draw.normal(size=(600, 3, 3))
    blind, inverse = draw.normal(size=(600, 1, 3)) + [4.0, 0, 0], -good[:, :1]
    weights = agreement_weights(np.concatenate([good, blind, inverse], 1), [1 / 3] * 3)
    assert weights.sum() == pytest.approx(1)
    assert weights[:3].min() > 0.25 and weights[3] < 0.05 and weights[4] == 0


@pytest.mark.parametrize("templates", [1, 2])
def test_few_templates_count_alike(templates):
    scores = DRAW.normal(size=(30, templates, 2))
    assert agreement_weights(scores, [0.5, 0.5]).tolist() == [1 / templates] * templates


def test_class_log_odds():
    scores, against = DRAW.normal(size=(4, 2, 3)), DRAW.normal(size=(4, 2, 3))
    pairs = np.exp(np.stack([scores, against]))
    np.testing.assert_allclose(sigmoid(class_log_odds(scores, against)), pairs[0] / pairs.sum(0))
    alone = np.exp(log_softmax(scores))
    np.testing.assert_allclose(sigmoid(class_log_odds(scores, None)), alone, rtol=1e-9)


@pytest.mark.parametrize(
    ("foreign", "distance", "found"),
    [(100, 8, True), (300, 8, True), (100, 2, False), (0, 8, False)],
    ids=["few, far away", "many, far away", "near", "none"],
)
def test_a_reject_threshold_stands_between_two_groups_or_nowhere(foreign, distance, found):
    evidence = np.concatenate([DRAW.normal(size=500), DRAW.normal(size=foreign) - distance])
    threshold = reject_threshold(evidence)
    assert (threshold is not None) is found
    if found:
        assert (evidence[:500] >= threshold).mean() > 0.99
        assert (evidence[500:] < threshold).mean() > 0.99


def test_no_reject_threshold_among_equal_scores():
    assert reject_threshold(np.zeros(50)) is None
