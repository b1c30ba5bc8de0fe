"""What the answer store holds, and that only what no params file asks for is removed."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from nolabels import answers
from nolabels.core.params import Template
from nolabels.data.texts import answer_key
from nolabels.teachers.store import AnswerStore, template_json
from nolabels.teachers.teacher import Answers
from tests import tiny

PARAMS = tiny.one_teacher(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
QUESTION = {"plain": "{text} All in all: {class}"}


def git(*words):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *words], check=True, capture_output=True)


@pytest.fixture
def history(tmp_path, monkeypatch):
    """history(template, words) commits a params file that asks so; the folder is a Git repository."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q")

    def commit(template, words=("negative", "positive"), **score):
        values = yaml.safe_load(yaml.safe_dump(PARAMS))
        values["score"]["teacher"] |= {"templates": [template]} | score
        for item, word in zip(values["task"]["classes"], words, strict=True):
            item["words"] = word
        Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        git("add", "params.yaml")
        git("commit", "-qm", "asks")

    return commit


def keep(template, words, texts=("a", "b"), **asker):
    """Answers in the store as `score` leaves them."""
    store = AnswerStore(
        ".work/answers",
        {
            "kind": "likelihood",
            "teacher": "f" * 64,
            "max_tokens": 256,
            "long_text": "truncate",
            "stride": None,
            "precision": "float32",
        }
        | asker,
    )
    store.remember(parameters=7)
    shape = (len(texts), 1)
    scores = np.zeros((*shape, len(words)), np.float32)
    given = Answers(scores, None, np.ones(shape, np.int32), np.zeros(shape, bool))
    before = set(kept())
    store.write(
        np.array([answer_key(text) for text in texts], "S16"),
        [template_json(Template.model_validate(template))],
        list(words),
        given,
    )
    (path,) = set(kept()) - before
    return path


def kept():
    return sorted(Path(".work/answers").rglob("*.parquet"))


def test_only_what_no_params_file_asks_for_is_removed(history, capsys):
    first, second = PARAMS["score"]["teacher"]["templates"][:2]
    history(first)
    history(second, words=("bad", "good"))
    history(second)
    wanted = [
        keep(first, ["negative", "positive"]),
        keep(second, ["negative", "positive"]),
        keep(second, ["good"]),  # a class that was added, in a commit before
        keep(second, ["bad"], teacher="e" * 64),  # which teacher, params files do not say
    ]
    gone = [
        keep(QUESTION, ["negative", "positive"]),
        keep(second, ["mixed"]),
        keep(second, ["positive"], max_tokens=64),
        keep(first, ["positive"], kind="endpoint"),
    ]
    answers.main([])
    printed = capsys.readouterr().out
    assert sorted(kept()) == sorted(wanted + gone)
    assert len(printed.splitlines()) == 4 and "likelihood  teacher eeeeeeee  float32  1 parts" in printed
    answers.main(["--prune"])
    assert kept() == sorted(wanted)
    assert "4 parts removed" in capsys.readouterr().out
    answers.main(["--prune"])
    assert kept() == sorted(wanted) and "0 parts removed, 0.0 MB" in capsys.readouterr().out


@pytest.mark.parametrize(
    "place", ["a branch", "an experiment", "the workspace", "a preset", "a whole preset"]
)
def test_what_is_asked_for_elsewhere_is_kept(history, place):
    history(PARAMS["score"]["teacher"]["templates"][0])
    git("branch", "-M", "main")
    if place == "a branch":
        git("checkout", "-qb", "other")
    if place != "the workspace":
        history(QUESTION)
    if place == "a branch":
        git("checkout", "-q", "main")
    elif place == "an experiment":
        git("update-ref", "refs/exps/ab/cdef/other", "HEAD")
        git("reset", "-q", "--hard", "HEAD~1")
    elif place == "a whole preset":  # as presets were until they held differences
        Path("presets").mkdir()
        Path("params.yaml").rename("presets/other.yaml")
        git("reset", "-q", "--hard", "HEAD~1")
    elif place == "a preset":  # of a commit before
        git("reset", "-q", "--hard", "HEAD~1")
        Path("presets").mkdir()
        Path("presets/other.yaml").write_text(
            yaml.safe_dump({"score": {"teacher": {"templates": [QUESTION]}}})
        )
        git("add", "-A")
        git("commit", "-qm", "A preset")
        git("rm", "-qr", "presets")
        git("commit", "-qm", "None")
    else:
        values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
        values["score"]["teacher"]["templates"] = [QUESTION]
        Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    path = keep(QUESTION, ["positive"])
    answers.main(["--prune"])
    assert kept() == [path]


def test_what_each_of_several_teachers_is_asked_is_kept(history):
    history(QUESTION)
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    second = {"class_text": "{class}"}
    # a name like that of a key, which is no sign of the old form
    values["fetch"]["models"]["templates"] = {"own": "encoder"}
    values["score"]["templates"] = values["score"]["teacher"] | {
        "kind": "similarity",
        "templates": [second],
        "max_tokens": 128,
    }
    Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    wanted = [keep(QUESTION, ["positive"]), keep(second, ["positive"], kind="similarity", max_tokens=128)]
    keep(QUESTION, ["positive"], max_tokens=128)  # as neither is asked
    keep(second, ["positive"], kind="similarity")
    answers.main(["--prune"])
    assert kept() == sorted(wanted)


def test_what_one_teacher_was_asked_when_there_could_be_no_other_is_kept(history):
    """Its settings stood in the section itself, those of a preset too."""
    values = yaml.safe_load(yaml.safe_dump(PARAMS))
    values["fetch"] = {"dataset": values["fetch"]["dataset"]} | values["fetch"]["models"]
    values["score"] = values["score"]["teacher"] | {"templates": [QUESTION]}
    other = {"plain": "{text} In a word: {class}"}
    Path("presets").mkdir()
    Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    over = {"score": {"templates": [other], "max_tokens": 64, "stride": None}}
    Path("presets/other.yaml").write_text(yaml.safe_dump(over), encoding="utf-8")
    git("add", "-A")
    git("commit", "-qm", "One teacher")
    git("rm", "-qr", "presets")
    history(PARAMS["score"]["teacher"]["templates"][0])
    wanted = [keep(QUESTION, ["positive"]), keep(other, ["positive"], max_tokens=64)]
    keep(QUESTION, ["positive"], max_tokens=64)
    keep(other, ["positive"])
    answers.main(["--prune"])
    assert kept() == sorted(wanted)


@pytest.mark.parametrize(
    ("content", "stays"),
    [
        # as a version before may have spelled it: other keys, other marks, other class words
        ('teacher:\n  prompts:\n  - ask: "Is it {label}?\\nSay:"\n    form: chat\n', ["Is it"]),
        ("teacher:\n  prompts:\n  - Was it so\n", []),
        ("score: [\n", ["Is it", "Or so"]),  # no YAML at all
    ],
    ids=["asks for one", "asks for neither", "no YAML"],
)
def test_what_an_unreadable_params_file_may_ask_for_is_kept(history, capsys, content, stays):
    Path("params.yaml").write_text(content, encoding="utf-8")
    git("add", "-A")
    git("commit", "-qm", "long ago")
    history(QUESTION)
    wanted = [keep(QUESTION, ["positive"])]
    old = {
        "Is it": keep({"plain": "{text} Is it {class}"}, ["good"]),
        "Or so": keep({"plain": "{text} Or so {class}"}, ["good"]),
    }
    answers.main(["--prune"])
    assert kept() == sorted(wanted + [old[name] for name in stays])
    said = "params.yaml is no params file of this version"
    (line,) = [line for line in capsys.readouterr().out.splitlines() if said in line]
    assert line.endswith("; what it may ask for is kept")


def test_an_empty_store_is_said(history, capsys):
    history(QUESTION)
    answers.main([])
    assert capsys.readouterr().out == "answers: .work/answers holds none\n"
