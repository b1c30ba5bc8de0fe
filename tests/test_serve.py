"""python -m nolabels.serve: a process on loopback, asked as its users ask it."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
import urllib.error
import urllib.request
import venv
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nolabels.students import predict
from nolabels.students.server import batches
from stages import export
from tests import tiny

ROOT = Path(__file__).parent.parent
TEXTS = [text for _, text in tiny.sentences(60)] + ["", "film", "dull " * 60, "Ünïcode ☂ film"]
SECRET = "a-text-that-nobody-else-may-read"


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """Folders of a tiny student: float32, and int8 as people ship it."""
    root = tmp_path_factory.mktemp("served")
    tiny.student(root / "torch")
    for precision in ("float32", "int8"):
        export.write_model(root / "torch", root / precision, precision)
    return root


class Server:
    """A running server: its address, and what it wrote once it has ended."""

    def __init__(self, command, cwd=ROOT, **options):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        environment |= options.pop("env", {})
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        line = self.process.stdout.readline()
        assert line.startswith("serving "), line + self.process.stderr.read()
        self.port = int(re.search(r"http://[^ ]+:(\d+) ", line)[1])

    def send(self, path, body=None, method=None):
        """(status, bytes, headers) of one request."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, body, method=method), timeout=60
            ) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def ask(self, **given):
        """(status, JSON) of /predict."""
        status, content, _ = self.send("/predict", json.dumps(given).encode())
        return status, json.loads(content)

    def figures(self):
        """{name: value} of /metrics; a name has its labels."""
        families = text_string_to_metric_families(self.send("/metrics")[1].decode())
        return {
            ",".join([sample.name, *sample.labels.values()]): sample.value
            for family in families
            for sample in family.samples
        }

    def end(self):
        """Exit code, standard output and standard error, after it was told to end."""
        self.process.send_signal(signal.SIGTERM)
        out, error = self.process.communicate(timeout=30)
        return self.process.returncode, out, error


@contextmanager
def served(folder, *words):
    server = Server(
        [sys.executable, "-m", "nolabels.serve", str(folder), "--port", "0", "--threads", "1", *words]
    )
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


@pytest.fixture(scope="module")
def running(student):
    with served(
        student / "float32", "--max-texts", "100", "--max-length", "400", "--max-bytes", "30000"
    ) as server:
        yield server


@pytest.fixture(scope="module")
def model(student):
    return predict.Model(student / "float32", 1)


def test_float32_answers_are_those_of_predict_py(running, model):
    """To four decimals, which are those that are written; whatever texts share a batch."""
    shares, labels = model.predict_proba(TEXTS), model.predict(TEXTS)
    status, found = running.ask(texts=TEXTS, all=True)
    assert status == 200 and list(found) == ["answers"]
    for answer, row, label in zip(found["answers"], shares, labels, strict=True):
        assert list(answer) == ["label", "probability", "probabilities"]
        assert answer["label"] == label and answer["probability"] == answer["probabilities"][label]
        assert list(answer["probabilities"]) == model.classes_.tolist()
        np.testing.assert_allclose(list(answer["probabilities"].values()), row, atol=0.51e-4)
    for number in (0, 60, 63):
        status, answer = running.ask(text=TEXTS[number])
        assert status == 200 and answer == {
            "label": labels[number],
            "probability": pytest.approx(float(shares[number].max()), abs=0.51e-4),
        }


def test_int8_answers_are_those_of_predict_py(student):
    """The same texts in one batch: the same labels; 8-bit sums move by less than 0.02."""
    model, texts = predict.Model(student / "int8", 1), TEXTS[:16]
    with served(student / "int8") as server:
        _, found = server.ask(texts=texts, all=True)
    assert [answer["label"] for answer in found["answers"]] == model.predict(texts).tolist()
    shares = [list(answer["probabilities"].values()) for answer in found["answers"]]
    np.testing.assert_allclose(shares, model.predict_proba(texts), atol=0.02)


def test_below_a_threshold_there_is_no_label(running, model):
    sure = model.predict_proba(TEXTS).max(1)
    middle = round(float(np.median(sure)), 3)
    _, found = running.ask(texts=TEXTS, threshold=middle)
    assert [answer["label"] for answer in found["answers"]] == model.predict(TEXTS, threshold=middle).tolist()
    assert any(answer["label"] is None for answer in found["answers"])


def test_several_labels(tmp_path):
    labels = ("news", "sports", "arts, film")
    more = {"problem_type": "multi_label_classification", "threshold": 0.4}
    export.write_model(tiny.student(tmp_path / "torch", labels=labels, **more), tmp_path / "onnx", "float32")
    shares = predict.Model(tmp_path / "onnx", 1).predict_proba(TEXTS)
    with served(tmp_path / "onnx") as server:
        found = {limit: server.ask(texts=TEXTS, threshold=limit)[1]["answers"] for limit in (None, 0.7)}
        assert json.loads(server.send("/health")[1])["threshold"] == 0.4
    for limit, answers in found.items():
        for answer, row in zip(answers, shares, strict=True):
            kept = [(name, float(p)) for name, p in zip(labels, row, strict=True) if p >= (limit or 0.4)]
            assert answer["label"] == [name for name, _ in kept]
            assert answer["probability"] == pytest.approx([p for _, p in kept], abs=0.51e-4)


def test_texts_of_many_requests_share_a_batch_and_nobody_gets_another_s_answer(student, model):
    texts = TEXTS * 4
    with served(student / "float32", "--max-wait-ms", "20") as server, ThreadPoolExecutor(32) as clients:
        found = list(clients.map(lambda text: server.ask(text=text)[1], texts))
        figures = server.figures()
    shares, labels = model.predict_proba(texts), model.predict(texts)
    assert [answer["label"] for answer in found] == labels.tolist()
    np.testing.assert_allclose([answer["probability"] for answer in found], shares.max(1), atol=0.51e-4)
    assert figures["student_texts_total"] == figures["student_batch_texts_sum"] == len(texts)
    assert figures["student_batch_texts_count"] < len(texts) / 2
    assert (
        figures["student_requests_total,/predict,200"]
        == figures["student_request_seconds_count"]
        == len(texts)
    )
    assert figures["student_waiting_texts"] == 0 and figures["process_resident_memory_bytes"] > 1e7


def long_text(count):
    return json.dumps({"text": (SECRET + " ") * count}).encode()


BAD = {
    "no body": (b"", 400, "body: must be JSON, found expecting value at line 1 column 1"),
    "no JSON": (f"{SECRET}".encode(), 400, "body: must be JSON, found expecting value at line 1 column 1"),
    "half of JSON": (f'{{"text": "{SECRET}'.encode(), 400, "body: must be JSON, found unterminated string starting at line 1 column 10"),
    "no UTF-8": (b'{"text": "\xff' + SECRET.encode() + b'"}', 400, "body: must be UTF-8, found byte 0xff at 10"),
    "deep JSON": (b'{"text": ' + b"[" * 14_000 + b"]" * 14_000 + b"}", 400, "body: must be JSON that can be read, found RecursionError"),
    "a huge number": (b'{"threshold": ' + b"9" * 5000 + b"}", 400, "body: must be JSON that can be read, found ValueError"),
    "an array": (f'["{SECRET}"]'.encode(), 422, "body: must be an object, found an array of 1"),
    "an empty object": (b"{}", 422, "body: must hold text or texts, found neither"),
    "both": (f'{{"text": "{SECRET}", "texts": []}}'.encode(), 422, "body: must hold text or texts, found both"),
    "an unknown key": (f'{{"text": "", "txt{"x" * 999}": "{SECRET}"}}'.encode(), 422, "body: must hold text or texts, all, threshold; found 'txtxxxxxxxxxxxxxxxxx'"),
    "a number for a text": (b'{"text": 3.5}', 422, "text: must be text, found 3.5"),
    "none for a text": (f'{{"texts": ["{SECRET}", null]}}'.encode(), 422, "texts[1]: must be text, found null"),
    "an object for a text": (f'{{"texts": [{{"text": "{SECRET}"}}]}}'.encode(), 422, "texts[0]: must be text, found an object of 1"),
    "a text for texts": (f'{{"texts": "{SECRET}"}}'.encode(), 422, f"texts: must be an array of 1 to 100 texts, found text of {len(SECRET)} characters"),
    "no texts": (b'{"texts": []}', 422, "texts: must be an array of 1 to 100 texts, found an array of 0"),
    "too many texts": (json.dumps({"texts": [SECRET] * 101}).encode(), 422, "texts: must be an array of 1 to 100 texts, found an array of 101"),
    "a long text": (long_text(20), 422, f"text: must have at most 400 characters, found {20 * (len(SECRET) + 1)}"),
    "half a pair": (f'{{"texts": ["", "{SECRET} \\ud800"]}}'.encode(), 422, "texts[1]: must be Unicode, found half of a surrogate pair"),
    "a word for all": (f'{{"text": "", "all": "{SECRET}"}}'.encode(), 422, f"all: must be true or false, found text of {len(SECRET)} characters"),
    "a word for the threshold": (f'{{"text": "", "threshold": "{SECRET}"}}'.encode(), 422, f"threshold: must be a number, found text of {len(SECRET)} characters"),
    "a threshold above 1": (b'{"text": "", "threshold": 80}', 422, "threshold: must be 0 to 1, found 80"),
    "no number for the threshold": (b'{"text": "", "threshold": NaN}', 422, "threshold: must be 0 to 1, found NaN"),
    "many bytes": (long_text(4000), 413, "body: must have at most 30000 bytes, found more"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_gets_one_clear_error(running, kind):
    body, status, message = BAD[kind]
    found, content, headers = running.send("/predict", body, method="POST")
    assert (found, json.loads(content)) == (status, {"error": message})
    assert headers["Content-Type"] == "application/json" and SECRET.encode() not in content


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/predict", None, 405, "method: must be POST for /predict, found GET"),
        ("/health", b"{}", 405, "method: must be GET for /health, found POST"),
        (f"/predict/{SECRET}", b"{}", 404, "path: must be one of /predict, /health, /metrics, /docs, /openapi.json; found another"),
    ],
)  # fmt: skip
def test_a_wrong_address(running, path, body, status, message):
    found, content, _ = running.send(path, body)
    assert (found, json.loads(content)) == (status, {"error": message})


def test_no_text_is_in_a_log_and_bad_input_ends_nothing(student):
    with served(
        student / "float32", "--max-texts", "100", "--max-length", "400", "--max-bytes", "30000"
    ) as server:
        for body, status, _ in BAD.values():
            assert server.send("/predict", body, method="POST")[0] == status
        assert server.send(f"/predict?text={SECRET}", json.dumps({"text": SECRET}).encode())[0] == 200
        figures = server.figures()
        assert sum(
            value for name, value in figures.items() if name.startswith("student_errors_total")
        ) == len(BAD)
        code, out, error = server.end()
    assert code in (0, -signal.SIGTERM) and error == "" and out == ""


def test_health_and_the_page_of_the_api(running):
    status, content, _ = running.send("/health")
    about = {"classes": ["negative", "positive"], "multi_label": False, "threshold": None}
    assert status == 200 and json.loads(content) == {"status": "ok", "waiting": 0, **about}
    described = json.loads(running.send("/openapi.json")[1])
    asked = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    status, found = running.ask(**asked["example"])
    assert (
        status == 200
        and [set(answer) for answer in found["answers"]] == [{"label", "probability", "probabilities"}] * 2
    )
    assert b"/openapi.json" in running.send("/docs")[1]


@pytest.fixture
def changed(student, tmp_path):
    """The model's folder with code before what predict_proba does."""

    def change(code):
        shutil.copytree(student / "float32", tmp_path / "changed")
        path = tmp_path / "changed/predict.py"
        place = "        texts = [texts] if isinstance(texts, str) else list(texts)\n"
        text = path.read_text(encoding="utf-8")
        assert place in text
        path.write_text(text.replace(place, place + code), encoding="utf-8")
        return tmp_path / "changed"

    return change


class Recorder:
    """A model that keeps the texts of each batch."""

    classes_ = ("a",)

    def __init__(self):
        self.texts = []

    def predict_proba(self, texts):
        self.texts.append(texts)
        return np.ones((len(texts), 1), np.float32)


def batches_of(requests, workers):
    """The texts of each batch, where all requests wait before the first one is taken, and a batch has up to 4."""

    async def answered():
        model = Recorder()
        limits = types.SimpleNamespace(threads=workers, max_batch=4, max_wait_ms=1, max_waiting=99, timeout=9)
        own = batches.Batches(model, limits)
        answers = [asyncio.create_task(own.answer(texts)) for texts in requests]
        await asyncio.sleep(0)
        work = asyncio.create_task(own.run())
        await asyncio.gather(*answers)
        work.cancel()
        return model.texts

    return asyncio.run(answered())


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        (["a", "b", "c"], ["abc"]),  # of any lengths
        (["aAzZ", "b", "c"], ["aAbc", "zZ"]),  # one of each before the second of any
        (["aAzZ", "b", "c", "d", "e", "f"], ["abcd", "Aefz", "Z"]),  # who was passed over comes first
    ],
)
def test_requests_give_a_batch_one_text_each_in_turn(requests, expected):
    found = batches_of(list(map(list, requests)), workers=1)
    assert ["".join(sorted(texts)) for texts in found] == ["".join(sorted(texts)) for texts in expected]


def test_a_core_takes_its_share_of_what_waits():
    assert sorted(map(len, batches_of([["a"], ["b"], ["c"]], workers=2))) == [1, 2]


SLOW = "        import time\n        time.sleep(0.2 if any(texts) and texts != ['A text.'] else 0)\n"


def test_a_slow_model_holds_up_neither_others_nor_the_rest(changed):
    """A batch takes 0.2 s: a request of ten batches lets another one in between; health is told meanwhile."""
    folder = changed(SLOW)
    with served(folder, "--max-batch", "10") as server, ThreadPoolExecutor(4) as clients:
        started = time.monotonic()
        large = clients.submit(lambda: (server.ask(texts=["a film"] * 100), time.monotonic() - started))
        time.sleep(0.3)
        began = time.monotonic()
        assert server.send("/health")[0] == 200 and time.monotonic() - began < 0.15
        assert server.ask(text="one film")[0] == 200
        waited = time.monotonic() - began
        (status, found), took = large.result()
    assert status == 200 and len(found["answers"]) == 100
    assert took > 2 and waited < 0.9, (took, waited)


def test_each_core_answers_a_batch_of_its_own():
    """Two batches at a time, never three: the texts of four requests, one in a batch."""

    class Counter:
        classes_, running, most, lock = ["a"], 0, 0, threading.Lock()

        def predict_proba(self, texts):
            with self.lock:
                self.running += 1
                self.most = max(self.most, self.running)
            time.sleep(0.1)
            with self.lock:
                self.running -= 1
            return np.ones((len(texts), 1), np.float32)

    async def answered():
        model = Counter()
        limits = types.SimpleNamespace(threads=2, max_batch=1, max_wait_ms=1, max_waiting=99, timeout=9)
        own = batches.Batches(model, limits)
        work = asyncio.create_task(own.run())
        await asyncio.gather(*(own.answer(["a film"]) for _ in range(4)))
        work.cancel()
        return model.most

    assert asyncio.run(answered()) == 2


def test_what_takes_too_long_or_is_too_much_is_refused(changed):
    with served(changed(SLOW), "--max-batch", "1", "--timeout", "0.5", "--max-waiting", "6") as server:
        status, found = server.ask(texts=["film"] * 5)
        assert status == 504 and re.fullmatch(
            r"request: must be answered in 0.5 s, found \d of 5 texts not answered", found["error"]
        )
        status, content, headers = server.send("/predict", json.dumps({"texts": ["film"] * 7}).encode())
        assert status == 503 and headers["Retry-After"] == "1"
        assert json.loads(content)["error"].startswith("queue: at most 6 texts may wait, found ")
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(b'POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{"text"')
            slow.settimeout(10)
            answer = ""
            while "}" not in answer:
                answer += slow.recv(4096).decode()
        assert answer.startswith("HTTP/1.1 408 ") and "body: must be sent in 0.5 s, found 7 bytes" in answer
        assert server.ask(text="film")[0] == 200  # what was given up waits no more
        assert server.figures()["student_waiting_texts"] == 0


def test_what_one_request_breaks_is_no_matter_of_the_others(changed):
    folder = changed(
        "        if any('break' in text for text in texts):\n            raise RuntimeError(texts)\n"
    )
    with served(folder, "--max-wait-ms", "300") as server, ThreadPoolExecutor(4) as clients:
        asked = [["a film"], [f"break {SECRET}"], ["a dull film", "film"]]
        found = list(clients.map(lambda texts: server.ask(texts=texts), asked))
        assert [status for status, _ in found] == [200, 500, 200]
        assert found[1][1] == {"error": "model: must answer, found that it failed"}
        assert server.figures()["student_texts_total"] == 3
        _, out, error = server.end()
    assert SECRET not in out + error and error.splitlines() == ["error: the model failed (RuntimeError)"] * 2


def test_it_ends_after_what_it_has_begun(changed):
    with served(changed(SLOW.replace("0.2", "3"))) as server, ThreadPoolExecutor(1) as client:
        asked = client.submit(server.ask, text="a film")
        time.sleep(1.5)  # it is in a batch by then
        _, _, error = server.end()
        assert asked.result()[0] == 200 and error == ""


def refused(*words):
    """The one line of a command that ends with it."""
    command = [sys.executable, "-m", "nolabels.serve", *map(str, words)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and ended.stdout == "" and ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr.removeprefix("error: ").strip()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        *((name, None, f"FOLDER: must hold classes.json, model.onnx, predict.py, tokenizer.json; {name} is not there") for name in ("classes.json", "model.onnx", "predict.py", "tokenizer.json")),
        ("classes.json", b"{", "FOLDER/classes.json: must be JSON, found JSONDecodeError: "),
        ("classes.json", b'{"classes": ["a"]}', "FOLDER/classes.json: must be an object with classes, max_tokens, multi_label, pad, threshold"),
        ("classes.json", b'{"classes": ["a", "b", "c"], "max_tokens": 9, "multi_label": false, "pad": 0, "threshold": null}', "FOLDER/model.onnx: must answer a text, found "),
        ("tokenizer.json", b"{}", "FOLDER/tokenizer.json: must be a tokenizer, found "),
        ("model.onnx", b"no model", "FOLDER/model.onnx: must be a model that onnxruntime runs, found "),
        ("predict.py", b"def", "FOLDER/predict.py: must be Python, found SyntaxError: "),
        ("predict.py", b"class Model: pass", "FOLDER/predict.py: must have a Model with predict_proba; export the student anew"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_served_is_told_in_one_line(student, tmp_path, name, content, message):
    folder = tmp_path / "model"
    shutil.copytree(student / "float32", folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    assert refused(folder, "--port", 0).startswith(message.replace("FOLDER", str(folder)))


def test_an_address_that_is_taken_is_told_in_one_line(student):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(student / "float32", "--port", port)
    assert said == f"127.0.0.1 port {port}: must be free to listen at, found Address already in use"
    said = refused(student / "float32", "--port", 70_000)
    assert said == "127.0.0.1 port 70000: must be free to listen at, found bind(): port must be 0-65535."


def test_the_shipped_server_needs_nothing_of_the_project():
    for path in (ROOT / "nolabels/students/server").glob("*.py"):
        imported = re.findall(r"^\s*(?:from|import) (\S+)", path.read_text(encoding="utf-8"), flags=re.M)
        assert not [name for name in imported if name.split(".")[0] in ("nolabels", "stages")], path


@pytest.fixture
def context(student, tmp_path):
    """What `docker build` takes."""
    folder = tmp_path / "context"
    command = [sys.executable, "-m", "nolabels.serve", student / "int8", "--write-dockerfile", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def test_what_a_container_is_built_from(student, context):
    model = ["classes.json", "model.onnx", "predict.py", "tokenizer.json"]
    assert sorted(path.name for path in context.iterdir()) == [
        "Dockerfile",
        "model",
        "requirements.txt",
        "serve.pyz",
    ]
    assert sorted(path.name for path in (context / "model").iterdir()) == model
    lines = (context / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    names = {line.partition("==")[0] for line in lines}
    assert {
        "fastapi",
        "numpy",
        "onnxruntime",
        "prometheus-client",
        "starlette",
        "tokenizers",
        "uvicorn",
    } <= names
    assert not {"torch", "transformers", "dvc"} & names
    pinned = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements-serve.txt").read_text()
    assert {f"{name}=={version}" for name, version in re.findall(r"^(numpy|tokenizers|uvicorn|fastapi)==(\S+)", pinned, flags=re.M)} <= set(lines)  # fmt: skip
    assert (
        refused(student / "int8", "--write-dockerfile", context)
        == f"{context}: must be a new folder, found one that is there"
    )


def dockerfile(context):
    """[(instruction, rest)] of the Dockerfile."""
    lines = (context / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split(" ", 1)) for line in lines]


@pytest.mark.slow
@pytest.mark.thorough
def test_the_commands_of_the_dockerfile_end_in_a_server(context, model):
    """Each COPY, RUN and CMD, in a fresh environment and as the Dockerfile's user where that can be."""
    steps = dockerfile(context)
    names = [name for name, _ in steps]
    assert set(names) == {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert dict(steps)["USER"] == "65534:65534"
    assert dict(steps)["FROM"] == f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        app = Path(place, "app")
        app.mkdir()
        venv.create(Path(place, "python"), with_pip=True, symlinks=True)
        path = {"PATH": f"{place}/python/bin{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
        for name, rest in steps:
            if name == "COPY":
                source, target = rest.split(" ")
                (shutil.copytree if (context / source).is_dir() else shutil.copy)(
                    context / source, app / target
                )
            elif name == "RUN":
                subprocess.run(
                    rest, shell=True, cwd=app, check=True, env=os.environ | path, stdout=subprocess.DEVNULL
                )
        port = socket.create_server(("127.0.0.1", 0))
        command = [
            word.replace("8000", str(port.getsockname()[1])) for word in json.loads(dict(steps)["CMD"])
        ]
        check = json.loads(dict(steps)["HEALTHCHECK"].partition("CMD ")[2])
        check[-1] = check[-1].replace("8000", command[-1])
        port.close()
        command[0], check[0] = (f"{place}/python/bin/{words[0]}" for words in (command, check))
        user = {"user": 65534, "group": 65534, "extra_groups": []}
        try:
            subprocess.run([command[0], "-c", ""], check=True, **user)
        except (OSError, subprocess.CalledProcessError):  # not root, or a Python in root's home
            user = {}
        server = Server(command, cwd=app, env=path | {"HOME": "/nonexistent"}, **user)
        try:
            assert subprocess.run(check, cwd=app).returncode == 0
            assert [answer["label"] for answer in server.ask(texts=TEXTS[:9])[1]["answers"]] == (
                predict.Model(context / "model", 1).predict(TEXTS[:9]).tolist()
            )
        finally:
            server.process.kill()
            server.process.communicate()
        assert subprocess.run(check, cwd=app, stderr=subprocess.DEVNULL).returncode != 0


@pytest.mark.slow
@pytest.mark.thorough
def test_memory_does_not_grow_with_requests(student):
    """Good and bad requests, clients that go away: after a start the server holds no more than before."""
    stop = threading.Event()

    def client(server, number):
        while not stop.is_set():
            if number == 0:
                server.send("/predict", BAD["many bytes"][0], method="POST")
            elif number == 1:
                time.sleep(0.02)
                with socket.create_connection(("127.0.0.1", server.port)) as gone:
                    gone.sendall(
                        b'POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n{"texts": ["'
                    )
            else:
                server.ask(texts=TEXTS)

    with served(student / "int8", "--timeout", "5") as server, ThreadPoolExecutor(4) as clients:
        for number in range(4):
            clients.submit(client, server, number)
        sizes = []
        for _ in range(4):
            time.sleep(10)
            sizes.append(server.figures()["process_resident_memory_bytes"])
        stop.set()
    assert max(sizes[1:]) < sizes[0] * 1.1


@pytest.mark.slow
def test_the_benchmark_measures_a_server_beside_predict_py(student, tmp_path, monkeypatch):
    """Small: what it writes, and that its clients are answered; a soak that is not run keeps the known figure."""
    from benchmarks import serving
    from nolabels.core.schemas import TEXTS as SCHEMA
    from nolabels.core.tables import write_json, write_table

    texts = [f"{text} {number}" for number, text in enumerate(TEXTS * 3)]
    columns = {
        "id": [str(number) for number in range(len(texts))],
        "text": texts,
        "row": list(range(len(texts))),
    }
    write_table(tmp_path / "texts.parquet", pa.table(columns, schema=SCHEMA))
    kept = serving.row("9 MB: memory over 30 minutes", 101, 100, "MiB", "<= 1.1") | {"on": "another one"}
    write_json(tmp_path / "serving.json", [kept])
    monkeypatch.setattr(serving, "JSON", tmp_path / "serving.json")
    monkeypatch.setattr(serving, "PAGE", tmp_path / "serving.md")
    monkeypatch.setattr(serving, "SECONDS", 1)
    command = [student / "int8", "--texts", tmp_path / "texts.parquet", "--repeats", "1", "--soak", "0"]
    serving.main([str(word) for word in command])
    rows = json.loads((tmp_path / "serving.json").read_text())
    assert [row["asked"] for row in rows] == [">= 0.8"] * 4 + ["< 100"] * 2 + ["<= 1.1"] and rows[-1] == kept
    assert all(row["ours"] > 0 and row["ratio"] > 0 for row in rows)
    text = (tmp_path / "serving.md").read_text()
    assert serving.table(rows) in text and text.endswith("9 MB, memory: measured on another one.\n")
    with served(student / "int8") as server:
        first, largest = serving.soak(server.port, texts, 0.05)
        assert 10 < first < 1000 and 10 < largest < 1000
        assert server.figures()["student_texts_total"] > 100


def test_the_page_of_the_benchmark_is_what_it_measured():
    from benchmarks import serving

    rows = json.loads((ROOT / serving.JSON).read_text(encoding="utf-8"))
    assert serving.table(rows) in (ROOT / serving.PAGE).read_text(encoding="utf-8")
