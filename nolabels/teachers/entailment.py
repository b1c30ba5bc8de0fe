"""A natural-language-inference model as teacher: does the text entail "This example is CLASS."?

The text is the premise, the template with the words of a class the hypothesis; the score of the class
is the logit of entailment (Yin, Hay and Roth 2019, "Benchmarking Zero-shot Text Classification").
Scores are those of transformers.pipeline("zero-shot-classification"): softmax over the classes of
`score` is its answer for one label, softmax over `score` and `against` of each class its answer for
several (multi_label=True).

In int8 the model is read as the ONNX graph that `export` makes of a student, and its labels of the first COMPARED
texts are compared with those of float32.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from transformers import BatchEncoding

from nolabels.core import models
from nolabels.core.batches import on_each_core, token_batches
from nolabels.core.params import Template
from nolabels.core.stage import say
from nolabels.teachers.local_teacher import LocalTeacher
from nolabels.teachers.pairs import Pair, PairFrame

if TYPE_CHECKING:
    import onnxruntime

COMPARED = 32  # texts that int8 is compared with float32 on
LEAST_EQUAL = 0.8  # share of them that must have the same label
# what torch's exporter raises, or a model that does not take any tokens (BART counts the ends of sentences)
CANNOT_EXPORT = (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError)


class Entailment(LocalTeacher):
    """Scores texts with a sequence classifier that was trained on NLI (safetensors); see LocalTeacher for its parameters.

    Its labels may have any order; the first whose name begins with "entail", in any case, is
    entailment. What a class competes with when it is judged by itself is what the pipeline takes: the
    first label, or the last where entailment is the first; that is contradiction in every usual order
    of three labels and "not entailment" in two, and a line says so where it is another. A model of
    one label has nothing to compete with: `against` is NaN.

    A text that is longer than the model and its hypothesis leave room for is cut, as the pipeline does, and the
    hypothesis never.

    Raises
    ------
    UserError
        Where int8 is asked for on another device than the CPU, where onnxruntime does not run the model,
        and, when the first texts are asked, where its labels are too often not those of float32.
    """

    kind = "entailment"
    session: "onnxruntime.InferenceSession | None" = None  # of int8
    compared = False  # whether int8's labels were compared with float32's

    def _load(self, folder: Path, precision: str) -> None:
        classes = models.architectures(folder)
        if not any(one.endswith("ForSequenceClassification") for one in classes):
            raise self.wrong_kind("a sequence classifier trained on NLI", classes, folder)
        self.model, self.tokenizer = models.load_model(
            folder,
            "SequenceClassification",
            device=self.device,
            precision="float32" if precision == "int8" else precision,
        )
        # each number once; in the configuration the types are those of files, where keys may be text
        labels = cast(dict[str, int], self.model.config.label2id)
        entailing = [number for label, number in labels.items() if label.lower().startswith("entail")]
        if not entailing:
            raise self.wrong_kind("a model with an entailment label", [", ".join(labels)], folder)
        self.entailment, self.outputs = entailing[0], len(labels)
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
        if precision == "int8":
            self.session = self._open_int8()

    def _open_int8(self) -> "onnxruntime.InferenceSession":
        """The model in onnxruntime. Raises UserError where that cannot be."""
        if self.device != "cpu":
            raise self.error("precision", f"int8 needs the device cpu, found {self.device}; use auto")
        from nolabels.onnx.graph import open_int8

        given = "token_type_ids" in self.tokenizer.model_input_names
        types = given and getattr(self.model.config, "type_vocab_size", 0) > 1
        try:
            return open_int8(self.model, self.tokenizer("")["input_ids"], types)
        except CANNOT_EXPORT as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise self.error(
                "precision", f"int8 needs a model that onnxruntime can run, found {reason}; use auto"
            ) from error

    def score(self, texts: list[str], templates: list[Template], words: list[str]) -> tuple:
        """See Teacher.score. A pair is cut by itself, so a class's score does not hang on the others."""
        premises = self._token_ids(texts)
        hypotheses = self._token_ids(
            [_hypothesis(template, word) for template in templates for word in words]
        )
        room = self._room(hypotheses)
        lengths = np.array([len(ids) for ids in premises])[:, None]
        kept = np.minimum(lengths, room).astype(int)  # room is infinite where the model has no limit
        if self.session and not self.compared and len(texts) >= COMPARED:  # not a probe of the rate
            self._compare(premises[:COMPARED], hypotheses[: len(words)], kept[:COMPARED, : len(words)])
        logits = self._read(premises, hypotheses, kept, self._int8_logits if self.session else self._logits)
        logits = logits.reshape(len(texts), len(templates), len(words), -1)
        alone = logits.shape[-1] == 1
        against = np.full(logits.shape[:-1], np.nan, np.float32) if alone else logits[..., self.against]
        cut = (kept < lengths).reshape(len(texts), len(templates), len(words)).any(2)
        return logits[..., self.entailment], against, cut

    def _compare(self, premises: list[list[int]], hypotheses: list[list[int]], kept: np.ndarray) -> None:
        """Says for how many texts int8 has the label of float32, one template asked. Raises UserError where too few."""
        exact, near = (
            self._read(premises, hypotheses, kept, read)[..., self.entailment].argmax(1)
            for read in (self._logits, self._int8_logits)
        )
        equal, count = int((exact == near).sum()), len(premises)
        if equal < LEAST_EQUAL * count:
            rule = f"int8 must give {LEAST_EQUAL:.0%} of texts the label of float32, found {equal} of {count}"
            raise self.error("precision", f"{rule}; use auto")
        say(f"score: {self.name}: int8 gives {equal} of {count} texts the label of float32")
        self.compared = True
        del self.model  # it is not asked again

    def _read(
        self, premises: list[list[int]], hypotheses: list[list[int]], kept: np.ndarray, read: Callable
    ) -> np.ndarray:
        """N x hypotheses x labels logits. kept: tokens of each premise that are read beside each hypothesis."""
        count = len(hypotheses)
        totals = (kept + [len(ids) for ids in hypotheses] + self.frame.special).ravel().tolist()
        batches = token_batches(totals, self.batch_tokens)

        def read_batch(batch: list[int]) -> np.ndarray:
            pairs = [
                self.frame.pair(premises[text][: kept[text, asked]], hypotheses[asked])
                for text, asked in (divmod(index, count) for index in batch)
            ]
            return read(self._padded(pairs))

        logits = np.zeros((len(totals), self.outputs), np.float32)
        for batch, answers in zip(batches, on_each_core(read_batch, batches, self.device), strict=True):
            logits[batch] = answers
        return logits.reshape(len(premises), count, -1)

    def _room(self, hypotheses: list[list[int]]) -> list[float]:
        """Tokens of a premise for which each hypothesis leaves room; infinite where the model has no limit."""
        return [max(0, self.size - self.frame.special - len(ids)) for ids in hypotheses]

    def _token_ids(self, strings: list[str]) -> list[list[int]]:
        return self.tokenizer(strings, add_special_tokens=False, verbose=False)["input_ids"]

    def _padded(self, pairs: list[Pair]) -> BatchEncoding:
        """B pairs as the inputs of the model, B x tokens each."""
        batch = {"input_ids": [ids for ids, _ in pairs]}
        if "token_type_ids" in self.tokenizer.model_input_names:
            batch["token_type_ids"] = [types for _, types in pairs]
        return self.tokenizer.pad(batch, return_tensors="pt", return_attention_mask=True)

    @torch.inference_mode()
    def _logits(self, inputs: BatchEncoding) -> np.ndarray:
        """B padded pairs -> B x labels logits, float32."""
        names = [name for name in self.tokenizer.model_input_names if name in inputs]
        given = {name: inputs[name].to(self.device) for name in names}
        return self.model(**given).logits.float().cpu().numpy()

    def _int8_logits(self, inputs: BatchEncoding) -> np.ndarray:
        """The same in int8."""
        session = cast("onnxruntime.InferenceSession", self.session)
        given = {one.name: inputs[one.name].numpy() for one in session.get_inputs()}
        return session.run(["logits"], given)[0]


def _hypothesis(template: Template, words: str) -> str:
    """The template's sentence about one class."""
    assert template.hypothesis is not None  # a template of this kind: Score sees to it
    return template.hypothesis.replace("{class}", words)
