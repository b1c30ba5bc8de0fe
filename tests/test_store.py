"""The answer store and the stage over it: nothing is asked twice, nothing half-written is believed."""

import multiprocessing
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from nolabels import teachers
from nolabels.store import AnswerStore, parts
from nolabels.tables import POOL, write_table
from nolabels.teachers import Answers
from nolabels.texts import answer_key, text_id
from stages import score
from tests import tiny

PARAMS = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
PART_TEXTS = teachers.PART_TEXTS["likelihood"]
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
        monkeypatch.setattr(score.teachers, "load", lambda *_, **__: teacher)
        score.main(["pool.parquet", str(causal_folder), "scores.parquet"])
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
    assert questions <= rest.asked <= questions + (score.PROBE_TEXTS + 1) * 4 * 2
    assert set(kept) <= {path.name for path in store.rglob("*.parquet")}


def rename(params):
    params["task"]["classes"][0]["name"] = "bad"
    params["sample"]["gold"]["ranges"] = {"bad": [-4, -0.5], "positive": [0.5, 4]}


def add_template(params):
    params["score"]["templates"].append({"plain": "{text} All in all: {class}"})


def reorder_templates(params):
    params["score"]["templates"].reverse()


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
        assert 1200 <= teacher.asked <= 1200 + (score.PROBE_TEXTS + 1) * 4 * 3


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
    whole = parts(np.arange(700), lengths, PART_TEXTS)
    assert [len(part) for part in whole] == [128] * 5 + [60]
    rest = parts(np.sort(np.concatenate(whole[2:])), lengths, PART_TEXTS)
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
from nolabels.store import AnswerStore
before = len(os.listdir("/proc/self/task"))
known = AnswerStore({str(tmp_path)!r}, {ASKER!r}).read(numpy.array({keys.tolist()!r}, "S16"), ["template"], ["one"])
print(int(known.there.sum()), len(os.listdir("/proc/self/task")) - before)
"""
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == [str(len(keys)), "0"]
