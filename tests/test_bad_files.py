"""Files that cannot be read: each ends with one line that names file, row and column."""

import gzip
import io
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nolabels.data import lines
from tests import sampling
from tests.hub import parquet
from tests.sampling import NAMES

IDS = {"column": "label", "values": {0: "negative", 1: "positive", -1: None}}
RANGES = {"column": "label", "ranges": {"negative": [-4, -1], "positive": [1, 4]}}
LINES = "text,label\ngood,positive\nbad,negative\n"


def office():
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return sink.getvalue()


def damaged():
    """A parquet file with some bytes of its first page changed."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [f"text {number}" for number in range(1000)]}), sink, compression="zstd")
    content = bytearray(sink.getvalue())
    content[40:400] = bytes(360)
    return bytes(content)


def no_text():
    """A parquet file whose third text is no UTF-8."""
    texts = pa.array([b"a", b"b", b"c\xe9"], pa.binary())
    return parquet(text=pa.StringArray.from_buffers(3, *texts.buffers()[1:]))


# kind: (name of the file, its bytes, keys of `sample`, the message behind "error: data/raw/NAME: ")
FILES = {
    "another delimiter": (
        "a.csv",
        b"text;label\ngood;positive\n",
        {},
        "row 1: must have a column 'text', found text;label; is the delimiter another one?",
    ),
    "no column of the text": (
        "a.csv",
        b"id,label\n1,x\n",
        {},
        "row 1: must have a column 'text', found id, label",
    ),
    "no column of the gold": (
        "a.csv",
        b"id,text\n1,x\n",
        {"gold": NAMES},
        "row 1: must have a column 'label', found id, text",
    ),
    "a column twice": (
        "a.csv",
        b"text,text\n1,x\n",
        {},
        "row 1: must have only one column 'text', found text, text",
    ),
    "too many values": (
        "a.csv",
        b"text,label\ngood,1\nbad, but long,0\n",
        {},
        "row 3: must have 2 columns (text, label), found 3",
    ),
    "too few values": (
        "a.csv",
        b"text,label\r\n\r\ngood,1\r\nbad\r\n",
        {},
        "row 4: must have 2 columns (text, label), found 1",
    ),
    "too few values, tabs": (
        "a.tsv",
        b"1\tgood\n2\n",
        {"format": "tsv", "columns": ["id", "text"]},
        "row 2: must have 2 columns (id, text), found 1",
    ),
    "a quote that does not end": (
        "a.csv",
        b'text,label\ngood,1\n"bad,0\nfine,1\n',
        {},
        "row 3: a quoted value must end with a quote, found none",
    ),
    "a quote inside quotes": (
        "a.csv",
        b'text,label\n"a "good" one",1\n',
        {},
        "row 2: a quote inside a quoted value must be doubled, found a single one",
    ),
    "line ends of old": (
        "a.csv",
        b"text,label\rgood,1\r",
        {},
        "row 1: lines must end with LF or CRLF, found CR alone",
    ),
    "empty": ("a.csv", b"", {}, "row 1: must hold texts, found an empty file"),
    "empty, one text a line": (
        "a.txt",
        b"",
        {"format": "txt", "text": None},
        "row 1: must hold texts, found an empty file",
    ),
    "blank lines only": ("a.csv", b"\n\r\n\n", {}, "row 1: must hold texts, found blank lines only"),
    "header only": (
        "a.csv",
        b"text,label\n",
        {},
        "row 1: must be followed by rows with texts, found 0 and all empty",
    ),
    "empty texts only": (
        "a.csv",
        b"text,label\n,1\n  ,0\n",
        {},
        "row 1: must be followed by rows with texts, found 2 and all empty",
    ),
    "binary": (
        "a.csv",
        bytes(range(256)) * 4,
        {},
        "row 1: must have a column 'text', found ����������; is the delimiter another one?",
    ),
    "another encoding": (
        "a.csv",
        "text,label\nbon,1\ncafé,0\n".encode("latin-1"),
        {},
        "row 3: text must be UTF-8, found byte 0xe9",
    ),
    "another encoding, one text a line": (
        "a.txt",
        b"fine\ncaf\xe9\n",
        {"format": "txt", "text": None},
        "row 2: the line must be UTF-8, found byte 0xe9",
    ),
    "UTF-16": (
        "a.csv",
        LINES.encode("utf-16"),
        {},
        "row 1: must be UTF-8 text as sample.format says, found UTF-16",
    ),
    "an office document": (
        "a.csv",
        office(),
        {},
        "row 1: must be UTF-8 text as sample.format says, found a zip archive or an office document",
    ),
    "gzip under another name": (
        "a.csv",
        gzip.compress(LINES.encode()),
        {},
        "row 1: must be UTF-8 text as sample.format says, found gzip data; its name must end in .gz",
    ),
    "parquet, said to be csv": (
        "a.csv",
        parquet(text=["a"]),
        {},
        "row 1: must be UTF-8 text as sample.format says, found a parquet file",
    ),
    "gzip by its name only": (
        "a.csv.gz",
        LINES.encode(),
        {},
        "row 1: not readable gzip data (Not a gzipped file (b'te'))",
    ),
    "gzip that was cut": (
        "a.csv.gz",
        gzip.compress(LINES.encode())[:-9],
        {},
        "row 3: not readable gzip data (Compressed file ended before the end-of-stream marker was reached)",
    ),
    "parquet in gzip that was cut": (
        "a.parquet.gz",
        gzip.compress(parquet(text=["a"]))[:-9],
        {"format": "parquet"},
        "row 1: not readable gzip data (Compressed file ended before the end-of-stream marker was reached)",
    ),
    "a class that is none": (
        "a.csv",
        b"text,label\ngood,positive\nbad,Negative\n",
        {"gold": NAMES},
        "row 3: label must be one of negative, positive, found 'Negative'",
    ),
    "a gold value that is not named": (
        "a.csv",
        b"text,label\ngood,1\nbad,2\n",
        {"gold": IDS},
        "row 3: label must be one of -1, 0, 1, found '2'",
    ),
    "a gold value that is no number": (
        "a.csv",
        b"text,label\ngood,1\nbad,low\n",
        {"gold": RANGES},
        "row 3: label must be a number, found 'low'",
    ),
    "a line that is no JSON": (
        "a.jsonl",
        b'{"text": "good"}\n{"text": "bad"\n',
        {"format": "jsonl"},
        "row 2: must be a JSON object, found '{\"text\": \"bad\"' (Expecting ',' delimiter: line 1 column 15 (char 14))",
    ),
    "a JSON array": (
        "a.jsonl",
        b'[{"text": "good"}]\n',
        {"format": "jsonl"},
        'row 1: must be a JSON object, found \'[{"text": "good"}]\'',
    ),
    "JSON that is too deep": (
        "a.jsonl",
        b"[" * 100_000 + b"\n",
        {"format": "jsonl"},
        f"row 1: must be a JSON object, found '{'[' * lines.SHOWN}…' "
        "(maximum recursion depth exceeded while decoding a JSON array from a unicode string)",
    ),
    "an object without the text": (
        "a.jsonl",
        b'{"text": "good"}\n\n{"txt": "bad", "label": 1}\n',
        {"format": "jsonl"},
        "row 3: must have 'text', found txt, label",
    ),
    "mixed types": (
        "a.jsonl",
        b'{"text": "good"}\n{"text": 12}\n',
        {"format": "jsonl"},
        "row 2: text must be text, found 12",
    ),
    "gold that is a list": (
        "a.jsonl",
        b'{"text": "good", "label": ["positive", "negative"]}\n',
        {"format": "jsonl", "gold": NAMES},
        "row 1: label must be one of negative, positive, found 'positive; negative'",
    ),
    "gold that is an object": (
        "a.jsonl",
        b'{"text": "good", "label": {"is": "positive"}}\n',
        {"format": "jsonl", "gold": NAMES},
        "row 1: label must be one value, found {'is': 'positive'}",
    ),
    "gold that is a list with no number in it": (
        "a.jsonl",
        b'{"text": "good", "label": [1.5, NaN]}\n',
        {"format": "jsonl", "gold": NAMES},
        "row 1: label must be one value, found [1.5, nan]",
    ),
    "half a character": (
        "a.jsonl",
        b'{"text": "good"}\n{"text": "\\ud83d"}\n',
        {"format": "jsonl"},
        "row 2: text must be UTF-8, found \\ud83d alone",
    ),
    "parquet that was cut": (
        "a.parquet",
        parquet(text=["a", "b"])[:-20],
        {"format": "parquet"},
        "row 1: not a readable parquet file (Parquet magic bytes not found in footer. Either the file is corrupted or "
        "this is not a parquet file.)",
    ),
    "parquet with a column's name that is no UTF-8": (
        "a.parquet",
        parquet(text=["a"], rating=["1"]).replace(b"rating", b"rat\x80ng"),
        {"format": "parquet"},
        "row 1: not a readable parquet file ('utf-8' codec can't decode byte 0x80 in position 3: invalid start byte)",
    ),
    "no parquet": (
        "a.parquet",
        LINES.encode() * 9,
        {"format": "parquet"},
        "row 1: not a readable parquet file (Parquet magic bytes not found in footer. Either the file is corrupted or "
        "this is not a parquet file.)",
    ),
    "parquet with a damaged page": (
        "a.parquet",
        damaged(),
        {"format": "parquet"},
        "row 1: not a readable parquet file (ZSTD decompression failed: Data corruption detected)",
    ),
    "parquet without the text": (
        "a.parquet",
        parquet(sentence=["a"], label=[1]),
        {"format": "parquet"},
        "row 1: must have a column 'text', found sentence, label",
    ),
    "parquet with numbers as text": (
        "a.parquet",
        parquet(text=[1, 2]),
        {"format": "parquet"},
        "row 1: text must be text, found int64",
    ),
    "parquet with another encoding": (
        "a.parquet",
        no_text(),
        {"format": "parquet"},
        "row 3: text must be UTF-8, found byte 0xe9",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_one_line_names_file_row_and_column(tmp_path, monkeypatch, capsys, kind):
    name, content, keys, message = FILES[kind]
    with pytest.raises(SystemExit) as stop:
        sampling.run(tmp_path, monkeypatch, {name: content}, **keys)
    error = capsys.readouterr().err
    assert stop.value.code == 1
    assert error == f"error: data/raw/{name}: {message}\n"
    assert not list((tmp_path / "data").glob("*.parquet"))


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lines, "LONGEST_LINE", 1 << 20)
    with pytest.raises(SystemExit):
        sampling.run(tmp_path, monkeypatch, {"a.txt": b"x" * (1 << 21)}, format="txt", text=None)
    assert capsys.readouterr().err == "error: data/raw/a.txt: row 1: must be a line of less than 1 MiB\n"


FOLDERS = {
    "no file": ({".hidden": b"x"}, {}, "data/raw: must hold a file with texts for the pool, found none"),
    "no file of the test": (
        {"a.csv": b"text\na\n"},
        {"test_file": "test*.csv"},
        "params.yaml: sample.test_file: must name a file in data/raw, found a.csv",
    ),
    "no file of the pool": (
        {"a.csv": b"text\na\n", "b.csv": b"text\na\n"},
        {"test_file": "*.csv"},
        "data/raw: must hold a file with texts for the pool, found a.csv, b.csv",
    ),
    "too few texts": (
        {"a.csv": b"text\na\nb\n"},
        {"pool": 5},
        "params.yaml: sample.pool + sample.valid: must be at most the 1 texts in their zone "
        "(sample.zones.pool: 0.7), found 5",
    ),
    "too few answers": (
        {"a.csv": b"text,label\na,\nb,positive\nc,\n"},
        {"gold": NAMES, "test": 2, "zones": {"test": 0.6, "dev": 0, "pool": 0.4}},
        "params.yaml: sample.test: must be at most the 1 texts with gold in their zone "
        "(sample.zones.test: 0.6), found 2",
    ),
    "no text to test on": (
        {"a.csv": b"text\nb\n"},
        {},
        "params.yaml: sample.test: null needs texts in their zone (sample.zones.test: 0.3), found none",
    ),
    "no text to learn from": (
        {"a.csv": b"text\na\nb\n"},
        {"valid": 1},
        "params.yaml: sample.valid: must be below the 1 texts in their zone (sample.zones.pool: 0.7), found 1",
    ),
    "too few answers in the test file": (
        {"a.csv": b"text\na\nb\n", "test.csv": b"text,label\nd,\n"},
        {"gold": NAMES, "test_file": "test.csv", "test": 1},
        "params.yaml: sample.test: must be at most the 0 texts with gold in the test file, found 1",
    ),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_that_does_not_do(tmp_path, monkeypatch, capsys, kind):
    files, keys, message = FOLDERS[kind]
    with pytest.raises(SystemExit) as stop:
        sampling.run(tmp_path, monkeypatch, files, **keys)
    assert stop.value.code == 1
    assert capsys.readouterr().err == f"error: {message}\n"
