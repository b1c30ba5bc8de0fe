"""A natural-language-inference model as teacher: does the text entail "This example is CLASS."?

The text is the premise, the template with the words of a class the hypothesis; the score of the class
is the logit of entailment (Yin, Hay and Roth 2019, "Benchmarking Zero-shot Text Classification").
Scores are those of transformers.pipeline("zero-shot-classification"): softmax over the classes of
`score` is its answer for one label, softmax over `score` and `against` of each class its answer for
several (multi_label=True).
"""

import itertools
from pathlib import Path
from typing import cast

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from nolabels.core import models
from nolabels.core.params import Template
from nolabels.core.stage import say
from nolabels.teachers.batches import token_batches
from nolabels.teachers.local_teacher import LocalTeacher


class Entailment(LocalTeacher):
    """Scores texts with a sequence classifier that was trained on NLI (safetensors); see LocalTeacher for its parameters.

    Its labels may have any order; the first whose name begins with "entail", in any case, is
    entailment. What a class competes with when it is judged by itself is what the pipeline takes: the
    first label, or the last where entailment is the first; that is contradiction in every usual order
    of three labels and "not entailment" in two, and a line says so where it is another. A model of
    one label has nothing to compete with: `against` is NaN.

    A text that is longer than the model and its hypothesis leave room for is cut, as the pipeline does, and the
    hypothesis never.
    """

    kind = "entailment"

    def _load(self, folder: Path, precision: str) -> None:
        classes = models.architectures(folder)
        if not any(one.endswith("ForSequenceClassification") for one in classes):
            raise self.wrong_kind("a sequence classifier trained on NLI", classes, folder)
        self.model, self.tokenizer = models.load_model(
            folder, "SequenceClassification", device=self.device, precision=precision
        )
        # each number once; in the configuration the types are those of files, where keys may be text
        labels = cast(dict[str, int], self.model.config.label2id)
        entailing = [number for label, number in labels.items() if label.lower().startswith("entail")]
        if not entailing:
            raise self.wrong_kind("a model with an entailment label", [", ".join(labels)], folder)
        self.entailment = entailing[0]
        self.against = -1 if self.entailment == 0 else 0
        rival = cast(dict[int, str], self.model.config.id2label)[range(len(labels))[self.against]]
        if len(labels) > 1 and rival.lower().startswith("neutral"):
            say(
                f"score: note: a class judged by itself competes with {rival!r}, as in transformers' pipeline"
            )
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.model.config.pad_token_id is None:
            self.model.config.pad_token_id = self.tokenizer.pad_token_id
        frame = PairFrame.of(self.tokenizer)
        if frame is None:
            rule = (
                f"needs a tokenizer that joins two texts with special tokens alone, found another in {folder}"
            )
            raise self.error("kind", f"{self.kind} {rule}")
        self.frame = frame
        self.size = models.max_input_tokens(self.model, self.tokenizer)

    @torch.inference_mode()
    def score(self, texts: list[str], templates: list[Template], words: list[str]) -> tuple:
        """See Teacher.score. A pair is cut by itself, so a class's score does not hang on the others."""
        premises = self._token_ids(texts)
        hypotheses = self._token_ids(
            [_hypothesis(template, word) for template in templates for word in words]
        )
        classes, count = len(words), len(hypotheses)
        room = self._room(hypotheses)
        lengths = np.array([len(ids) for ids in premises])[:, None]
        kept = np.minimum(lengths, room).astype(int)  # room is infinite where the model has no limit
        totals = (kept + [len(ids) for ids in hypotheses] + self.frame.special).ravel().tolist()
        pair_logits = np.zeros((len(texts) * count, cast(int, self.model.config.num_labels)), np.float32)
        for batch in token_batches(totals, self.batch_tokens):
            pairs = [divmod(index, count) for index in batch]
            pair_logits[batch] = self._logits(
                [
                    self.frame.pair(premises[text][: kept[text, asked]], hypotheses[asked])
                    for text, asked in pairs
                ]
            ).cpu()
        logits = pair_logits.reshape(len(texts), len(templates), classes, -1)
        alone = logits.shape[-1] == 1
        against = np.full(logits.shape[:-1], np.nan, np.float32) if alone else logits[..., self.against]
        cut = (kept < lengths).reshape(len(texts), len(templates), classes).any(2)
        return logits[..., self.entailment], against, cut

    def _room(self, hypotheses: list[list[int]]) -> list[float]:
        """Tokens of a premise for which each hypothesis leaves room; infinite where the model has no limit."""
        return [max(0, self.size - self.frame.special - len(ids)) for ids in hypotheses]

    def _token_ids(self, strings: list[str]) -> list[list[int]]:
        return self.tokenizer(strings, add_special_tokens=False, verbose=False)["input_ids"]

    def _logits(self, pairs: list[tuple[list[int], list[int]]]) -> torch.Tensor:
        """B pairs (token ids, token types) -> B x labels logits, float32."""
        names = self.tokenizer.model_input_names
        batch = {"input_ids": [ids for ids, _ in pairs]}
        if "token_type_ids" in names:
            batch["token_type_ids"] = [types for _, types in pairs]
        inputs = self.tokenizer.pad(batch, return_tensors="pt", return_attention_mask=True)
        given = {name: inputs[name].to(self.device) for name in names if name in inputs}
        return self.model(**given).logits.float()


class PairFrame:
    """How a tokenizer joins two texts: their ids with special tokens before, between and behind.

    Learned from the tokenizer's own pairs, so that a text is encoded once for all its hypotheses.

    Parameters
    ----------
    before, between, behind : list of int
        Ids of the special tokens.
    types : list of int
        Token types of: before, premise, between, hypothesis, behind.
    """

    def __init__(self, before: list[int], between: list[int], behind: list[int], types: list[int]):
        self.before, self.between, self.behind, self.types = before, between, behind, types
        self.special = len(before) + len(between) + len(behind)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "PairFrame | None":
        """The frame of a tokenizer; None where its pairs are not two texts in a frame of special tokens."""
        probes = ("One town.", "Two long old rivers"), ("Is it? Yes", "A!")
        frame, types_of_frame = None, []
        for left, right in probes:
            pair = tokenizer(left, right, return_token_type_ids=True, verbose=False)
            ids, types = pair["input_ids"], pair["token_type_ids"]
            first, second = (
                tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
                for text in (left, right)
            )
            frames = [
                (ids[:start], ids[start + len(first) : middle], ids[middle + len(second) :])
                for start in range(len(ids) - len(first) + 1)
                for middle in range(start + len(first), len(ids) - len(second) + 1)
                if ids[start : start + len(first)] == first and ids[middle : middle + len(second)] == second
            ]
            if not frames or (frame and frames[0] != frame):
                return None
            before, between, behind = frame = frames[0]
            edges = np.cumsum([0, len(before), len(first), len(between), len(second), len(behind)])
            types_of_frame = [types[start] if start < end else 0 for start, end in itertools.pairwise(edges)]
        return cls(before, between, behind, types_of_frame)

    def pair(self, premise: list[int], hypothesis: list[int]) -> tuple[list[int], list[int]]:
        """Token ids and token types of a premise and a hypothesis (token ids)."""
        parts = self.before, premise, self.between, hypothesis, self.behind
        ids = [token for part in parts for token in part]
        types = [kind for part, kind in zip(parts, self.types, strict=True) for _ in part]
        return ids, types


def _hypothesis(template: Template, words: str) -> str:
    """The template's sentence about one class."""
    assert template.hypothesis is not None  # a template of this kind: Score sees to it
    return template.hypothesis.replace("{class}", words)
