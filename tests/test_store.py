"""The answer store and the stage over it: nothing is asked twice, nothing half-written is believed."""

import multiprocessing
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from nolabels.core.schemas import POOL
from nolabels.core.stage import UserError
from nolabels.core.tables import read_table, write_table
from nolabels.data.texts import answer_key, text_id
from nolabels.teachers import asking as asking_module
from nolabels.teachers import kinds
from nolabels.teachers.asking import PROBE_TEXTS, parts_by_length
from nolabels.teachers.store import AnswerStore
from nolabels.teachers.teacher import Answers
from stages import score
from tests import tiny

PARAMS = tiny.one_teacher(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
PART_TEXTS = kinds.PART_TEXTS["likelihood"]
ASKER = {"kind": "likelihood", "teacher": "f" * 64}


class Counting:
    """A teacher whose answers follow from the question alone; it counts, and may die."""

    parameters = 7

    def __init__(self, dies_after=None):
        self.asked, self.calls, self.dies_after = 0, 0, dies_after

    def ask(self, texts, templates, words):
        if self.dies_after is not None and self.calls >= self.dies_after:
            raise KeyboardInterrupt
        self.calls += 1
        self.asked += len(texts) * len(templates) * len(words)
        scores = [
            [
                [len(text) + 10 * len(str(template)) + 0.5 * len(word) for word in words]
                for template in templates
            ]
            for text in texts
        ]
        shape = (len(texts), len(templates))
        return Answers(np.array(scores, np.float32), None, np.ones(shape, np.int32), np.zeros(shape, bool))


@pytest.fixture
def asking(tmp_path, monkeypatch, causal_folder):
    """asking(count, teacher) runs the score stage over `count` texts; returns the out's bytes."""
    params = yaml.safe_load(yaml.safe_dump(PARAMS))
    monkeypatch.chdir(tmp_path)

    def run(count, teacher, change=None):
        if change:
            change(params)
        Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        texts = [text for _, text in tiny.sentences(count)]
        rows = {
            "id": [text_id(text) for text in texts],
            "text": texts,
            "split": ["train"] * count,
            "row": list(range(count)),
        }
        write_table("pool.parquet", pa.table(rows, schema=POOL))
        monkeypatch.setattr(kinds, "load_teacher", lambda *_, **__: teacher)
        score.main(["teacher", "pool.parquet", str(causal_folder), "scores.parquet"])
        return Path("scores.parquet").read_bytes()

    return run


def test_a_run_that_was_killed_ends_as_one_that_was_not(asking, tmp_path):
    whole = asking(500, Counting())
    store = tmp_path / ".work"
    store.rename(tmp_path / "before")
    with pytest.raises(KeyboardInterrupt):
        asking(500, Counting(dies_after=4))  # two calls measure the rate, two parts are finished
    kept = sorted(path.name for path in store.rglob("*.parquet"))
    assert len(kept) == 2
    rest = Counting()
    assert asking(500, rest) == whole
    questions = (500 - 2 * PART_TEXTS) * 4 * 2
    assert questions <= rest.asked <= questions + (PROBE_TEXTS + 1) * 4 * 2
    assert set(kept) <= {path.name for path in store.rglob("*.parquet")}


@pytest.mark.parametrize(("count", "probed"), [(1, 1), (30, 1), (100, 5), (500, PROBE_TEXTS)])
def test_the_rate_is_measured_with_few_of_the_texts(capsys, count, probed):
    class Engine:
        def rate(self, question):
            self.texts = question.texts
            return 2.0

    engine, texts = Engine(), [n * "a" for n in range(count)]
    asking_module.say_time_left(engine, texts, np.arange(count), [], [], total=count)
    assert len(engine.texts) == probed and abs(len(engine.texts[0]) - (count - probed) // 2) <= 1
    assert "score: 2 questions a second, about" in capsys.readouterr().out


class Encoding(Counting):
    """One that gives embeddings too."""

    def ask(self, texts, templates, words):
        embeddings = [[len(text), sum(text.encode()) % 97, len(text) % 5] for text in texts]
        return replace(super().ask(texts, templates, words), embeddings=np.array(embeddings, np.float16))


def encode(params):
    templates = [{"class_text": "{class}"}, {"class_text": "It is {class}."}]
    params["score"]["teacher"].update(kind="similarity", templates=templates)


def embeddings():
    """Of the table of scores: its column, T rows for each text."""
    return read_table("scores.parquet", ["embedding"])["embedding"].to_pylist()


def test_embeddings_stand_beside_the_scores_and_are_asked_once(asking, capsys):
    whole = asking(300, Encoding(), encode)
    found = embeddings()
    assert found[1::2] == [None] * 300 and None not in found[::2]
    texts = [text for _, text in tiny.sentences(300)]
    wanted = Encoding().ask(texts, ["a"], ["b"]).embeddings
    assert b"".join(found[::2]) == wanted.tobytes()
    capsys.readouterr()
    assert asking(300, None) == whole  # no teacher is loaded
    assert "600 known, 0 to ask" in capsys.readouterr().out
    teacher = Encoding()
    asking(360, teacher)
    assert "600 known, 120 to ask" in capsys.readouterr().out
    assert embeddings()[:600] == found and len(embeddings()) == 720 and None not in embeddings()[600::2]


def test_a_template_more_leaves_the_embeddings_as_they_are(asking, capsys):
    asking(300, Encoding(), encode)
    found = embeddings()
    more = {"class_text": "All in all: {class}"}
    asking(300, Encoding(), lambda params: params["score"]["teacher"]["templates"].append(more))
    assert "600 known, 300 to ask" in capsys.readouterr().out
    assert embeddings()[::3] == found[::2]
    # another form of the texts has other embeddings, and so other answers
    queries = [{"class_text": "{class}", "text": "query: {text}"}]
    asking(300, Encoding(), lambda params: params["score"]["teacher"].update(templates=queries))
    assert "0 known, 300 to ask" in capsys.readouterr().out


def test_a_killed_run_loses_no_embeddings(asking, tmp_path):
    whole = asking(500, Encoding(), encode)
    (tmp_path / ".work").rename(tmp_path / "before")
    with pytest.raises(KeyboardInterrupt):
        asking(500, Encoding(dies_after=4))
    assert asking(500, Encoding()) == whole


def test_a_long_table_has_no_embeddings(asking, capsys, monkeypatch):
    monkeypatch.setattr(asking_module, "EMBEDDED_TEXTS", 299)
    without = asking(300, Encoding(), encode)
    assert "embedding" not in read_table("scores.parquet").column_names
    assert "0 known, 600 to ask" in capsys.readouterr().out
    monkeypatch.setattr(asking_module, "EMBEDDED_TEXTS", 300)
    asking(300, Encoding())
    assert None not in embeddings()[::2]
    assert "0 known, 600 to ask" in capsys.readouterr().out  # scores without embeddings are half an answer
    monkeypatch.setattr(asking_module, "EMBEDDED_TEXTS", 299)
    assert asking(300, None) == without
    assert "600 known, 0 to ask" in capsys.readouterr().out


def rename(params):
    params["task"]["classes"][0]["name"] = "bad"
    params["sample"]["gold"]["ranges"] = {"bad": [-4, -0.5], "positive": [0.5, 4]}


def add_template(params):
    params["score"]["teacher"]["templates"].append({"plain": "{text} All in all: {class}"})


def reorder_templates(params):
    params["score"]["teacher"]["templates"].reverse()


def add_class(params):
    params["task"]["classes"].append({"name": "neutral", "words": "mixed"})


@pytest.mark.parametrize(
    ("count", "change", "asked"),
    [
        (300, None, "1200 known, 0 to ask"),
        (360, None, "1200 known, 240 to ask"),
        (300, rename, "1200 known, 0 to ask"),
        (300, reorder_templates, "1200 known, 0 to ask"),
        (300, add_template, "1200 known, 300 to ask"),
        (300, add_class, "0 known, 1200 to ask"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_only_what_is_missing_is_asked(asking, capsys, tmp_path, count, change, asked):
    asking(300, Counting())
    before = {path.name: path.read_bytes() for path in (tmp_path / ".work").rglob("*.parquet")}
    capsys.readouterr()
    teacher = Counting()
    asking(count, teacher, change)
    assert asked in capsys.readouterr().out
    assert {name: content for name, content in files(tmp_path) if name in before} == before
    if change is add_class:  # the new class's words alone
        assert 1200 <= teacher.asked <= 1200 + (PROBE_TEXTS + 1) * 4 * 3


def files(folder):
    return [(path.name, path.read_bytes()) for path in (folder / ".work").rglob("*.parquet")]


def flipped(content):
    return content[:200] + bytes([content[200] ^ 1]) + content[201:]


@pytest.mark.parametrize(
    "harm", [flipped, lambda content: content[:-9], lambda content: b""], ids=["bit", "cut", "empty"]
)
def test_a_damaged_part_is_noticed_and_asked_again(asking, capsys, tmp_path, harm):
    whole = asking(300, Counting())
    part = sorted((tmp_path / ".work").rglob("*.parquet"))[0]
    part.write_bytes(harm(part.read_bytes()))
    capsys.readouterr()
    assert asking(300, Counting()) == whole
    printed = capsys.readouterr().out
    assert f"{part.relative_to(tmp_path)} is damaged; its answers are asked again" in printed
    assert int(re.search(r"(\d+) to ask", printed)[1]) in (PART_TEXTS * 4, (300 - 2 * PART_TEXTS) * 4)


def test_parts_do_not_depend_on_what_was_asked_before():
    lengths = np.random.default_rng(0).integers(1, 99, 700)
    whole = parts_by_length(np.arange(700), lengths, PART_TEXTS)
    assert [len(part) for part in whole] == [128] * 5 + [60]
    rest = parts_by_length(np.sort(np.concatenate(whole[2:])), lengths, PART_TEXTS)
    assert all((left == right).all() for left, right in zip(whole[2:], rest, strict=True))


def hold(root, ready, seconds):
    with AnswerStore(root, ASKER).locked():
        ready.set()
        time.sleep(seconds)


def test_of_two_runs_one_waits(tmp_path, capfd):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, 1.0))
    other.start()
    assert ready.wait(30)
    started = time.perf_counter()
    with AnswerStore(tmp_path, ASKER).locked():
        waited = time.perf_counter() - started
    other.join()
    assert waited > 0.3
    assert "another run is asking this teacher; waiting for its answers" in capfd.readouterr().out


def test_answers_come_back_by_value(tmp_path):
    store = AnswerStore(tmp_path, ASKER)
    keys = np.array([answer_key(text) for text in ("a", "b", "c")], "S16")
    answers = Counting().ask(["a", "b", "c"], ["t", "uu"], ["x", "yyy"])
    store.write(keys, ["t", "uu"], ["x", "yyy"], answers)
    known = store.read(keys[[2, 0]], ["uu", "new"], ["yyy", "other", "x"])
    np.testing.assert_array_equal(known.scores[:, 0, [0, 2]], answers.scores[[2, 0], 1][:, [1, 0]])
    assert known.there[:, 0].tolist() == [[True, False, True]] * 2
    assert not known.there[:, 1].any()
    assert known.embeddings is None
    assert not store.read(keys, ["t"], ["x"], embedded=True).there.any()
    store.write(keys[:2], ["t"], ["x"], Encoding().ask(["a", "b"], ["t"], ["x"]))
    some = store.read(keys, ["t"], ["x"], embedded=True)
    assert some.there[:, 0, 0].tolist() == [True, True, False]
    np.testing.assert_array_equal(some.take([1, 1, 0]).embeddings, [[1, 1, 1], [1, 1, 1], [1, 0, 1]])
    ((texts, templates, words),) = known.missing()
    assert texts.tolist() == [0, 1] and templates.tolist() == [0, 1] and words.tolist() == [0, 1, 2]


def test_reading_starts_no_threads(tmp_path):
    """A thread of pyarrow that still holds bytes of Python's while the process ends aborts it."""
    store = AnswerStore(tmp_path, ASKER)
    keys = np.array([answer_key(text) for _, text in tiny.sentences(50)], "S16")
    answers = Counting().ask(["a"] * len(keys), ["template"], ["one", "two"])
    store.write(keys, ["template"], ["one", "two"], answers)
    script = f"""
import os, numpy, pyarrow
from nolabels.core.stage import UserError
from nolabels.teachers.store import AnswerStore
before = len(os.listdir("/proc/self/task"))
known = AnswerStore({str(tmp_path)!r}, {ASKER!r}).read(numpy.array({keys.tolist()!r}, "S16"), ["template"], ["one"])
print(int(known.there.sum()), len(os.listdir("/proc/self/task")) - before)
"""
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == [str(len(keys)), "0"]


def test_a_limit_of_minutes_keeps_what_is_answered_and_the_next_run_goes_on(asking, capsys, tmp_path):
    whole = asking(500, Counting())
    (tmp_path / ".work").rename(tmp_path / "before")

    class Slow(Counting):
        def ask(self, *questions):
            time.sleep(0.2)
            return super().ask(*questions)

    with pytest.raises(UserError) as error:
        asking(500, Slow(), lambda params: params["runtime"].update(max_minutes=0.005))
    found = re.fullmatch(
        r"runtime\.max_minutes: 0\.005 have gone by; (512|1024) of 2000 questions are answered and kept, "
        r"the next dvc repro goes on from there",
        str(error.value),
    )
    capsys.readouterr()
    assert asking(500, Counting(), lambda params: params["runtime"].update(max_minutes=None)) == whole
    assert f"{found[1]} known, {2000 - int(found[1])} to ask" in capsys.readouterr().out


@pytest.fixture
def bucket(monkeypatch):
    """s3://team on a server of moto's, over loopback."""
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="team")
    s3fs.S3FileSystem.clear_instance_cache()  # of another test's server
    yield client
    server.stop()


def at(place):
    return lambda params: params["runtime"].update(store=place)


def test_a_store_at_an_address_holds_what_one_on_a_disk_holds(asking, bucket, capsys, tmp_path):
    whole = asking(300, Counting())
    capsys.readouterr()
    assert asking(300, Counting(), at("s3://team/answers")) == whole
    assert "0 known, 1200 to ask" in capsys.readouterr().out
    listed = bucket.list_objects_v2(Bucket="team")["Contents"]
    kept = {item["Key"].rpartition("/")[2] for item in listed}
    assert kept == {name for name, _ in files(tmp_path)} | {"about.json"}
    # a colleague, with more texts
    (tmp_path / ".work").rename(tmp_path / "before")
    assert asking(300, Counting()) == whole
    assert "1200 known, 0 to ask" in capsys.readouterr().out
    asking(360, Counting())
    printed = capsys.readouterr().out
    assert "1200 known, 240 to ask" in printed and "secret" not in printed
    assert not (tmp_path / ".work/answers").exists()


def test_a_damaged_part_at_an_address_is_asked_again(asking, bucket, capsys):
    whole = asking(300, Counting(), at("s3://team/answers"))
    key = next(
        item["Key"]
        for item in bucket.list_objects_v2(Bucket="team")["Contents"]
        if item["Key"].endswith(".parquet")
    )
    bucket.put_object(Bucket="team", Key=key, Body=b"PAR1 and no more")
    capsys.readouterr()
    assert asking(300, Counting()) == whole
    assert f"s3://team/{key.removeprefix('team/')} is damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (
            "s3://nobody/answers",
            r"runtime\.store: s3://nobody/answers/[0-9a-f]{32} must be reachable, found .*bucket.*",
        ),
        (
            "nowhere://team/answers",
            r"runtime\.store: nowhere://.* must be reachable, found ValueError: .*nowhere",
        ),
    ],
    ids=["no bucket", "no protocol"],
)
def test_an_address_that_cannot_be_reached_is_one_line(asking, bucket, place, message):
    with pytest.raises(UserError) as error:
        asking(60, Counting(), at(place))
    assert re.fullmatch(message, str(error.value)), str(error.value)
