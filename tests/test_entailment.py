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


@pytest.mark.parametrize("family", tiny.NLI)
def test_int8_is_near(tmp_path, family, capsys):
    """As an ONNX graph; one that onnxruntime cannot run is refused in one line."""
    folder = tiny.nli_model(tmp_path, family)
    asked = [*TEXTS, LONG] * 4, [hypothesis(template) for template in TEMPLATES], WORDS[:2]
    if family == "bart":
        with pytest.raises(
            UserError, match=r"score.teacher.precision: int8 needs a model that onnxruntime can"
        ):
            load(folder, precision="int8")
        return
    exact, near = (load(folder, precision=precision).ask(*asked) for precision in ("float32", "int8"))
    assert np.abs(near.scores - exact.scores).max() > 0
    assert np.corrcoef(near.scores.ravel(), exact.scores.ravel())[0, 1] > 0.99
    assert np.corrcoef(near.against.ravel(), exact.against.ravel())[0, 1] > 0.99
    assert np.array_equal(near.cut, exact.cut)
    assert "of 32 texts the label of float32" in capsys.readouterr().out


def test_int8_reads_which_text_a_token_belongs_to(tmp_path):
    folder = tiny.nli_model(tmp_path, "deberta")
    asked = TEXTS, [hypothesis(TEMPLATES[0])], WORDS
    exact, near = (load(folder, precision=precision) for precision in ("float32", "int8"))
    wanted = exact.ask(*asked).scores
    assert np.corrcoef(near.ask(*asked).scores.ravel(), wanted.ravel())[0, 1] > 0.99
    exact.frame.types = [0] * 5
    assert np.corrcoef(exact.ask(*asked).scores.ravel(), wanted.ravel())[0, 1] < 0.99


def test_int8_that_changes_the_labels_is_refused(tmp_path, monkeypatch):
    teacher = load(tiny.nli_model(tmp_path, "roberta"), precision="int8")
    plain = teacher._int8_logits
    monkeypatch.setattr(teacher, "_int8_logits", lambda inputs: -plain(inputs))
    with pytest.raises(UserError, match=r"int8 must give 80% of texts the label of float32, found \d+ of 32"):
        teacher.ask(TEXTS * 4, [hypothesis(TEMPLATES[0])], WORDS)


def test_int8_is_for_processors(tmp_path):
    with pytest.raises(UserError, match="precision: int8 needs the device cpu, found meta; use auto"):
        Entailment(
            tiny.nli_model(tmp_path, "roberta"),
            name="teacher",
            device="meta",
            precision="int8",
            reading=Reading(20, None),
        )
