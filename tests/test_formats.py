"""Every form of file gives the same texts, gold and rows; text comes through as it is."""

import gzip
import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from nolabels.core import params
from nolabels.core.stage import UserError
from nolabels.data import draw, readers, source, splits
from nolabels.data.gold import gold_classes
from nolabels.data.texts import text_id
from tests import sampling
from tests.hub import parquet
from tests.sampling import NAMES

TEXTS = [f"Text number {number}" for number in range(12)]
LABELS = ["negative", "positive", ""] * 4
ROWS = list(zip(TEXTS, LABELS, strict=True))


def encoded(form, rows):
    """The rows in one form; an absent label is what the form has for it."""
    if form == "parquet":
        return parquet(
            extra=[1.5] * len(rows),
            text=[text for text, _ in rows],
            label=[label or None for _, label in rows],
        )
    if form == "jsonl":
        return "".join(
            json.dumps({"label": label, "text": text} if label else {"text": text}) + "\n"
            for text, label in rows
        ).encode()
    if form == "txt":
        return "".join(f"{text}\n" for text, _ in rows).encode()
    mark = "\t" if form == "tsv" else ","
    return "".join(f"{text}{mark}{label}\n" for text, label in [("text", "label"), *rows]).encode()


FIRST = {"csv": 2, "tsv": 2, "jsonl": 1, "parquet": 1, "txt": 1}


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("form", FIRST)
def test_forms_agree(tmp_path, monkeypatch, form, zipped):
    content = encoded(form, ROWS)
    name = f"a.{form}.gz" if zipped else f"a.{form}"
    keys = {"format": form, "pool": 2, "valid": 1, "test": 4, "dev": 2}
    keys["zones"] = {"test": 0.56, "dev": 0.07, "pool": 0.37}  # with 7, 2 and 3 of the twelve texts
    keys |= {"text": None} if form == "txt" else {"gold": NAMES}
    data = sampling.run(tmp_path, monkeypatch, {name: gzip.compress(content) if zipped else content}, **keys)
    found = {}
    for table in ("pool", "test", "dev"):
        found |= sampling.texts(data, table)
    assert len(found) == 9
    assert all(row == TEXTS.index(text) + FIRST[form] for text, row in found.items())
    if form == "txt":
        assert sampling.answers(data) == {}
        return
    given = sampling.answers(data)
    assert len(given) == 4 and given.items() <= dict(ROWS).items()
    # whatever the form, the draw is the same
    again = sampling.run(
        tmp_path / "csv", monkeypatch, {"b.csv": encoded("csv", ROWS)}, **{**keys, "format": "csv"}
    )
    for table in ("pool", "test", "dev"):
        assert list(sampling.texts(again, table)) == list(sampling.texts(data, table))


def test_shards_are_read_in_order_and_numbered_each(tmp_path, monkeypatch):
    files = {f"part-{n}.csv": encoded("csv", ROWS[4 * n : 4 * n + 4]) for n in range(3)}
    files |= {
        "deep/part-3.csv": b"text,label\nDeep,\nText number 0,\n",
        "hub.yaml": b"hub: x",
        ".hidden": b"\0",
    }
    data = sampling.run(tmp_path, monkeypatch, files)
    found = sampling.texts(data) | sampling.texts(data, "test")
    assert found == {text: number % 4 + 2 for number, text in enumerate(TEXTS)} | {"Deep": 2} | {
        text: row for text, row in found.items() if text == "Text number 0"
    }
    assert found["Text number 0"] == 3, "deep/ sorts before part-0, and the first of two is kept"


def test_text_as_it_comes(tmp_path, monkeypatch):
    odd = {
        "emoji only": "🎬🍿👩‍👩‍👧",
        "right to left": "סרט נפלא, مخرج رائع",
        "long": "word " * 10_000,
        "NUL": "a\0b",
        "line break in quotes": "first\r\nsecond\nthird",
        "quotes": 'she said "no"',
        "separators of other kinds": "a\u2028b\u0085c\x0bd\x1ce",
        "formula": "=1+1",
        "spaces around": "  padded\t",
        "no-break space": "a\u00a0b",
        "not normalised": "Cafe\u0301",
    }
    lines = [
        "\ufefftext,label",
        *('"' + text.replace('"', '""') + '",' for text in odd.values()),
        '"",',
        '"   ",',
        "CAFÉ,",
    ]
    content = "\r\n".join(lines).encode()
    data = sampling.run(tmp_path, monkeypatch, {"a.csv": content})
    found = sampling.texts(data) | sampling.texts(data, "test")
    assert set(found) == set(odd.values())
    assert found[odd["quotes"]] == 9, "the line on which it starts: the line breaks before it count"


@pytest.mark.parametrize("form", ["jsonl", "parquet", "tsv", "txt"])
def test_text_as_it_comes_in_other_forms(tmp_path, monkeypatch, form):
    odd = [
        "🎬🍿",
        "סרט נפלא",
        "word " * 10_000,
        "a\0b",
        "a\u2028b\x0bc",
        '"',
        "",
        "\u3000",
        "Cafe\u0301",
        "CAFÉ",
    ]
    if form == "txt":
        content = "\ufeff".encode() + "\r\n".join(odd).encode()
    else:
        content = encoded(form, [(text, "") for text in odd])
    keys = {"text": None} if form == "txt" else {}
    data = sampling.run(tmp_path, monkeypatch, {f"a.{form}": content}, format=form, **keys)
    found = sampling.texts(data) | sampling.texts(data, "test")
    assert set(found) == set(odd) - {"", "\u3000", "CAFÉ"}


def test_null_texts_are_empty(tmp_path, monkeypatch, capsys):
    texts = [None, "a", "b"]
    lines = "\n".join(json.dumps({"text": text}) for text in texts).encode()
    sampling.run(tmp_path / "j", monkeypatch, {"a.jsonl": lines}, format="jsonl")
    sampling.run(tmp_path / "p", monkeypatch, {"a.parquet": parquet(text=texts)}, format="parquet")
    assert capsys.readouterr().out.count("(0 duplicates, 1 empty rows left out)") == 2


GOLDS = {
    "names": ({"names": True}, ["negative", "positive", "", None], ["negative", "positive", None, None]),
    "texts": (
        {"values": {"neg": "negative", "pos": "positive"}},
        ["neg", "pos", "", None],
        ["negative", "positive", None, None],
    ),
    "ids": (
        {"values": {0: "negative", 1: "positive", -1: None}},
        [0, 1, -1, None],
        ["negative", "positive", None, None],
    ),
    "whole floats": (
        {"values": {0: "negative", 1: "positive"}},
        [0.0, 1.0, None, None],
        ["negative", "positive", None, None],
    ),
    "truth values": (
        {"values": {"false": "negative", "true": "positive"}},
        [False, True, None, None],
        ["negative", "positive", None, None],
    ),
    "ranges": (
        {"ranges": {"negative": [-4, -0.5], "positive": [0.5, 4]}},
        [-0.5, 3.2, 0.1, None],
        ["negative", "positive", None, None],
    ),
}


TYPED = {"whole floats", "truth values"}  # csv has no types


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (kind, form)
        for kind in GOLDS
        for form in ("parquet", "jsonl", "csv")
        if form != "csv" or kind not in TYPED
    ],
)
def test_gold(tmp_path, kind, form):
    way, values, wanted = GOLDS[kind]
    rows = [f"t{number}" for number in range(len(values))]
    path = tmp_path / f"a.{form}"
    if form == "parquet":
        pq.write_table(pa.table({"text": rows, "label": values}), path)
    elif form == "jsonl":
        lines = [json.dumps({"text": text, "label": value}) for text, value in zip(rows, values, strict=True)]
        path.write_text("\n".join(lines))
    else:
        lines = [f"{text},{'' if value is None else value}" for text, value in zip(rows, values, strict=True)]
        path.write_text("\n".join(["text,label", *lines]))
    sampling.write_params(tmp_path, format=form, gold={"column": "label", **way})
    settings = params.load(tmp_path / "params.yaml")
    classes = settings.task.names
    to_classes = gold_classes(path, settings.sample.gold, settings.task)
    found = [
        to_classes(row, value)
        for row, _, value in readers.read_rows(path, settings.sample, settings.sample.gold)
    ]
    assert [None if answer is None else classes[answer[0]] for answer in found] == wanted


def test_a_test_file_holds_the_test_and_nothing_of_it_is_in_the_pool(tmp_path, monkeypatch, capsys):
    files = {
        "train.csv": ("text\n" + "".join(f"{text}\n" for text in TEXTS)).encode(),
        "test.csv": b"text,label\nText number 3,positive\nSeen never,negative\nUnsure,\nTEXT  number 3,negative\n",
    }
    keys = {"gold": NAMES, "test_file": "test.csv", "test": None}
    data = sampling.run(tmp_path, monkeypatch, files, **keys)
    assert sampling.answers(data) == {"Text number 3": "positive", "Seen never": "negative"}
    assert set(sampling.texts(data)) == set(TEXTS) - {"Text number 3"}
    assert "1 of the pool's files also in the test file" in capsys.readouterr().out
    one = sampling.run(tmp_path / "one", monkeypatch, files, **{**keys, "test": 1})
    assert list(sampling.texts(one, "test")) == list(sampling.texts(data, "test"))[:1]


def test_dev_beside_a_test_file_comes_from_the_others(tmp_path, monkeypatch):
    files = {"train.csv": encoded("csv", ROWS), "test.csv": b"text,label\nSeen never,negative\n"}
    keys = {"gold": NAMES, "test_file": "test.csv", "test": 1, "dev": 3}
    keys["zones"] = {"test": 0, "dev": 0.6, "pool": 0.4}
    data = sampling.run(tmp_path, monkeypatch, files, **keys)
    dev = sampling.texts(data, "dev")
    assert len(dev) == 3 and all(dict(ROWS)[text] for text in dev)
    assert not set(dev) & set(sampling.texts(data))
    assert pq.read_table(data / "dev_gold.parquet").num_rows == 3


def test_no_gold_is_gold_without_rows(tmp_path, monkeypatch):
    data = sampling.run(tmp_path, monkeypatch, {"a.csv": encoded("csv", ROWS)}, pool=5, test=2)
    assert pq.read_table(data / "gold.parquet").num_rows == 0
    assert pq.read_table(data / "test.parquet").num_rows == 2


def test_the_draw_is_by_hashes_of_the_text(tmp_path, monkeypatch):
    """One says which part a text may be in, one with the seed in which order; the order of rows is nothing."""
    keys = {"zones": {"test": 0.4, "dev": 0.0, "pool": 0.6}, "test": 3}
    small = sampling.run(tmp_path / "a", monkeypatch, {"a.csv": encoded("csv", ROWS)}, pool=3, **keys)
    large = sampling.run(tmp_path / "b", monkeypatch, {"a.csv": encoded("csv", ROWS[::-1])}, pool=7, **keys)
    assert list(sampling.texts(large))[:3] == list(sampling.texts(small))
    assert list(sampling.texts(large, "test")) == list(sampling.texts(small, "test"))
    keys = {text: hashlib.sha256(f"1:{text_id(text)}".encode()).digest() for text in TEXTS}
    order = sorted(TEXTS, key=keys.get)

    def place(text):
        digest = hashlib.sha256(f"zone:{text_id(text)}".encode()).digest()
        return int.from_bytes(digest[:4], "big") / 2**32

    test, pool = ([text for text in order if (place(text) < 0.4) == first] for first in (True, False))
    assert list(sampling.texts(large, "test")) == test[:3] and list(sampling.texts(large)) == pool[:7]


def test_blocks_change_nothing(tmp_path, monkeypatch):
    """More rows than fit a block, in several files, drawn in an order that is not theirs."""
    rows = [(f"Text {number}", LABELS[number % 3]) for number in range(500)]
    files = {f"{n}.csv": encoded("csv", rows[100 * n : 100 * n + 150]) for n in range(5)}
    keys = {"gold": NAMES, "pool": 200, "valid": 50, "test": 80, "dev": 50}
    whole = sampling.run(tmp_path / "a", monkeypatch, files, **keys)
    for module in (draw, source, splits):
        monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    blocks = sampling.run(tmp_path / "b", monkeypatch, files, **keys)
    for path in whole.glob("*.parquet"):
        assert (blocks / path.name).read_bytes() == path.read_bytes()
    monkeypatch.setattr(splits, "GROUP_ROWS", 40)
    groups = sampling.run(tmp_path / "c", monkeypatch, files, **keys)
    assert pq.read_table(groups / "pool.parquet").equals(pq.read_table(whole / "pool.parquet"))


BAD_KEYS = {
    "columns": ({"format": "jsonl", "columns": ["a"]}, "sample: columns must be null for jsonl, found ['a']"),
    "txt": ({"format": "txt"}, "sample: text and gold must be null for txt, found a column's name"),
    "text": ({"text": None}, "sample: text must name the column of the texts, found null for csv"),
    "notebook": (
        {"method": "notebook"},
        "sample: method notebook needs a test_file, a number as pool, valid 0, more 0 and dev 0, found None, None, 0, 0 and 0",
    ),
    "zones of the notebook": (
        {
            **{"method": "notebook", "test_file": "t.csv", "pool": 1},
            "zones": {"test": 0.1, "dev": 0.1, "pool": 0.8},
        },
        "sample: zones must be null for method notebook, which draws without them, and given for method draw, "
        "found shares with notebook",
    ),
    "no zones": (
        {"zones": None},
        "sample: zones must be null for method notebook, which draws without them, and given for method draw, "
        "found null with draw",
    ),
    "zones that are not all": (
        {"zones": {"test": 0.1, "dev": 0.1, "pool": 0.7}},
        "sample.zones: must be in all 1, found 0.1 + 0.1 + 0.7",
    ),
    "a zone below 0": (
        {"zones": {"test": -0.1, "dev": 0.1, "pool": 1.0}},
        "sample.zones.test: must be greater than or equal to 0, found -0.1",
    ),
    "no zone of the test": (
        {"zones": {"test": 0, "dev": 0, "pool": 1}},
        "sample: zones.test must be 0 where test_file names the test texts, and above 0 where it is null, found 0",
    ),
    "a zone beside a test file": (
        {"test_file": "t.csv", "zones": {"test": 0.1, "dev": 0, "pool": 0.9}},
        "sample: zones.test must be 0 where test_file names the test texts, and above 0 where it is null, "
        "found 0.1",
    ),
    "dev without a zone": (
        {"dev": 5, "zones": {"test": 0.1, "dev": 0, "pool": 0.9}},
        "sample: dev must be 0 where zones.dev is 0, found 5",
    ),
    "all of no zone": (
        {"dev": None, "zones": {"test": 0.1, "dev": 0, "pool": 0.9}},
        "sample: dev must be 0 where zones.dev is 0, found null",
    ),
    "gold": ({"gold": {"column": "x"}}, "sample.gold: needs one of names, values and ranges"),
    "two golds": (
        {"gold": {"column": "x", "names": True, "values": {0: "positive"}}},
        "sample.gold: needs one of names, values and ranges",
    ),
    "no class": (
        {"gold": {"column": "x", "values": {0: "good"}}},
        "sample.gold.values: must name classes of task.classes (negative, positive), found 'good'",
    ),
    "form": (
        {"format": "xls"},
        "sample.format: must be 'csv', 'tsv', 'jsonl', 'parquet' or 'txt', found 'xls'",
    ),
}


@pytest.mark.parametrize("kind", BAD_KEYS)
def test_keys_that_do_not_fit_are_named(tmp_path, kind):
    keys, message = BAD_KEYS[kind]
    sampling.write_params(tmp_path, **keys)
    with pytest.raises(UserError) as error:
        params.load(tmp_path / "params.yaml")
    assert str(error.value) == f"{tmp_path / 'params.yaml'}: {message}"


def test_gold_names_keep_what_yaml_makes_of_them(tmp_path):
    sampling.write_params(tmp_path, gold={"column": "label", "values": {"no": "negative", 1: "positive"}})
    loaded = params.load(tmp_path / "params.yaml").sample.gold.values
    assert loaded == {"no": "negative", 1: "positive"}
    assert yaml.safe_load("no: x") == {False: "x"}, "which is why a bare no is refused"


SEVERAL = {
    "csv": b'text,label\ngood,positive\nmixed,"negative; positive"\nturned,positive;negative\nneither,(none)\nunknown,\n',
    "jsonl": b"""{"text": "good", "label": ["positive"]}
{"text": "mixed", "label": ["negative", "positive"]}
{"text": "turned", "label": ["positive", "negative"]}
{"text": "neither", "label": []}
{"text": "unknown", "label": null}
""",
}


@pytest.mark.parametrize("form", SEVERAL)
def test_gold_of_several_labels_per_text(tmp_path, monkeypatch, form):
    keys = {"gold": NAMES, "test": 4, "format": form, "task": {"multi_label": True}}
    keys["zones"] = {"test": 0.75, "dev": 0.0, "pool": 0.25}
    data = sampling.run(tmp_path, monkeypatch, {f"a.{form}": SEVERAL[form]}, **keys)
    assert sampling.answers(data) == {
        "good": "positive",
        "mixed": "negative; positive",
        "turned": "negative; positive",
        "neither": "(none)",
    }


def test_gold_may_say_that_a_text_is_of_no_class(tmp_path, monkeypatch):
    files = {"a.csv": b"text,label\ngood,positive\nblue,other\nthis,\n"}
    keys = {"gold": NAMES, "test": 2, "task": {"reject": "other"}}
    keys["zones"] = {"test": 0.6, "dev": 0.0, "pool": 0.4}
    assert sampling.answers(sampling.run(tmp_path, monkeypatch, files, **keys)) == {
        "good": "positive",
        "blue": "other",
    }
