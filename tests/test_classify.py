"""python -m nolabels.classify: every form in and out, broken rows, bounded memory."""

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

from nolabels import classify
from nolabels.data.records import FORMS
from nolabels.students import predict
from stages import export
from tests import tiny

ROOT = Path(__file__).parent.parent
TEXTS = ["A warm, funny film.", "Dull.", 'He said "no".', "Ünïcode ☂", "x " * 60, ""]


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """Folders of a tiny student: torch, and onnx in float32."""
    root = tmp_path_factory.mktemp("student")
    tiny.student(root / "torch")
    export.write_model(root / "torch", root / "onnx", "float32")
    return root


@pytest.fixture(scope="module")
def expected(student):
    model = predict.Model(student / "onnx", 1)
    sure = model.predict_proba(TEXTS).max(1).tolist()
    return [
        (label, pytest.approx(one, abs=2e-4)) for label, one in zip(model.predict(TEXTS), sure, strict=True)
    ]


def write(path, form, texts):
    """A file of the form, with a column besides the text; returns the row of each text."""
    if form == "parquet":
        pq.write_table(pa.table({"text": texts, "n": list(range(len(texts)))}), path)
        return list(range(1, len(texts) + 1))
    sink = io.StringIO()
    if form == "txt":
        sink.writelines(f"{text}\r\n" for text in texts)
    elif form == "jsonl":
        sink.writelines(json.dumps({"n": 1, "text": text}) + "\n" for text in texts)
    elif form == "csv":
        csv.writer(sink).writerows([["n", "text"], *([1, text] for text in texts)])
    else:
        sink.writelines(f"{n}\t{text}\n" for n, text in [("n", "text"), *enumerate(texts)])
    content = sink.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return [row + (form in ("csv", "tsv")) for row in range(1, len(texts) + 1)]


def run_main(*words):
    classify.main([str(word) for word in words])


def records(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("kind", "form", "suffix"),
    [
        *(("onnx", form, suffix) for form in FORMS for suffix in ("", ".gz")),
        ("torch", "csv", ""),
    ],
)
def test_forms_of_files(student, expected, tmp_path, capsys, kind, form, suffix):
    if form == "parquet" and suffix:
        write(tmp_path / "plain.parquet", form, TEXTS)
        (tmp_path / "a.parquet.gz").write_bytes(gzip.compress((tmp_path / "plain.parquet").read_bytes()))
        rows = list(range(1, len(TEXTS) + 1))
    else:
        rows = write(tmp_path / f"a.{form}{suffix}", form, TEXTS)
    run_main(student / kind, tmp_path / f"a.{form}{suffix}", "--threads", 1)
    found = records(capsys)
    assert [row["row"] for row in found] == rows
    assert [(row["label"], row["probability"]) for row in found] == expected


@pytest.mark.parametrize("form", classify.OUT_FORMS)
def test_forms_of_answers(student, expected, tmp_path, capsys, form):
    write(tmp_path / "a.jsonl", "jsonl", TEXTS)
    out = tmp_path / f"out.{form}"
    run_main(student / "onnx", tmp_path / "a.jsonl", "--out", out, "--all", "--threads", 1)
    if form == "parquet":
        found = pq.read_table(out).to_pylist()
    elif form == "csv":
        found = list(csv.DictReader(out.open(encoding="utf-8", newline="")))
    else:
        found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [int(row["row"]) for row in found] == [1, 2, 3, 4, 5, 6]
    assert [(row["label"], float(row["probability"])) for row in found] == expected
    for row in found:
        shares = row.get("probabilities") or {
            name: float(row[f"probability of {name}"]) for name in ("negative", "positive")
        }
        assert list(shares) == ["negative", "positive"]
        assert sum(shares.values()) == pytest.approx(1, abs=2e-4)
        assert shares[row["label"]] == float(row["probability"])
    assert capsys.readouterr().out == "" and sorted(p.name for p in tmp_path.iterdir()) == [
        "a.jsonl",
        out.name,
    ]


def test_below_the_threshold_it_abstains(student, expected, tmp_path, capsys):
    write(tmp_path / "a.txt", "txt", TEXTS)
    sure = sorted(answer[1].expected for answer in expected)[3]
    run_main(student / "onnx", tmp_path / "a.txt", "--threshold", sure - 1e-3)
    found = records(capsys)
    assert [row["label"] for row in found] == [
        label if probability.expected > sure - 1e-3 else None for label, probability in expected
    ]
    run_main(student / "onnx", tmp_path / "a.txt", "--threshold", 1, "--out", tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "row,label,probability" and lines[1].startswith("1,,0.")


def test_several_labels(tmp_path, capsys):
    tiny.student(
        tmp_path / "torch",
        labels=("news", "arts, film"),
        problem_type="multi_label_classification",
        threshold=0.3,
    )
    export.write_model(tmp_path / "torch", tmp_path / "onnx", "float32")
    write(tmp_path / "a.txt", "txt", TEXTS)
    found = {}
    for kind in ("torch", "onnx"):
        run_main(tmp_path / kind, tmp_path / "a.txt", "--all")
        found[kind] = records(capsys)
        for row in found[kind]:
            assert row["label"] == [name for name, p in row["probabilities"].items() if p >= 0.3]
            assert row["probability"] == [row["probabilities"][name] for name in row["label"]]
    assert [row["label"] for row in found["torch"]] == [row["label"] for row in found["onnx"]]
    run_main(tmp_path / "onnx", tmp_path / "a.txt", "--threshold", "1")
    assert {tuple(row["label"]) for row in records(capsys)} == {()}
    for form in ("csv", "parquet"):
        run_main(tmp_path / "onnx", tmp_path / "a.txt", "--threshold", "0", "--out", tmp_path / f"o.{form}")
    assert pq.read_table(tmp_path / "o.parquet")["label"].to_pylist() == [["news", "arts, film"]] * 6
    rows = list(csv.DictReader((tmp_path / "o.csv").open(encoding="utf-8", newline="")))
    assert json.loads(rows[0]["label"]) == ["news", "arts, film"]


@pytest.mark.parametrize(
    ("name", "content", "rows", "told"),
    [
        ("a.txt", b"good\nb\xffd\nfine\n", [1, 3], ["row 2: the line must be UTF-8, found byte 0xff"]),
        ("a.csv", b'n,text\n1,"good"\n2\n3,fine\n', [2, 4], ["row 3: must have 2 columns (n, text), found 1"]),
        ("a.csv", b'text\ngood\n"open\nfine\nmore\n', [2, 4, 5], ["row 3: a quoted value must end with a quote"]),
        ("a.csv", b'text\n"a"b\n"two\nlines"\nfine\n', [3, 5], ["row 2: a quote inside a quoted value"]),
        ("a.tsv", b"n\ttext\n1\tgood\textra\n\n2\tfine\n", [4], ["row 2: must have 2 columns (n, text), found 3"]),
        (
            "a.jsonl",
            b'{"text": "good"}\n{"text"\n\n{"text": null}\n{"txt": ""}\n{"text": 3}\n{"text": "\\ud800"}\n["a"]\n{"text": "fine"}\n',
            [1, 9],
            [f"row {row}: {what}" for row, what in ((2, "must be a JSON object"), (4, "text must be text, found none"), (5, "must have 'text', found txt"), (6, "text must be text, found 3"), (7, "text must be UTF-8"), (8, "must be a JSON object"))],
        ),
        ("a.csv", b"n,t\n1,good\n", [], ["row 1: must have a column 'text', found n, t"]),
        ("a.csv.gz", gzip.compress(b"text\ngood\n" * 999, mtime=0)[:-20], None, ["not readable gzip data"]),
        ("a.parquet", b"PAR1 not", [], ["row 1: not a readable parquet file"]),
    ],
)  # fmt: skip
def test_a_broken_row_is_told_and_stops_nothing(student, tmp_path, capsys, name, content, rows, told):
    (tmp_path / name).write_bytes(content)
    write(tmp_path / "z.txt", "txt", ["the next file"])
    with pytest.raises(SystemExit) as stop:
        run_main(student / "onnx", tmp_path / name, tmp_path / "z.txt")
    assert stop.value.code == 1
    printed = capsys.readouterr()
    found = [json.loads(line) for line in printed.out.splitlines()]
    assert found[-1]["file"] == str(tmp_path / "z.txt")
    assert rows is None or [row["row"] for row in found[:-1]] == rows
    lines = printed.err.splitlines()
    assert len(lines) == len(told) + 1 and lines[-1].startswith(f"error: {len(told)} broken")
    for line, what in zip(lines, told, strict=False):
        assert line.startswith(f"error: {tmp_path / name}: ") and what in line


def test_a_parquet_without_some_texts(student, tmp_path, capsys):
    pq.write_table(pa.table({"text": ["good", None, "fine"]}), tmp_path / "a.parquet")
    with pytest.raises(SystemExit):
        run_main(student / "onnx", tmp_path / "a.parquet")
    printed = capsys.readouterr()
    assert [json.loads(line)["row"] for line in printed.out.splitlines()] == [1, 3]
    assert "row 2: text must be text, found none" in printed.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["MODEL", "absent.txt"], "absent.txt: must be a file, found nothing"),
        (["MODEL", "README.md"], "README.md: --format must say its form"),
        (["MODEL"], "standard input: --format must say its form"),
        (["MODEL", "params.yaml", "--format", "txt", "--out", "a.xls"], "--out: must end in .jsonl, .csv, .parquet"),
        (["stages", "--format", "txt"], "stages: must be a folder with a student"),
        (["MODEL", "--format", "txt", "--threshold", "2"], "--threshold: invalid share value: '2'"),
    ],
)  # fmt: skip
def test_a_wrong_command(student, capsys, words, told):
    with pytest.raises(SystemExit) as stop:
        run_main(*(student / "onnx" if word == "MODEL" else word for word in words))
    assert stop.value.code == 2
    assert told in capsys.readouterr().err


def test_order_is_kept_across_windows(student, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("nolabels.data.records.WINDOW", 7)
    texts = [text for _, text in tiny.sentences(40)]
    write(tmp_path / "a.csv", "csv", texts[:25])
    write(tmp_path / "b.jsonl.gz", "jsonl", texts[25:])
    run_main(student / "onnx", tmp_path / "a.csv", tmp_path / "b.jsonl.gz", "--threads", 1)
    found = records(capsys)
    expected = predict.Model(student / "onnx", 1).predict(texts)
    assert [row["label"] for row in found] == expected.tolist()
    assert [row["row"] for row in found] == [*range(2, 27), *range(1, 16)]


def as_process(student, *words, entered=b"", code=""):
    # what a text in a pipe must not wait for
    block = (
        "import sys, runpy\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'datasets', 'pyarrow', 'pydantic', 'tqdm'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "runpy.run_module('nolabels.classify', run_name='__main__')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", block, str(student / "onnx"), *words],
        cwd=ROOT,
        input=entered,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize(
    ("form", "entered"),
    [
        ("txt", "A warm, funny film.\nDull.\n"),
        ("csv", 'text\n"A warm, funny film."\nDull.\n'),
        ("jsonl", '{"text": "A warm, funny film."}\n{"text": "Dull."}\n'),
    ],
)
def test_standard_input_needs_little_and_is_silent(student, expected, form, entered):
    result = as_process(student, "--format", form, entered=entered.encode())
    assert result.returncode == 0 and result.stderr == b""
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["label"], row["probability"]) for row in found] == expected[:2]


@pytest.mark.slow
@pytest.mark.thorough
def test_memory_does_not_grow_with_the_input(student, tmp_path):
    texts = [text for _, text in tiny.sentences(1000)]
    peaks = []
    for times in (30, 120):
        write(tmp_path / "a.csv", "csv", texts * times)
        code = (
            "from nolabels import classify\n"
            f"classify.main([{str(student / 'onnx')!r}, {str(tmp_path / 'a.csv')!r}, '--out', {str(tmp_path / 'o.csv')!r}])\n"
            "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        )
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        peaks.append(int(result.stdout) / 1024)
        assert len((tmp_path / "o.csv").read_text().splitlines()) == 1000 * times + 1
    assert peaks[1] < 600 and peaks[1] < peaks[0] + 40  # MiB
