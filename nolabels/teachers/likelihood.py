"""A causal language model as teacher: a class scores the log-likelihood of its words as the answer.

The prompt asks about the text; the words of each class stand in the place of the answer, all their
tokens are scored (Brown et al. 2020, "Language Models are Few-Shot Learners", section 2.4), and what
they score behind the same template with an empty text is taken off:

    score = log P(words | template with the text) - log P(words | template with an empty text)

That is domain-conditional PMI of Holtzman et al. 2021 ("Surface Form Competition: Why the Highest
Probability Answer Isn't Always Right", section 4), with the empty template as domain premise. Long or
rare words are unlikely in both places, so neither their length nor their frequency decides who wins.
(A mean per token, as Brown et al. also use, would shrink what the text has to say about long words.)
What is taken off is one number for each template and class, the same for all texts and independent of
the other classes; prior matching, which fits just such numbers, gives the same with and without it.

Equal work is done once. The fixed head of a prompt goes through the model once, and its keys and
values serve every text. Templates with the same head share the text: the tokens of all their
endings and of all class words form a tree behind it, and one forward pass reads that tree, each
token attending to its own ancestors only (the tree attention of Miao et al. 2024, "SpecInfer").
Not every model can be read that way (state-space models have no keys to share, some cap or scale
their logits, some attend within a window): when a model is first asked, a probe compares this path with the
model's own forward pass, and where they differ every prompt goes through the model by itself.
"""

import re
from functools import cached_property
from pathlib import Path

import numpy as np

from nolabels.core import models
from nolabels.core.params import Template
from nolabels.teachers.causal_reader import CausalReader
from nolabels.teachers.local_teacher import LocalTeacher
from nolabels.teachers.prompts import Prompt, render, token_ids

# how far the shared path may be from the plain one: absolute and relative; bfloat16 log-likelihoods
# move by some tenths with the shape of a batch, a model that cannot be shared is off by whole units
TOLERANCE = {"float32": (1e-3, 1e-4), "bfloat16": (0.5, 0.05)}
# what a model raises that does not know positions, a mask for each token, or keys and values
CANNOT_SHARE = (
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Likelihood(LocalTeacher):
    """Scores texts with a causal model (safetensors or GGUF); see LocalTeacher for its parameters.

    Asked with a chat template, it needs a tokenizer that has a chat form.
    """

    kind = "likelihood"

    def _load(self, folder: Path, precision: str) -> None:
        classes = models.architectures(folder)
        if not any(one.endswith(("ForCausalLM", "LMHeadModel")) for one in classes):
            raise self.wrong_kind("a causal language model", classes, folder)
        self.model, self.tokenizer = models.load_model(
            folder, "CausalLM", device=self.device, precision=precision
        )
        self.reader = CausalReader(self.model, self.tokenizer, self.device, self.batch_tokens)
        special = [re.escape(token) for token in self.tokenizer.all_special_tokens if len(token) > 1]
        self.special = re.compile("|".join(special)) if special else None
        self.positions = getattr(self.model.config, "max_position_embeddings", None)
        # a prompt without any token begins like a document
        first = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, 0)
        self.start = [next(token for token in first if token is not None)]
        self.null_scores: dict[
            tuple[Prompt, ...], np.ndarray
        ] = {}  # of the null prompts, those with an empty text
        self.tolerance = TOLERANCE[precision]

    def clean(self, text: str) -> str:
        """The text with the model's control tokens taken apart, so that no text ends its own turn."""
        text = text.strip()
        if self.special is None:
            return text
        return self.special.sub(lambda match: match[0][0] + " " + match[0][1:], text)

    def score(self, texts: list[str], templates: list[Template], words: list[str]) -> tuple:
        """See Teacher.score."""
        setting = f"score.{self.name}.templates"
        prompts = tuple(render(template, words, self.tokenizer, setting) for template in templates)
        if prompts not in self.null_scores:
            self.null_scores[prompts] = self.loglikelihoods([""], prompts)[0]
        return self.loglikelihoods(texts, prompts) - self.null_scores[prompts], None, None

    def loglikelihoods(self, texts: list[str], prompts: tuple[Prompt, ...]) -> np.ndarray:
        """Log-likelihoods of the class words of T prompts behind N texts: N x T x K, float32."""
        scores = np.zeros((len(texts), len(prompts), len(prompts[0].words)), np.float32)
        groups: dict[tuple[str, bool], list[int]] = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault((prompt.head, prompt.special), []).append(index)
        for (head, special), members in groups.items():
            rows = [
                [
                    ids or self.start
                    for ids in token_ids(
                        self.tokenizer, [head + text + prompts[index].tail for text in texts], special
                    )
                ]
                for index in members
            ]
            words = [prompts[index].words for index in members]
            self._check_room(rows, words)
            scores[:, members] = (
                self.reader.read_shared(rows, words, head, special)
                if self.shares
                else self.reader.read_plain(rows, words)
            )
        return scores

    def _check_room(self, rows: list[list[list[int]]], words: list[tuple[tuple[int, ...], ...]]) -> None:
        """Raises UserError where a prompt and its longest class words are more than the model holds."""
        longest = max(
            len(ids) + max(map(len, classes)) - 1
            for group, classes in zip(rows, words, strict=True)
            for ids in group
        )
        if self.positions is not None and longest > self.positions:
            limit = self.reading.max_tokens
            raise self.error(
                "max_tokens",
                f"must be at most {max(0, limit - (longest - self.positions))} for this model, which holds "
                f"{self.positions} tokens, question and class words included, found {limit}",
            )

    @cached_property
    def shares(self) -> bool:
        """Whether trees behind a shared head give what the model's own forward pass gives.

        Tried when it is first needed, with two texts, a short one and one of max_tokens, and two templates with the
        same head and class words of one and of two tokens: windows and long-range position schemes show there.
        """
        one, two, three, *_ = token_ids(self.tokenizer, [" one two three four"], special=False)[0]
        prompts = [
            Prompt("Text: ", tail, ((one, two), (one, three), (three,)), True)
            for tail in ("\nTopic:", "\nThe topic is")
        ]
        limit = min(self.reading.max_tokens, (self.positions or 10**6) // 2)
        long = " ".join(str(number) for number in range(limit))
        spans = self.spans([long])[0]
        texts = ["A town.", long[: spans[min(limit, len(spans)) - 1][1]]]
        rows = [
            token_ids(self.tokenizer, [prompt.head + text + prompt.tail for text in texts], True)
            for prompt in prompts
        ]
        words = [prompt.words for prompt in prompts]
        try:
            shared = self.reader.read_shared(rows, words, prompts[0].head, True)
        except CANNOT_SHARE:
            return False
        absolute, relative = self.tolerance
        return bool(np.allclose(shared, self.reader.read_plain(rows, words), atol=absolute, rtol=relative))
