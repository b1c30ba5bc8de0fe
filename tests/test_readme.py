"""The pages that people read: what they say twice agrees with its source, and links, commands and names in them exist."""

import copy
import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from benchmarks import task_wording
from benchmarks.task_tables import forecast_with
from nolabels.setup import presets
from tests import parameters, picture, readme, test_report, tiny

TEXT = readme.README.read_text(encoding="utf-8")
TEXTS = {path: path.read_text(encoding="utf-8") for path in [*readme.PAGES, *readme.ALSO]}
WHOLE = "\n".join(TEXTS.values())
PARAMS = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
QUESTIONS = [
    "experiments",
    "faults",
    "how-it-works",
    "own-data",
    "parameters",
    "scale",
    "sharing",
    "shipping",
    "teachers",
]
MADE_LATER = {  # named in the pages, written by people or by commands that run outside the pipeline
    "data/own/",
    "models/own/half/model",
    "plots/live",
    "presets/messages.yaml",
}


# ---------------------------------------------------------------------- what is generated


@pytest.mark.parametrize("name", ["result", "figures", "dag"])
def test_generated_blocks_are_current(name):
    (text,) = [text for text in TEXTS.values() if f"<!-- {name} -->" in text]
    assert readme.block(name, readme.blocks()[name]) in text, "run python -m tests.readme"


def test_the_page_of_parameters_is_current():
    text = parameters.SOURCE.read_text(encoding="utf-8")
    assert parameters.page(text) == TEXTS[parameters.PAGE], "run python -m tests.parameters"


def test_the_page_of_parameters_has_every_section_and_key():
    text = TEXTS[parameters.PAGE]
    for section, values in PARAMS.items():
        assert f"\n## {section}\n" in text
        for key in values if section not in ("score", "assist") else ():
            assert f"\n### {section}.{key}\n" in text
    for key in next(iter(PARAMS["score"].values())):
        assert f"\n### score.teacher.{key}\n" in text


def test_the_picture_shows_the_figures_of_the_test():
    picture = Path("docs/page.svg")
    assert picture.stat().st_size <= 200_000 and "(docs/page.svg)" in TEXT
    root = ElementTree.parse(picture).getroot()
    shown = " ".join(
        filter(None, (element.text for element in root.iter("{http://www.w3.org/2000/svg}text")))
    )
    metrics = json.loads(Path("metrics/test.json").read_text(encoding="utf-8"))
    for title, row, _ in readme.measured(metrics):
        assert f"{row['accuracy']:.4f}" in shown and readme.interval(row) in shown, (
            f"{title}: run python -m tests.picture after dvc repro"
        )
    assert f"{metrics['student']['accuracy']:.1%}" in shown and f"{metrics['n']} texts" in shown
    assert "script" not in {element.tag.rpartition("}")[2] for element in root.iter()}
    text = picture.read_text(encoding="utf-8")
    assert "var(" not in text and not re.search(r'(href|src)="[^#]', text)


def test_the_picture_is_drawn_of_a_page(tmp_path, monkeypatch):
    """Of one that the stage makes, with figures of its own: the picture reads the page as it is written."""
    monkeypatch.chdir(tmp_path)
    test_report.write(tiny.one_teacher(copy.deepcopy(PARAMS)))
    test_report.make()
    page = Path("reports/index.html").read_text(encoding="utf-8")
    root = ElementTree.fromstring(picture.drawn(page))
    shown = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text") if element.text]
    assert {"0.5500", "0.4500–0.6500", "0.8000", "student as ONNX"} <= set(
        shown
    )  # the student's, then the others'
    assert re.search(r"<h1>(.*?)</h1>", page)[1] in shown
    assert sum("p = 0.01" in line for line in shown) == 1


def test_the_result_leads_with_the_best():
    found = re.findall(r"^\| .+? \| (0\.\d{4}) \|", readme.blocks()["result"], flags=re.M)
    assert len(found) >= 4 and found == sorted(found, reverse=True)


# ---------------------------------------------------------------------- their form


def test_the_readme_is_short():
    assert len(TEXT.split()) <= 1500 and len(TEXT.splitlines()) <= 150


def test_there_is_a_page_for_each_question():
    assert sorted(path.stem for path in readme.PAGES[1:]) == QUESTIONS
    named = {path for path, _ in readme.links(TEXT)}
    for path in readme.PAGES[1:]:
        assert path.as_posix() in named, path
        assert re.match(r"# (How|What|Which) .+\?\n\n", TEXTS[path]), path


def test_the_table_of_changes_has_ten_rows_of_those_that_the_docs_have():
    rows = readme.section("Want this? Change that").count("\n| ") - 1
    assert rows == 10 < readme.section("Every change").count("\n| ") - 1


# ---------------------------------------------------------------------- commands


def test_each_command_is_one_line_that_makes_its_environment():
    lines = [line for line in TEXT.splitlines() if line.startswith("python3 -m venv .venv && ")]
    assert len(lines) == 2
    assert lines[0].endswith("pip install -q -r requirements.txt && dvc repro")
    assert lines[1].endswith("pip install -q -r requirements-dev.txt && python -m pytest")


def test_the_gate_takes_its_command_from_the_readme():
    script = Path(".ci/run").read_text(encoding="utf-8")
    (form,) = re.findall(r"sed -n 's/(.*)/\\1/p' README.md", script)
    found = subprocess.run(
        ["sed", "-n", f"s/{form}/\\1/p", "README.md"], capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == [
        line for line in TEXT.splitlines() if line.endswith("python -m pytest")
    ]


def test_the_torch_without_cuda_is_the_pinned_one():
    (given,) = re.findall(r"^pip install -q (torch==\S+) --index-url \S+/whl/cpu$", WHOLE, flags=re.M)
    assert given in Path("requirements.txt").read_text(encoding="utf-8").splitlines()


def test_the_gate_installs_what_is_pinned_by_its_hash():
    lock = Path(".ci/requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w.-]+)==([\w.+]+) \\\n    --hash=sha256:[0-9a-f]{64}", lock, flags=re.M))
    assert len(locked) == lock.count("==") > 100
    pinned = {}
    for name in (
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-ray.txt",
        "requirements-serve.txt",
    ):
        pinned |= re.findall(
            r"^([\w-]+)(?:\[\w+\])?==(\S+)", Path(name).read_text(encoding="utf-8"), flags=re.M
        )
    assert len(pinned) > 25
    for name, version in pinned.items():
        assert locked[name.replace("_", "-")].removesuffix("+cpu") == version, name


@functools.cache
def help_of(module):
    """What a command says of itself; "" for a module of the tests or benchmarks, which may take none."""
    if not module.startswith(("nolabels.", "stages.")):
        return ""
    words = [sys.executable, "-m", module, "--help"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_commands_and_their_flags_exist(path):
    for module, rest in re.findall(r"python -m ([a-z_]+(?:\.[a-z_]+)*)\b(?!\.[A-Z])([^`\n]*)", TEXTS[path]):
        if module.split(".")[0] not in ("nolabels", "stages", "tests", "benchmarks"):
            continue
        assert Path(*module.split(".")).with_suffix(".py").exists(), module
        for flag in re.findall(r"(?<= )--[a-z-]+", re.split("#|&&|;", rest)[0]):
            assert not help_of(module) or flag in help_of(module), f"{module} {flag}"
        if module == "nolabels.preset":
            name = re.match(r" ([a-z][a-z0-9-]*)$", rest.split("&&")[0].rstrip())
            assert not name or name[1] in {*presets.names(), "default", "messages"}, rest
    for script in readme.code(TEXTS[path], "sh"):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    for script in readme.code(TEXTS[path], "python"):
        compile(script, str(path), "exec")


def test_flags_that_are_named_without_a_command_exist():
    flags = set(re.findall(r"`(--[a-z-]+)", readme.section("Predict")))
    assert len(flags) >= 2 and all(flag in help_of("nolabels.classify") for flag in flags)
    flags = set(re.findall(r"`(--[a-z-]+)", readme.section("Options of start")))
    assert len(flags) >= 4 and all(flag in help_of("nolabels.start") for flag in flags)
    flags = set(re.findall(r"(?<=[` ])--[a-z-]+", readme.section("Presets")))
    assert len(flags) >= 3 and all(flag in help_of("nolabels.preset") for flag in flags)


def test_the_shipped_student_answers_as_the_readme_shows():
    """Where the default has run here; probabilities may differ on another processor by a point."""
    folder = Path("models/student-onnx")
    if not (folder / "model.onnx").exists():
        pytest.skip("needs a dvc repro of the default")
    if json.loads((folder / "classes.json").read_text())["classes"] != ["negative", "positive"]:
        pytest.skip("the student here is not the default's")
    command, shown = re.search(r"```sh\n(printf .*?)\n```\n\n```\n(.*?)```", TEXT, flags=re.S).groups()
    ran = subprocess.run(
        ["bash", "-c", command.replace("python ", f"{sys.executable} ")],
        capture_output=True,
        text=True,
        check=True,
    )
    for found, wanted in zip(ran.stdout.splitlines(), shown.splitlines(), strict=True):
        assert found.split("\t")[0] == wanted.split("\t")[0]
        assert float(found.split("\t")[1]) == pytest.approx(float(wanted.split("\t")[1]), abs=0.01)


# ---------------------------------------------------------------------- names and links


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_links_lead_somewhere(path):
    for target, anchor in readme.links(TEXTS[path]):
        there = (path.parent / target).resolve() if target else path.resolve()
        assert there.exists(), target
        if anchor:
            assert anchor in readme.anchors(there.read_text(encoding="utf-8")), f"{target}#{anchor}"


@pytest.mark.parametrize("path", [path for path in TEXTS if path.name != "CHANGELOG.md"], ids=str)
def test_parameters_that_are_named_exist(path):
    """`section.key` in code; CHANGELOG names keys that are gone."""
    sections = "|".join(PARAMS)
    for name in re.findall(rf"`((?:{sections})(?:\.\w+)+)", TEXTS[path]):
        value = PARAMS
        for key in name.split("."):
            if key in ("py", "yaml", "parquet", "csv"):
                break
            assert key in value, name
            value = value[key]


def test_the_pages_name_many_parameters():
    sections = "|".join(PARAMS)
    assert len(set(re.findall(rf"`((?:{sections})\.\w+)", WHOLE))) >= 30


def outs():
    """Paths that the pipeline reads and writes, with those of all models, and of dev and test."""
    text = Path("dvc.yaml").read_text(encoding="utf-8")
    filled = [text.replace("${key}", name) for name in ("dev", "test", *PARAMS["fetch"]["models"])]
    return set(re.findall(r"(?:data|models|metrics|plots|reports)/[\w./-]+", "\n".join(filled)))


@pytest.mark.parametrize("path", [path for path in TEXTS if path.name != "CHANGELOG.md"], ids=str)
def test_paths_that_are_named_exist(path):
    """In code: they lie in Git, or the pipeline writes them. Capitals stand for a name of the reader's."""
    folders = "data|models|metrics|plots|reports|stages|nolabels|presets|docs|benchmarks|tests"
    written = outs()
    for name in re.findall(
        rf"(?<![\w/.-])((?:{folders})/[\w./-]*\w/?)", "\n".join(readme.inline(TEXTS[path]))
    ):
        if re.search(r"[A-Z]{3}", name.replace("README", "")) or name in MADE_LATER or Path(name).exists():
            continue
        assert any(out == name.rstrip("/") or out.startswith(f"{name.rstrip('/')}/") for out in written), name


def test_files_named_in_the_tree_exist():
    tree = readme.section("What is where").split("```")[1]
    for line in tree.strip().splitlines():
        for name in re.split(r"\s{2,}", line)[0].split(", "):
            assert Path(name).exists(), name


def test_the_table_of_stages_has_all_of_them():
    named = set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", readme.section("The stages"), flags=re.M)))
    )
    assert named == set(yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"])


# ---------------------------------------------------------------------- figures


def test_sizes_of_the_default_are_those_of_the_parameters():
    sample = PARAMS["sample"]
    words = " ".join(TEXT.split())
    assert f"fine-tuned on {sample['pool']:,} sentences" in words
    pool, measured = sample["pool"] + sample["valid"], sample["test"] + sample["dev"]
    read = f"{pool + measured:,} texts: {pool:,} to learn from, and {measured:,} to measure on"
    assert f"The teachers read {read}" in words
    numbers = {2: "two", 3: "three", 4: "four", 5: "five"}
    assert f"with {numbers[len(PARAMS['score']['teacher']['templates'])]} prompts" in words


def test_accuracies_of_other_tasks_are_those_that_were_measured():
    tasks = json.loads(Path("benchmarks/tasks.json").read_text(encoding="utf-8"))
    tasks = [task for task in tasks if task["name"] in task_wording.wording().tasks]
    chosen = {task["name"]: task["chosen"]["accuracy"] for task in tasks}
    low, high = min(chosen.values()), max(chosen.values())
    words = " ".join(TEXT.split())
    said = (
        f"On eight other tasks, with prompts that nobody tuned, the teachers' accuracy was between {low:.3f} "
        f"and {high:.3f}"
    )
    assert said in words
    assert len(chosen) == 8 and f"five grades of sentiment the teachers reached {chosen['sst5']:.3f}" in words
    off = [abs(forecast_with(task) - task["chosen"]["accuracy"]) for task in tasks]
    assert round(100 * sum(off) / len(off)) == 2 and sum(one <= 0.075 for one in off) == 8
    assert "within 2 points of the accuracy on average, and within 7.5 on each" in " ".join(WHOLE.split())


def test_speeds_are_those_that_were_measured():
    rows = {row["name"]: row for row in json.loads(Path("benchmarks/speed.json").read_text(encoding="utf-8"))}
    small, teacher = rows["small student, ONNX, against torch unsorted"], rows["likelihood, one template"]
    words = " ".join(TEXT.split())
    rates = f"{small['ours']:,.0f} texts a second on two cores, the language model {teacher['ours']:.0f}"
    assert f"classifies {rates}" in words
    scale = " ".join(TEXTS[Path("docs/scale.md")].split())
    speed = json.loads(Path("metrics/speed.json").read_text(encoding="utf-8"))
    rate = speed["score_teacher_pool"]["texts_per_second"]
    assert f"reads {rate:.0f} texts a second on two cores" in scale
    assert f"with one template it reads {rows['likelihood, one template']['ours']:.0f}" in scale
