"""The likelihood teacher reads any causal model as the model itself does, and length wins nothing."""

import numpy as np
import pytest
import torch
import transformers

from nolabels.core.params import Template
from nolabels.core.stage import UserError
from nolabels.teachers.likelihood import Likelihood
from nolabels.teachers.prompts import render
from nolabels.teachers.teacher import Reading
from tests import tiny

PLAIN = [
    Template(plain="Review: {text} Sentiment: The sentiment is {class}"),
    Template(plain="Review: {text} It is {class}."),
]
CHAT = [Template(chat="Is this dull?\n\n{text}", answer="It is {class}"), PLAIN[0]]
WORDS = ["negative", "positive", "a story of people", "a story of an old town"]
TEXTS = [text for _, text in tiny.sentences(5)] + ["", "A lovely film. " * 8]


def load(folder, precision="float32", max_tokens=100, stride=None):
    return Likelihood(
        folder, name="teacher", device="cpu", precision=precision, reading=Reading(max_tokens, stride)
    )


def reference(folder, texts, templates, words):
    """N x T x K by the definition: one forward pass of the whole model for each text, template, class."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def one(text, template, word):
        if template.plain:
            prompt = template.plain.replace("{text}", text)
        else:
            messages = [{"role": "user", "content": template.chat.replace("{text}", text)}]
            prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            prompt += template.answer
        before, end = prompt.split("{class}")
        ids = tokenizer(before.rstrip())["input_ids"]
        tail = tokenizer(" " + word + end)["input_ids"]
        with torch.inference_mode():
            logprobs = model(torch.tensor([ids + tail])).logits[0].float().log_softmax(-1)
        return sum(logprobs[len(ids) - 1 + step, token].item() for step, token in enumerate(tail))

    return np.array(
        [
            [
                [one(text.strip(), template, word) - one("", template, word) for word in words]
                for template in templates
            ]
            for text in texts
        ]
    )


@pytest.mark.parametrize(
    ("family", "shares"),
    [("llama", True), ("gpt2", True), ("mistral", False), ("gemma2", False), ("mamba", False)],
)
def test_scores_are_those_of_the_whole_model(tmp_path, family, shares):
    folder = tiny.causal_family(tmp_path, family)
    teacher = load(folder)
    assert teacher.shares == shares
    answers = teacher.ask(TEXTS, PLAIN + CHAT[:1], WORDS)
    assert np.abs(answers.scores - reference(folder, TEXTS, PLAIN + CHAT[:1], WORDS)).max() < 1e-3
    assert answers.against is None and not answers.cut.any()


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_a_class_scores_the_same_beside_others(tmp_path, family):
    teacher = load(tiny.causal_family(tmp_path, family))
    alone = teacher.ask(TEXTS, PLAIN, WORDS[2:3]).scores
    assert np.abs(alone[..., 0] - teacher.ask(TEXTS, PLAIN, WORDS).scores[..., 2]).max() < 1e-3


def test_one_path_is_as_good_as_the_other_in_bfloat16(tmp_path):
    teacher = load(tiny.causal_family(tmp_path, "llama"), "bfloat16")
    assert teacher.shares
    shared = teacher.ask(TEXTS, PLAIN, WORDS).scores
    teacher.shares, teacher.null_scores = False, {}
    assert np.abs(shared - teacher.ask(TEXTS, PLAIN, WORDS).scores).max() < 0.5


def test_length_does_not_decide(tmp_path):
    teacher = load(tiny.causal_family(tmp_path, "llama", seed=3))
    words = ["old", "an old town and the lives of people who talk about their story"]
    prompts = [render(template, words, teacher.tokenizer, "score.teacher.templates") for template in PLAIN]
    plain = teacher.loglikelihoods([text.strip() for text in TEXTS], prompts)
    assert (plain.argmax(-1) == 0).all()  # without the premise the short words win always
    scores = teacher.ask(TEXTS, PLAIN, words).scores
    assert 0 < (scores.argmax(-1) == 1).mean() < 1
    # what is taken off is the same for every text, so prior matching takes it back where it is wanted
    assert np.ptp(plain - scores, axis=0).max() < 1e-4
    assert np.abs(teacher.ask([""], PLAIN, words).scores).max() < 1e-4


def test_a_text_too_long_for_the_model_is_one_line(tmp_path):
    teacher = load(tiny.causal_family(tmp_path, "gpt2", n_positions=128), max_tokens=120)
    with pytest.raises(
        UserError, match=r"score.teacher.max_tokens: must be at most \d+ for this model, which holds 128"
    ):
        teacher.ask(["a story of people " * 100], PLAIN, WORDS)
    parts = load(tiny.causal_family(tmp_path, "gpt2", n_positions=128), max_tokens=40, stride=10)
    assert np.isfinite(parts.ask(["a story of people " * 100], PLAIN, WORDS).scores).all()


def test_a_wrong_kind_is_one_line(tmp_path):
    with pytest.raises(UserError, match="likelihood needs a causal language model, found RobertaForSequence"):
        load(tiny.nli_model(tmp_path, "roberta"))
