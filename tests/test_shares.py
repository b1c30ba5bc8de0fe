"""label.prior: auto. The guess of the shares of the classes, and the reason where there is none."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score

from benchmarks import shares as bench
from benchmarks import task_tables, task_wording
from nolabels.labeling.outputs import TeacherOutput
from nolabels.labeling.panel import fit_panel
from nolabels.labeling.shares import (
    LEAST_TEXTS,
    Guess,
    agreement_under,
    bias_evidence,
    candidates,
    describe_guess,
    guess_shares,
    resolve_prior,
)
from tests.test_panel import CLASSES, embeddings, scores, values

EVEN = np.full(CLASSES, 1 / CLASSES)


@pytest.fixture
def draw():
    return np.random.default_rng(5)


def pool(draw, shares, texts=800, distance=3):
    """Gold, and two encoders of weak scores that prefer class 2, whatever the shares are."""
    gold = draw.choice(CLASSES, texts, p=shares)
    preferred = np.eye(CLASSES)[2] * 0.8
    return gold, {
        name: TeacherOutput(scores(gold, draw, 1.2) + preferred, embeddings(gold, draw, distance))
        for name in "ab"
    }


def test_a_class_that_is_larger_is_found_and_the_labels_gain(draw):
    for largest in range(CLASSES):
        true = np.where(np.arange(CLASSES) == largest, 0.8, 0.1)
        gold, outputs = pool(draw, true)
        guess = guess_shares(outputs, values())
        assert guess.why is None and guess.shares.sum() == pytest.approx(1)
        assert guess.shares.argmax() == largest and guess.shares[largest] > 0.55
        found = []
        for prior in ("auto", "uniform"):
            given = values(prior=prior, refine="never")
            answers = fit_panel(outputs, given).probabilities(outputs, given.task).argmax(1)
            found.append(f1_score(gold, answers, average="macro"))
        assert found[0] > found[1] + 0.03


def test_even_classes_are_left_even_and_the_labels_as_uniform_gives_them(draw):
    _, outputs = pool(draw, EVEN)
    panel = fit_panel(outputs, values())
    assert panel.guess.why.startswith("the encoders agree 0.0")
    np.testing.assert_array_equal(panel.guess.shares, EVEN)
    uniform = fit_panel(outputs, values(prior="uniform"))
    task = values().task
    np.testing.assert_array_equal(panel.probabilities(outputs, task), uniform.probabilities(outputs, task))
    assert uniform.guess is None


def test_what_the_encoders_share_must_be_in_their_embeddings_or_scores(draw):
    """Encoders that know nothing agree under no shares."""
    _, outputs = pool(draw, [0.8, 0.1, 0.1])
    blind = {
        name: TeacherOutput(draw.normal(size=one.scores.shape), draw.normal(size=one.embeddings.shape))
        for name, one in outputs.items()
    }
    assert guess_shares(blind, values()).why is not None


def pool_of_two(draw, share, preferred=0.0, texts=800):
    """Gold, and two encoders of weak scores of two classes that prefer the second one."""
    gold = draw.choice(2, texts, p=[1 - share, share])
    return gold, {
        name: TeacherOutput(
            draw.normal(np.eye(2)[gold], 0.7)[:, None] + [0, preferred], draw.normal(size=(texts, 8))
        )
        for name in "ab"
    }


@pytest.mark.parametrize("largest", [0, 1])
def test_the_larger_of_two_classes_is_found_and_the_labels_gain(draw, largest):
    gold, outputs = pool_of_two(draw, (0.1, 0.9)[largest])
    guess = guess_shares(outputs, values(2))
    assert guess.why is None and guess.shares.sum() == pytest.approx(1)
    assert 0.65 < guess.shares[largest] < 0.9  # on the even side
    found = []
    for prior in ("auto", "uniform"):
        given = values(2, prior=prior, refine="never")
        answers = fit_panel(outputs, given).probabilities(outputs, given.task).argmax(1)
        found.append(f1_score(gold, answers, average="macro"))
    assert found[0] > found[1] + 0.05


@pytest.mark.parametrize("preferred", [0, -0.3, 0.3])
def test_two_even_classes_are_left_even_by_encoders_that_prefer_one_a_little(draw, preferred):
    _, outputs = pool_of_two(draw, 0.5, preferred)
    guess = guess_shares(outputs, values(2))
    assert guess.why.startswith("the encoders' cosines are too little evidence of others (0.")
    np.testing.assert_array_equal(guess.shares, [0.5, 0.5])


def test_the_evidence_of_a_bias():
    """Where s and -s are the scores of two texts, equal shares need no bias, and a larger share a larger one."""
    scores = np.array([[2.0, -2.0], [-2.0, 2.0]])
    even, more, most = (bias_evidence(np.array([1 - share, share]), [scores]) for share in (0.5, 0.6, 0.8))
    assert even == 0 and 0 > more > most
    # the bias b of the second class gives the mean share (sigmoid(2 b + 4) + sigmoid(2 b - 4)) / 2
    bias = np.sqrt(-most)
    assert np.mean(1 / (1 + np.exp([-2 * bias - 4, -2 * bias + 4]))) == pytest.approx(0.8, abs=0.003)
    assert bias_evidence(np.array([0.5, 0.5]), [np.repeat([[1e6, 0.0]], 3, 0)]) == -np.inf


@pytest.mark.parametrize(
    ("encoders", "texts", "classes", "why"),
    [
        (1, LEAST_TEXTS, 3, "two sentence encoders are needed to tell them, found 1"),
        (2, LEAST_TEXTS - 1, 3, f"{LEAST_TEXTS} texts are needed to tell them, found {LEAST_TEXTS - 1}"),
        (2, LEAST_TEXTS, 21, "they are looked for with 2 to 20 classes, found 21"),
    ],
)
def test_why_nothing_is_looked_for(draw, encoders, texts, classes, why):
    outputs = {
        str(number): TeacherOutput(draw.normal(size=(texts, 1, classes)), draw.normal(size=(texts, 8)))
        for number in range(encoders)
    } | {"language model": TeacherOutput(draw.normal(size=(texts, 1, classes)))}
    guess = guess_shares(outputs, values(classes))
    assert guess.why == why
    np.testing.assert_allclose(guess.shares, np.full(classes, 1 / classes))


def test_shares_that_cannot_be_reached_do_not_count():
    scores_of_two = np.repeat([[0.0, 0.0, -1e6]], 30, 0)
    views = [(scores_of_two, np.random.default_rng(0).normal(size=(30, 4)))] * 2
    assert agreement_under(EVEN, views) == -np.inf


def test_the_shares_that_are_tried():
    tried = candidates(3)
    np.testing.assert_allclose(tried.sum(1), 1)
    np.testing.assert_allclose(tried[0], EVEN)
    assert len(tried) == 16 and tried[1:].max() == pytest.approx(32 / 34)


def test_declared_shares_and_uncalibrated_scores_are_left_alone(draw):
    _, outputs = pool(draw, [0.8, 0.1, 0.1])
    for given in (values(prior="uniform"), values(prior="estimated")):
        assert resolve_prior(outputs, given) == (given, None)
    settled, guess = resolve_prior(outputs, values(calibration="none"))
    assert settled.label.prior == "uniform" and guess is None


def test_what_is_said_of_a_guess():
    assert describe_guess(None, ["a", "b"]) is None
    assert describe_guess(Guess(np.array([0.3, 0.7]), None), ["a", "b"]).startswith(
        "the shares of the classes are a guess (b 70%, a 30%)"
    )
    assert describe_guess(Guess(np.array([0.5, 0.5]), "no reason"), ["a", "b"]) == (
        "the shares of the classes are taken as equal: no reason; where you know them, set label.prior"
    )


# ---------------------------------------------------------------------- the benchmark


def test_a_draw_has_the_shares_that_are_asked_for(draw):
    gold = draw.permutation(np.repeat([0, 1, 2], [200, 500, 300]))
    for share, wanted in (("even", EVEN), (0.7, [0.12, 0.7, 0.18])):
        rows = bench.draw(gold, 3, share, 0)
        assert len(set(rows.tolist())) == len(rows)
        np.testing.assert_allclose(np.bincount(gold[rows]) / len(rows), wanted, atol=0.01)


def test_the_table_of_the_page_is_that_of_the_figures():
    rows = json.loads(bench.JSON.read_text(encoding="utf-8"))
    assert {row["task"] for row in rows} == set(task_wording.wording().tasks)
    page = task_tables.PAGE.read_text(encoding="utf-8")
    assert f"<!-- shares -->\n{bench.table(rows)}\n<!-- /shares -->" in page
    off = [auto - uniform for auto, uniform, *_ in [bench.means(rows, "even", lambda name: name)]]
    assert off[0] > -0.005
