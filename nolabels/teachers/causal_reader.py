"""How a causal language model reads prompts: as trees behind a shared head, or each prompt by itself."""

import inspect
from collections.abc import Iterator

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from nolabels.core.batches import on_each_core, token_batches
from nolabels.teachers.prompt_tree import (
    Branch,
    Tree,
    batch_of_trees,
    branches_of,
    grow_tree,
    shared_length,
)
from nolabels.teachers.prompts import token_ids

LOGITS = 2**24  # numbers that the output layer computes at once: 64 MiB


class CausalReader:
    """Log-likelihoods of class words behind prompts.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model.
    tokenizer : transformers.PreTrainedTokenizerBase
        Its tokenizer.
    device : str
        A torch device name.
    batch_tokens : int
        Padded tokens in one forward pass.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, device: str, batch_tokens: int
    ):
        self.model, self.tokenizer, self.device, self.batch_tokens = model, tokenizer, device, batch_tokens
        output = model.get_output_embeddings()
        self.output = output.weight.float(), None if output.bias is None else output.bias.float()
        # in float32 always: bfloat16 logits come in steps of an eighth, and texts would tie
        output.register_forward_hook(lambda module, inputs, result: self._output_layer(inputs[0]))
        # whether the model can leave logits out
        self.picks_logits = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.heads: dict[
            tuple[str, bool], tuple[list[int], list | None]
        ] = {}  # (head, special): its token ids, and their keys and values

    def _output_layer(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits in float32, whatever the precision of the hidden states."""
        return torch.nn.functional.linear(hidden.float(), *self.output)

    # ------------------------------------------------------------------ trees behind a shared head

    def read_shared(
        self,
        prompts: list[list[list[int]]],
        words: list[tuple[tuple[int, ...], ...]],
        head: str,
        special: bool,
    ) -> np.ndarray:
        """Log-likelihoods from one tree for each text.

        Parameters
        ----------
        prompts : list of T lists of N lists of int
            Token ids of the prompts, all of which begin with the head.
        words : list of T tuples of K tuples of int
            Token ids of the class words.
        head : str
            What all prompts begin with.
        special : bool
            Whether the tokenizer adds its special tokens.

        Returns
        -------
        numpy.ndarray, N x T x K, float32
        """
        shape = len(prompts[0]), len(prompts), len(words[0])
        stem, keys = self._read_head(head, special)
        shared = min(shared_length(stem, ids) for group in prompts for ids in group)
        # a prompt's last token is read for its prediction, so at least one is left outside the head
        shared = min(shared, min(len(ids) for group in prompts for ids in group) - 1)
        trees = [grow_tree([ids[shared:] for ids in group], words) for group in zip(*prompts, strict=True)]
        states: list[torch.Tensor] = []
        reads = []  # index in states, token, number of the score that it is a part of
        for index, hidden in self._read_trees(trees, keys, shared):
            paths = trees[index].paths
            at = {position: len(states) + row for row, position in enumerate(trees[index].positions)}
            states += hidden
            reads += [
                (at[position], token, index * len(paths) + number)
                for number, (path, word) in enumerate(paths)
                for position, token in zip(path, word, strict=True)
            ]
        rows, tokens, numbers = np.array(reads).T
        scores = np.zeros(np.prod(shape), np.float32)
        np.add.at(scores, numbers, self._logprobs(torch.stack(states), rows, tokens))
        return scores.reshape(shape)

    def _read_trees(
        self, trees: list[Tree], keys: list | None, shared: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yields the number of each tree, in any order, and the last hidden states at its positions."""
        batches = token_batches([len(tree.ids) for tree in trees], self.batch_tokens)

        @torch.inference_mode()
        def read(batch: list[int]) -> list[torch.Tensor]:
            some = [trees[index] for index in batch]
            hidden = self._hidden_states(some, keys, shared)
            return [hidden[row, tree.positions] for row, tree in enumerate(some)]

        for batch, states in zip(batches, on_each_core(read, batches, self.device), strict=True):
            yield from zip(batch, states, strict=True)

    @torch.inference_mode()
    def _logprobs(self, states: torch.Tensor, rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Log-probabilities of R tokens behind some of P hidden states; rows: which state, for each token.

        The output layer reads many states at once, and no more of its logits is kept than is asked for.
        """
        logprobs = np.empty(len(rows), np.float32)
        size = max(1, LOGITS // self.output[0].shape[0])
        for start in range(0, len(states), size):
            logits = self._output_layer(states[start : start + size])
            here = np.flatnonzero((rows >= start) & (rows < start + size))
            at = rows[here] - start
            logprobs[here] = (logits[at, tokens[here]] - logits.logsumexp(-1)[at]).cpu().numpy()
        return logprobs

    def _read_head(self, head: str, special: bool) -> tuple[list[int], list | None]:
        """Token ids that every prompt with this head begins with, and their keys and values."""
        if (head, special) not in self.heads:
            strings = [head + probe for probe in ("a", "The", "9", "\u4e00", "«")]
            probes = token_ids(self.tokenizer, strings, special)
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

    def _hidden_states(self, trees: list[Tree], keys: list | None, shared: int) -> torch.Tensor:
        """The last hidden states of B trees behind `shared` cached head tokens: B x tokens x width."""
        ids, positions, seen = batch_of_trees(trees, shared)
        if seen.ndim == 4:
            # added to what attention weighs by, which all of its forms understand
            visible, dtype = torch.from_numpy(seen), self.model.dtype
            mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min)
        else:
            mask = torch.from_numpy(seen.astype(np.int64))
        cache = None
        if shared and keys is not None:
            cache = DynamicCache()
            for layer, (key, value) in enumerate(keys):
                cache.update(
                    key[:, :, :shared].expand(len(trees), -1, -1, -1),
                    value[:, :, :shared].expand(len(trees), -1, -1, -1),
                    layer,
                )
        return self.model.base_model(
            input_ids=torch.from_numpy(ids).to(self.device),
            attention_mask=mask.to(self.device),
            position_ids=torch.from_numpy(positions).to(self.device),
            past_key_values=cache,
            use_cache=shared > 0,
        ).last_hidden_state

    # ------------------------------------------------------------------ each prompt by itself

    def read_plain(
        self, prompts: list[list[list[int]]], words: list[tuple[tuple[int, ...], ...]]
    ) -> np.ndarray:
        """Log-likelihoods from the model's own forward pass, one sequence for each prompt and branch of words.

        Parameters
        ----------
        prompts, words
            See read_shared.

        Returns
        -------
        numpy.ndarray, N x T x K, float32
        """
        scores = np.zeros((len(prompts[0]), len(prompts), len(words[0])), np.float32)
        asked = [
            (template, branch)
            for template, (group, classes) in enumerate(zip(prompts, words, strict=True))
            for branch in branches_of(group, classes)
        ]
        batches = token_batches([len(branch.ids) for _, branch in asked], self.batch_tokens)

        def read(batch: list[int]) -> np.ndarray:
            return self._read_branches([asked[index][1] for index in batch]).cpu().numpy()

        for batch, logprobs in zip(batches, on_each_core(read, batches, self.device), strict=True):
            some = [asked[index] for index in batch]
            cells = [
                (branch.text, template, number) for template, branch in some for number in branch.classes
            ]
            scores[tuple(zip(*cells, strict=True))] = logprobs
        return scores

    @torch.inference_mode()
    def _read_branches(self, branches: list[Branch]) -> torch.Tensor:
        """Log-likelihoods of the class words of some branches, branch by branch: a vector."""
        width = max(len(branch.ids) for branch in branches)
        ids = np.zeros((len(branches), width), np.int64)
        mask = np.zeros((len(branches), width), np.int64)
        reads, count = [], 0
        for row, branch in enumerate(branches):
            ids[row, : len(branch.ids)] = branch.ids
            mask[row, : len(branch.ids)] = 1
            for word in branch.words:
                reads += [(row, branch.start + step, token, count) for step, token in enumerate(word)]
                count += 1
        rows, positions, tokens, numbers = torch.tensor(reads, device=self.device).T
        kept, columns = positions.unique(return_inverse=True)
        logprobs = self.model(
            input_ids=torch.from_numpy(ids).to(self.device),
            attention_mask=torch.from_numpy(mask).to(self.device),
            use_cache=False,
            **({"logits_to_keep": kept} if self.picks_logits else {}),
        ).logits.float().log_softmax(-1)  # fmt: skip
        read = logprobs[rows, columns if self.picks_logits else positions, tokens]
        return torch.zeros(count, device=self.device).index_add(0, numbers, read)
