"""A start in one command: every kind of file, what it takes for granted, and what it refuses."""

import csv
import gzip
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from nolabels import preset, start
from nolabels.core import params
from nolabels.core.stage import UserError
from nolabels.setup import draft, head, merging, presets, sizes, terminal
from stages import sample
from tests import readme, tiny, workspace

ROOT = Path("presets").resolve().parent
OWN_TEXTS = readme.section("Your own texts")
CLASSES = ["--classes", "praise,complaint,question"]
TEXTS = [text for _, text in tiny.sentences(300)]
LABELS = [("praise", "complaint", "question")[number % 3] for number in range(len(TEXTS))]
ROWS = [
    {"number": number, "text": text, "label": label}
    for number, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A Git repository with params.yaml, the presets, and the folder for one's own texts."""
    monkeypatch.chdir(tmp_path)
    for path in [ROOT / "params.yaml", *sorted((ROOT / "presets").iterdir()), ROOT / "data/own/README.md"]:
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], check=True)
    return tmp_path


def delimited(mark, rows, header=True):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=mark, lineterminator="\n")
    if header:
        writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return file.getvalue().encode()


def parquet(rows):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def encoded(form, rows=ROWS):
    if form == "parquet":
        return parquet(rows)
    if form == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if form == "txt":
        return "".join(f"{row['text']}\n" for row in rows).encode()
    return delimited("\t" if form == "tsv" else ",", rows)


def started(content, *words, name="messages.csv", classes=CLASSES):
    """The Params after a start with a file of that content."""
    Path(name).write_bytes(content)
    start.main([name, *classes, *words])
    return params.load()


def everything(folder):
    """{path: content} of all files outside Git."""
    paths = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def refused(folder, *words):
    """The line of a start that refuses, which has written nothing."""
    before = everything(folder)
    with pytest.raises(UserError) as error:
        start.main(list(words))
    assert everything(folder) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def drawn(name):
    """What `sample` draws from the file and params.yaml as start left them: metrics."""
    Path("data/raw").mkdir(parents=True)
    shutil.copy(Path("data/own", name), "data/raw")
    for part in ("dev", "test"):
        Path(f"data/{part}_labels.csv").write_text("id,label\n")
    sample.main(["data/raw", "data/dev_labels.csv", "data/test_labels.csv", "data", "metrics/sample.json"])
    return json.loads(Path("metrics/sample.json").read_text())


# name of the file, form of its content, the format that is found
FILES = [
    *((f"a.{form}", form, form) for form in ("csv", "tsv", "jsonl", "parquet", "txt")),
    *((f"a.{form}.gz", form, form) for form in ("csv", "tsv", "jsonl", "parquet", "txt")),
    ("A.CSV", "csv", "csv"),
    ("a.csv", "tsv", "tsv"),  # tabs, whatever the name says
    *((f"a-{form}", form, form) for form in ("csv", "tsv", "jsonl", "parquet", "txt")),
    ("a.json", "jsonl", "jsonl"),
    ("a.data.gz", "jsonl", "jsonl"),
    ("a.pq", "parquet", "parquet"),
    ("a.tab", "tsv", "tsv"),
]


@pytest.mark.parametrize(("name", "form", "found"), FILES, ids=[f"{name} {form}" for name, form, _ in FILES])
def test_every_kind_of_file(folder, capsys, name, form, found):
    content = gzip.compress(encoded(form)) if name.endswith(".gz") else encoded(form)
    values = started(content, name=name)
    assert (values.sample.format, values.sample.columns, values.sample.gold) == (found, None, None)
    assert values.sample.text == (None if form == "txt" else "text")
    assert values.fetch.dataset.own == name and Path("data/own", name).read_bytes() == content
    printed = capsys.readouterr().out
    assert f"{name}: read as {found}\n" in printed and "300 rows; 0 empty, 300 different texts" in printed
    assert printed.count("column label: names of the classes alone; with --gold label") == (form != "txt")
    counted = drawn(name)
    assert (
        counted["rows"] == 300
        and f"about {counted['pool'] + counted['valid'] + counted['test'] + counted['dev']} texts" in printed
    )
    assert (
        f"trains a student\n  on {counted['pool']}; {counted['valid']} more only show how the training goes\n"
        in printed
    )


def test_what_is_written_is_the_shipped_file_with_the_preset_over_it(folder, capsys):
    started(encoded("csv"))
    made, text = Path("params.yaml").read_text(), Path("presets/messages.yaml").read_text()
    assert made == presets.text_of("messages") and not presets.is_edited(made)
    kept = iter(made.splitlines())
    for content in (presets.shipped(), text):
        comments = [line for line in content.splitlines() if line.lstrip().startswith("#")]
        kept = iter(made.splitlines())
        assert [line for line in comments if line not in kept] == []
    first, *_ = merging.header(text)
    assert re.fullmatch(r"# \S.{20,110}\.", first), "the line of preset --list"
    preset.main(["default"])
    preset.main(["messages"])
    assert Path("params.yaml").read_text() == made
    start.main(["messages.csv", *CLASSES])  # the same again changes nothing
    assert Path("params.yaml").read_text() == made


def test_teachers_of_both_kinds_ask_about_the_classes(folder):
    values = started(
        encoded("csv"),
        "--about",
        "notes of drivers",
        classes=["--classes", "praise,complaint: a complaint,open_question"],
    )
    assert {name: score.kind for name, score in values.score.items()} == {
        "teacher": "likelihood",
        "base": "similarity",
        "encoder": "similarity",
    }
    assert [item.words for item in values.task.classes] == ["praise", "a complaint", "open question"]
    for template in values.score["teacher"].templates:
        assert "notes of drivers" in (template.chat or template.plain)
        assert template.chat is None or "praise, a complaint or open question" in template.chat
    for name in ("base", "encoder"):
        assert [template.class_text for template in values.score[name].templates] == [*draft.CLASS_TEXTS]
    shipped = params.check(yaml.safe_load(presets.shipped()), "shipped")
    assert values.fetch.models == shipped.fetch.models | {
        "encoder": presets.params_of("reviews-small").fetch.models["encoder"]
    }
    for name, score in shipped.score.items():  # none of its questions is left
        assert not any(template in score.templates for template in values.score[name].templates), name
    assert (ROOT / "models/own/encoder").is_dir()  # what fetch@encoder depends on
    ignored = subprocess.run(["git", "check-ignore", "-q", "models/encoder"], cwd=ROOT)
    assert ignored.returncode == 0


def test_many_classes_are_not_listed_in_the_question(folder):
    names = [f"intent_{number}" for number in range(draft.LISTED + 1)]
    values = started(encoded("csv"), classes=["--classes", ",".join(names)])
    assert len(values.task.classes) == 21 and "intent 3" not in values.score["teacher"].templates[0].chat


WITHOUT_HEADER = [
    ("csv", delimited(",", ROWS, header=False), ["column_1", "column_2", "column_3"], "column_2"),
    ("tsv", delimited("\t", ROWS, header=False), ["column_1", "column_2", "column_3"], "column_2"),
    ("csv", "".join(f'"{text}"\n' for text in TEXTS).encode(), ["column_1"], "column_1"),
]


@pytest.mark.parametrize(("form", "content", "columns", "text"), WITHOUT_HEADER)
def test_a_file_without_a_header_row(folder, capsys, form, content, columns, text):
    values = started(content, name=f"a.{form}")
    assert (values.sample.columns, values.sample.text) == (columns, text)
    printed = capsys.readouterr().out
    assert "row 1: a text, since it names no columns" in printed and "300 different texts" in printed
    assert drawn(f"a.{form}")["rows"] == 300


HEADERS = {  # first row: whether it names the columns
    ("id", "text"): True,
    ("", "text"): True,  # as pandas writes an index
    ("number of order", "the text"): None,
    ("1", "text"): False,
    ("id", "A film. Warm and funny."): False,
    ("praise", "short"): False,  # a class
    ("x", "x"): False,
    ("id", "seen below"): False,
    ("a", "one two three four five"): False,
}


@pytest.mark.parametrize(("first", "found"), HEADERS.items())
def test_whether_a_row_names_the_columns(first, found):
    rest = [("1", "2"), ("seen below", "a text")]
    assert head.is_header(list(first), rest, set(), ["praise"]) is found
    assert head.is_header(list(first), rest, {first[0]}, ["praise"]) is True


def test_rows_as_they_come(folder, capsys):
    """A mark before the first column, Windows' line ends, empty rows, texts that stand twice, breaks in quotes."""
    rows = "".join(f'{n},"{text}\r\nmore"\r\n' for n, text in enumerate(TEXTS)) + '7,\r\n8,"  "\r\n'
    rows += f'9,"{TEXTS[0].upper()} more"\r\n'
    values = started(b"\xef\xbb\xbfnumber,text\r\n" + rows.encode())
    assert values.sample.text == "text" and values.sample.columns is None
    assert "303 rows; 2 empty, 300 different texts" in capsys.readouterr().out
    assert drawn("messages.csv")["duplicates"] == 1


def test_the_column_of_the_texts_is_the_longest_of_sentences(folder, capsys):
    rows = [
        {
            "key": "x" * 200,
            "url": f"https://example.org/{'y' * 200}/{row['number']}",
            "title": "A title",
            **row,
        }
        for row in ROWS
    ]
    assert started(encoded("csv", rows)).sample.text == "text"
    assert re.search(r"texts: column text \(the longest on average, \d+ letters\)", capsys.readouterr().out)


def test_two_columns_of_like_length(folder, capsys, monkeypatch):
    rows = [{"summary": row["text"], "body": f"{row['text']} Yes."} for row in ROWS]
    assert started(encoded("jsonl", rows), name="a.jsonl").sample.text == "body"
    assert "but summary with" in capsys.readouterr().out
    assert (
        started(encoded("jsonl", rows), "--text", "summary", "--force", name="a.jsonl").sample.text
        == "summary"
    )
    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    for answer, column in (("", "body"), ("2", "summary"), ("summary", "summary")):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        assert started(encoded("jsonl", rows), "--force", name="a.jsonl").sample.text == column
    monkeypatch.setattr("builtins.input", lambda question: "3")
    assert (
        refused(folder, "a.jsonl", *CLASSES, "--force") == "--text: must be one of body, summary, found '3'"
    )


def test_what_is_asked_at_a_terminal(folder, monkeypatch):
    questions = []

    def answer(question):
        questions.append(question)
        return "praise, complaint" if "classes" in question else "n"

    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    content = b"a warm film,7\n" + delimited(
        ",", [{"text": row["text"], "n": "x"} for row in ROWS], header=False
    )
    content = content.replace(b"a warm film,7\n", b"a warm film,seven\n")
    values = started(content, classes=[])
    assert values.task.names == ["praise", "complaint"] and values.sample.columns == ["column_1", "column_2"]
    assert [question.split()[:2] for question in questions] == [["The", "classes,"], ["Does", "row"]]

    def ended(question):
        raise EOFError

    monkeypatch.setattr("builtins.input", ended)
    assert refused(folder, "messages.csv", "--force").endswith("must be answered, found the end of the input")


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_answers_of_people(folder, capsys, form):
    rows = [{**row, "label": "" if row["number"] % 10 == 0 else row["label"]} for row in ROWS]
    values = started(encoded(form, rows), "--gold", "label", name=f"a.{form}")
    assert values.sample.gold.model_dump(exclude_none=True) == {"column": "label", "names": True}
    assert (
        "answers of people: 270 in column label: complaint 90, praise 90, question 90"
        in capsys.readouterr().out
    )
    drawn(f"a.{form}")
    gold = pq.read_table("data/gold.parquet")
    assert gold.num_rows == pq.read_table("data/test.parquet").num_rows > 30


def test_sizes_grow_with_the_file_up_to_a_limit(folder, capsys):
    """Rows: zones, pool, test; and `sample` draws what was promised."""
    texts = [text for _, text in tiny.sentences(6000)]
    tables = [
        (60, 0.2, None, None, ()), (900, 0.2, None, None, ()), (1300, 0.1, None, None, ()),
        (6000, 0.1, 1200, 400, ()), (6000, 0.1, 1200, 600, ("--gold", "label")),
    ]  # fmt: skip
    for count, share, pool, test, more in tables:
        rows = [{"text": text, "label": LABELS[number % 3]} for number, text in enumerate(texts[:count])]
        found = started(encoded("csv", rows), "--force", *more).sample
        assert (found.zones.test, found.zones.dev, found.pool, found.test, found.dev) == (
            share, share, pool, test, test,
        )  # fmt: skip
        asked, learned = re.findall(
            r"about ([\d,]+) texts .*\n  on ([\d,]+); \d+ more", capsys.readouterr().out
        )[0]
        counted = drawn("messages.csv")
        assert counted["pool"] == int(learned.replace(",", "")) >= 10
        assert sum(counted[part] for part in ("pool", "valid", "dev", "test")) == int(asked.replace(",", ""))
        assert counted["valid"] > 0 and counted["near_duplicates"] == 0
        shutil.rmtree("data/raw")


def test_near_duplicates_do_not_count_for_the_pool(folder, capsys):
    """4,000 texts of which most are alike: their zone holds more than the pool, what `sample` may take does not."""
    texts = [f"Your order was sent to you this morning, its number is {n}" for n in range(2500)]
    texts += [text for _, text in tiny.sentences(1500)]
    values = started(encoded("csv", [{"text": text} for text in texts]))
    assert values.sample.pool is None
    counted = drawn("messages.csv")
    assert counted["pool"] > 1000 and f"a student\n  on {counted['pool']:,}; " in capsys.readouterr().out


def test_a_long_file_is_looked_at_in_part(folder, capsys, monkeypatch):
    monkeypatch.setattr(sizes, "ROWS", 200)
    started(encoded("csv"))
    assert "200 rows, the first of more: the others were not looked at" in capsys.readouterr().out
    monkeypatch.setattr(sizes, "ROWS", 300)
    started(encoded("csv"), "--force")
    assert "300 rows; 0 empty" in capsys.readouterr().out


def test_long_texts_and_other_scripts_are_told(folder, capsys):
    rows = [{"text": f"{row['text']} {'and so on ' * (row['number'] % 80)}"} for row in ROWS]
    assert started(encoded("csv", rows)).train.max_tokens == 256
    assert re.search(
        r"long texts: about \d\d% are longer; of these the student reads the first 256 tokens\n",
        capsys.readouterr().out,
    )
    rows = [{"text": f"Этот фильм {row['number']} очень хороший"} for row in ROWS]
    assert started(encoded("csv", rows), "--force").train.max_tokens == 128
    assert "language: many letters are not English" in capsys.readouterr().out


ODD_NAMES = [
    "yes,no",
    "1,2",
    "null,~",
    "a #b,c: d",
    "Ja!,Nein?",
    "über,naïve",
    "'a',\"b\"",
    "1:30,2:45",
    "- x,? y",
]


@pytest.mark.parametrize("given", ODD_NAMES)
def test_names_that_yaml_would_read_as_something_else(folder, given):
    values = started(encoded("csv"), classes=["--classes", given])
    items = next(csv.reader([given]))
    assert values.task.names == [item.split(":")[0].strip() for item in items]


def test_classes_from_a_file(folder):
    Path("classes.txt").write_text(
        "\ufeff# our classes\npraise\n\ncomplaint: a complaint\nother: something else: no praise: no complaint\n",
        encoding="utf-8",
    )
    values = started(encoded("csv"), classes=["--classes", "classes.txt"])
    assert [item.model_dump(exclude_none=True) for item in values.task.classes] == [
        {"name": "praise", "words": "praise"},
        {"name": "complaint", "words": "a complaint"},
        {"name": "other", "words": "something else", "description": "no praise: no complaint"},
    ]


BAD_CLASSES = {
    "": "--classes: must name 2 to 150 classes, found none",
    "praise": "--classes: must name 2 to 150 classes, found praise",
    "a,b,a": "--classes: each class needs name of its own, found 'a' 2 times",
    "a: x,b: x": "--classes: each class needs words of its own, found 'x' 2 times",
    "a,,b": "--classes: a class must be name, name: words or name: words: description, found ''",
    "a: ,b": "--classes: a class must be name, name: words or name: words: description, found 'a: '",
    "a,{text}": "--classes: a class must be one line without braces, found '{text}'",
    "a,b\nc": "--classes: must be text on one line, found 'a,b\N{REPLACEMENT CHARACTER}c'",
    ",".join(map(str, range(151))): "--classes: must name 2 to 150 classes, found 0, 1, 2",
}


@pytest.mark.parametrize(("given", "message"), BAD_CLASSES.items(), ids=range(len(BAD_CLASSES)))
def test_classes_that_are_none(folder, given, message):
    Path("messages.csv").write_bytes(encoded("csv"))
    assert refused(folder, "messages.csv", "--classes", given).startswith(message)


# name: content, further words of the command, how the line begins
BAD_FILES = {
    "empty.csv": (b"", (), "empty.csv: row 1: must hold texts, found an empty file"),
    "blank.csv": (b"\n\n", (), "blank.csv: row 1: must hold texts, found no row that can be read"),
    "empty.txt": (b"", (), "empty.txt: row 1: must hold texts, found an empty file"),
    "empty.parquet": (parquet([{"text": ""}])[:0], (), "empty.parquet: row 1: not a readable parquet file"),
    "none.parquet": (parquet([{"n": 1}]), (), "none.parquet: row 1: must have a column of texts, found n"),
    "broken.parquet": (parquet(ROWS)[:-9], (), "broken.parquet: row 1: not a readable parquet file"),
    "zip.csv": (b"PK\x03\x04" + b"x" * 99, (), "zip.csv: row 1: must be UTF-8 text as sample.format says, found a zip"),
    "utf16.csv": ("text\na b\n".encode("utf-16"), (), "utf16.csv: row 1: must be UTF-8 text as sample.format says"),
    "latin.csv": (b"text\n" + b"caf\xe9 is nice\n" * 60, (), "latin.csv: row 2: text must be UTF-8, found byte 0xe9"),
    "header.csv": (b"t\xe9xt,n\na b,1\n", (), "header.csv: row 1: the name of a column must be UTF-8"),
    "cut.csv.gz": (gzip.compress(encoded("csv"))[:-20], (), "cut.csv.gz: row "),
    "plain.csv.gz": (encoded("csv"), (), "plain.csv.gz: row 1: not readable gzip data"),
    "gzipped.csv": (gzip.compress(encoded("csv")), (), "gzipped.csv: row 1: must be UTF-8 text as sample.format says"),
    "marks.csv": (delimited(";", ROWS), (), "marks.csv: row 1: must have commas between the columns, found semicolons"),
    "quote.csv": (b'text\n"a b c\n' + b"d e f\n" * 60, (), "quote.csv: row 2: a quoted value must end with a quote"),
    "ragged.csv": (b"id,text\n" + b"1,a b\n" * 60 + b"1,a, b\n", (), "ragged.csv: row 62: must have 2 columns"),
    "unquoted.csv": (
        b"text\n" + b"a text, and more\n" * 60, (),
        "unquoted.csv: row 2: must have 1 columns as row 1 (text), found 2; in a csv a value with a comma needs quotes",
    ),
    "twice.csv": (b"text,text\na b,c d\n", ("--text", "text"), "twice.csv: row 1: must have only one column 'text'"),
    "list.json": (json.dumps(ROWS).encode(), (), "list.json: row 1: must be a JSON object on each line, found a list"),
    "list.jsonl": (b"[1]\n", (), "list.jsonl: row 1: must have a column of texts, found none"),
    "broken.jsonl": (encoded("jsonl") + b"{\n", (), "broken.jsonl: row 301: must be a JSON object, found '{'"),
    "numbers.jsonl": (b'{"n": 1}\n' * 60, (), "numbers.jsonl: row 1: must have a column of texts, found n"),
    "few.csv": (encoded("csv", ROWS[:49]), (), "few.csv: must hold 50 different texts or more, found 49 in 49 rows"),
    "same.csv": (b"text\n" + b"a b\n" * 60, (), "same.csv: must hold 50 different texts or more, found 1 in 60 rows"),
    "alike.csv": (
        b"text\n" + b"".join(b"the same long text in every row number %d\n" % n for n in range(60)), (),
        "alike.csv: must hold 50 different texts or more, found 60, of which 0 are no near-duplicates",
    ),
    "column.csv": (encoded("csv"), ("--text", "body"), "column.csv: row 1: must have a column 'body', found number, text, label"),
    "gold.csv": (encoded("csv"), ("--gold", "stars"), "gold.csv: row 1: must have a column 'stars', found number, text, label"),
    "other.csv": (
        encoded("csv", [*ROWS[:80], {**ROWS[80], "label": "Praise"}]), ("--gold", "label"),
        "other.csv: row 82: label must be one of praise, complaint, question, found 'Praise'",
    ),
    "nogold.csv": (
        encoded("csv", [{**row, "label": "" if row["number"] else "praise"} for row in ROWS]), ("--gold", "label"),
        "nogold.csv: must hold texts with answers of people for ",
    ),
    "a.txt": (encoded("txt"), ("--gold", "label"), "a.txt: must have columns for --text and --gold, found txt"),
    "about.csv": (encoded("csv"), ("--about", "a {text}"), "--about: must say what the texts are, without braces"),
    "own-csv.csv": (encoded("csv"), (), "presets/own-csv.yaml: must be free or of python -m nolabels.start"),
    "own.csv": (encoded("csv"), ("--force", "--name", "own-csv"), "presets/own-csv.yaml: must be free or of python"),
    "default.csv": (encoded("csv"), (), "--name: must be a name for the preset, small letters"),
    "日本.csv": (encoded("csv"), (), "--name: must be a name for the preset, small letters"),
    "up.csv": (encoded("csv"), ("--name", "../up"), "--name: must be a name for the preset, small letters"),
    ".csv": (encoded("csv"), (), ".csv: must have a name that does not begin with . nor end in .yaml"),
    "README.md": (encoded("csv"), (), "README.md: must have another name than the file that data/own has"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_one_line_and_writes_nothing(folder, name):
    content, words, message = BAD_FILES[name]
    Path(name).write_bytes(content)
    assert refused(folder, name, *CLASSES, *words).startswith(message)


def test_what_is_no_file(folder):
    assert refused(folder, "nothing.csv", *CLASSES) == "nothing.csv: must be a file with texts, found nothing"
    assert refused(folder, "presets", *CLASSES) == "presets: must be a file with texts, found a folder"


def test_nothing_is_replaced_unless_forced(folder):
    Path("messages.csv").write_bytes(encoded("csv"))
    edited = Path("params.yaml").read_text().replace("epochs: 4", "epochs: 9")
    Path("params.yaml").write_text(edited)
    assert refused(folder, "messages.csv", *CLASSES).startswith(
        "params.yaml: must be as shipped, or as a preset"
    )
    Path("params.yaml").write_text(presets.shipped())
    Path("data/own/messages.csv").write_text("text\nanother file\n")
    message = "data/own/messages.csv: must be free or the same file, found another; --force replaces it"
    assert refused(folder, "messages.csv", *CLASSES) == message
    start.main(["messages.csv", *CLASSES, "--force"])
    assert Path("data/own/messages.csv").read_bytes() == encoded("csv")
    assert refused(folder, "messages.csv", "--classes", "a,b") == (
        "presets/messages.yaml: must be free or the same preset, found another; --force replaces it"
    )
    Path("params.yaml").write_text(edited)
    start.main(["data/own/messages.csv", "--classes", "a,b", "--force"])  # where it is already
    assert params.load().task.names == ["a", "b"] and Path("data/own/messages.csv").read_bytes() == encoded(
        "csv"
    )


def test_a_full_disk_leaves_no_half_file(folder, monkeypatch):
    Path("messages.csv").write_bytes(encoded("csv"))

    def fails(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    before = everything(folder)
    monkeypatch.setattr(shutil, "copyfile", fails)
    with pytest.raises(OSError, match="No space left"):
        start.main(["messages.csv", *CLASSES])
    assert everything(folder) == before


def test_without_a_terminal_nothing_is_asked(folder):
    Path("messages.csv").write_bytes(encoded("csv"))
    ended = subprocess.run(
        [sys.executable, "-m", "nolabels.start", "messages.csv"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert (
        ended.stderr
        == 'error: --classes: must name the classes, as in --classes "praise,complaint", found none\n'
    )


def test_the_network_is_not_used(folder, monkeypatch):
    import socket

    def fails(*words, **keys):
        raise AssertionError("the network")

    monkeypatch.setattr(socket.socket, "connect", fails)
    started(encoded("csv"))


def test_readme_shows_what_it_prints(folder, capsys):
    form = r"```sh\n[^`]*\npython -m nolabels\.start (.*?)\n```\n\n```\n(.*?)```"
    command, shown = re.search(form, OWN_TEXTS, flags=re.S).groups()
    rows = [
        {"id": number, "received": f"2026-10-{number % 28 + 1:02d}", "message": text if number % 80 else ""}
        for number, (_, text) in enumerate(tiny.sentences(2400))
    ]
    Path("messages.csv").write_bytes(encoded("csv", rows))
    start.main(shlex.split(command))
    assert capsys.readouterr().out == shown


@pytest.mark.slow
@pytest.mark.thorough
def test_then_dvc_repro(tmp_path, index):
    """The command, then the pipeline, with tiny models in the place of the three."""
    project = workspace.Workspace.make(tmp_path / "project", index, whole=True)
    (project.root / "messages.jsonl").write_bytes(encoded("jsonl"))
    ended = project.run(
        [sys.executable, "-m", "nolabels.start", "messages.jsonl", *CLASSES, "--gold", "label"]
    )
    assert ended.returncode == 0, ended.stdout
    with project.params() as values:  # the models' size, and nothing else
        assert set(values["fetch"]["models"]) == set(values["score"]) == {"teacher", "base", "encoder"}
        for name, package in (
            ("teacher", "tiny_teacher"),
            ("base", "tiny_base"),
            ("encoder", "tiny_base_two"),
        ):
            values["fetch"]["models"][name] = index[package]
        values["train"]["epochs"] = 1
    project.dvc("repro")
    measured = json.loads(project.read("metrics/test.json"))
    assert measured["n"] == pq.read_table(project.root / "data/gold.parquet").num_rows > 30
    assert (project.root / "models/student-onnx/model.onnx").exists()
    assert project.repro() == []
