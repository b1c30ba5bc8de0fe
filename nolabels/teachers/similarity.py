"""A sentence encoder as teacher: how near is the text to a text about the class?

The score of a class is SCALE times the cosine of two embeddings, the text's and that of the template's
`class_text` with the words or the description of the class in it (Veeranna et al. 2016, "Using Semantic
Similarity for Multi-Label Zero-Shot Classification of Text Documents"). A text is encoded once for all
classes and templates, and its embedding is an answer too: `label` looks for groups in the pool's.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BatchEncoding

from nolabels.core import models
from nolabels.core.batches import on_each_core, token_batches
from nolabels.core.params import Template
from nolabels.teachers.local_teacher import LocalTeacher
from nolabels.teachers.pooling import normalize, pool_last, pool_mean, read_steps

# Cosines of texts lie close together; softmax wants them further apart. 20 is what sentence encoders
# are commonly trained with: `scale` of MultipleNegativesRankingLoss in sentence-transformers, a
# temperature of 0.05 (Gao et al. 2021, "SimCSE"). label fits a temperature of its own behind it.
SCALE = 20.0
# heads that make no embedding; what else is called ...Model or a language model has token states
OTHER = ("Classification", "QuestionAnswering", "MultipleChoice", "ConditionalGeneration")


class Similarity(LocalTeacher):
    """Scores texts with a sentence encoder.

    How token states become one embedding is read from the model's own files, those of
    sentence-transformers: modules.json names the steps (Transformer, Pooling, Dense, Normalize), and
    1_Pooling/config.json says whether the mean of the tokens, the first ("CLS") or the last is taken.
    Without these files it is the mean, or for a causal language model the last token, the only one
    that has seen the whole text.

    Parameters
    ----------
    folder : path
        Of the model. UserError where it is no encoder, or has a step that is not known.
    descriptions : dict of str to str
        Descriptions of the classes by their words.
    **given
        The other parameters of LocalTeacher.
    """

    kind = "similarity"

    def __init__(self, folder: str | Path, *, descriptions: dict[str, str], **given: Any):
        super().__init__(folder, **given)
        self.descriptions = descriptions
        self.class_embeddings: dict[str, np.ndarray] = {}

    def _load(self, folder: Path, precision: str) -> None:
        classes = models.architectures(folder)
        steps = read_steps(folder)
        if steps is None and (not classes or classes[0].endswith(OTHER)):
            raise self.wrong_kind("a sentence encoder", classes, folder)
        causal = classes and classes[0].endswith(("ForCausalLM", "LMHeadModel"))
        self.steps = steps or [pool_last if causal else pool_mean]
        # of T5 the encoder alone
        head = "TextEncoding" if classes and classes[0].startswith(("T5", "MT5", "UMT5")) else ""
        self.model, self.tokenizer = models.load_model(folder, head, device=self.device, precision=precision)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.tokenizer.padding_side = "right"
        self.size = models.max_input_tokens(self.model, self.tokenizer)

    def score(self, texts: list[str], templates: list[Template], words: list[str]) -> tuple:
        """See Teacher.score."""
        form = templates[0].text or "{text}"  # params.Score has them all alike
        embedded, cut = self.embed([form.replace("{text}", text) for text in texts])
        classes = np.stack([self._embed_classes(template, words) for template in templates])
        scores = SCALE * np.einsum("nd,tkd->ntk", embedded, classes)
        return scores, None, np.repeat(cut[:, None], len(templates), 1), embedded

    def _embed_classes(self, template: Template, words: list[str]) -> np.ndarray:
        """K x D embeddings of the template's texts about the classes, each made once."""
        asked = [_class_text(template, word, self.descriptions) for word in words]
        new = [text for text in dict.fromkeys(asked) if text not in self.class_embeddings]
        if new:
            self.class_embeddings.update(zip(new, self.embed(new)[0], strict=True))
        return np.stack([self.class_embeddings[text] for text in asked])

    def embed(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """N x D embeddings of length 1 (float32) of N texts, and which were cut to fit the model (N)."""
        options = {} if self.size == float("inf") else {"truncation": True, "max_length": int(self.size)}
        encoded = self.tokenizer(texts, return_attention_mask=False, verbose=False, **options)
        whole = self.tokenizer(texts, return_attention_mask=False, verbose=False) if options else encoded
        for row, ids in enumerate(encoded["input_ids"]):
            if not ids:  # nothing at all to read: the end of a text that never began
                encoded["input_ids"][row] = [self.tokenizer.eos_token_id or 0]
        lengths = [len(ids) for ids in encoded["input_ids"]]
        cut = np.array([len(ids) for ids in whole["input_ids"]]) > lengths
        batches = token_batches(lengths, self.batch_tokens)

        def embed_batch(batch: list[int]) -> np.ndarray:
            inputs = self.tokenizer.pad(
                {name: [column[index] or [0] for index in batch] for name, column in encoded.items()},
                return_tensors="pt",
                return_attention_mask=True,
            )
            return self._embed_batch(inputs.to(self.device))

        parts = on_each_core(embed_batch, batches, self.device)
        embeddings = np.concatenate(parts) if parts else np.empty((0, 0), np.float32)
        return embeddings[np.argsort([index for batch in batches for index in batch])], cut

    @torch.inference_mode()
    def _embed_batch(self, inputs: BatchEncoding) -> np.ndarray:
        """B x D embeddings of a padded batch."""
        names = {*self.tokenizer.model_input_names, "attention_mask"}
        states = self.model(
            **{name: tensor for name, tensor in inputs.items() if name in names}
        ).last_hidden_state.float()
        mask = inputs["attention_mask"]
        for number, step in enumerate(self.steps):
            states = step(states, mask) if number == 0 else step(states)
        return normalize(states).cpu().numpy()


def _class_text(template: Template, words: str, descriptions: dict[str, str]) -> str:
    """The template's text about one class."""
    assert template.class_text is not None  # a template of this kind: Score sees to it
    fields = {"{class}": words, "{description}": descriptions.get(words, "")}
    return re.sub(r"\{class\}|\{description\}", lambda field: fields[field[0]], template.class_text)
