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

import inspect
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from nolabels.core import models
from nolabels.core.stage import UserError
from nolabels.teachers import packing
from nolabels.teachers.batches import pass_tokens, token_batches
from nolabels.teachers.prompt_tree import grow_tree, shared_length, spread
from nolabels.teachers.teacher import Teacher, wrong_kind

SENTINEL = "\u2402TEXT\u2403"
# how far the shared path may be from the plain one: absolute and relative; bfloat16 log-likelihoods
# move by some tenths with the shape of a batch, a model that cannot be shared is off by whole units
TOLERANCE = {"float32": (1e-3, 1e-4), "bfloat16": (0.5, 0.05)}
LOGITS = 2**24  # numbers that the output layer says at once: 64 MiB
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


@dataclass(frozen=True)
class Prompt:
    """One template, rendered: `head` + text + `tail`, then one of `words` (token ids of K classes)."""

    head: str
    tail: str
    words: tuple[tuple[int, ...], ...]
    special: bool  # whether the tokenizer adds its own special tokens (chat forms hold theirs)


class Likelihood(Teacher):
    """Scores texts with the causal model in `folder` (safetensors or GGUF).

    precision: "float32" or "bfloat16"; reading: kinds.Reading; batch_tokens: padded tokens in one
    forward pass. Raises UserError if the folder holds no causal model, or if a chat template is asked of
    a tokenizer that has none.
    """

    kind = "likelihood"

    def __init__(self, folder, *, device, precision, reading, batch_tokens=None):
        found = models.architectures(folder)
        if not any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in found):
            raise wrong_kind(self.kind, "a causal language model", found, folder)
        self.model, self.tokenizer = models.load(folder, "CausalLM", device=device, precision=precision)
        self.parameters = self.model.num_parameters()
        output = self.model.get_output_embeddings()
        self.output = output.weight.float(), None if output.bias is None else output.bias.float()
        # in float32 always: bfloat16 logits come in steps of an eighth, and texts would tie
        output.register_forward_hook(lambda module, given, result: self.in_float32(given[0]))
        self.device = device
        self.reading = reading
        self.batch_tokens = batch_tokens or pass_tokens(device)
        special = [re.escape(token) for token in self.tokenizer.all_special_tokens if len(token) > 1]
        self.special = re.compile("|".join(special)) if special else None
        self.positions = getattr(self.model.config, "max_position_embeddings", None)
        # a prompt without any token begins like a document
        first = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, 0)
        self.start = [next(token for token in first if token is not None)]
        forward = inspect.signature(self.model.forward).parameters
        self.picks = "logits_to_keep" in forward  # whether the model can leave logits out
        self.heads, self.premises = {}, {}
        self.tolerance = TOLERANCE[precision]
        packing.settle(self.model, device, precision, reading.max_tokens)

    def in_float32(self, hidden):
        """The output layer, whatever the precision of what it reads."""
        return torch.nn.functional.linear(hidden.float(), *self.output)

    # ------------------------------------------------------------------ prompts

    def prompt(self, template, words):
        """Template and K class words (text) -> Prompt."""
        if template.chat is None:
            before, after = template.plain.split("{text}")
            tail, special = after, True
        else:
            if self.tokenizer.chat_template is None:
                raise UserError(
                    "params.yaml: score.templates: a chat template needs a teacher with a chat form; "
                    "this teacher's tokenizer has none (use plain)"
                )
            question = template.chat.replace("{text}", SENTINEL)
            rendered = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
            )
            before, after = rendered.split(SENTINEL)
            tail, special = after + template.answer, False
        tail, end = tail.split("{class}")
        start = tail.rstrip()
        space = tail[len(start) :]
        anchor = start or "."
        base = self.encode([anchor], special=False)[0]
        ids = []
        for word in words:
            whole = self.encode([anchor + space + word + end], special=False)[0]
            if whole[: len(base)] != base or len(whole) == len(base):
                raise UserError(
                    f"params.yaml: score.templates: {{class}} must be a word of its own; the tokenizer "
                    f"joins {word!r} to what stands before it in {template.plain or template.answer!r}"
                )
            ids.append(tuple(whole[len(base) :]))
        return Prompt(before, start, tuple(ids), special)

    def encode(self, strings, special):
        return self.tokenizer(strings, add_special_tokens=special, verbose=False)["input_ids"]

    def clean(self, text):
        """The text with the model's control tokens taken apart, so that no text ends its own turn."""
        text = text.strip()
        if self.special is None:
            return text
        return self.special.sub(lambda match: match[0][0] + " " + match[0][1:], text)

    # ------------------------------------------------------------------ scoring

    def score(self, texts, templates, words):
        """See Teacher.score."""
        prompts = [self.prompt(template, words) for template in templates]
        key = tuple(prompts)
        if key not in self.premises:
            self.premises[key] = self.loglikelihoods([""], prompts)[0]
        return self.loglikelihoods(texts, prompts) - self.premises[key], None, None

    def loglikelihoods(self, texts, prompts):
        """N texts, T prompts -> N x T x K log-likelihoods of the class words (float32)."""
        scores = np.zeros((len(texts), len(prompts), len(prompts[0].words)), np.float32)
        groups = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault((prompt.head, prompt.special), []).append(index)
        for (head, special), members in groups.items():
            rows = [
                [
                    ids or self.start
                    for ids in self.encode([head + text + prompts[index].tail for text in texts], special)
                ]
                for index in members
            ]
            words = [prompts[index].words for index in members]
            self.check_room(rows, words)
            read = self.read_shared if self.shares else self.read_plain
            scores[:, members] = read(rows, words, head, special)
        return scores

    def check_room(self, rows, words):
        """Raises UserError where a prompt and its longest class words are more than the model holds."""
        longest = max(
            len(ids) + max(map(len, classes)) - 1
            for group, classes in zip(rows, words, strict=True)
            for ids in group
        )
        if self.positions is not None and longest > self.positions:
            limit = self.reading.max_tokens
            raise UserError(
                f"params.yaml: score.max_tokens: must be at most {max(0, limit - (longest - self.positions))} "
                f"for this model, which holds {self.positions} tokens, question and class words included, found {limit}"
            )

    @cached_property
    def shares(self):
        """Whether the shared path gives what the model's own forward pass gives.

        Tried when it is first needed, with two texts, a short one and one of max_tokens, and two templates with the same head
        and class words of one and of two tokens: windows and long-range position schemes show there.
        """
        one, two, three, *_ = self.encode([" one two three four"], special=False)[0]
        prompts = [
            Prompt("Text: ", tail, ((one, two), (one, three), (three,)), True)
            for tail in ("\nTopic:", "\nThe topic is")
        ]
        limit = min(self.reading.max_tokens, (self.positions or 10**6) // 2)
        long = " ".join(str(number) for number in range(limit))
        spans = self.spans([long])[0]
        texts = ["A town.", long[: spans[min(limit, len(spans)) - 1][1]]]
        rows = [self.encode([prompt.head + text + prompt.tail for text in texts], True) for prompt in prompts]
        asked = rows, [prompt.words for prompt in prompts], prompts[0].head, True
        try:
            shared = self.read_shared(*asked)
        except CANNOT_SHARE:
            return False
        absolute, relative = self.tolerance
        return bool(np.allclose(shared, self.read_plain(*asked), atol=absolute, rtol=relative))

    def read_shared(self, rows, words, head, special):
        """T x N prompts (token ids) with one head, T x K class words -> N x T x K log-likelihoods."""
        shape = len(rows[0]), len(rows), len(words[0])
        stem, keys = self.head(head, special)
        shared = min(shared_length(stem, ids) for group in rows for ids in group)
        # a prompt's last token is read for its prediction, so at least one is left outside the head
        shared = min(shared, min(len(ids) for group in rows for ids in group) - 1)
        trees = [grow_tree([ids[shared:] for ids in group], words) for group in zip(*rows, strict=True)]
        states, reads = [], []  # reads: place in states, token, number of the score that it is a part of
        for batch in token_batches([len(tree.ids) for tree in trees], self.batch_tokens):
            hidden = self.forward([trees[index] for index in batch], keys, shared)
            for row, index in enumerate(batch):
                paths = [(path, word) for classes in trees[index].reads for path, word in classes]
                places = sorted({place for path, _ in paths for place in path})
                at = {place: len(states) + number for number, place in enumerate(places)}
                states += hidden[row, places]
                reads += [
                    (at[place], token, index * len(paths) + number)
                    for number, (path, word) in enumerate(paths)
                    for place, token in zip(path, word, strict=True)
                ]
        places, tokens, numbers = np.array(reads).T
        scores = np.zeros(np.prod(shape), np.float32)
        np.add.at(scores, numbers, self.logprobs(torch.stack(states), places, tokens))
        return scores.reshape(shape)

    @torch.inference_mode()
    def logprobs(self, states, places, tokens):
        """P last hidden states; R places in them and token ids -> R log-probabilities of these tokens there.

        The output layer reads many states at once, and no more of what it says is kept than is asked for.
        """
        found = np.empty(len(places), np.float32)
        size = max(1, LOGITS // self.output[0].shape[0])
        for start in range(0, len(states), size):
            logits = self.in_float32(states[start : start + size])
            here = np.flatnonzero((places >= start) & (places < start + size))
            at = places[here] - start
            found[here] = (logits[at, tokens[here]] - logits.logsumexp(-1)[at]).cpu().numpy()
        return found

    @torch.inference_mode()
    def read_plain(self, rows, words, head, special):
        """The same by the model's own forward pass, one sequence for each prompt and branch of words."""
        scores = np.zeros((len(rows[0]), len(rows), len(words[0])), np.float32)
        asked = [
            (template, branch)
            for template, (group, classes) in enumerate(zip(rows, words, strict=True))
            for branch in spread(group, classes)
        ]
        for batch in token_batches([len(branch.ids) for _, branch in asked], self.batch_tokens):
            some = [asked[index] for index in batch]
            found = self.whole([branch for _, branch in some]).cpu().numpy()
            places = [
                (branch.text, template, number) for template, branch in some for number in branch.classes
            ]
            scores[tuple(zip(*places, strict=True))] = found
        return scores

    def whole(self, asked):
        """The model's own forward pass over some Branches.

        Returns the log-likelihoods of their class words, branch by branch: a vector.
        """
        width = max(len(branch.ids) for branch in asked)
        ids = np.zeros((len(asked), width), np.int64)
        mask = np.zeros((len(asked), width), np.int64)
        reads, count = [], 0
        for row, branch in enumerate(asked):
            ids[row, : len(branch.ids)] = branch.ids
            mask[row, : len(branch.ids)] = 1
            for word in branch.words:
                reads += [(row, branch.start + step, token, count) for step, token in enumerate(word)]
                count += 1
        rows, places, tokens, numbers = torch.tensor(reads, device=self.device).T
        wanted, columns = places.unique(return_inverse=True)
        kept = {"logits_to_keep": wanted} if self.picks else {}
        logprobs = self.model(
            input_ids=torch.from_numpy(ids).to(self.device),
            attention_mask=torch.from_numpy(mask).to(self.device),
            use_cache=False,
            **kept,
        ).logits.float().log_softmax(-1)  # fmt: skip
        found = logprobs[rows, columns if self.picks else places, tokens]
        return torch.zeros(count, device=self.device).index_add(0, numbers, found)

    def head(self, head, special):
        """Token ids that every prompt with this head begins with, and their keys and values."""
        if (head, special) not in self.heads:
            probes = self.encode([head + probe for probe in ("a", "The", "9", "\u4e00", "«")], special)
            length = min(shared_length(probes[0], probe) for probe in probes)
            ids = probes[0][:length]
            keys = None
            if ids:
                with torch.inference_mode():
                    cache = self.model.base_model(
                        input_ids=torch.tensor([ids], device=self.device), use_cache=True
                    ).past_key_values
                keys = [(layer.keys, layer.values) for layer in cache.layers]
            self.heads[head, special] = ids, keys
        return self.heads[head, special]

    @torch.inference_mode()
    def forward(self, trees, keys, shared):
        """B trees behind `shared` cached head tokens -> B x tokens x width, the last hidden states."""
        from transformers import DynamicCache

        size, width = len(trees), max(len(tree.ids) for tree in trees)
        ids = np.zeros((size, width), np.int64)
        positions = np.full((size, width), shared, np.int64)
        branched = any(len(set(tree.parents)) < len(tree.parents) for tree in trees)
        for row, tree in enumerate(trees):
            ids[row, : len(tree.ids)] = tree.ids
            positions[row, : len(tree.ids)] = np.asarray(tree.depths) + shared
        if branched:
            mask = np.zeros((size, 1, width, shared + width), bool)
            mask[..., :shared] = True
            for row, tree in enumerate(trees):
                seen = mask[row, 0, :, shared:]
                for node, parent in enumerate(tree.parents):
                    if parent >= 0:
                        seen[node] = seen[parent]
                    seen[node, node] = True
            seen, dtype = torch.from_numpy(mask), self.model.dtype
            # added to what attention weighs by, which all of its forms understand
            mask = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)
        else:
            mask = torch.zeros((size, shared + width), dtype=torch.int64)
            for row, tree in enumerate(trees):
                mask[row, : shared + len(tree.ids)] = 1
        cache = None
        if shared:
            cache = DynamicCache()
            for layer, (key, value) in enumerate(keys):
                cache.update(
                    key[:, :, :shared].expand(size, -1, -1, -1),
                    value[:, :, :shared].expand(size, -1, -1, -1),
                    layer,
                )
        return self.model.base_model(
            input_ids=torch.from_numpy(ids).to(self.device),
            attention_mask=mask.to(self.device),
            position_ids=torch.from_numpy(positions).to(self.device),
            past_key_values=cache,
            use_cache=shared > 0,
        ).last_hidden_state
