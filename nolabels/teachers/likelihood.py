"""A causal language model as teacher: a class scores the log-likelihood of its words as the answer.

The prompt asks about the text; the words of each class stand in the place of the answer, and the
score of a class is the sum of the log-probabilities of its tokens (Brown et al. 2020, "Language
Models are Few-Shot Learners", section 2.4).

Equal work is done once. The fixed head of a prompt goes through the model once, and its keys and
values serve every text. Templates with the same head share the text: the tokens of all their
endings and of all class words form a tree behind it, and one forward pass reads that tree, each
token attending to its own ancestors only (the tree attention of Miao et al. 2024, "SpecInfer").
"""

import re
from dataclasses import dataclass

import numpy as np
import torch

from nolabels import models
from nolabels.stage import UserError
from nolabels.teachers import Answers, cut_texts, token_batches

SENTINEL = "\u2402TEXT\u2403"


@dataclass(frozen=True)
class Prompt:
    """One template, rendered: `head` + text + `tail`, then one of `words` (token ids of K classes)."""

    head: str
    tail: str
    words: tuple[tuple[int, ...], ...]
    special: bool  # whether the tokenizer adds its own special tokens (chat forms hold theirs)


@dataclass(frozen=True)
class Tree:
    """The tokens of one text behind the shared head: T prompts and the words of K classes.

    ids, depths, parents: L ints, parents before children; a token attends to its ancestors and
    itself. reads: for each (template, class) the positions whose next-token distributions score its
    words, and those words' token ids.
    """

    ids: list[int]
    depths: list[int]
    parents: list[int]
    reads: list[list[tuple[list[int], tuple[int, ...]]]]


class Likelihood:
    """Scores texts with the causal model in `folder` (safetensors or GGUF).

    precision: "float32" or "bfloat16"; max_tokens: tokens of the text that are read (a longer text
    is cut at its end, the question never); batch_tokens: padded tokens in one forward pass.
    Raises UserError if the folder holds no causal model, or if a chat template is asked of a
    tokenizer that has none.
    """

    kind = "likelihood"

    def __init__(self, folder, *, device, precision, max_tokens, batch_tokens=1536):
        found = models.architectures(folder)
        if not any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in found):
            raise UserError(
                f"params.yaml: score.kind: likelihood needs a causal language model, found {', '.join(found) or 'no architecture'} in {folder}"
            )
        self.model, self.tokenizer = models.load(folder, "CausalLM", device=device, precision=precision)
        self.parameters = self.model.num_parameters()
        output = self.model.get_output_embeddings()
        self.output = output.weight.detach().float(), None if output.bias is None else output.bias.float()
        self.device = device
        self.max_tokens = max_tokens
        self.batch_tokens = batch_tokens
        special = [re.escape(token) for token in self.tokenizer.all_special_tokens if len(token) > 1]
        self.special = re.compile("|".join(special)) if special else None
        self.heads = {}

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
                    f"joins {word!r} to what stands before it in {template!r}"
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

    def ask(self, texts, templates, words):
        """N texts, T templates, K class words -> Answers (N x T x K).

        Texts of about the same length should come together: a batch is padded to its longest.
        """
        texts, tokens, cut = cut_texts(self.tokenizer, [self.clean(text) for text in texts], self.max_tokens)
        prompts = [self.prompt(template, words) for template in templates]
        scores = np.zeros((len(texts), len(prompts), len(words)), np.float32)
        groups = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault((prompt.head, prompt.special), []).append(index)
        for (head, special), members in groups.items():
            rows = [
                self.encode([head + text + prompts[index].tail for text in texts], special)
                for index in members
            ]
            stem, keys = self.head(head, special)
            shared = min(shared_length(stem, ids) for ids in zip(*rows, strict=True) for ids in ids)
            trees = [
                grow_tree([ids[shared:] for ids in group], [prompts[index].words for index in members])
                for group in zip(*rows, strict=True)
            ]
            for batch in token_batches([len(tree.ids) for tree in trees], self.batch_tokens):
                scores[np.ix_(batch, members)] = self.forward([trees[index] for index in batch], keys, shared)
        count = len(templates)
        return Answers(
            scores,
            None,
            np.repeat(np.asarray(tokens, np.int32)[:, None], count, 1),
            np.repeat(np.asarray(cut, bool)[:, None], count, 1),
        )

    def head(self, head, special):
        """Token ids that every prompt with this head begins with, and their keys and values."""
        if (head, special) not in self.heads:
            probes = self.encode([head + probe for probe in ("a", "The", "9", "\u4e00", "«")], special)
            length = min(shared_length(probes[0], probe) for probe in probes)
            ids = probes[0][:length]
            keys = None
            if ids:
                with torch.inference_mode():
                    cache = self.model(
                        input_ids=torch.tensor([ids], device=self.device),
                        use_cache=True,
                        logits_to_keep=1,
                    ).past_key_values
                keys = [(layer.keys, layer.values) for layer in cache.layers]
            self.heads[head, special] = ids, keys
        return self.heads[head, special]

    @torch.inference_mode()
    def forward(self, trees, keys, shared):
        """B trees behind `shared` cached head tokens -> B x T x K log-likelihoods (float32)."""
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
        else:
            mask = np.zeros((size, shared + width), np.int64)
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
        hidden = self.model.base_model(
            input_ids=torch.from_numpy(ids).to(self.device),
            attention_mask=torch.from_numpy(mask).to(self.device),
            position_ids=torch.from_numpy(positions).to(self.device),
            past_key_values=cache,
            use_cache=shared > 0,
        ).last_hidden_state
        # the distributions are needed at few positions: after each prompt and inside class words
        places = sorted(
            {
                (row, place)
                for row, tree in enumerate(trees)
                for classes in tree.reads
                for path, _ in classes
                for place in path
            }
        )
        index = {place: number for number, place in enumerate(places)}
        rows, columns = zip(*places, strict=True)
        # in float32 always: bfloat16 logits come in steps of an eighth, and texts would tie
        logits = torch.nn.functional.linear(hidden[list(rows), list(columns)].float(), *self.output)
        logprobs = (logits - logits.logsumexp(-1, keepdim=True)).cpu().numpy()
        return np.array(
            [
                [
                    [
                        sum(
                            logprobs[index[row, place], word]
                            for place, word in zip(path, word_ids, strict=True)
                        )
                        for path, word_ids in classes
                    ]
                    for classes in tree.reads
                ]
                for row, tree in enumerate(trees)
            ],
            np.float32,
        )


def shared_length(left, right):
    """How many leading items two sequences have in common."""
    length = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        length += 1
    return length


def grow_tree(prompts, words):
    """T prompts (token ids behind the head) and their T x K class words (token ids) -> Tree."""
    ids, depths, parents, children, reads = [], [], [], {}, []

    def walk(node, tokens):
        path = [node]
        for token in tokens:
            following = children.get((node, token))
            if following is None:
                following = len(ids)
                children[node, token] = following
                ids.append(token)
                parents.append(node)
                depths.append(depths[node] + 1 if node >= 0 else 0)
            node = following
            path.append(node)
        return path

    for prompt, classes in zip(prompts, words, strict=True):
        end = walk(-1, prompt)[-1]
        # a word's last token is predicted, never read
        reads.append([(walk(end, word[:-1]), word) for word in classes])
    return Tree(ids, depths, parents, reads)
