"""What all kinds of teacher share: their parameters, their way through the stages, how long text is read."""

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from nolabels import params
from nolabels.stage import UserError
from nolabels.tables import POOL, TEXTS, about, read_table, write_table
from nolabels.teachers import Teacher, windows
from stages import fetch, label, score
from tests import tiny
from tests.test_endpoint import serving

REPOSITORY = Path(params.__file__).parents[1]
LONG = "The old town walks through a story of people. " * 10


@pytest.fixture
def values(tmp_path, monkeypatch):
    """The default parameters, to be changed; the working folder is one of the test's own."""
    monkeypatch.chdir(tmp_path)
    return yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))


def load(values):
    Path("params.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return params.load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"templates": [{"hypothesis": "It is {class}."}]}, "templates of kind likelihood need chat and answer, or plain; number 1 has hypothesis"),
        ({"kind": "entailment"}, "templates of kind entailment need hypothesis; number 1 has chat and answer"),
        ({"kind": "similarity", "templates": [{"hypothesis": "{class}"}]}, "need class_text, or class_text and text; number 1 has hypothesis"),
        ({"kind": "entailment", "templates": [{"hypothesis": "It is {}."}]}, "score.templates.0.hypothesis: must hold {class} exactly once, found 'It is {}.'"),
        ({"kind": "similarity", "templates": [{"class_text": "a class"}]}, "class_text must hold {class} or {description}, found 'a class'"),
        ({"kind": "similarity", "templates": [{"class_text": "{description}"}]}, "task.classes: each needs a description, which a template asks for; 'negative' has none"),
        ({"kind": "similarity", "templates": [{"class_text": "{class}", "plain": "{text} {class}"}]}, "found plain and class_text"),
        ({"kind": "sentiment"}, "score.kind: must be 'likelihood', 'entailment', 'similarity' or 'endpoint', found 'sentiment'"),
        ({"kind": "endpoint", "templates": [{"plain": "{text} {class}"}]}, "score.kind: must be endpoint where fetch.teacher is an endpoint, and there alone, found endpoint"),
        ({"kind": "endpoint", "templates": [{"plain": "{text} {class}"}], "precision": "float32"}, "precision must be auto for an endpoint"),
        ({"long_text": "parts"}, "overlap must be a number with long_text: parts"),
        ({"overlap": 4}, "and null with long_text: cut, found 4 with cut"),
        ({"long_text": "parts", "overlap": 256}, "overlap must be less than max_tokens 256, found 256"),
    ],
)  # fmt: skip
def test_a_template_of_another_kind_is_one_line(values, change, message):
    values["score"].update(change)
    with pytest.raises(UserError) as error:
        load(values)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"endpoint": "http://key@127.0.0.1/v1", "model": "m"}, "fetch.teacher.endpoint: must"),
        ({"endpoint": "127.0.0.1", "model": "m"}, "fetch.teacher.endpoint: must"),
        ({"endpoint": "http://127.0.0.1/v1"}, "fetch.teacher.model: is missing"),
        ({"endpoint": "http://127.0.0.1/v1", "model": "m"}, "score.kind: must be endpoint where"),
    ],
)
def test_an_endpoint_that_cannot_be(values, teacher, message):
    values["fetch"]["teacher"] = teacher
    with pytest.raises(UserError, match=message):
        load(values)


def test_windows_cover_everything():
    assert windows(10, 20, 5) == [(0, 10)]
    assert windows(20, 20, 5) == [(0, 20)]
    assert windows(21, 20, 5) == [(0, 20), (15, 21)]
    assert windows(50, 20, 0) == [(0, 20), (20, 40), (40, 50)]
    for count in range(1, 60):
        for overlap in range(7):
            found = windows(count, 7, overlap)
            assert sorted({place for start, end in found for place in range(start, end)}) == list(
                range(count)
            )
            assert all(left[1] - right[0] == overlap for left, right in itertools.pairwise(found))


def test_a_tokenizer_without_places_is_asked_word_by_word():
    import transformers

    teacher = Teacher()
    teacher.tokenizer = transformers.ByT5Tokenizer()
    assert not teacher.tokenizer.is_fast
    assert teacher.spans(["An old"]) == [[(0, 2)] * 2 + [(2, 6)] * 4]


def tables():
    """A pool of 12 texts, one of them long, a test of 4 and a dev of none."""
    texts = [text for _, text in tiny.sentences(15)] + [LONG]
    rows = [{"id": f"{n:032x}", "text": text, "split": "train", "row": n} for n, text in enumerate(texts)]
    write_table("data/pool.parquet", pa.Table.from_pylist(rows[4:], schema=POOL))
    write_table("data/test.parquet", pa.Table.from_pylist([{n: row[n] for n in TEXTS.names} for row in rows[:4]], schema=TEXTS))  # fmt: skip
    write_table("data/dev.parquet", TEXTS.empty_table())


def run(teacher):
    """score for the three tables, then label; the pool's table of scores, its facts and the metrics."""
    for name in ("dev", "pool", "test"):
        score.main([f"data/{name}.parquet", teacher, f"data/scores/{name}.parquet"])
    scores = [f"data/scores/{name}.parquet" for name in ("pool", "dev", "test")]
    outs = [f"data/{name}.parquet" for name in ("labeled", "teacher_dev", "teacher_test")]
    label.main(["data/pool.parquet", *scores, *outs, "metrics/label.json"])
    path = "data/scores/pool.parquet"
    return read_table(path), about(path), json.loads(Path("metrics/label.json").read_text())


@pytest.mark.parametrize(
    ("kind", "template", "make"),
    [
        ("entailment", {"hypothesis": "It is {class}."}, lambda folder: tiny.nli_model(folder, "roberta")),
        ("similarity", {"class_text": "{class}: {description}"}, tiny.encoder),
        ("likelihood", {"plain": "{text} It is {class}"}, lambda folder: tiny.causal_family(folder, "mamba")),
    ],
)
@pytest.mark.parametrize("long_text", ["cut", "parts"])
def test_every_kind_goes_through_the_stages(values, kind, template, make, long_text, tmp_path):
    for item in values["task"]["classes"]:
        item["description"] = f"about {item['name']} things"
    values["score"].update(
        kind=kind, templates=[template], max_tokens=40, precision="float32", long_text=long_text
    )
    values["score"]["overlap"] = 8 if long_text == "parts" else None
    load(values)
    make(tmp_path / "teacher")
    tables()
    scores, facts, metrics = run("teacher")
    assert len(scores) == 12 and facts["model"]["kind"] == kind and facts["model"]["parameters"] > 1000
    assert metrics["cut"] == {"pool": 1, "dev": 0, "test": 0}
    assert (scores["against"].null_count == 0) == (kind == "entailment")
    before = Path("data/scores/pool.parquet").read_bytes()
    run("teacher")
    assert Path("data/scores/pool.parquet").read_bytes() == before


def test_an_endpoint_goes_through_the_stages(values, tmp_path):
    model = tiny.causal_model(tmp_path / "model")
    tables()
    values["score"].update(kind="endpoint", templates=[{"plain": "{text} It is {class}"}], max_tokens=40)
    with serving(model, "echo") as served:
        values["fetch"]["teacher"] = {"endpoint": served.url, "model": "tiny"}
        load(values)
        fetch.main(["teacher", "models/teacher", "models/own/teacher"])
        scores, facts, metrics = run("models/teacher")
        asked = len(served.requests)
        run("models/teacher")
        assert len(served.requests) == asked  # the store knows it all
        # where and how fast is asked changes no answer, another model does
        values["runtime"]["endpoint"]["concurrency"] = 2
        load(values)
        run("models/teacher")
        assert len(served.requests) == asked
    assert facts["model"]["parameters"] is None and facts["model"]["megabytes"] is None
    assert metrics["cut"] == {"pool": 1, "dev": 0, "test": 0}
    assert np.isfinite(scores["score"].combine_chunks().flatten().to_numpy()).all()
    values["fetch"]["teacher"]["model"] = "other"
    load(values)
    before = Path("models/teacher/endpoint.json").read_bytes()
    fetch.main(["teacher", "models/teacher", "models/own/teacher"])
    assert Path("models/teacher/endpoint.json").read_bytes() != before


def test_parts_of_a_served_teacher_are_in_the_store_before_the_next_is_asked(values, tmp_path):
    model = tiny.causal_model(tmp_path / "model")
    texts = [text for _, text in tiny.sentences(40)]
    rows = [{"id": f"{n:032x}", "text": text, "split": "train", "row": n} for n, text in enumerate(texts)]
    write_table("data/pool.parquet", pa.Table.from_pylist(rows, schema=POOL))
    values["score"].update(kind="endpoint", templates=[{"plain": "{text} It is {class}"}], max_tokens=40)
    values["runtime"]["endpoint"].update(retries=0, concurrency=1)
    with serving(model, "echo") as served:
        values["fetch"]["teacher"] = {"endpoint": served.url, "model": "tiny"}
        load(values)
        fetch.main(["teacher", "models/teacher", "models/own/teacher"])
        arguments = ["data/pool.parquet", "models/teacher", "data/scores/pool.parquet"]
        served.plan = ["answer"] * 70 + ["drop"]
        with pytest.raises(UserError, match="must answer"):
            score.main(arguments)
        first = len(served.requests)
        score.main(arguments)
        again = len(served.requests) - first
        assert len(list(Path(values["runtime"]["store"]).glob("*/*.parquet"))) == 3
        # 24 texts are left, each with its tokens and two classes, and what is set up once
        assert again <= 24 * 3 + 10
