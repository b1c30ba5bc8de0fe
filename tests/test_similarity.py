"""The similarity teacher pools as the encoder's own files say, and keeps no Python object per score."""

import json
import tracemalloc

import numpy as np
import pytest
import torch
import transformers

from nolabels.core.params import Template
from nolabels.core.stage import UserError
from nolabels.teachers.similarity import SCALE, Similarity
from nolabels.teachers.teacher import Reading
from tests import tiny

WORDS = ["dull", "warm and honest", "無聊"]
TEXTS = [text for _, text in tiny.sentences(5)] + ["", "No."]
NAMED = Template(class_text="{class}")


def load(folder, max_tokens=64, stride=None, **descriptions):
    reading = Reading(max_tokens, stride)
    return Similarity(
        folder, name="teacher", device="cpu", precision="float32", reading=reading, descriptions=descriptions
    )


def embedded(folder, texts, pool, head="AutoModel"):
    """N x D of length 1, text by text, without padding."""
    model = getattr(transformers, head).from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        with torch.inference_mode():
            rows.append(pool(model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]))
    return torch.nn.functional.normalize(torch.stack(rows), dim=-1).numpy()


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [
        (None, lambda states: states.mean(0)),
        ("mean_tokens", lambda states: states.mean(0)),
        ("cls_token", lambda states: states[0]),
        ("lasttoken", lambda states: states[-1]),
    ],
)
def test_pools_as_the_model_says(tmp_path, pooling, pool):
    folder = tiny.encoder(tmp_path, pooling)
    answers = load(folder).ask(TEXTS, [NAMED, Template(class_text="It is {class}.")], WORDS)
    left = embedded(folder, TEXTS, pool)
    assert answers.against is None
    for index, form in enumerate(["{}", "It is {}."]):
        right = embedded(folder, [form.format(word) for word in WORDS], pool)
        assert np.abs(answers.scores[:, index] - SCALE * left @ right.T).max() < 1e-4


def test_a_dense_layer_follows_the_pooling(tmp_path):
    folder = tiny.encoder(tmp_path, "mean_tokens", dense=True)
    from safetensors.numpy import load_file

    layer = load_file(folder / "2_Dense/model.safetensors")
    answers = load(folder).ask(TEXTS, [NAMED], WORDS)

    def pool(states):
        return torch.tanh(
            states.mean(0) @ torch.tensor(layer["linear.weight"]).T + torch.tensor(layer["linear.bias"])
        )

    expected = SCALE * embedded(folder, TEXTS, pool) @ embedded(folder, WORDS, pool).T
    assert np.abs(answers.scores[:, 0] - expected).max() < 1e-4


def test_a_causal_model_gives_its_last_token(tmp_path):
    folder = tiny.causal_family(tmp_path, "llama")
    texts = [text for text in TEXTS if text]
    answers = load(folder).ask(texts, [NAMED], WORDS)
    left, right = (embedded(folder, part, lambda states: states[-1]) for part in (texts, WORDS))
    assert np.abs(answers.scores[:, 0] - SCALE * left @ right.T).max() < 1e-4
    assert np.isfinite(load(folder).ask([""], [NAMED], WORDS).scores).all()


def test_texts_are_encoded_once_for_all_templates(tmp_path, monkeypatch):
    teacher = load(tiny.encoder(tmp_path, "mean_tokens"), **{word: f"about {word}" for word in WORDS})
    forms = ["{class}", "a text: {description}", "It is {class}."]
    templates = [Template(class_text=form, text="query: {text}") for form in forms]
    calls = []
    embed = Similarity.embed
    monkeypatch.setattr(Similarity, "embed", lambda self, texts: calls.append(texts) or embed(self, texts))
    answers = teacher.ask(TEXTS, templates, WORDS)
    assert [len(texts) for texts in calls] == [len(TEXTS), 3, 3, 3]
    assert calls[0][0] == f"query: {TEXTS[0]}"
    assert calls[2] == [f"a text: about {word}" for word in WORDS]
    assert len({answers.scores[0, index].tobytes() for index in range(3)}) == 3
    teacher.ask(TEXTS[:1], templates, WORDS)
    assert [len(texts) for texts in calls[4:]] == [1]  # what classes are is known


@pytest.mark.parametrize("dense", [False, True])
def test_the_embeddings_are_answers_too(tmp_path, dense):
    answers = load(tiny.encoder(tmp_path, "mean_tokens", dense=dense)).ask(TEXTS, [NAMED], WORDS)
    assert answers.embeddings.dtype == np.float16 and answers.embeddings.shape == (
        len(TEXTS),
        8 if dense else 32,
    )
    np.testing.assert_allclose(np.linalg.norm(answers.embeddings.astype(np.float32), axis=1), 1, atol=2e-3)
    # of length 1, so that those of two equal texts are their highest score
    again = load(tmp_path).ask(TEXTS, [NAMED], TEXTS[:5])
    cosines = answers.embeddings[:5].astype(np.float32) @ answers.embeddings[:5].astype(np.float32).T
    np.testing.assert_allclose(again.scores[:5, 0], SCALE * cosines, atol=SCALE * 4e-3)


def test_long_text_is_cut_to_the_model_or_read_in_parts(tmp_path):
    folder = tiny.encoder(tmp_path, "cls_token")
    long = "The old town walks through a story. " * 40
    cut = load(folder, 5000).ask([long, TEXTS[0]], [NAMED], WORDS)
    assert cut.cut[:, 0].tolist() == [True, False]
    parts = load(folder, 40, 10).ask([long, TEXTS[0]], [NAMED], WORDS)
    assert parts.cut[:, 0].tolist() == [True, False] and parts.tokens[0, 0] > 200
    assert np.abs(parts.scores[0] - cut.scores[0]).max() > 1e-3
    assert np.allclose(parts.scores[1], cut.scores[1], atol=1e-4)
    # the mean of the parts, as the scores are
    assert np.abs(parts.embeddings[0] - cut.embeddings[0]).max() > 1e-3
    classes, _ = load(folder).embed(WORDS)
    expected = SCALE * parts.embeddings.astype(np.float32) @ classes.T
    assert np.allclose(parts.scores[:, 0], expected, atol=SCALE * 2e-3)


def test_many_classes_take_no_object_per_score(tmp_path):
    teacher = load(tiny.encoder(tmp_path, "mean_tokens"))
    words = [f"class number {number}" for number in range(150)]
    texts = [f"Text {number}." for number in range(500)]
    teacher.ask(texts[:2], [NAMED], words)
    tracemalloc.start()
    answers = teacher.ask(texts, [NAMED], words)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answers.scores.shape == (500, 1, 150)
    # 300 kB of float32; one object a score would be 2.4 MB of pointers and floats alone, twice over
    assert peak < 2.5e6, peak


def test_a_wrong_kind_is_one_line(tmp_path):
    with pytest.raises(UserError, match="similarity needs a sentence encoder, found RobertaForSequence"):
        load(tiny.nli_model(tmp_path / "a", "roberta"))
    folder = tiny.encoder(tmp_path / "b", "max_tokens")
    with pytest.raises(UserError, match="pooling must be mean, cls or lasttoken, found max_tokens"):
        load(folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "sentence_transformers.models.LSTM"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UserError, match="must name Transformer, Pooling, Dense and Normalize, found LSTM"):
        load(folder)
