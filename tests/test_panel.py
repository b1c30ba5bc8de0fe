"""Several teachers as one: weights, refining by groups, and what is judged without labels."""

import numpy as np
import pytest
import yaml

from nolabels.core import params
from nolabels.labeling.agreement import equal_share
from nolabels.labeling.fitting import fit
from nolabels.labeling.groups import fit_groups
from nolabels.labeling.outputs import TeacherOutput, take_texts
from nolabels.labeling.panel import fit_panel, uncalibrated_panel
from tests import tiny

TEXTS, CLASSES, WIDTH = 900, 3, 24


def values(classes=CLASSES, multi_label=False, **label):
    """The shipped params with made-up classes; label: changes of that section."""
    found = tiny.one_teacher(yaml.safe_load(params.PATH.read_text(encoding="utf-8")))
    found["task"]["classes"] = [{"name": f"c{number}", "words": f"w{number}"} for number in range(classes)]
    found["sample"]["gold"], found["task"]["multi_label"] = None, multi_label
    found["label"] |= {"refine": "auto"} | label
    return params.check(found, "params.yaml")


def embeddings(gold, draw, apart):
    """N x WIDTH: a Gaussian for each class, the centres `apart` standard deviations from each other."""
    return (np.eye(WIDTH)[gold] * apart + draw.normal(size=(len(gold), WIDTH))).astype(np.float32)


def scores(gold, draw, signal):
    """N x 1 x K raw scores, the true class raised by `signal` standard deviations."""
    return (np.eye(CLASSES)[gold] * signal + draw.normal(size=(len(gold), CLASSES)))[:, None]


@pytest.fixture
def draw():
    return np.random.default_rng(3)


@pytest.fixture
def gold(draw):
    return draw.integers(CLASSES, size=TEXTS)


def accuracy(panel, outputs, given, gold):
    return (panel.probabilities(outputs, given.task).argmax(1) == gold).mean()


def test_one_teacher_is_what_it_is_alone(draw, gold):
    given = values()
    outputs = {"a": TeacherOutput(scores(gold, draw, 1.5))}
    alone = fit(outputs["a"].scores, given)
    found = fit_panel(outputs, given).probabilities(outputs, given.task)
    np.testing.assert_array_equal(found, alone.probabilities(outputs["a"].scores, given.task))


def test_three_teachers_are_better_than_the_best_of_them(draw, gold):
    given = values()
    outputs = {name: TeacherOutput(scores(gold, draw, 1.5)) for name in "abc"}
    each = [
        accuracy(fit_panel({name: some}, given), {name: some}, given, gold) for name, some in outputs.items()
    ]
    panel = fit_panel(outputs, given)
    assert accuracy(panel, outputs, given, gold) > max(each) + 0.05
    assert panel.shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("size", [1, 1000])
def test_a_teacher_that_does_not_tell_the_classes_apart_counts_for_nothing(draw, gold, size):
    """However large its scores are."""
    given = values()
    good = {name: TeacherOutput(scores(gold, draw, 2.0)) for name in "ab"}
    blind = TeacherOutput(scores(gold, draw, 0.0) * size)
    with_it = fit_panel(good | {"blind": blind}, given)
    assert with_it.shares[2] < 0.05
    assert (
        accuracy(with_it, good | {"blind": blind}, given, gold)
        > accuracy(fit_panel(good, given), good, given, gold) - 0.02
    )


@pytest.mark.parametrize("known", ["a", "ab"])
def test_neither_does_a_blind_encoder(draw, gold, known):
    """Though encoders share one confidence."""
    given = values()
    good = {"model": TeacherOutput(scores(gold, draw, 1.5))}
    good |= {name: some for name, some in encoders(gold, draw, (4, 4)).items() if name in known}
    blind = TeacherOutput(scores(gold, draw, 0.0), embeddings(0 * gold, draw, 0))
    some = good | {"blind": blind}
    with_it = fit_panel(some, given)
    assert with_it.shares[-1] < 0.05
    assert accuracy(with_it, some, given, gold) > accuracy(fit_panel(good, given), good, given, gold) - 0.02


def test_encoders_count_alike_however_their_scores_spread(draw, gold):
    """The confidence of the worse one is larger; without embeddings it would count more."""
    given = values(refine="never")
    vague, sure = scores(gold, draw, 2.0), np.eye(CLASSES)[draw.permutation(gold)][:, None] * 20
    sure[: TEXTS // 2] = np.eye(CLASSES)[gold[: TEXTS // 2]][:, None] * 20
    sure += draw.normal(size=sure.shape)
    plain = {"vague": TeacherOutput(vague), "sure": TeacherOutput(sure)}
    points = {name: TeacherOutput(one.scores, embeddings(gold, draw, 4)) for name, one in plain.items()}
    model = {"model": TeacherOutput(scores(gold, draw, 2.0))}
    before, found = (fit_panel(model | some, given).shares for some in (plain, points))
    assert before[2] > before[1] and found[1] > found[2]  # the better one agrees more with the model


def test_groups_find_classes_that_the_words_only_hint_at(draw, gold):
    points = embeddings(gold, draw, 5)
    hints = np.full((TEXTS, CLASSES), 0.3) + 0.1 * np.eye(CLASSES)[gold]
    hints = np.roll(hints, 1, 1) * 0.2 + hints * 0.8
    found = fit_groups(points, hints / hints.sum(1, keepdims=True), np.full(CLASSES, 1 / CLASSES))
    assert (found.scores(points).argmax(1) == gold).mean() > 0.95
    others = draw.integers(CLASSES, size=500)
    assert (found.scores(embeddings(others, draw, 5)).argmax(1) == others).mean() > 0.95


def encoders(gold, draw, apart):
    """Two sentence encoders with weak scores of their own; what lies in their embeddings is `apart`."""
    return {
        name: TeacherOutput(scores(gold, draw, 0.8), embeddings(gold, draw, distance))
        for name, distance in zip("ab", apart, strict=True)
    }


def test_encoders_are_refined_where_they_then_agree_more(draw, gold):
    given = values()
    outputs = encoders(gold, draw, (4, 4))
    panel = fit_panel(outputs, given)
    assert all(teacher.groups is not None for teacher in panel.teachers.values())
    before, after = panel.agreement
    assert after > before + 0.1
    assert accuracy(panel, outputs, given, gold) > 0.9


def test_and_stay_as_they_are_where_their_groups_are_others(draw, gold):
    """One sees the classes, the other something else: the groups have nothing in common."""
    given = values()
    outputs = encoders(gold, draw, (4, 4))
    other = draw.integers(CLASSES, size=TEXTS)
    outputs["b"] = TeacherOutput(outputs["b"].scores, embeddings(other, draw, 6))
    outputs["a"] = TeacherOutput(outputs["a"].scores, embeddings(draw.permutation(gold), draw, 6))
    panel = fit_panel(outputs, given)
    assert all(teacher.groups is None for teacher in panel.alone.values())
    before, after = panel.agreement
    assert after < before


def test_an_encoder_learns_from_what_all_say(draw, gold):
    """Its embeddings hold the classes, but a cosine hardly finds them; a language model knows a part."""
    outputs = {
        "encoder": TeacherOutput(scores(gold, draw, 0.3), embeddings(gold, draw, 2)),
        "model": TeacherOutput(scores(gold, draw, 1.5)),
    }
    plain, taught = (fit_panel(outputs, given) for given in (values(refine="never"), values()))
    assert accuracy(taught, outputs, values(), gold) > accuracy(plain, outputs, values(), gold) + 0.1
    assert [teacher.groups is not None for teacher in taught.teachers.values()] == [True, False]
    own = [panel.labels_of_each(outputs, values().task)["encoder"] for panel in (plain, taught)]
    np.testing.assert_array_equal(*own)  # what each says by itself is not what it was taught


def test_an_encoder_is_taught_with_a_label_for_texts_of_no_class(draw, gold):
    outputs = {
        "encoder": TeacherOutput(scores(gold, draw, 0.8), embeddings(gold, draw, 2)),
        "model": TeacherOutput(scores(gold, draw, 1.5)),
    }
    given = values()
    task = given.task.model_copy(update={"reject": "none of these"})
    given = given.model_copy(update={"task": task})
    panel = fit_panel(outputs, given)
    assert panel.teachers["encoder"].groups is not None
    assert panel.probabilities(outputs, task).shape == (TEXTS, CLASSES + 1)


@pytest.mark.parametrize(
    ("how", "encoder_count", "wanted"), [("never", 2, False), ("always", 1, True), ("auto", 1, False)]
)
def test_refining_can_be_asked_for_or_forbidden(draw, gold, how, encoder_count, wanted):
    outputs = dict(list(encoders(gold, draw, (4, 4)).items())[:encoder_count])
    panel = fit_panel(outputs, values(refine=how))
    assert [teacher.groups is not None for teacher in panel.teachers.values()] == [wanted] * encoder_count


def test_what_is_fitted_on_some_texts_holds_for_others(draw, gold):
    given = values()
    outputs = encoders(gold, draw, (4, 4)) | {"model": TeacherOutput(scores(gold, draw, 1.5))}
    panel = fit_panel({name: some.take(slice(0, 500)) for name, some in outputs.items()}, given)
    rest = {name: some.take(slice(500, None)) for name, some in outputs.items()}
    assert accuracy(panel, rest, given, gold[500:]) > 0.85


def test_clusters_are_found_in_further_texts_too(draw, gold):
    """An encoder that half knows the classes, on 90 texts of a pool and on 400 more; 410 others are labeled."""
    given = values(refine="always")
    every = {"encoder": TeacherOutput(scores(gold, draw, 1.0), embeddings(gold, draw, 2.6))}
    pool, further, rest = (take_texts(every, rows) for rows in (slice(90), slice(90, 490), slice(490, None)))
    alone, more = fit_panel(pool, given), fit_panel(pool, given, further)
    assert accuracy(more, rest, given, gold[490:]) > accuracy(alone, rest, given, gold[490:]) + 0.02
    np.testing.assert_array_equal(fit_panel(pool, given, {}).scores(rest), alone.scores(rest))


def test_scores_as_they_are(draw, gold):
    given = values()
    outputs = {name: TeacherOutput(scores(gold, draw, 1.5)) for name in "ab"}
    found = uncalibrated_panel(outputs, None).probabilities(outputs, given.task)
    wanted = np.exp((outputs["a"].scores + outputs["b"].scores)[:, 0] / 2)
    np.testing.assert_allclose(found, wanted / wanted.sum(1, keepdims=True))


def test_several_labels_per_text(draw):
    shares = {"c0": 0.3, "c1": 0.3, "c2": 0.3}
    given = values(multi_label=True, refine="always", prior=shares)
    task = given.task
    gold = draw.random((TEXTS, CLASSES)) < 0.3
    outputs = {
        name: TeacherOutput((gold * 3.0 - 1.5 + draw.normal(size=gold.shape) * 1.5)[:, None])
        for name in "abc"
    }
    each = [
        ((fit_panel({name: some}, given).probabilities({name: some}, task) > 0.5) == gold).mean()
        for name, some in outputs.items()
    ]
    assert ((fit_panel(outputs, given).probabilities(outputs, task) > 0.5) == gold).mean() > max(each)


def test_how_often_answers_are_equal():
    one, two = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert equal_share([one, two]) == 0.75
    assert equal_share([one, two, one]) == pytest.approx((0.75 + 1 + 0.75) / 3)
    assert equal_share([one]) is None and equal_share([]) is None


def test_one_encoder_has_no_agreement_to_tell_of(draw, gold):
    assert fit_panel({"a": encoders(gold, draw, (4, 4))["a"]}, values(refine="always")).agreement is None
