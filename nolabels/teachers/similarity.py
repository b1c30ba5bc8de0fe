"""A sentence encoder as teacher: how near is the text to a text about the class?

The score of a class is SCALE times the cosine of two embeddings, the text's and that of the template's
`class_text` with the words or the description of the class in it (Veeranna et al. 2016, "Using Semantic
Similarity for Multi-Label Zero-Shot Classification of Text Documents"). A text is encoded once for all
classes and templates, and its embedding is an answer too: `label` looks for groups in the pool's.
"""

import json
import re
from pathlib import Path

import numpy as np
import torch

from nolabels.core import models
from nolabels.core.stage import UserError
from nolabels.teachers import packing
from nolabels.teachers.batches import pass_tokens, token_batches
from nolabels.teachers.teacher import Teacher, wrong_kind

# Cosines of texts lie close together; softmax wants them further apart. 20 is what sentence encoders
# are commonly trained with: `scale` of MultipleNegativesRankingLoss in sentence-transformers, a
# temperature of 0.05 (Gao et al. 2021, "SimCSE"). label fits a temperature of its own behind it.
SCALE = 20.0
# heads that make no embedding; what else is called ...Model or a language model has token states
OTHER = ("Classification", "QuestionAnswering", "MultipleChoice", "ConditionalGeneration")


class Similarity(Teacher):
    """Scores texts with the sentence encoder in `folder`.

    How token states become one embedding is read from the model's own files, those of
    sentence-transformers: modules.json names the steps (Transformer, Pooling, Dense, Normalize), and
    1_Pooling/config.json says whether the mean of the tokens, the first ("CLS") or the last is taken.
    Without these files it is the mean, or for a causal language model the last token, the only one
    that has seen the whole text.

    reading: kinds.Reading; descriptions: {class words: description}; batch_tokens: padded tokens in
    one forward pass. Raises UserError where the model is no encoder, or has a step that is not known.
    """

    kind = "similarity"

    def __init__(self, folder, *, device, precision, reading, descriptions, batch_tokens=None):
        found = models.architectures(folder)
        steps = read_steps(Path(folder))
        if steps is None and (not found or found[0].endswith(OTHER)):
            raise wrong_kind(self.kind, "a sentence encoder", found, folder)
        causal = found and found[0].endswith(("ForCausalLM", "LMHeadModel"))
        self.steps = steps or [pool_last if causal else pool_mean]
        # of T5 the encoder alone
        head = "TextEncoding" if found and found[0].startswith(("T5", "MT5", "UMT5")) else ""
        self.model, self.tokenizer = models.load(folder, head, device=device, precision=precision)
        self.parameters = self.model.num_parameters()
        self.device = device
        self.reading = reading
        self.descriptions = descriptions
        self.batch_tokens = batch_tokens or pass_tokens(device)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.tokenizer.padding_side = "right"
        self.size = models.size(self.model, self.tokenizer)
        packing.settle(self.model, device, precision, reading.max_tokens)
        self.classes = {}

    def score(self, texts, templates, words):
        """See Teacher.score."""
        form = templates[0].text or "{text}"  # params.Score has them all alike
        embedded, cut = self.embed([form.replace("{text}", text) for text in texts])
        about = np.stack([self.embed_classes(template, words) for template in templates])
        scores = SCALE * np.einsum("nd,tkd->ntk", embedded, about)
        return scores, None, np.repeat(cut[:, None], len(templates), 1), embedded

    def embed_classes(self, template, words):
        """K x D embeddings of the template's texts about the classes, each made once."""
        asked = [class_text(template, word, self.descriptions) for word in words]
        new = [text for text in dict.fromkeys(asked) if text not in self.classes]
        if new:
            self.classes.update(zip(new, self.embed(new)[0], strict=True))
        return np.stack([self.classes[text] for text in asked])

    def embed(self, texts):
        """N texts -> N x D embeddings of length 1 (float32), and which were cut to fit the model (N)."""
        options = {} if self.size == float("inf") else {"truncation": True, "max_length": int(self.size)}
        encoded = self.tokenizer(texts, return_attention_mask=False, verbose=False, **options)
        whole = self.tokenizer(texts, return_attention_mask=False, verbose=False) if options else encoded
        for row, ids in enumerate(encoded["input_ids"]):
            if not ids:  # nothing at all to read: the end of a text that never began
                encoded["input_ids"][row] = [self.tokenizer.eos_token_id or 0]
        lengths = [len(ids) for ids in encoded["input_ids"]]
        cut = np.array([len(ids) for ids in whole["input_ids"]]) > lengths
        found = None
        for batch in token_batches(lengths, self.batch_tokens):
            inputs = self.tokenizer.pad(
                {name: [column[index] or [0] for index in batch] for name, column in encoded.items()},
                return_tensors="pt",
                return_attention_mask=True,
            )
            part = self.forward(inputs.to(self.device))
            if found is None:
                found = np.empty((len(texts), part.shape[1]), np.float32)
            found[batch] = part
        return found, cut

    @torch.inference_mode()
    def forward(self, inputs):
        names = {*self.tokenizer.model_input_names, "attention_mask"}
        states = self.model(
            **{name: tensor for name, tensor in inputs.items() if name in names}
        ).last_hidden_state.float()
        mask = inputs["attention_mask"]
        for number, step in enumerate(self.steps):
            states = step(states, mask) if number == 0 else step(states)
        return normalize(states).cpu().numpy()


def class_text(template, words, descriptions):
    """The template's text about one class."""
    fields = {"{class}": words, "{description}": descriptions.get(words, "")}
    return re.sub(r"\{class\}|\{description\}", lambda place: fields[place[0]], template.class_text)


# ---------------------------------------------------------------------- steps behind the token states


def pool_mean(states, mask):
    """B x L x D token states, B x L mask -> B x D: the mean of the tokens."""
    weight = mask[..., None].float()
    return (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)


def pool_first(states, mask):
    return states[:, 0]


def pool_last(states, mask):
    return states[torch.arange(len(states)), mask.sum(1).clamp(min=1) - 1]


def normalize(states):
    return torch.nn.functional.normalize(states, dim=-1)


POOLS = {"mean": pool_mean, "cls": pool_first, "lasttoken": pool_last}


def read_steps(folder):
    """What a sentence-transformers folder does behind the token states: pooling, then B x D -> B x D.

    None where it has no modules.json. Raises UserError where a step is not one of Pooling (mean, cls,
    lasttoken), Dense and Normalize.
    """
    path = folder / "modules.json"
    if not path.exists():
        return None
    steps = []
    for module in json.loads(path.read_text(encoding="utf-8")):
        name, place = module["type"].split(".")[-1], folder / module["path"]
        if name == "Transformer" and not steps:
            continue
        if name == "Pooling" and not steps:
            steps.append(POOLS[pooling(place / "config.json")])
        elif name == "Dense" and steps:
            steps.append(dense(place))
        elif name == "Normalize" and steps:
            steps.append(normalize)
        else:
            raise UserError(f"{path}: must name Transformer, Pooling, Dense and Normalize, found {name}")
    return steps or [pool_mean]


def pooling(path):
    """mean, cls or lasttoken, from a Pooling's config.json (one flag a mode, or `pooling_mode`)."""
    config = json.loads(path.read_text(encoding="utf-8"))
    mode = config.get("pooling_mode")
    flags = {"mean_tokens": "mean", "cls_token": "cls"}
    on = [name.removeprefix("pooling_mode_") for name, value in config.items() if value is True]
    modes = (
        [mode] if isinstance(mode, str) else mode or [flags.get(n, n) for n in on if n != "include_prompt"]
    )
    if len(modes) != 1 or modes[0] not in POOLS:
        raise UserError(f"{path}: pooling must be mean, cls or lasttoken, found {', '.join(modes) or 'none'}")
    return modes[0]


def dense(folder):
    """A linear layer with its activation, B x D -> B x E."""
    import safetensors.torch

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = config["activation_function"].split(".")[-1]
    if name not in ("Identity", "Tanh"):
        raise UserError(f"{folder}/config.json: activation must be Identity or Tanh, found {name}")
    if not (folder / "model.safetensors").exists():
        raise UserError(f"{folder}: must hold its weights as model.safetensors")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weight, bias = weights["linear.weight"].float(), weights.get("linear.bias")

    def step(states):
        made = torch.nn.functional.linear(
            states, weight.to(states.device), None if bias is None else bias.float().to(states.device)
        )
        return made.tanh() if name == "Tanh" else made

    return step
