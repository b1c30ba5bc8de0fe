"""A served language model as teacher, by the OpenAI completions protocol with log-probabilities.

The score of a class is what the likelihood teacher gives for the same model and a plain template: the
log-probability of its words behind the template with the text, less the same with an empty text. The
chat form of a model is the server's secret, so its marks, where they are wanted, stand in the template.

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

import json
import os
import queue
import re
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import requests

from nolabels.core.stage import UserError
from nolabels.teachers import http_client
from nolabels.teachers.http_client import (
    LONGEST_RETRY_AFTER,
    LONGEST_WAIT,
    NoEcho,
    Pace,
    Stopped,
    retry_after,
)
from nolabels.teachers.teacher import Teacher, wrong_kind

FILE = "endpoint.json"  # what `fetch` writes into the teacher's folder: url and model
FORCE = 1000  # added to a logit that llama-server is to choose
LIKELY = 200  # tokens whose log-probabilities one answer tells: a few ms there, less than a further question


class Endpoint(Teacher):
    """Asks the server that `folder`/endpoint.json names.

    served: params.Served; reading: kinds.Reading. Connections that fail, 429 and 5xx are tried
    again, after twice the time at each try or what Retry-After says; what cannot get better (401, 403,
    404, other 4xx) ends the run at once. The key is read from the environment, sent in the header, and
    taken out of every message. Raises UserError where the folder names no endpoint or the key is not
    there.
    """

    kind = "endpoint"
    parameters = None

    def __init__(self, folder, *, served, reading):
        path = Path(folder, FILE)
        if not path.exists():
            raise wrong_kind(self.kind, f"an {FILE}, which an endpoint of fetch.models makes", [], folder)
        about = json.loads(path.read_text(encoding="utf-8"))
        self.url, self.model = about["endpoint"].rstrip("/"), about["model"]
        self.root = self.url.removesuffix("/v1")  # where llama-server has what is its own
        self.served, self.reading = served, reading
        self.key = os.environ.get(served.key_env, "").strip() if served.key_env else None
        if served.key_env and not (self.key and self.key.isascii() and self.key.isprintable()):
            found = "something that no header can hold" if self.key else "nothing"
            raise UserError(
                f"params.yaml: runtime.endpoint.key_env: the environment variable {served.key_env} must hold the key, found {found}"
            )
        self.pace = Pace(served.requests_per_minute)
        self.local = threading.local()
        self.stopped = threading.Event()
        self.echoes = self.slots = None
        self.endings, self.premises = {}, {}

    # ------------------------------------------------------------------ scoring

    def clean(self, text):
        """The text with marks like <|im_end|> taken apart, so that no text ends its own turn."""
        return re.sub(r"<(?=[|\uff5c])", "< ", text.strip())

    def spans(self, texts):
        """See Teacher.spans; the server is asked, since it alone knows its tokens."""
        return [locate(text, found) for text, found in zip(texts, self.each(self.pieces, texts), strict=True)]

    def score(self, texts, templates, words):
        """See Teacher.score."""
        asked = [(template.plain, word) for template in templates for word in words]
        self.learn(asked)
        if new := [pair for pair in asked if pair not in self.premises]:
            self.premises.update(zip(new, self.loglikelihoods([""], new)[0], strict=True))
        scores = self.loglikelihoods(texts, asked) - np.array([self.premises[pair] for pair in asked])
        return scores.reshape(len(texts), len(templates), len(words)).astype(np.float32), None, None

    def loglikelihoods(self, texts, asked):
        """N texts, Q pairs (template, class words) -> N x Q log-likelihoods of the words (float64)."""
        if self.echo_works():
            found = self.each(self.echoed, [(text, *pair) for text in texts for pair in asked])
            return np.array(found, np.float64).reshape(len(texts), len(asked))
        heads = {}
        for number, (template, word) in enumerate(asked):
            heads.setdefault(parts(template, word)[0], []).append(number)
        scores = np.empty((len(texts), len(asked)))
        for numbers in heads.values():  # texts behind one head follow each other: slots keep it
            pairs = [asked[number] for number in numbers]
            scores[:, numbers] = self.each(self.stepwise, [(text, pairs) for text in texts])
        return scores

    def learn(self, asked):
        """The tokens of each class's words at the end of each template, in `endings`.

        Raises UserError where the server's tokenizer joins them to what stands before them.
        """
        new = [pair for pair in asked if pair not in self.endings]
        anchors = [parts(*pair) for pair in new]
        starts = list(dict.fromkeys(start or "." for _, start, _ in anchors))
        known = dict(zip(starts, self.each(self.tokens, starts), strict=True))
        plain = [known[start or "."] for _, start, _ in anchors]
        whole = self.each(self.tokens, [(start or ".") + ending for _, start, ending in anchors])
        for pair, base, full in zip(new, plain, whole, strict=True):
            if full[: len(base)] != base or len(full) == len(base):
                raise UserError(
                    "params.yaml: score.templates: {class} must be a word of its own; the server's tokenizer "
                    f"joins {pair[1]!r} to what stands before it in {pair[0]!r}"
                )
            self.endings[pair] = full[len(base) :]

    def echoed(self, question):
        """Log-likelihood of the class words, of the echoed prompt: (text, template, words) -> a number."""
        text, template, word = question
        before, start, ending = parts(template, word)
        tokens = self.endings[template, word]
        pieces, logprobs = self.echo(before + text + start + ending)
        count = len(tokens)
        if pieces[-count:] != tokens:  # joined in another way here: what reaches into the words counts
            count = reaching(pieces, len(ending))
        # a text's very first token follows nothing, and has no probability
        return sum(logprob or 0.0 for logprob in logprobs[-count:])

    def stepwise(self, question):
        """Log-likelihoods of class words, token by token: (text, Q pairs (template, words)) -> Q numbers."""
        text, asked = question
        paths, wanted = [], {}
        for template, word in asked:
            before, start, _ = parts(template, word)
            tokens = self.endings[template, word]
            path = [((before + text + start, *tokens[:step]), token) for step, token in enumerate(tokens)]
            for place, token in path:
                wanted.setdefault(place, []).append(token)
            paths.append(path)
        slot = self.slots.get()
        try:
            told = {place: self.following(place, wanted[place], slot) for place in sorted(wanted)}
        finally:
            self.slots.put(slot)
        return [sum(told[place][token] for place, token in path) for path in paths]

    def following(self, place, wanted, slot):
        """Log-probabilities {id: number} of at least the tokens `wanted` behind `place`, see `forced`."""
        told = {}
        while missing := [token for token in dict.fromkeys(wanted) if token not in told]:
            told |= self.forced(place, missing[0], 1 if len(missing) == 1 else LIKELY, slot)
        return told

    def tokens(self, text):
        """The tokens of a text: its pieces where the server echoes, ids where not."""
        return self.echo(text)[0] if self.echo_works() else self.tokenize(text)

    def pieces(self, text):
        """The tokens of a text as pieces of it."""
        if not text:
            return []
        if self.echo_works():
            return self.echo(text)[0]
        found = self.tokenize(text, with_pieces=True)
        # bytes of a character that is more than one token come as a list
        return [token["piece"] if isinstance(token["piece"], str) else "" for token in found]

    # ------------------------------------------------------------------ the protocol

    def echo_works(self):
        """Whether the server tells log-probabilities of the prompt; asked once."""
        if self.echoes is None:
            try:
                self.echo("a b")
                self.echoes = True
            except NoEcho:
                try:
                    self.tokenize("a b")
                except UserError as error:
                    raise self.mute() from error
                self.slots = self.free_slots()
                self.echoes = False
        return self.echoes

    def mute(self):
        return UserError(
            f"{self.url}: must tell log-probabilities, of an echoed prompt (vLLM, llama-cpp-python) or of a "
            "biased token (llama-server), found neither"
        )

    def echo(self, prompt):
        """Pieces of the prompt and their log-probabilities (the first may be None)."""
        answer = self.request(
            f"{self.url}/completions",
            {"model": self.model, "prompt": prompt, "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0},
        )  # fmt: skip
        found = logprobs_of(answer)
        pieces, logprobs = found.get("tokens"), found.get("token_logprobs")
        made = (answer.get("usage") or {}).get("completion_tokens", 1)
        if not pieces or not logprobs or len(pieces) <= made:
            raise NoEcho if self.echoes is None else self.mute()
        end = len(pieces) - made
        return pieces[:end], logprobs[:end]

    def tokenize(self, text, with_pieces=False):
        """Token ids of a text, by llama-server's own tokenizer; with_pieces: [{"id", "piece"}]."""
        answer = self.request(
            f"{self.root}/tokenize",
            {"content": text, "add_special": False, "parse_special": True, "with_pieces": with_pieces},
        )
        return answer["tokens"]

    def free_slots(self):
        """A queue of the numbers of llama-server's slots; -1, any of them, where it does not tell how many."""
        try:
            total = self.request(f"{self.root}/props").get("total_slots")
        except UserError:  # closed to this key, say; a server that is gone shows at the next question
            total = None
        slots = queue.SimpleQueue()
        for slot in range(total) if total else [-1] * self.served.concurrency:
            slots.put(slot)
        return slots

    def forced(self, place, token, count, slot):
        """Log-probabilities {id: number} of one token and of the `count` likeliest behind `place`.

        place: a prompt and the token ids behind it; slot: the server's slot that reads it.
        """
        prompt = list(place) if len(place) > 1 else place[0]
        answer = self.request(
            f"{self.url}/completions",
            {"model": self.model, "prompt": prompt, "logprobs": count, "max_tokens": 1, "temperature": 0,
             "logit_bias": [[token, FORCE]], "cache_prompt": True, "id_slot": slot},
        )  # fmt: skip
        if not prompt and not logprobs_of(answer):  # nothing to follow: no probability, as in `echoed`
            return {token: 0.0}
        found = (logprobs_of(answer).get("content") or [{}])[0]
        if found.get("id") != token or found.get("logprob") is None:
            raise self.mute()
        likely = {other["id"]: other["logprob"] for other in found.get("top_logprobs") or []}
        return likely | {token: found["logprob"]}

    def each(self, function, items):
        """function(item) for each, as many at a time as runtime.endpoint.concurrency says; in order."""
        if not items:
            return []
        self.echo_works()

        def guarded(item):
            try:
                return function(item)
            except Exception:
                self.stopped.set()
                raise

        with ThreadPoolExecutor(self.served.concurrency) as pool:
            waiting = [pool.submit(guarded, item) for item in items]
            try:
                wait(waiting, return_when=FIRST_EXCEPTION)
            finally:  # also when a person interrupts: what is under way is not tried again
                if not all(future.done() for future in waiting):
                    self.stopped.set()
                    pool.shutdown(wait=True, cancel_futures=True)
        errors = [future.exception() for future in waiting if not future.cancelled() and future.exception()]
        for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
            raise error
        return [future.result() for future in waiting]

    def request(self, url, body=None):
        """The server's answer (JSON) to POST, or to GET without a body.

        Raises UserError where there is none, NoEcho where echo is refused.
        """
        pause, told, reason = http_client.FIRST_WAIT, None, ""
        for attempt in range(self.served.retries + 1):
            if attempt:
                self.pace.hold(pause if told is None else told)
                pause = min(2 * pause, LONGEST_WAIT)
            self.pace.wait(self.stopped)
            if self.stopped.is_set():
                raise Stopped
            told = None
            try:
                answer = self.session().request(
                    "GET" if body is None else "POST",
                    url,
                    json=body,
                    timeout=self.served.timeout_seconds,
                    allow_redirects=False,
                )
                if answer.status_code == 200:
                    return answer.json()
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                reason = "no connection, or it broke or took too long"
                continue
            except requests.JSONDecodeError:
                reason = "an answer that is not JSON"
                continue
            except requests.RequestException as error:
                raise UserError(f"{url}: cannot be asked ({type(error).__name__})") from None
            self.refused(url, answer, echo="echo" in (body or {}))
            reason = f"status {answer.status_code}"
            told = retry_after(answer.headers.get("Retry-After"))
            if told is not None and told > LONGEST_RETRY_AFTER:
                break
        raise UserError(f"{url}: must answer, found {reason} (tried {attempt + 1} times)")

    def refused(self, url, answer, echo):
        """Raises where an answer will not get better by asking again."""
        status = answer.status_code
        message = self.safe(" ".join(answer.text.split()))[:200]
        if status in (401, 403):
            name = self.served.key_env
            how = f"the key in {name}" if name else "being asked without a key (runtime.endpoint.key_env)"
            raise UserError(f"{url}: refused {how} (status {status})")
        if status == 404:
            raise UserError(f"{url}: knows no such address, or no model {self.model!r} (status 404)")
        if echo and status in (400, 422, 500, 501) and "echo" in message.lower():
            raise NoEcho
        if status != 429 and status < 500:
            raise UserError(f"{url}: refused the question (status {status}): {message}")

    def safe(self, message):
        return message.replace(self.key, "***") if self.key else message

    def session(self):
        """A session for each thread, so that connections are kept open."""
        if not hasattr(self.local, "session"):
            self.local.session = requests.Session()
            # set as `auth`, the header wins over a .netrc file's
            self.local.session.auth = self.authorize
        return self.local.session

    def authorize(self, request):
        if self.key:
            request.headers["Authorization"] = f"Bearer {self.key}"
        return request


def parts(template, words):
    """Template and class words -> what stands before the text, behind it, and the words as they end it.

    White space before the words belongs to them, since tokenizers join it to what follows.
    """
    before, after = template.split("{text}")
    tail, end = after.split("{class}")
    start = tail.rstrip()
    return before, start, tail[len(start) :] + words + end


def logprobs_of(answer):
    """What an answer tells about its first choice's tokens; {} where it tells nothing."""
    return (answer.get("choices") or [{}])[0].get("logprobs") or {}


def reaching(pieces, length):
    """How many of the last pieces hold the last `length` characters."""
    held, count = 0, 0
    while held < length and count < len(pieces):
        count += 1
        held += len(pieces[-count])
    return count


def locate(text, pieces):
    """Where each piece of a text begins and ends.

    One that is no part of the text has no length: a share of a character's bytes, or, before all
    others, a mark of the beginning, which is left out.
    """
    found, place = [], 0
    for piece in pieces:
        # a character whose bytes are several tokens shows in none of them: look a little further on
        at = text.find(piece, place, place + len(piece) + 8) if piece else -1
        if at >= 0:
            found.append((at, at + len(piece)))
            place = at + len(piece)
        elif found:
            found.append((place, place))
    return found
