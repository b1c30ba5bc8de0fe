"""What is said of accuracy without gold, on labels that are good and on labels that are not."""

import numpy as np
import pytest

from nolabels import forecast, params
from nolabels.labels import one_hot
from tests import tiny


def task(names=("negative", "positive"), words=None, multi_label=False):
    classes = [params.Class(name=name, words=word) for name, word in zip(names, words or names, strict=True)]
    return params.Task(classes=classes, multi_label=multi_label, threshold=0.5, reject=None)


def test_expected_accuracy_is_how_sure_the_answers_are():
    accuracy, low, high = forecast.expected_accuracy(np.array([[0.9, 0.1], [0.3, 0.7]]), task())
    assert accuracy == pytest.approx(0.8)
    spread = 1.96 * (0.9 * 0.1 + 0.7 * 0.3) ** 0.5 / 2
    assert (low, high) == (pytest.approx(0.8 - spread), 1.0)
    # with several labels all decisions must be right
    assert forecast.expected_accuracy(np.array([[0.9, 0.2]]), task(multi_label=True))[0] == pytest.approx(
        0.72
    )


def test_the_interval_holds_what_calibrated_answers_show():
    draw = np.random.default_rng(0)
    sure = draw.uniform(0.5, 1, (400, 300))
    shown = (draw.random(sure.shape) < sure).mean(1)
    intervals = [forecast.expected_accuracy(np.column_stack([row, 1 - row]), task()) for row in sure]
    held = np.mean([low <= seen <= high for seen, (_, low, high) in zip(shown, intervals, strict=True)])
    assert 0.92 < held < 0.98


def test_kappa():
    left = one_hot([0, 0, 1, 1], 2)
    assert forecast.kappa(left, left) == 1
    assert forecast.kappa(left, one_hot([0, 1, 0, 1], 2)) == 0
    assert forecast.kappa(left, left[::-1]) == -1
    # one label everywhere says nothing
    assert forecast.kappa(one_hot([0] * 4, 2), one_hot([0] * 4, 2)) == 0
    # several labels per text: the classes apart
    several = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], bool)
    assert forecast.kappa(several, several ^ [[False, True]]) == 0


def test_templates_are_compared_in_pairs():
    left, right = one_hot([0, 0, 1, 1], 2), one_hot([0, 1, 0, 1], 2)
    assert forecast.template_agreement([left, left, right]) == pytest.approx(1 / 3)
    assert forecast.template_agreement([left]) is None


def test_labels_that_have_nothing_to_do_with_the_texts_are_seen():
    rows = tiny.sentences(300)
    texts = [text for _, text in rows]
    good = one_hot([rating > 0 for rating, _ in rows], 2)
    found = forecast.text_agreement(texts, good, task())
    shuffled = forecast.text_agreement(texts, good[np.random.default_rng(0).permutation(300)], task())
    assert found > 0.5 and abs(shuffled) < 0.15
    assert forecast.warnings(0.8, found, 0.0, []) == []
    assert forecast.text_agreement(texts, one_hot([0] * 300, 2), task()) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0.1, 0.4, 0.0, []), "the templates contradict each other (kappa 0.10)"),
        ((None, 0.01, 0.0, []), "the labels have little to do with the words of the texts (kappa 0.01)"),
        (
            (0.8, 0.4, 0.45, []),
            "45% of the labels follow what the teacher prefers to answer: with label.calibration "
            "prior_matching they would be others",
        ),
        (
            (0.8, 0.4, 0.0, [("good", "bad")]),
            "the class 'good' is asked for as 'bad', which is the name of another class",
        ),
    ],
)
def test_warnings(given, said):
    assert forecast.warnings(*given) == [said]


def test_words_that_are_another_class_s_name():
    assert forecast.named_as_another(task(words=("positive", "Negative"))) == [
        ("negative", "positive"),
        ("positive", "Negative"),
    ]
    assert forecast.named_as_another(task(words=("bad", "positive"))) == []
