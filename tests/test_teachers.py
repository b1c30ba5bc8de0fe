"""What all kinds of teacher share: their parameters, their way through the stages, how long text is read."""

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from nolabels.core import params
from nolabels.core.schemas import POOL, TEXTS
from nolabels.core.stage import UserError
from nolabels.core.tables import about, read_table, write_table
from nolabels.teachers import asking
from nolabels.teachers.teacher import Teacher, windows
from stages import fetch, label, score
from tests import tiny
from tests.test_endpoint import serving

REPOSITORY = Path(params.__file__).parents[3]
LONG = "The old town walks through a story of people. " * 10


@pytest.fixture
def values(tmp_path, monkeypatch):
    """The default parameters with one teacher, to be changed; the working folder is one of the test's own."""
    monkeypatch.chdir(tmp_path)
    found = tiny.one_teacher(yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8")))
    found["label"]["refine"] = "auto"
    return found


def load(values):
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    Path("params.yaml").write_text(text, encoding="utf-8")
    return params.load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"templates": [{"hypothesis": "It is {class}."}]}, "templates of kind likelihood need chat and answer, or plain; number 1 has hypothesis"),
        ({"kind": "entailment"}, "templates of kind entailment need hypothesis; number 1 has chat and answer"),
        ({"kind": "similarity", "templates": [{"hypothesis": "{class}"}]}, "need class_text, or class_text and text; number 1 has hypothesis"),
        ({"kind": "entailment", "templates": [{"hypothesis": "It is {}."}]}, "score.teacher.templates.0.hypothesis: must hold {class} exactly once, found 'It is {}.'"),
        ({"kind": "similarity", "templates": [{"class_text": "a class"}]}, "class_text must hold {class} or {description}, found 'a class'"),
        ({"kind": "similarity", "templates": [{"class_text": "{description}"}]}, "task.classes: each needs a description, which a template asks for; 'negative' has none"),
        ({"kind": "similarity", "templates": [{"class_text": "{class}", "plain": "{text} {class}"}]}, "found plain and class_text"),
        ({"kind": "sentiment"}, "score.teacher.kind: must be 'likelihood', 'entailment', 'similarity' or 'endpoint', found 'sentiment'"),
        ({"kind": "endpoint", "templates": [{"plain": "{text} {class}"}]}, "score.teacher.kind: must be endpoint where fetch.models.teacher is an endpoint, and there alone, found endpoint"),
        ({"kind": "endpoint", "templates": [{"plain": "{text} {class}"}], "precision": "float32"}, "precision must be auto for an endpoint"),
        ({"precision": "int8"}, "precision int8 is for kind entailment, found likelihood"),
        ({"long_text": "chunk"}, "stride must be a number with long_text: chunk"),
        ({"stride": 4}, "and null with long_text: truncate, found 4 with truncate"),
        ({"long_text": "chunk", "stride": 256}, "stride must be less than max_tokens 256, found 256"),
    ],
)  # fmt: skip
def test_a_template_of_another_kind_is_one_line(values, change, message):
    for item in values["task"]["classes"]:
        item["description"] = None
    values["score"]["teacher"].update(change)
    with pytest.raises(UserError) as error:
        load(values)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"endpoint": "http://key@127.0.0.1/v1", "model": "m"}, "fetch.models.teacher.endpoint: must"),
        ({"endpoint": "127.0.0.1", "model": "m"}, "fetch.models.teacher.endpoint: must"),
        ({"endpoint": "http://127.0.0.1/v1"}, "fetch.models.teacher.model: is missing"),
        ({"endpoint": "http://127.0.0.1/v1", "model": "m"}, "score.teacher.kind: must be endpoint where"),
    ],
)
def test_an_endpoint_that_cannot_be(values, teacher, message):
    values["fetch"]["models"]["teacher"] = teacher
    with pytest.raises(UserError, match=message):
        load(values)


def test_windows_cover_everything():
    assert windows(10, 20, 5) == [(0, 10)]
    assert windows(20, 20, 5) == [(0, 20)]
    assert windows(21, 20, 5) == [(0, 20), (15, 21)]
    assert windows(50, 20, 0) == [(0, 20), (20, 40), (40, 50)]
    for count in range(1, 60):
        for stride in range(7):
            found = windows(count, 7, stride)
            assert sorted({place for start, end in found for place in range(start, end)}) == list(
                range(count)
            )
            assert all(left[1] - right[0] == stride for left, right in itertools.pairwise(found))


def test_a_tokenizer_without_places_is_asked_word_by_word():
    import transformers

    teacher = Teacher()
    teacher.tokenizer = transformers.ByT5Tokenizer()
    assert not teacher.tokenizer.is_fast
    assert teacher.spans(["An old"]) == [[(0, 2)] * 2 + [(2, 6)] * 4]


def tables():
    """A pool of 12 texts, one of them long, a test of 4, a dev of none, and 3 texts for encoders alone."""
    texts = [text for _, text in tiny.sentences(15)] + [LONG]
    rows = [{"id": f"{n:032x}", "text": text, "split": "train", "row": n} for n, text in enumerate(texts)]
    write_table("data/pool.parquet", pa.Table.from_pylist(rows[4:], schema=POOL))
    write_table("data/test.parquet", pa.Table.from_pylist([{n: row[n] for n in TEXTS.names} for row in rows[:4]], schema=TEXTS))  # fmt: skip
    write_table("data/dev.parquet", TEXTS.empty_table())
    further = [{"id": f"{n:032x}", "text": f"{n} films", "row": n} for n in range(50, 53)]
    write_table("data/clusters.parquet", pa.Table.from_pylist(further, schema=TEXTS))


def ask(name, folder):
    """score for the four tables; name, folder: of the teacher."""
    for part in ("dev", "pool", "clusters", "test"):
        score.main([name, f"data/{part}.parquet", folder, f"data/scores/{name}/{part}.parquet"])


def combine():
    """label; returns its metrics."""
    outs = [f"data/{name}.parquet" for name in ("labeled", "teacher_dev", "teacher_test")]
    label.main(["data/pool.parquet", "data/scores", *outs, "metrics/label.json"])
    return json.loads(Path("metrics/label.json").read_text(encoding="utf-8"))


def run(teacher):
    """score for the four tables, then label; the pool's table of scores, its facts and the metrics."""
    ask("teacher", teacher)
    path = "data/scores/teacher/pool.parquet"
    return read_table(path), about(path), combine()


@pytest.mark.parametrize(
    ("kind", "template", "make"),
    [
        ("entailment", {"hypothesis": "It is {class}."}, lambda folder: tiny.nli_model(folder, "roberta")),
        ("similarity", {"class_text": "{class}: {description}"}, tiny.encoder),
        ("likelihood", {"plain": "{text} It is {class}"}, lambda folder: tiny.causal_family(folder, "mamba")),
    ],
)
@pytest.mark.parametrize("long_text", ["truncate", "chunk"])
def test_every_kind_goes_through_the_stages(values, kind, template, make, long_text, tmp_path):
    for item in values["task"]["classes"]:
        item["description"] = f"about {item['name']} things"
    values["score"]["teacher"].update(
        kind=kind, templates=[template], max_tokens=40, precision="float32", long_text=long_text
    )
    values["score"]["teacher"]["stride"] = 8 if long_text == "chunk" else None
    load(values)
    make(tmp_path / "teacher")
    tables()
    scores, facts, metrics = run("teacher")
    assert len(scores) == 12 and facts["model"]["kind"] == kind and facts["model"]["parameters"] > 1000
    assert metrics["cut"] == {"pool": 1, "dev": 0, "test": 0}
    assert (scores["against"].null_count == 0) == (kind == "entailment")
    further = read_table("data/scores/teacher/clusters.parquet")  # read by encoders alone
    assert further["id"].to_pylist() == [f"{n:032x}" for n in range(50, 53) if kind == "similarity"]
    before = Path("data/scores/teacher/pool.parquet").read_bytes()
    run("teacher")
    assert Path("data/scores/teacher/pool.parquet").read_bytes() == before


@pytest.fixture
def two(values, tmp_path):
    """A language model that gives two templates and a sentence encoder that reads long texts in parts, asked."""
    values["fetch"]["models"]["encoder"] = {"own": "encoder"}
    common = {"max_tokens": 40, "precision": "float32", "stride": None}
    values["score"] = {
        "teacher": common
        | {
            "kind": "likelihood",
            "templates": [{"plain": "{text} It is {class}"}, {"plain": "{text} So {class}"}],
            "long_text": "truncate",
        },
        "encoder": common
        | {
            "kind": "similarity",
            "templates": [{"class_text": "{class}"}, {"class_text": "It is {class}."}],
            "long_text": "chunk",
            "stride": 8,
        },
    }
    load(values)
    tiny.causal_family(tmp_path / "teacher", "mamba")
    tiny.encoder(tmp_path / "encoder", "mean_tokens")
    tables()
    for name in values["score"]:
        ask(name, name)
    return values


def test_two_teachers_go_through_the_stages(two):
    metrics = combine()
    assert list(metrics["teachers"]) == ["teacher", "encoder"]
    assert sum(one["weight"] for one in metrics["teachers"].values()) == pytest.approx(1)
    for one in metrics["teachers"].values():
        assert sum(one["template_weight"].values()) == pytest.approx(1) and one["precision"] == "float32"
    assert metrics["cut"] == {"pool": 1, "dev": 0, "test": 0}  # the same text, for both
    assert about("data/teacher_test.parquet")["model"]["kind"] == "likelihood + similarity"
    assert [read_table(f"data/{name}.parquet").num_rows for name in ("labeled", "teacher_dev", "teacher_test")] == [12, 0, 4]  # fmt: skip
    first = [Path(f"data/{name}.parquet").read_bytes() for name in ("labeled", "teacher_dev", "teacher_test")]
    combine()
    again = [Path(f"data/{name}.parquet").read_bytes() for name in ("labeled", "teacher_dev", "teacher_test")]
    assert again == first


def test_an_encoder_that_is_refined_answers_a_dev_without_texts(two):
    two["label"]["refine"] = "always"
    load(two)
    metrics = combine()
    assert [one["refined"] for one in metrics["teachers"].values()] == [False, True]
    assert read_table("data/teacher_dev.parquet").num_rows == 0


@pytest.mark.parametrize("how", ["auto", "answers", "never"])
def test_an_encoder_beside_a_language_model_is_refined_by_the_answers_of_both(two, how):
    two["label"]["refine"] = how
    load(two)
    metrics = combine()
    assert not any(one["refined"] for one in metrics["teachers"].values())
    taught = ["encoder"] if how != "never" else []
    assert [name for name, one in metrics["teachers"].items() if "refined_by_answers" in one] == taught


def test_a_test_that_is_too_long_for_embeddings_is_answered_by_a_refined_encoder(two, monkeypatch):
    monkeypatch.setattr(asking, "EMBEDDED_TEXTS", 12)
    more = [f"{n:032x}" for n in range(100, 113)]
    texts = [text for _, text in tiny.sentences(13, seed=5)]
    rows = [
        {"id": one, "text": text, "row": n} for n, (one, text) in enumerate(zip(more, texts, strict=True))
    ]
    write_table("data/test.parquet", pa.Table.from_pylist(rows, schema=TEXTS))
    two["label"]["refine"] = "always"
    load(two)
    for name in two["score"]:
        ask(name, name)
    combine()
    assert read_table("data/teacher_test.parquet").num_rows == 13


def test_embeddings_of_a_pool_that_grew_are_those_of_one_that_was_as_large(two):
    """A long text among them, which is read in parts."""
    table = read_table("data/pool.parquet")
    outs = []
    for store, sizes in ((".work/grown", (7, 12)), (".work/whole", (12,))):
        two["runtime"]["store"] = store
        load(two)
        for size in sizes:
            write_table("data/pool.parquet", table.slice(12 - size))
            score.main(["encoder", "data/pool.parquet", "encoder", "scores.parquet"])
        outs.append(read_table("scores.parquet", ["id", "embedding"]).to_pylist())
    assert [row["id"] for row in outs[0]] == [row["id"] for row in outs[1]]
    assert [row["embedding"] is None for row in outs[0]] == [False, True] * 12
    grown, whole = ([np.frombuffer(row["embedding"], np.float16) for row in rows[::2]] for rows in outs)
    np.testing.assert_allclose(np.stack(grown), np.stack(whole), atol=1e-3)
    before = Path("scores.parquet").read_bytes()
    score.main(["encoder", "data/pool.parquet", "encoder", "scores.parquet"])
    assert Path("scores.parquet").read_bytes() == before


def test_a_run_without_a_teacher_that_was_there_is_one_without_it(two):
    combine()
    del two["score"]["encoder"], two["fetch"]["models"]["encoder"]
    load(two)
    metrics = combine()  # its tables still lie there
    assert list(metrics["teachers"]) == ["teacher"]
    assert about("data/teacher_test.parquet")["model"]["kind"] == "likelihood"
    assert sorted(path.name for path in Path("data/scores").iterdir()) == [
        "teacher"
    ]  # else it stood in dvc.lock


def test_what_is_wrong_with_another_teacher_is_told_of_that_one(two):
    two["score"]["encoder"]["max_tokens"] = 7
    with pytest.raises(UserError):
        load(two)
    with pytest.raises(
        UserError, match=r"^params.yaml: score.encoder.max_tokens: must be greater than or equal"
    ):
        ask("teacher", "teacher")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "encoder",
            {"kind": "entailment", "templates": [{"hypothesis": "It is {class}."}]},
            r"^params.yaml: score.encoder.kind: entailment needs ",
        ),
        ("teacher", {}, r"^params.yaml: score.teacher.kind: likelihood needs a causal language model"),
        (
            "encoder",
            {"max_tokens": 200},
            r"^params.yaml: score.encoder.max_tokens: must be less with long_text",
        ),
    ],
)
def test_a_message_about_a_teacher_names_it(two, name, change, message):
    two["score"][name].update(change)
    load(two)
    with pytest.raises(UserError, match=message):
        ask(name, "encoder")


def test_a_teacher_that_is_not_asked_is_one_line(two):
    with pytest.raises(UserError) as error:
        ask("base", "encoder")
    assert str(error.value) == "params.yaml: score.base: must be there, found teacher, encoder"


def test_an_asset_that_is_not_there_is_one_line(two):
    with pytest.raises(UserError) as error:
        fetch.main(["models.large", "models/large", "models/own/large"])
    assert str(error.value) == (
        "params.yaml: fetch.models.large: must be there, found dataset, models.teacher, models.base, models.encoder"
    )


def test_an_endpoint_goes_through_the_stages(values, tmp_path):
    model = tiny.causal_model(tmp_path / "model")
    tables()
    values["score"]["teacher"].update(
        kind="endpoint", templates=[{"plain": "{text} It is {class}"}], max_tokens=40
    )
    with serving(model, "echo") as served:
        values["fetch"]["models"]["teacher"] = {"endpoint": served.url, "model": "tiny"}
        load(values)
        fetch.main(["models.teacher", "models/teacher", "models/own/teacher"])
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
    values["fetch"]["models"]["teacher"]["model"] = "other"
    load(values)
    before = Path("models/teacher/endpoint.json").read_bytes()
    fetch.main(["models.teacher", "models/teacher", "models/own/teacher"])
    assert Path("models/teacher/endpoint.json").read_bytes() != before


def test_parts_of_a_served_teacher_are_in_the_store_before_the_next_is_asked(values, tmp_path):
    model = tiny.causal_model(tmp_path / "model")
    texts = [text for _, text in tiny.sentences(40)]
    rows = [{"id": f"{n:032x}", "text": text, "split": "train", "row": n} for n, text in enumerate(texts)]
    write_table("data/pool.parquet", pa.Table.from_pylist(rows, schema=POOL))
    values["score"]["teacher"].update(
        kind="endpoint", templates=[{"plain": "{text} It is {class}"}], max_tokens=40
    )
    values["runtime"]["endpoint"].update(retries=0, concurrency=1)
    with serving(model, "echo") as served:
        values["fetch"]["models"]["teacher"] = {"endpoint": served.url, "model": "tiny"}
        load(values)
        fetch.main(["models.teacher", "models/teacher", "models/own/teacher"])
        arguments = ["teacher", "data/pool.parquet", "models/teacher", "data/scores/teacher/pool.parquet"]
        served.plan = ["answer"] * 70 + ["drop"]
        with pytest.raises(UserError, match="must answer"):
            score.main(arguments)
        first = len(served.requests)
        score.main(arguments)
        again = len(served.requests) - first
        assert len(list(Path(values["runtime"]["store"]).glob("*/*.parquet"))) == 3
        # 24 texts are left, each with its tokens and two classes, and what is set up once
        assert again <= 24 * 3 + 10
