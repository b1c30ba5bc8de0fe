"""Log-probabilities of a served language model, by the OpenAI completions protocol.

What is sent, to POST {url}/completions:

    {"model": …, "prompt": template with text and class words, "echo": true, "logprobs": 1,
     "max_tokens": 1, "temperature": 0}

`choices[0].logprobs` holds the prompt's `tokens` and their `token_logprobs`; the class words are the
last of them, before the one token that the server had to add (`usage.completion_tokens`). vLLM and the
server of llama-cpp-python answer so. llama.cpp's own llama-server refuses or ignores `echo`; there the
tokens of the words (from its POST /tokenize) are asked for, each behind those before it:

    {"model": …, "prompt": [template with text, ids before], "logprobs": 200, "max_tokens": 1,
     "temperature": 0, "logit_bias": [[id, 1000]], "cache_prompt": true, "id_slot": …}

The bias makes the server choose that token; the log-probabilities it tells, of this token and of the 200
likeliest, are those of the model before any bias or sampling (`post_sampling_probs` is false there unless
asked for). So one answer mostly holds all classes whose words differ in that token.

A slot of llama-server keeps the keys and values of its last prompt, and reads only what differs in the
next. So all questions about one text behind the same head go to one slot, sorted by prompt, so that
neighbours begin alike. As many texts are under way as there are slots (GET /props): the server reads them
in one batch.
"""

import queue
from collections.abc import Callable
from typing import Any

from nolabels.core.params import Served
from nolabels.core.stage import UserError
from nolabels.teachers.http_client import HttpClient

FORCE = 1000  # added to a logit that llama-server is to choose
LIKELY = 200  # tokens whose log-probabilities one answer holds: a few ms there, less than a further question

Tokens = list[str] | list[int]  # pieces of a text where the server echoes, ids where not
Context = tuple  # a prompt, and the token ids behind it


class NoEcho(Exception):
    """The server does not give the log-probabilities of a prompt."""


class CompletionsServer:
    """A server of one model.

    Parameters
    ----------
    url : str
        Where /completions is.
    model : str
        The model's name at the server.
    served : Served
        `runtime.endpoint`.

    Raises
    ------
    UserError
        Where the key is not there; later, where the server cannot be asked or gives no log-probabilities.
    """

    def __init__(self, url: str, model: str, served: Served):
        self.url, self.model, self.served = url.rstrip("/"), model, served
        self.root = self.url.removesuffix("/v1")  # where llama-server has addresses of its own
        self.client = HttpClient(served, model)
        self._echoes: bool | None = None
        self.slots: queue.SimpleQueue[int] | None = None  # a queue of llama-server's slots

    def echoes(self) -> bool:
        """Whether the server gives log-probabilities of the prompt; asked once."""
        if self._echoes is None:
            try:
                self.echo("a b")
                self._echoes = True
            except NoEcho:
                try:
                    self.tokenize("a b")
                except UserError as error:
                    raise self._no_logprobs() from error
                self.slots = self._free_slots()
                self._echoes = False
        return self._echoes

    def map(self, function: Callable[[Any], Any], items: list) -> list:
        """function(item) for each item, several at a time; results in order."""
        if not items:
            return []
        self.echoes()
        return self.client.map(function, items)

    def echo(self, prompt: str) -> tuple[list[str], list[float | None]]:
        """Pieces of the prompt and their log-probabilities; the first may be None."""
        answer = self.client.request(
            f"{self.url}/completions",
            {"model": self.model, "prompt": prompt, "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0},
            _refuses_echo,
        )  # fmt: skip
        about = _logprobs_of(answer)
        pieces, logprobs = about.get("tokens"), about.get("token_logprobs")
        added = (answer.get("usage") or {}).get("completion_tokens", 1)
        if not pieces or not logprobs or len(pieces) <= added:
            raise NoEcho if self._echoes is None else self._no_logprobs()
        end = len(pieces) - added
        return pieces[:end], logprobs[:end]

    def tokenize(self, text: str, with_pieces: bool = False) -> list:
        """Token ids of a text, by llama-server's own tokenizer; with_pieces: a list of {"id", "piece"}."""
        answer = self.client.request(
            f"{self.root}/tokenize",
            {"content": text, "add_special": False, "parse_special": True, "with_pieces": with_pieces},
        )
        return answer["tokens"]

    def tokens(self, text: str) -> Tokens:
        """The tokens of a text: its pieces where the server echoes, ids where not."""
        return self.echo(text)[0] if self.echoes() else self.tokenize(text)

    def pieces(self, text: str) -> list[str]:
        """The tokens of a text as pieces of it."""
        if not text:
            return []
        if self.echoes():
            return self.echo(text)[0]
        tokens = self.tokenize(text, with_pieces=True)
        # bytes of a character that is more than one token come as a list
        return [token["piece"] if isinstance(token["piece"], str) else "" for token in tokens]

    def following(self, context: Context, wanted: list[int], slot: int) -> dict[int, float]:
        """Log-probabilities of at least the wanted tokens behind a context.

        Parameters
        ----------
        context : tuple
            A prompt, and the token ids behind it.
        wanted : list of int
            Token ids.
        slot : int
            The server's slot that reads it.

        Returns
        -------
        dict of int to float
            By token id.
        """
        logprobs: dict[int, float] = {}
        while missing := [token for token in dict.fromkeys(wanted) if token not in logprobs]:
            logprobs |= self._forced(context, missing[0], 1 if len(missing) == 1 else LIKELY, slot)
        return logprobs

    def _forced(self, context: Context, token: int, count: int, slot: int) -> dict[int, float]:
        """Log-probabilities by token id, of one token and of the `count` likeliest behind a context."""
        prompt = list(context) if len(context) > 1 else context[0]
        answer = self.client.request(
            f"{self.url}/completions",
            {"model": self.model, "prompt": prompt, "logprobs": count, "max_tokens": 1, "temperature": 0,
             "logit_bias": [[token, FORCE]], "cache_prompt": True, "id_slot": slot},
        )  # fmt: skip
        if not prompt and not _logprobs_of(
            answer
        ):  # nothing to follow: no probability, as of an echo's first token
            return {token: 0.0}
        chosen = (_logprobs_of(answer).get("content") or [{}])[0]
        if chosen.get("id") != token or chosen.get("logprob") is None:
            raise self._no_logprobs()
        likely = {other["id"]: other["logprob"] for other in chosen.get("top_logprobs") or []}
        return likely | {token: chosen["logprob"]}

    def _free_slots(self) -> queue.SimpleQueue[int]:
        """Numbers of llama-server's slots; -1, any of them, where it does not say how many there are."""
        try:
            total = self.client.request(f"{self.root}/props").get("total_slots")
        except UserError:  # closed to this key, say; a server that is gone shows at the next question
            total = None
        slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(total) if total else [-1] * self.served.concurrency:
            slots.put(slot)
        return slots

    def _no_logprobs(self) -> UserError:
        return UserError(
            f"{self.url}: must give log-probabilities, of an echoed prompt (vLLM, llama-cpp-python) or of a "
            "biased token (llama-server), found neither"
        )


def _refuses_echo(status: int, message: str) -> None:
    """Raises NoEcho where an answer says that the server cannot echo."""
    if status in (400, 422, 500, 501) and "echo" in message.lower():
        raise NoEcho


def _logprobs_of(answer: dict[str, Any]) -> dict[str, Any]:
    """What an answer says about its first choice's tokens; {} where it says nothing."""
    return (answer.get("choices") or [{}])[0].get("logprobs") or {}
