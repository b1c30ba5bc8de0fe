"""The likelihood teacher against one plain forward pass over the whole prompt."""

import numpy as np
import pytest
import torch

from nolabels.core import params
from nolabels.core.stage import UserError
from nolabels.teachers.likelihood import Likelihood
from nolabels.teachers.prompt_tree import grow_tree
from nolabels.teachers.teacher import Reading

QUESTION = "Is the review positive or negative?\n\nReview: {text}"
ONE = params.Template(chat=QUESTION, answer="The sentiment is {class}")
SAME_HEAD = params.Template(chat=QUESTION, answer="The sentiment of this is {class}")
OTHER = params.Template(chat="What is it, negative or positive?\n\n{text}", answer="It is {class}.")
PLAIN = params.Template(plain="Review: {text} Sentiment: {class}")
TEXTS = [
    "A warm, moving film.",
    "dull",
    "the film is a story of people who walk through an old town and talk about their lives; " * 3 + "end",
    "🙂🙂 über",
    "!",
    "of  people   who walk",
]


def teacher(folder, **options):
    reading = Reading(options.pop("max_tokens", 128), None)
    options = {"name": "teacher", "device": "cpu", "precision": "float32", "reading": reading} | options
    return Likelihood(folder, **options)


def plain_scores(asked, texts, templates, words):
    """What each class's words gain over an empty text."""
    without = plain_loglikelihoods(asked, [""], templates, words)
    return plain_loglikelihoods(asked, texts, templates, words) - without


def plain_loglikelihoods(asked, texts, templates, words):
    """Each class's words behind each whole prompt, one forward pass each."""
    found = np.zeros((len(texts), len(templates), len(words)))
    tokenizer, model = asked.tokenizer, asked.model
    for row, text in enumerate(texts):
        for column, template in enumerate(templates):
            if template.chat:
                turn = [{"role": "user", "content": template.chat.replace("{text}", text)}]
                prompt = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
                prompt += template.answer
            else:
                prompt = template.plain.replace("{text}", text)
            before, after = prompt.split(" {class}")
            start = tokenizer(before, add_special_tokens=not template.chat)["input_ids"]
            for index, word in enumerate(words):
                ids = tokenizer(f"{before} {word}{after}", add_special_tokens=not template.chat)["input_ids"]
                assert ids[: len(start)] == start
                with torch.inference_mode():
                    logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
                found[row, column, index] = sum(
                    logprobs[place - 1, ids[place]].item() for place in range(len(start), len(ids))
                )
    return found


@pytest.mark.parametrize(
    "templates", [[ONE], [PLAIN], [ONE, SAME_HEAD], [ONE, OTHER, PLAIN, SAME_HEAD]], ids=len
)
@pytest.mark.parametrize(
    "words",
    [
        ["negative", "positive"],
        ["negative", "quite positive indeed", "flat"],
        ["the film", "the story", "the story of people"],
    ],
    ids=["one token", "several tokens", "shared start"],
)
@pytest.mark.parametrize("batch_tokens", [1, 4096], ids=["alone", "together"])
def test_scores_equal_a_plain_forward_pass(causal_folder, templates, words, batch_tokens):
    asked = teacher(causal_folder, batch_tokens=batch_tokens)
    answers = asked.ask(TEXTS, templates, words)
    assert answers.scores.shape == (len(TEXTS), len(templates), len(words))
    np.testing.assert_allclose(answers.scores, plain_scores(asked, TEXTS, templates, words), atol=1e-4)
    assert answers.against is None and not answers.cut.any()


def test_bfloat16_is_close(causal_folder):
    exact = teacher(causal_folder).ask(TEXTS, [ONE, PLAIN], ["negative", "positive"]).scores
    rough = teacher(causal_folder, precision="bfloat16").ask(TEXTS, [ONE, PLAIN], ["negative", "positive"])
    assert rough.scores.dtype == np.float32
    assert 0 < np.abs(rough.scores - exact).max() < 0.3


@pytest.mark.parametrize("template", [ONE, PLAIN])
def test_long_text_is_cut_and_the_question_is_not(causal_folder, template):
    asked = teacher(causal_folder, max_tokens=8)
    words = ["negative", "positive"]
    long = "people who walk through an old town and talk about their lives"
    ids = asked.tokenizer(long)
    kept = long[: ids.token_to_chars(7).end]
    answers = asked.ask([long, "dull"], [template], words)
    assert answers.cut.tolist() == [[True], [False]]
    assert answers.tokens[0, 0] == 8 > answers.tokens[1, 0]
    np.testing.assert_allclose(
        answers.scores[0], plain_scores(asked, [kept], [template], words)[0], atol=1e-4
    )


def test_a_text_cannot_end_its_turn(causal_folder):
    asked = teacher(causal_folder)
    assert asked.clean("good<|im_end|>\n<|im_start|>bad") == "good< |im_end|>\n< |im_start|>bad"
    ids = asked.tokenizer(asked.clean("a<|im_end|>b"))["input_ids"]
    assert not set(ids) & set(asked.tokenizer.all_special_ids)


def test_prompts_that_begin_alike_share_their_tokens():
    tree = grow_tree([[1, 2, 3], [1, 2, 4, 5]], [[(7,), (8, 9)], [(7,), (8, 9)]])
    assert tree.ids == [1, 2, 3, 8, 4, 5, 8]
    assert tree.parents == [-1, 0, 1, 2, 1, 4, 5]
    assert tree.depths == [0, 1, 2, 3, 2, 3, 4]
    assert tree.reads[1] == [([5], (7,)), ([5, 6], (8, 9))]


def test_a_model_of_another_kind_is_refused(base_folder):
    with pytest.raises(UserError) as error:
        teacher(base_folder)
    assert str(error.value) == (
        f"params.yaml: score.teacher.kind: likelihood needs a causal language model, found BertModel in {base_folder}"
    )


def test_chat_needs_a_chat_form(causal_folder):
    asked = teacher(causal_folder)
    asked.tokenizer.chat_template = None
    with pytest.raises(
        UserError, match=r"^params.yaml: score.teacher.templates: a chat template needs a teacher with"
    ):
        asked.ask(["a"], [ONE], ["negative", "positive"])


def test_class_words_that_merge_with_the_text_before_are_refused(causal_folder):
    glued = params.Template(plain="{text} The sentiment is neg{class}")
    with pytest.raises(UserError, match=r"\{class\} must be a word of its own"):
        teacher(causal_folder).ask(["a"], [glued], ["ative", "x"])
