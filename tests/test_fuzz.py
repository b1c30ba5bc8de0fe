"""Whatever people write into files and parameters: a result or one clear line, never a traceback, never a hang.

The examples are Hypothesis's; FUZZ_EXAMPLES says how many (CONTRIBUTING: the long run).
"""

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nolabels.core import params
from nolabels.core.stage import UserError
from nolabels.data import annotations, readers
from nolabels.data.gold import gold_classes
from tests import tiny

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    database=None,
)
DEFAULT = Path("params.yaml").read_text(encoding="utf-8")
VALUES = yaml.safe_load(DEFAULT)
CLASSES = VALUES["task"]["classes"]


def one_line(call):
    """What a call returns, or None where it says in one line what is wrong."""
    try:
        return call()
    except UserError as error:
        assert "Traceback" not in str(error) and len(str(error)) < 4000, str(error)
        return None


# ---------------------------------------------------------------------- parameters

# what YAML may hold: also what is nearly a number, a date, a truth value, a key that is no text
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["{text}", "{class}", "{description}", "yes", "1e-5", "auto", "2026-11-24", "s3://a:b@c/d"]
    ),
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3),
    max_leaves=6,
)


def places(tree, path=()):
    """Every place in nested dicts and lists."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


PLACES = [path for path in places(VALUES) if path]


@fuzz
@given(place=st.sampled_from(PLACES), value=trees, other=st.sampled_from(PLACES), more=st.none() | trees)
def test_parameters(tmp_path_factory, place, value, other, more):
    changed = yaml.safe_load(DEFAULT)
    for path, given_value in ((place, value), (other, more))[: 1 if more is None else 2]:
        inside = changed
        try:
            for key in path[:-1]:
                inside = inside[key]
            inside[path[-1]] = given_value
        except (KeyError, TypeError, IndexError):  # the first change took the place of the second away
            pass
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    try:
        text = yaml.safe_dump(changed, allow_unicode=True)
        path.write_text(text, encoding="utf-8")
    except (yaml.YAMLError, UnicodeEncodeError):  # a lone surrogate
        return
    one_line(lambda: params.load(path))


@fuzz
@given(
    start=st.integers(0, len(DEFAULT)),
    length=st.integers(0, 40),
    text=st.text(max_size=12)
    | st.sampled_from(
        [
            "&a ",
            "*a",
            "!!python/object:os.system ",
            "? ",
            "- - ",
            "2026-99-99",
            "<<: ",
            "{",
            "[" * 2000,
            "\t",
            "\0",
        ]
    ),
)
@example(start=DEFAULT.index("seed: 42") + 6, length=2, text="2026-99-99")
def test_text_of_params_yaml(tmp_path_factory, start, length, text):
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    changed = DEFAULT[:start] + text + DEFAULT[start + length :]
    path.write_bytes(changed.encode("utf-8", "surrogatepass"))
    one_line(lambda: params.load(path))


# ---------------------------------------------------------------------- readers

words = st.text(max_size=30) | st.sampled_from(
    ["", '"', ",", "\t", "=1+1", "\ufeff", "(none)", "a; b", "negative", "nan", "-inf", "9" * 5000]
)
rows = st.lists(st.tuples(words, words), max_size=6)


def delimited(found, delimiter):
    sink = io.StringIO()
    csv.writer(sink, delimiter=delimiter).writerows([("text", "label"), *found])
    return sink.getvalue().encode("utf-8", "surrogatepass")


def as_jsonl(found):
    return "\n".join(json.dumps({"text": text, "label": label}) for text, label in found).encode()


def as_parquet(found):
    try:
        columns = {"text": [text for text, _ in found], "label": [label for _, label in found]}
        table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    except (pa.ArrowException, UnicodeEncodeError):
        return b"PAR1"
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


FORMS = {
    "csv": lambda found: delimited(found, ","),
    "tsv": lambda found: delimited(found, "\t"),
    "jsonl": as_jsonl,
    "txt": lambda found: "\n".join(text for text, _ in found).encode("utf-8", "surrogatepass"),
    "parquet": as_parquet,
}
harms = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 8), st.binary(max_size=6)), max_size=3)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("form", FORMS)
@fuzz
@given(found=rows, harm=harms, late=harms)
def test_readers(tmp_path_factory, form, zipped, found, harm, late):
    content = FORMS[form](found)
    for start, length, put in harm:
        content = content[:start] + put + content[start + length :]
    if zipped:
        content = gzip.compress(content, mtime=0)
        for start, length, put in late:
            content = content[:start] + put + content[start + length :]
    path = tmp_path_factory.getbasetemp() / f"fuzzed.{form}{'.gz' if zipped else ''}"
    path.write_bytes(content)
    gold = {"column": "label", "names": True}
    values = yaml.safe_load(DEFAULT)
    values["sample"] |= {"format": form, "columns": None, "text": None if form == "txt" else "text"}
    values["sample"]["gold"] = None if form == "txt" else gold
    read = params.Params.model_validate(values)

    def every():
        answers = gold_classes(path, read.sample.gold, read.task)
        for row, text, value in readers.read_rows(path, read.sample, read.sample.gold):
            assert row > 0 and isinstance(text, str)
            text.encode()
            answers(row, value)

    one_line(every)


# ---------------------------------------------------------------------- answers of people

IDS = [f"{number:032x}" for number in range(4)]
cells = st.sampled_from(
    [
        *IDS,
        "negative",
        "positive",
        "other",
        "negative; positive",
        "(none)",
        "",
        " ",
        '"',
        "\0",
        "\ud800",
        "\x85",
    ]
) | st.text(max_size=8)


@fuzz
@given(
    head=st.sampled_from(
        [
            "id,label",
            "text,label",
            "id,text,label",
            "label",
            "id;label",
            "",
            "\ufeffid,label",
            "id,label,label",
        ]
    ),
    found=st.lists(st.lists(cells, max_size=4), max_size=5),
    several=st.booleans(),
    harm=harms,
)
@example(head="id,label", found=[], several=False, harm=[(0, 0, b"\xff")])
@example(head="id,label", found=[["\0", "negative"]], several=False, harm=[])
@example(head="id,label", found=[['"' + IDS[0], "negative"]], several=False, harm=[])
def test_answers_of_people(tmp_path_factory, head, found, several, harm):
    content = "\n".join([head, *(",".join(row) for row in found)]).encode("utf-8", "surrogatepass")
    for start, length, put in harm:
        content = content[:start] + put + content[start + length :]
    path = tmp_path_factory.getbasetemp() / "fuzzed.csv"
    path.write_bytes(content)
    task = params.Params.model_validate(VALUES).task.model_copy(update={"multi_label": several})
    one_line(
        lambda: annotations.read_answers(path, task, pa.array(IDS[:2]), {"the other file": pa.array(IDS[2:])})
    )
    one_line(lambda: annotations.read_ids(path))


# ---------------------------------------------------------------------- what a teacher and the student read

odd = st.text(max_size=60) | st.sampled_from(
    ["", "\0", "{text}", "{class}", "<|im_start|>", "<|im_end|>", "\ud800", "\u202e", "a" * 5000]
)


@fuzz
@given(
    texts=st.lists(odd, min_size=1, max_size=3),
    words=st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=3, unique=True),
)
def test_texts_and_class_words(likelihood, texts, words):
    answers = one_line(
        lambda: likelihood[0].ask(
            [text.encode("utf-8", "replace").decode() for text in texts], likelihood[1], words
        )
    )
    assert answers is None or (
        answers.scores.shape == (len(texts), 4, len(words)) and (answers.scores < 1e9).all()
    )


@pytest.fixture(scope="module")
def likelihood(tmp_path_factory):
    from nolabels.teachers import kinds

    values = params.Params.model_validate(VALUES)
    folder = tiny.causal_model(tmp_path_factory.mktemp("fuzz") / "causal")
    place = {"device": "cpu", "precision": "float32", "name": "teacher", "served": None, "descriptions": {}}
    return kinds.load_teacher(values.score["teacher"], folder, **place), values.score["teacher"].templates


@fuzz
@given(texts=st.lists(odd, max_size=4))
def test_the_shipped_student(shipped, texts):
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    found, shares = shipped.predict(texts), shipped.predict_proba(texts)
    assert len(found) == len(shares) == len(texts)
    assert all(label in shipped.classes_ for label in found)
    assert ((shares >= 0) & (shares <= 1.0001)).all()


@settings(fuzz, max_examples=max(5, EXAMPLES // 40))  # a process each
@given(content=st.binary(max_size=200))
@example(content=b"\xff\xfe\x00\nA warm film.\r\n\n")
def test_the_shipped_student_s_command(shipped, content):
    path = shipped.folder / "messages.txt"
    path.write_bytes(content)
    command = [sys.executable, shipped.folder / "predict.py", path]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0 and ended.stderr == ""
    lines = len(io.TextIOWrapper(io.BytesIO(content), "utf-8", "replace").readlines())
    assert len(ended.stdout.splitlines()) == lines


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    from nolabels.students.predict import Model
    from stages.export import write_model

    folder = tmp_path_factory.mktemp("fuzz")
    write_model(tiny.student(folder / "student"), folder / "onnx", "int8")
    model = Model(folder / "onnx", threads=1)
    model.folder = folder / "onnx"
    return model
