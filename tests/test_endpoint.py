"""The endpoint teacher against a real server on loopback that answers, drops, delays and refuses."""

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile

import numpy as np
import pytest
import torch
import transformers

from nolabels.core.params import Served, Template
from nolabels.core.stage import UserError
from nolabels.teachers import completions as protocol
from nolabels.teachers import http_client
from nolabels.teachers.endpoint import Endpoint, locate
from nolabels.teachers.http_client import Pace, retry_after
from nolabels.teachers.likelihood import Likelihood
from nolabels.teachers.teacher import Reading
from tests import tiny

TEMPLATES = [
    Template(plain="Review: {text} Sentiment: The sentiment is {class}"),
    Template(plain="Review: {text}\nIt is {class}."),
]
WORDS = ["negative", "a story of people", "無聊"]
TEXTS = [text for _, text in tiny.sentences(4)] + ["", "☂ und مرحبا"]
KEY = "sk-very-secret-4711"


class Served_model:
    """What a server knows: log-probabilities of a tiny model. `plan`: what to do with the next requests."""

    def __init__(self, folder, style):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.style, self.plan = style, []
        self.requests, self.under_way, self.most = [], 0, 0
        self.slots, self.read = {0: [], 1: []}, 0  # what each holds; tokens that were in none
        self.lock = threading.Lock()

    def logprobs(self, ids):
        with self.lock, torch.inference_mode():
            return self.model(torch.tensor([ids])).logits[0].log_softmax(-1)

    def pieces(self, ids):
        return [self.tokenizer.decode([token]) for token in ids]

    def answer(self, path, body):
        """(status, JSON) of a request."""
        if path == "/props" and self.style == "llama-server":
            return 200, {"total_slots": len(self.slots)}
        if path == "/tokenize" and self.style == "llama-server":
            ids = self.tokenizer(body["content"])["input_ids"]
            pieces = [{"id": i, "piece": p} for i, p in zip(ids, self.pieces(ids), strict=True)]
            return 200, {"tokens": pieces if body["with_pieces"] else ids}
        if path != "/v1/completions":
            return 404, {"error": "no such address"}
        if body["model"] != "tiny":
            return 404, {"error": f"no model {body['model']}"}
        if body.get("echo"):
            if self.style != "echo":
                return 500, {"error": {"message": "Only no echo is supported"}}
            ids = self.tokenizer(body["prompt"])["input_ids"]
            logprobs = self.logprobs(ids)
            following = int(logprobs[-1].argmax())
            told = [None] + [
                logprobs[place, token].item() for place, token in enumerate([*ids[1:], following])
            ]
            return 200, {
                "choices": [{"logprobs": {"tokens": self.pieces([*ids, following]), "token_logprobs": told}}],
                "usage": {"prompt_tokens": len(ids), "completion_tokens": 1},
            }
        return self.next_token(body)

    def next_token(self, body):
        """What llama-server tells; its prompts are a text, or a text and token ids."""
        text, *ids = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        ids = self.tokenizer(text)["input_ids"] + ids
        if not ids:
            return 200, {"choices": [{"text": "", "logprobs": None}]}
        with self.lock:  # the last token is always read, for what follows it
            held = zip(self.slots.get(body.get("id_slot"), []), ids[:-1], strict=False)
            self.read += len(ids) - len(list(takewhile(lambda pair: pair[0] == pair[1], held)))
            self.slots[body.get("id_slot")] = ids
        last = self.logprobs(ids)[-1]
        biased = last.clone()
        for token, bias in body.get("logit_bias", []):
            biased[token] += bias
        chosen = int(biased.argmax())
        likely = [{"id": int(i), "logprob": last[i].item()} for i in last.argsort()[-body["logprobs"] :]]
        content = [{"id": chosen, "token": "?", "logprob": last[chosen].item(), "top_logprobs": likely}]
        return 200, {
            "choices": [{"logprobs": {"content": content} if self.style == "llama-server" else None}]
        }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        served = self.server.served
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with served.lock:
            what = served.plan.pop(0) if served.plan else "answer"
            served.requests.append((time.monotonic(), self.path, self.headers.get("Authorization"), raw))
            served.under_way += 1
            served.most = max(served.most, served.under_way)
        try:
            self.act(what, *served.answer(self.path, json.loads(raw or "{}")))
        finally:
            with served.lock:
                served.under_way -= 1

    def act(self, what, status, answer):
        if what == "drop":
            self.close_connection = True
            return
        if what == "delay":
            time.sleep(0.6)
        headers = {}
        if isinstance(what, tuple):
            status, headers = what
            answer = {"error": f"told off; the key was {self.headers.get('Authorization')}"}
        content = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if what == "half" else content)
        self.close_connection = what == "half"

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.causal_model(tmp_path_factory.mktemp("model"))


@contextmanager
def serving(model, style):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.served = Served_model(model, style)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    server.served.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield server.served
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(model):
    with serving(model, "echo") as served:
        yield served


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(http_client, "FIRST_WAIT", 0.01)


def teacher(tmp_path, url, *, max_tokens=64, stride=None, name="tiny", **served):
    content = json.dumps({"endpoint": url, "model": name})
    (tmp_path / "endpoint.json").write_text(content, encoding="utf-8")
    usual = {
        "concurrency": 4,
        "requests_per_minute": None,
        "timeout_seconds": 5.0,
        "retries": 3,
        "key_env": None,
    }
    settings = {"name": "teacher", "served": Served(**usual | served), "reading": Reading(max_tokens, stride)}
    return Endpoint(tmp_path, **settings)


def likelihood(model, reading):
    return Likelihood(model, name="teacher", device="cpu", precision="float32", reading=reading)


@pytest.mark.parametrize("style", ["echo", "llama-server"])
@pytest.mark.parametrize("stride", [None, 4])
def test_scores_are_those_of_the_likelihood_teacher(tmp_path, model, style, stride):
    texts = [*TEXTS, "The old town. " * 12] if stride else TEXTS
    with serving(model, style) as served:
        asked = teacher(tmp_path, served.url, max_tokens=24, stride=stride).ask(texts, TEMPLATES, WORDS)
    expected = likelihood(model, Reading(24, stride)).ask(texts, TEMPLATES, WORDS)
    assert np.abs(asked.scores - expected.scores).max() < 1e-3
    assert asked.tokens[:4].tolist() == expected.tokens[:4].tolist()
    assert asked.cut.tolist() == expected.cut.tolist() and asked.cut.any() == (stride is not None)
    assert served.most > 1  # asked several at a time


@pytest.mark.parametrize("likely", [1, 3, 600])
def test_what_a_slot_of_llama_server_holds_is_not_read_again(tmp_path, model, monkeypatch, likely):
    monkeypatch.setattr(protocol, "LIKELY", likely)
    words = ["negative", "not", "positive", "a story of people"]
    templates = [
        Template(plain="A: {text} It is {class}."),
        *TEMPLATES,
        Template(plain="A: {text} It: {class}"),
    ]
    with serving(model, "llama-server") as served:
        asked = teacher(tmp_path, served.url, concurrency=8)
        asked.ask(TEXTS[:1], templates, words)  # sets things up
        served.requests, served.read, served.most = [], 0, 0
        answers = asked.ask(TEXTS, templates, words)
    expected = likelihood(model, asked.reading).ask(TEXTS, templates, words)
    assert np.abs(answers.scores - expected.scores).max() < 1e-3
    length = sum(len(served.tokenizer(text)["input_ids"]) for text in TEXTS)
    completions = [raw for _, path, _, raw in served.requests if path == "/v1/completions"]
    prompts = {json.dumps(json.loads(raw)["prompt"]) for raw in completions}
    assert (len(completions) == len(prompts)) == (likely == 600)  # all of the vocabulary in one answer
    # the texts behind each of two heads, and of a prompt its last token and perhaps one more
    assert served.read <= 2 * (length + len(completions))


def test_an_empty_prompt_of_llama_server_and_one_that_hides_its_slots(tmp_path, model, monkeypatch):
    templates = [Template(plain="{text} {class}")]
    with serving(model, "llama-server") as served:
        served.plan = ["answer", "answer", (403, {})]
        asked = teacher(tmp_path, served.url)
        found = asked.ask(TEXTS[:3], templates, WORDS[:2]).scores
        slots = {
            json.loads(raw).get("id_slot") for _, path, _, raw in served.requests if "completions" in path
        }
    assert [path for _, path, *_ in served.requests][:3] == ["/v1/completions", "/tokenize", "/props"]
    assert slots == {None, -1} and np.isfinite(found).all()


def test_goes_on_through_drops_delays_and_refusals(tmp_path, model, server):
    asked = teacher(tmp_path, server.url, timeout_seconds=0.4, retries=4, concurrency=3)
    server.plan = ["answer", "drop", (500, {}), "half", (429, {"Retry-After": "0"}), "delay", (503, {})]
    answers = asked.ask(TEXTS, TEMPLATES, WORDS)
    expected = likelihood(model, asked.reading).ask(TEXTS, TEMPLATES, WORDS)
    assert np.abs(answers.scores - expected.scores).max() < 1e-3
    assert not server.plan


def test_waits_as_long_as_the_server_says(tmp_path, server):
    server.plan = ["answer", (429, {"Retry-After": "1"})]
    asked = teacher(tmp_path, server.url, concurrency=2)
    asked.spans(["one town", "two towns", "three towns"])
    times = [at for at, *_ in server.requests]
    # some may be under way until the client has read what the server said; then nobody asks for a second
    assert not any(0.5 < at - times[1] < 0.95 for at in times)
    assert times[-1] - times[1] >= 0.95


def test_the_rate_is_kept(tmp_path, server):
    asked = teacher(tmp_path, server.url, requests_per_minute=1200)
    asked.ask(TEXTS[:1], TEMPLATES[:1], WORDS[:1])
    times = sorted(at for at, *_ in server.requests)
    assert len(times) >= 5
    assert times[-1] - times[0] >= (len(times) - 1) * 0.05 - 0.04


def test_gives_up_with_one_line(tmp_path, server):
    server.plan = ["answer"] + [(500, {})] * 50
    asked = teacher(tmp_path, server.url, retries=2, concurrency=1)
    with pytest.raises(UserError, match=r"completions: must answer, found status 500 \(tried 3 times\)"):
        asked.ask(TEXTS, TEMPLATES, WORDS)
    assert len(server.requests) == 4
    with pytest.raises(UserError, match="found no connection, or it broke or took too long"):
        teacher(tmp_path, "http://127.0.0.1:9/v1", retries=0).ask(TEXTS, TEMPLATES, WORDS)


@pytest.mark.parametrize(
    ("plan", "name", "message"),
    [
        ([(401, {})], "tiny", r"refused the key in NOLABELS_KEY \(status 401\)"),
        ([(403, {})], "tiny", r"refused the key in NOLABELS_KEY \(status 403\)"),
        ([], "huge", "knows no such address, or no model 'huge'"),
        ([(400, {})], "tiny", r"refused the question \(status 400\): .*the key was Bearer \*\*\*"),
        ([(302, {"Location": "http://127.0.0.1:9"})], "tiny", r"refused the question \(status 302\)"),
    ],
)
def test_what_cannot_get_better_ends_at_once_and_hides_the_key(
    tmp_path, server, monkeypatch, plan, name, message
):
    monkeypatch.setenv("NOLABELS_KEY", KEY)
    server.plan = plan
    asked = teacher(tmp_path, server.url, name=name, key_env="NOLABELS_KEY")
    with pytest.raises(UserError, match=message) as error:
        asked.ask(TEXTS, TEMPLATES, WORDS)
    assert len(server.requests) == 1
    assert server.requests[0][2] == f"Bearer {KEY}"
    assert KEY not in str(error.value)
    assert not any(KEY.encode() in raw for *_, raw in server.requests)


@pytest.mark.parametrize(("key", "found"), [("", "nothing"), (f"{KEY}\n{KEY}", "something that no header")])
def test_a_key_that_is_not_there_is_one_line(tmp_path, monkeypatch, key, found):
    monkeypatch.setenv("NOLABELS_KEY", key)
    with pytest.raises(UserError, match=f"variable NOLABELS_KEY must hold the key, found {found}") as error:
        teacher(tmp_path, "http://127.0.0.1:9/v1", key_env="NOLABELS_KEY")
    assert KEY not in str(error.value)


def test_a_server_without_logprobs_and_a_folder_without_endpoint(tmp_path, model):
    with (
        serving(model, "mute") as served,
        pytest.raises(UserError, match="must give log-probabilities, of an echoed prompt"),
    ):
        teacher(tmp_path, served.url).ask(TEXTS, TEMPLATES, WORDS)
    with pytest.raises(UserError, match=r"score.teacher.kind: endpoint needs an endpoint.json"):
        Endpoint(model, name="teacher", served=None, reading=Reading(8, None))


def test_nothing_is_asked_twice(tmp_path, server):
    asked = teacher(tmp_path, server.url)
    asked.ask(TEXTS[:2], TEMPLATES[:1], WORDS[:2])
    before = len(server.requests)
    asked.ask(TEXTS[2:4], TEMPLATES[:1], WORDS[:2])
    assert len(server.requests) - before == 2 + 2 * 2  # where each text's tokens end, and its answers
    assert max(Counter(raw for *_, raw in server.requests).values()) == 1


def test_pace_retry_after_and_places():
    assert retry_after("3") == 3 and retry_after(None) is None and retry_after("soon") is None
    assert 0 <= retry_after("Wed, 21 Oct 2015 07:28:00 GMT") < 1
    pace = Pace(None)
    pace.hold(0.05)
    started = time.monotonic()
    pace.wait(threading.Event())
    assert time.monotonic() - started >= 0.04
    assert locate("No ☂!", ["<s>", "No", " ", "\ufffd", "\ufffd", "!"]) == [
        (0, 2),
        (2, 3),
        (3, 3),
        (3, 3),
        (4, 5),
    ]
