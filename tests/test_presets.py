"""Presets are laid over the shipped params.yaml, and the way to one's own csv in docs/own-data.md works as it is written."""

import random
import re
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from scipy.stats import binomtest, norm

from nolabels import preset
from nolabels.core import params
from nolabels.core.git import git
from nolabels.core.stage import UserError
from nolabels.setup import merging, presets
from tests import readme, tiny, workspace

ROOT = Path("presets").resolve().parent
VALUES = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
MODELS, TEACHERS = list(VALUES["fetch"]["models"]), list(VALUES["score"])
OWN = "# mine\n\ntrain:\n  # because I say so\n  epochs: 7  # often\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A Git repository with params.yaml, its presets and their record, and the preset `mine`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "presets").mkdir()
    for path in [ROOT / "params.yaml", *sorted((ROOT / "presets").iterdir())]:
        (tmp_path / path.relative_to(ROOT)).write_bytes(path.read_bytes())
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], check=True)
    (tmp_path / "presets/mine.yaml").write_text(OWN, encoding="utf-8")
    return tmp_path


def text():
    return Path("params.yaml").read_text(encoding="utf-8")


def flat(values):
    """{path: value} of a params file: models and keys of teachers each by itself; None: taken out."""
    found = {}
    for section, keys in values.items():
        for key, value in keys.items():
            if value is not None and (section == "score" or (section, key) == ("fetch", "models")):
                found |= {(section, key, name): item for name, item in value.items()}
            else:
                found[section, key] = value
    return found


def test_the_record_is_of_the_params_yaml_at_hand():
    found = git("hash-object", "params.yaml")
    assert presets.SHIPPED.read_text(encoding="utf-8") == found, (
        "git hash-object -w params.yaml > presets/shipped"
    )


@pytest.mark.parametrize("name", presets.names())
def test_presets_are_valid_and_hold_what_differs(name):
    presets.params_of(name)
    base, made = presets.shipped(), presets.text_of(name)
    over = (presets.FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    before, own, after = (flat(yaml.safe_load(content)) for content in (base, over, made))
    gone = {place for place, value in own.items() if value is None and place[:-1] in merging.NAMED}
    kept = {place: value for place, value in own.items() if place not in gone}
    assert {place: value for place, value in after.items() if before.get(place, "none") != value} == kept
    assert all({place[:2], place} & gone for place in before.keys() - after.keys())
    assert not gone & {place[:length] for place in after for length in (2, 3)}
    about, *_ = merging.header(over)
    assert re.fullmatch(r"# \S.{20,110}\.", about), "the line of --list"


@pytest.mark.parametrize("name", presets.names())
def test_no_comment_is_lost(name):
    path = presets.FOLDER / f"{name}.yaml"
    made, lines = presets.text_of(name).splitlines(), presets.shipped().splitlines()
    own = flat(yaml.safe_load(path.read_text(encoding="utf-8")))
    there, _ = merging.spans(presets.shipped(), ())
    for place, value in own.items():
        if (
            value is None and place[:-1] in merging.NAMED
        ):  # what is taken out goes with the comments inside it
            first, last = there[place]
            lines[first:last] = [""] * (last - first)
    for content in (lines, path.read_text(encoding="utf-8").splitlines()):
        comments = [line for line in content if line.lstrip().startswith("#")]
        kept = iter(made)
        missing = [line for line in comments if line not in kept]  # and in their order
        assert not missing


def test_presets_are_short():
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in presets.FOLDER.glob("*.yaml")]
    assert len(lengths) >= 8 and sum(lengths) <= 250


def test_each_key_has_a_comment():
    sections = {"sample", "score", "label", "select", "train", "export", "runtime"}
    section, before = None, ""
    for line in text().splitlines():
        if found := re.match(r"(\w+):", line):
            section = found[1]
            # the keys of a teacher stand below its name
            key = r" {4}(\w+):" if section == "score" else r" {2}(\w+):"
        elif section == "score" and line.strip().rstrip(":") in TEACHERS[1:]:
            section = None  # those of the first are explained
        elif section in sections and (found := re.match(key, line)) and found[1] != "stride":
            assert before.lstrip().startswith("#"), f"{section}.{found[1]}"
        before = line


def test_lines_are_replaced_and_all_others_stay(folder, capsys):
    before = text()
    preset.main(["mine"])
    assert capsys.readouterr().out == "preset: params.yaml is mine now\n"
    wanted = before.replace("  epochs: 4\n", "  # because I say so\n  epochs: 7  # often\n")
    assert wanted != before and text() == f"# preset: mine\n# mine\n\n{wanted}"
    preset.main(["own-csv"])  # over the shipped file, not over `mine`
    assert params.load().train.epochs == 4 and params.load().fetch.dataset.own == "reviews.csv"
    preset.main(["default"])
    assert text() == before
    assert sorted(path.name for path in folder.iterdir()) == [".git", "params.yaml", "presets"]


@pytest.mark.parametrize("over", ["the shipped file", "a preset"])
def test_edits_of_one_s_own_are_kept_unless_forced(folder, over, capsys):
    if over == "a preset":
        preset.main(["own-csv"])
    edited = text().replace("# Seed of the order", "# My seed of the order")
    assert edited != text()
    Path("params.yaml").write_text(edited, encoding="utf-8")
    subprocess.run(["git", "add", "params.yaml"], check=True)  # also where Git has them
    for name in ("mine", "default", "own-csv"):
        with pytest.raises(
            UserError, match=r"^params.yaml: must be as shipped, .* found edits of your own; "
        ):
            preset.main([name])
        assert text() == edited
    preset.main(["mine", "--force"])
    assert text() == presets.text_of("mine")


def test_diff_writes_nothing(folder, capsys):
    before = text()
    preset.main(["--diff", "mine"])
    printed = capsys.readouterr().out.splitlines()
    changed = [line for line in printed[2:] if line[0] in "+-"]
    assert changed[-3:] == ["-  epochs: 4", "+  # because I say so", "+  epochs: 7  # often"]
    assert len(changed) == 6 and changed[0] == "+# preset: mine"
    assert text() == before
    preset.main(["--diff", "default"])
    assert capsys.readouterr().out == "preset: params.yaml is default already\n"


def test_list_says_each_in_a_line(folder, capsys):
    preset.main(["--list"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["default", *presets.names()]
    assert "mine                mine" in printed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("train: {epochs: 3, epoch: 7}\n", "train.epoch: is no key of params.yaml"),
        ("trains:\n  epochs: 7\n", "trains: is no section of params.yaml"),
        ("train: 7\n", "train: must hold keys, found 7"),
        ("train:\n  epochs: 0\n", "train.epochs: must be greater than or equal to 1, found 0"),
        (
            "score:\n  teacher:\n    kind: endpoint\n",
            "score.teacher: templates of kind endpoint need plain; number 1 has chat",
        ),
        ("score:\n  kind: endpoint\n", "score.kind: must be"),
        ("score:\n  other:\n    kind: likelihood\n", "score.other.templates: is missing"),
        (
            "score:\n" + "".join(f"  {name}: null\n" for name in TEACHERS),
            "must be written as params.yaml is: ",
        ),
        (
            "score:\n  other: null\n",
            "score.other: must be one that params.yaml has, to take it out with null",
        ),
        (
            "fetch:\n  models:\n    assistant: null\n",
            "fetch.models.assistant: must be one that params.yaml has, to take it out with null",
        ),
        (
            "fetch:\n  models:\n    teacher: null\n",
            f"score.teacher: must be named like a model of fetch.models ({', '.join(MODELS[1:])})",
        ),
        (
            "fetch:\n  models:\n    base: null\nscore:\n  base: null\n",
            "train.base: must name a model of fetch.models that can be fine-tuned "
            f"({', '.join(name for name in MODELS if name != 'base')}), found base",
        ),
        ("fetch:\n  models: 7\n", "fetch.models: must be a valid dictionary, found 7"),
        ("- epochs\n", "must hold sections, found list"),
        ("# nothing\n", "must hold sections, found NoneType"),
        ("train: [\n", "line 2: not valid YAML: "),
        ("train: {epochs: 7}\n", "must be written as params.yaml is: a key once, on a line of its own"),
        ("train:\n    epochs: 7\n", "must be written as params.yaml is: "),
        ("train:\n  epochs: 7\ntrain:\n  seed: 1\n", "must be written as params.yaml is: "),
        ("train: &t\n  seed: 7\nselect:\n  <<: *t\n", "select.seed: is no key of params.yaml"),
        (
            "train:\n  seed: &seed 7\n  epochs: *seed\nsample:\n  seed: *seed\n",
            "must be written as params.yaml is",
        ),
    ],
)
def test_a_broken_preset_is_one_line_and_writes_nothing(folder, content, message):
    before = text()
    Path("presets/mine.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        preset.main(["mine"])
    assert str(error.value).startswith(f"presets/mine.yaml: {message}")
    assert text() == before
    preset.main(["own-csv"])  # the others work on


def test_what_is_not_there_is_one_line(folder):
    with pytest.raises(
        UserError, match=r"^presets: must hold nine.yaml, found default, intents-banking77, mine, "
    ):
        preset.main(["nine"])
    Path("presets/shipped").write_text("1" * 40)
    with pytest.raises(
        UserError, match=r"^presets/shipped: must be the id of a params.yaml that Git holds, found 1"
    ):
        preset.main(["own-csv"])


def test_values_replace_whole_and_in_all_forms(folder):
    """A mapping over a mapping, a list over a list, text of several lines, and nothing."""
    Path("presets/mine.yaml").write_text(
        "# mine\n\nlabel:\n  prior:\n    negative: 0.25\n    # most\n    positive: 0.75\nsample:\n  gold:\n"
        "    column: rating\n    names: true\n  columns:\n  - rating\n  - text\n  test_file:\n"
        "score:\n  teacher:\n    templates:\n      - plain: |\n          {text}\n\n          So: {class}\n\n"
        "    max_tokens: 8\n"
    )
    found = presets.params_of("mine")
    assert found.label.prior == {"negative": 0.25, "positive": 0.75}
    assert found.sample.gold.model_dump(exclude_none=True) == {"column": "rating", "names": True}
    assert (found.sample.columns, found.sample.test_file) == (["rating", "text"], None)
    assert [template.plain for template in found.score["teacher"].templates] == ["{text}\n\nSo: {class}\n"]
    lines = presets.text_of("mine").splitlines()
    assert "    # most" in lines
    assert all(line in lines for line in presets.shipped().splitlines() if line.lstrip().startswith("#"))


MORE = """# mine

fetch:
  models:
    # small
    small: {own: small}
    large:
      own: large
score:
  # the second
  small:
    kind: similarity
    templates:
      - class_text: "{class}"
    max_tokens: 64
    long_text: truncate
    stride: null
    precision: auto
"""


def test_a_preset_adds_models_and_a_teacher(folder):
    before = text()
    Path("presets/mine.yaml").write_text(MORE, encoding="utf-8")
    preset.main(["mine"])
    found = params.load()
    assert list(found.fetch.models) == [*MODELS, "small", "large"]
    assert list(found.score) == [*TEACHERS, "small"] and found.score["small"].max_tokens == 64
    assert found.score["teacher"] == presets.params_of("default").score["teacher"]
    added = [line for line in MORE.splitlines()[3:] if line not in ("  models:", "score:")]
    lines = iter(text().splitlines())
    assert all(line in lines for line in added), "each line, in its order"
    assert text().splitlines()[3:] != before.splitlines()
    assert [line for line in text().splitlines()[3:] if line not in added] == [
        line for line in before.splitlines() if line not in added
    ]
    preset.main(["default"])
    assert text() == before


def test_null_takes_a_model_and_a_teacher_out(folder):
    """Another model, under another name, in the place of the shipped teacher."""
    removed = "    # slow\n    teacher: null\n"
    Path("presets/mine.yaml").write_text(
        MORE.replace("  models:\n", f"  models:\n{removed}").replace(
            "score:\n", "score:\n  teacher: null  # too\n"
        ),
        encoding="utf-8",
    )
    preset.main(["mine"])
    found = params.load()
    assert list(found.fetch.models) == [*MODELS[1:], "small", "large"]
    assert list(found.score) == [*TEACHERS[1:], "small"]
    assert f"    # slow\n    {MODELS[1]}:\n" in text() and "SmolLM2" not in text()
    preset.main(["own-csv"])
    assert "teacher" in params.load().score


@pytest.mark.parametrize("nothing", ["null", "~", "", "null  # none: of them"])
def test_null_in_all_forms(folder, nothing):
    Path("presets/mine.yaml").write_text(
        MORE.replace("score:\n", f"score:\n  teacher: {nothing}\n"), encoding="utf-8"
    )
    assert list(presets.params_of("mine").score) == [*TEACHERS[1:], "small"]


def test_the_notebook_s_figures_do_not_differ():
    teacher, student, n = 769, 762, 872
    assert (round(teacher / n, 4), round(student / n, 4)) == (0.8819, 0.8739)
    mean = (teacher + student) / 2 / n
    p = 2 * norm.sf((teacher - student) / n / (2 * mean * (1 - mean) / n) ** 0.5)
    assert round(p, 2) == 0.61
    differently = range(teacher - student, n, 2)  # answered right by one of the two
    first = next(count for count in differently if binomtest((count + 7) // 2, count).pvalue > 0.05)
    assert first == 11
    text = " ".join(readme.section("The notebook, and other tasks from a hub").split())
    assert "p = 0.61" in text and "fewer than 11" in text and "769 and 762" in text


@pytest.mark.slow
def test_a_csv_of_one_s_own_as_readme_says(tmp_path, index):
    text = readme.section("Your own csv")
    assert len(text.splitlines()) <= 15
    project = workspace.Workspace.make(tmp_path / "project", index, whole=True)
    draw = random.Random(3)
    rows = "".join(
        f'{n},"{text}, größer, {draw.random():.3f}"\r\n' for n, (_, text) in enumerate(tiny.sentences(600))
    )
    (project.root / "messages.csv").write_bytes(f"\ufeffnumber,text\r\n{rows}".encode())
    (commands,) = re.findall(r"```sh\n(.*?)```", text, flags=re.S)
    ended = project.run(["bash", "-euc", commands])
    assert ended.returncode == 0, ended.stdout
    path = project.root / "params.yaml"
    edits = re.findall(r"^\d\. .*?: `(.+)` becomes `(.+)`$", text, flags=re.M)
    assert len(edits) == 3
    for old, new in edits:
        content = path.read_text(encoding="utf-8")
        assert content.count(old) == 1, old
        path.write_text(content.replace(old, new), encoding="utf-8")
    with project.params() as values:  # the models' size, and nothing else
        values["fetch"]["models"]["teacher"], values["fetch"]["models"]["base"] = (
            index["tiny_teacher"],
            index["tiny_base"],
        )
    printed = project.dvc("repro")
    assert "accuracy is unknown" in printed
    assert (project.root / "models/student/model.safetensors").exists()
    predicted = pq.read_table(project.root / "data/student_test.parquet")
    assert {label for (label,) in predicted["labels"].to_pylist()} <= {"praise", "complaint", "question"}
    assert 40 < predicted.num_rows < 80  # a tenth of the file
    assert project.repro() == []
