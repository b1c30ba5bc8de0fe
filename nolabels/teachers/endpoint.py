"""A served language model as teacher, by the OpenAI completions protocol with log-probabilities.

The score of a class is what the likelihood teacher gives for the same model and a plain template: the
log-probability of its words behind the template with the text, less the same with an empty text. The
chat form of a model is the server's secret, so its marks, where they are wanted, stand in the template.
"""

import json
import re
from pathlib import Path
from typing import cast

import numpy as np

from nolabels.core.params import Served, Template
from nolabels.teachers.completions import CompletionsServer, Context, Tokens
from nolabels.teachers.teacher import Reading, Span, Teacher

FILE = "endpoint.json"  # what `fetch` writes into the teacher's folder: url and model
Pair = tuple[str, str]  # a plain template and the words of a class


class Endpoint(Teacher):
    """Asks the server that endpoint.json names.

    Parameters
    ----------
    folder : path
        With endpoint.json.
    name, served, reading
        See kinds.load_teacher.

    Raises
    ------
    UserError
        Where the folder names no endpoint, or the key is not there.
    """

    kind = "endpoint"
    parameters = None

    def __init__(self, folder: str | Path, *, name: str, served: Served, reading: Reading):
        self.name, self.reading = name, reading
        path = Path(folder, FILE)
        if not path.exists():
            raise self.wrong_kind(f"an {FILE}, which an endpoint of fetch.models makes", [], folder)
        about = json.loads(path.read_text(encoding="utf-8"))
        self.server = CompletionsServer(about["endpoint"], about["model"], served)
        self.endings: dict[Pair, Tokens] = {}  # tokens of the class words
        self.null_scores: dict[Pair, float] = {}  # log-likelihoods behind an empty text

    def clean(self, text: str) -> str:
        """The text with marks like <|im_end|> taken apart, so that no text ends its own turn."""
        return re.sub(r"<(?=[|\uff5c])", "< ", text.strip())

    def spans(self, texts: list[str]) -> list[list[Span]]:
        """See Teacher.spans; the server is asked, since it alone knows its tokens."""
        pieces = self.server.map(self.server.pieces, texts)
        return [locate(text, text_pieces) for text, text_pieces in zip(texts, pieces, strict=True)]

    def score(self, texts: list[str], templates: list[Template], words: list[str]) -> tuple:
        """See Teacher.score."""
        # a template of this kind has `plain`: Score sees to it
        asked = [(cast(str, template.plain), word) for template in templates for word in words]
        self._learn_endings(asked)
        if new := [pair for pair in asked if pair not in self.null_scores]:
            self.null_scores.update(zip(new, self._loglikelihoods([""], new)[0], strict=True))
        scores = self._loglikelihoods(texts, asked) - np.array([self.null_scores[pair] for pair in asked])
        return scores.reshape(len(texts), len(templates), len(words)).astype(np.float32), None, None

    def _loglikelihoods(self, texts: list[str], asked: list[Pair]) -> np.ndarray:
        """Log-likelihoods of the class words of Q pairs behind N texts: N x Q, float64."""
        if self.server.echoes():
            echoed = self.server.map(self._echoed, [(text, *pair) for text in texts for pair in asked])
            return np.array(echoed, np.float64).reshape(len(texts), len(asked))
        heads: dict[str, list[int]] = {}
        for number, (template, word) in enumerate(asked):
            heads.setdefault(split_template(template, word)[0], []).append(number)
        scores = np.empty((len(texts), len(asked)))
        for numbers in heads.values():  # texts behind one head follow each other: slots keep it
            pairs = [asked[number] for number in numbers]
            scores[:, numbers] = self.server.map(self._stepwise, [(text, pairs) for text in texts])
        return scores

    def _learn_endings(self, asked: list[Pair]) -> None:
        """Keeps the tokens of each class's words at the end of each template.

        Raises UserError where the server's tokenizer joins them to what stands before them.
        """
        new = [pair for pair in asked if pair not in self.endings]
        anchors = [split_template(*pair) for pair in new]
        starts = list(dict.fromkeys(start or "." for _, start, _ in anchors))
        known = dict(zip(starts, self.server.map(self.server.tokens, starts), strict=True))
        bases = [known[start or "."] for _, start, _ in anchors]
        whole = self.server.map(self.server.tokens, [(start or ".") + ending for _, start, ending in anchors])
        for pair, base, full in zip(new, bases, whole, strict=True):
            if full[: len(base)] != base or len(full) == len(base):
                raise self.error(
                    "templates",
                    "{class} must be a word of its own; the server's tokenizer "
                    f"joins {pair[1]!r} to what stands before it in {pair[0]!r}",
                )
            self.endings[pair] = full[len(base) :]

    def _echoed(self, question: tuple[str, str, str]) -> float:
        """Log-likelihood of the class words from the echoed prompt; question: text, template, words."""
        text, template, word = question
        before, start, ending = split_template(template, word)
        tokens = self.endings[template, word]
        pieces, logprobs = self.server.echo(before + text + start + ending)
        count = len(tokens)
        if pieces[-count:] != tokens:  # joined in another way here: what reaches into the words counts
            count = _pieces_within(pieces, len(ending))
        # a text's very first token follows nothing, and has no probability
        return sum(logprob or 0.0 for logprob in logprobs[-count:])

    def _stepwise(self, question: tuple[str, list[Pair]]) -> list[float]:
        """Log-likelihoods of class words, token by token; question: text, Q pairs."""
        text, asked = question
        wanted: dict[Context, list[int]] = {}
        paths: list[
            list[tuple[Context, int]]
        ] = []  # a path: the words' tokens, each with the context that it follows
        for template, word in asked:
            before, start, _ = split_template(template, word)
            tokens = cast(tuple[int, ...], self.endings[template, word])  # ids, where a server does not echo
            path = [((before + text + start, *tokens[:step]), token) for step, token in enumerate(tokens)]
            for context, token in path:
                wanted.setdefault(context, []).append(token)
            paths.append(path)
        assert self.server.slots is not None  # a server that does not echo has them
        slot = self.server.slots.get()
        try:
            logprobs = {
                context: self.server.following(context, wanted[context], slot) for context in sorted(wanted)
            }
        finally:
            self.server.slots.put(slot)
        return [sum(logprobs[context][token] for context, token in path) for path in paths]


def split_template(template: str, words: str) -> tuple[str, str, str]:
    """What stands before the text of a template, behind it, and the class words as they end it.

    White space before the words belongs to them, since tokenizers join it to what follows.
    """
    before, after = template.split("{text}")
    tail, end = after.split("{class}")
    start = tail.rstrip()
    return before, start, tail[len(start) :] + words + end


def _pieces_within(pieces: list[str], length: int) -> int:
    """How many of the last pieces hold the last `length` characters."""
    held, count = 0, 0
    while held < length and count < len(pieces):
        count += 1
        held += len(pieces[-count])
    return count


def locate(text: str, pieces: list[str]) -> list[Span]:
    """Where each piece of a text begins and ends.

    One that is no part of the text has no length: a share of a character's bytes, or, before all
    others, a mark of the beginning, which is left out.
    """
    spans, position = [], 0
    for piece in pieces:
        # a character whose bytes are several tokens shows in none of them: look a little further on
        at = text.find(piece, position, position + len(piece) + 8) if piece else -1
        if at >= 0:
            spans.append((at, at + len(piece)))
            position = at + len(piece)
        elif spans:
            spans.append((position, position))
    return spans
