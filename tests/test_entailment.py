"""The entailment teacher gives the scores of transformers' zero-shot-classification pipeline."""

import json

import numpy as np
import pytest
import transformers

from nolabels.core.params import Template
from nolabels.core.stage import UserError
from nolabels.teachers.entailment import Entailment
from nolabels.teachers.teacher import Reading
from tests import tiny

TEMPLATES = ["This example is {}.", "It is about {}", "Is it {}? Yes, it is."]
WORDS = ["dull", "the lives of people", "warm and honest", "a town", "ärgerlich", "無聊", "old"]
TEXTS = [text for _, text in tiny.sentences(6)] + ["No.", "A lovely, lovely film. " * 3, "☂ und مرحبا"]
LONG = "The old town walks through a story of people who talk about their lives. " * 12


def load(folder, max_tokens=256, stride=None, precision="float32"):
    return Entailment(
        folder, name="teacher", device="cpu", precision=precision, reading=Reading(max_tokens, stride)
    )


def hypothesis(template):
    return Template(hypothesis=template.replace("{}", "{class}"))


def softmax(scores):
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True)


def expected(folder, texts, words, template, multi_label):
    """N x K probabilities of the pipeline."""
    pipeline = transformers.pipeline("zero-shot-classification", model=str(folder), device="cpu")
    rows = pipeline(texts, candidate_labels=words, hypothesis_template=template, multi_label=multi_label)
    return np.array([[row["scores"][row["labels"].index(word)] for word in words] for row in rows])


@pytest.fixture(scope="module", params=tiny.NLI)
def folder(request, tmp_path_factory):
    return tiny.nli_model(tmp_path_factory.mktemp("nli"), request.param)


@pytest.mark.parametrize("classes", [2, 7])
def test_equals_the_pipeline(folder, classes):
    words, texts = WORDS[:classes], [*TEXTS, LONG]
    answers = load(folder).ask(
        texts, [hypothesis(template) for template in TEMPLATES[: 4 - classes // 2]], words
    )
    assert answers.scores.shape == (len(texts), min(3, 4 - classes // 2), classes)
    assert answers.cut[:, 0].tolist() == [False] * len(TEXTS) + [True]
    for index in range(answers.scores.shape[1]):
        single = softmax(answers.scores[:, index])
        assert np.abs(single - expected(folder, texts, words, TEMPLATES[index], False)).max() < 1e-4
        pairs = np.stack([answers.against[:, index], answers.scores[:, index]], -1)
        several = softmax(pairs)[..., 1]
        assert np.abs(several - expected(folder, texts, words, TEMPLATES[index], True)).max() < 1e-4


def test_bfloat16_is_near(folder):
    exact, near = (
        load(folder, precision=precision).ask(TEXTS, [hypothesis(TEMPLATES[0])], WORDS).scores
        for precision in ("float32", "bfloat16")
    )
    assert np.abs(near - exact).max() > 0
    assert np.corrcoef(near.ravel(), exact.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    "labels",
    [
        ("ENTAILMENT", "NEUTRAL", "CONTRADICTION"),
        ("contradiction", "entailment", "neutral"),
        ("not_entailment", "entailment"),
        ("entailment", "not_entailment"),
    ],
)
def test_labels_in_any_order(tmp_path, labels):
    folder = tiny.nli_model(tmp_path, "roberta", labels)
    answers = load(folder).ask(TEXTS, [hypothesis(TEMPLATES[0])], WORDS[:3])
    several = softmax(np.stack([answers.against[:, 0], answers.scores[:, 0]], -1))[..., 1]
    assert np.abs(several - expected(folder, TEXTS, WORDS[:3], TEMPLATES[0], True)).max() < 1e-4


def test_a_class_scores_the_same_beside_others(folder):
    teacher, template = load(folder), [hypothesis(TEMPLATES[0])]
    alone = teacher.ask([*TEXTS, LONG], template, WORDS[:1]).scores
    beside = teacher.ask([*TEXTS, LONG], template, WORDS).scores
    assert np.abs(alone[..., 0] - beside[..., 0]).max() < 1e-4


@pytest.mark.parametrize("family", ["deberta-v2", "modernbert"])
def test_a_model_without_a_limit_reads_all(tmp_path, family):
    folder = tiny.nli_model(tmp_path, family)
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_max_length": 10**30}))
    answers = load(folder, 1000).ask([LONG, TEXTS[0]], [hypothesis(TEMPLATES[0])], WORDS[:3])
    assert not answers.cut.any() and answers.tokens[0, 0] > 104
    single = softmax(answers.scores[:, 0])
    assert np.abs(single - expected(folder, [LONG, TEXTS[0]], WORDS[:3], TEMPLATES[0], False)).max() < 1e-4


def test_a_wrong_kind_is_one_line(tmp_path):
    with pytest.raises(
        UserError, match=r"entailment needs a model with an entailment label, found .*negative"
    ):
        load(tiny.nli_model(tmp_path / "a", "roberta", ("positive", "negative")))
    with pytest.raises(UserError, match="needs a sequence classifier trained on NLI, found LlamaForCausalLM"):
        load(tiny.causal_model(tmp_path / "b"))


def test_long_text_is_cut_or_read_in_parts(tmp_path):
    folder = tiny.nli_model(tmp_path, "roberta")
    template = [hypothesis(TEMPLATES[0])]
    cut, parts = load(folder, 20), load(folder, 20, 5)
    spans = cut.spans([LONG])[0]
    assert len(spans) > 60
    first = cut.ask([LONG, TEXTS[0]], template, WORDS[:2])
    assert first.cut.tolist() == [[True], [len(cut.spans(TEXTS)[0]) > 20]]
    assert first.tokens[0, 0] == 20
    assert np.allclose(
        first.scores[0], cut.ask([LONG[: spans[19][1]]], template, WORDS[:2]).scores[0], atol=1e-5
    )
    pieces = [LONG[spans[s][0] : spans[min(s + 20, len(spans)) - 1][1]] for s in range(0, len(spans) - 5, 15)]
    assert pieces[0] == LONG[: spans[19][1]] and LONG.endswith(pieces[-1])
    whole = parts.ask([TEXTS[0], LONG, ""], template, WORDS[:2])
    mean = cut.ask(pieces, template, WORDS[:2]).scores.mean(0)
    assert np.allclose(whole.scores[1], mean, atol=1e-4)
    assert whole.tokens[1, 0] == len(spans) and whole.cut[:, 0].tolist()[1:] == [True, False]
    with pytest.raises(UserError, match="max_tokens: must be less with long_text: chunk, found 95"):
        load(folder, 95, 5).ask([LONG], template, WORDS[:2])
