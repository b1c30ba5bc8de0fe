"""dvc.yaml against the code: what stages depend on, and the promise about gold."""

import ast
import itertools
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests import deps

PIPELINE = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
# of which other sections a stage depends; `report` shows them all
SECTIONS = {
    "fetch_dataset": {"fetch"},
    "forecast": {"label", "score"},
    "label": {"score"},
    "report": set(PARAMS) - {"runtime"},
}


# what a foreach or a matrix takes from params.yaml; the shipped one asks for no assistant: one is made up
GIVEN = {
    "${assist}": {"large": {"base": "base"}},
    "${fetch.models}": PARAMS["fetch"]["models"],
    "${score}": PARAMS["score"],
}


def instances(name, stage):
    """(name, {placeholder: text}) of each stage that a definition makes, as DVC names it."""
    if "matrix" in stage:
        axes = {axis: GIVEN.get(str(items), items) for axis, items in stage["matrix"].items()}
        for chosen in itertools.product(*axes.values()):
            filled = {f"${{item.{axis}}}": item for axis, item in zip(axes, chosen, strict=True)}
            yield f"{name}@{'-'.join(chosen)}", filled
        return
    given = GIVEN.get(str(stage.get("foreach")), stage.get("foreach"))
    if given is None:
        yield name, {}
        return
    for key, item in given.items() if isinstance(given, dict) else zip(given, given, strict=True):
        fields = item if isinstance(item, dict) else {}
        filled = {f"${{item.{field}}}": value for field, value in fields.items()}
        yield f"{name}@{key}", {"${key}": key, "${item}": item} | filled


def resolved():
    """{stage: (script, definition)} with the items of each foreach and matrix filled in, cmd as one text."""
    found = {}
    for name, stage in PIPELINE.items():
        for label, filled in instances(name, stage):
            definition = {key: part for key, part in stage.get("do", stage).items() if key != "matrix"}
            text = yaml.safe_dump(definition)
            for placeholder, value in filled.items():
                text = text.replace(placeholder, str(value))
            for key, value in PARAMS["train"].items():
                text = text.replace(f"${{train.{key}}}", str(value))
            found[label] = deps.SCRIPTS.get(name, name), yaml.safe_load(text)
    return found


STAGES = resolved()


def test_dvc_stage_list_fits_into_80_columns():
    for name, (_, definition) in STAGES.items():
        assert len(name) <= 22 and len(definition["desc"]) <= 56, name


def names(entries):
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def outs(stage):
    return names(stage.get("outs", [])) + names(stage.get("metrics", [])) + names(stage.get("plots", []))


def test_deps_are_the_files_that_the_stages_import():
    text = Path("dvc.yaml").read_text(encoding="utf-8")
    assert deps.written(text) == text, "python -m tests.deps writes them"
    for script, stage in STAGES.values():
        assert [path for path in stage["deps"] if path.endswith(".py")] == deps.modules_of(script)


@pytest.mark.parametrize("path", sorted(deps.LEFT_OUT))
def test_a_module_that_is_left_out_is_there(path):
    assert Path(path).exists()


@pytest.mark.parametrize(
    "path", sorted(Path().glob("nolabels/**/__init__.py")) + [Path("stages/__init__.py")]
)
def test_a_package_holds_its_docstring_alone(path):
    """No stage depends on it, so it must decide nothing; that of the parameters names what it takes from its modules."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    allowed = (ast.ImportFrom, ast.Assign) if path.parent.name == "params" else ()
    assert isinstance(body[0], ast.Expr) and all(isinstance(node, allowed) for node in body[1:])


BELOW = {
    "core": set(),
    "data": {"core"},
    "setup": {"core", "data"},
    "onnx": set(),
    "teachers": {"core", "data", "onnx"},
    "labeling": {"core", "data", "onnx", "teachers"},
    "students": {"core", "data", "onnx", "teachers", "labeling"},
    "reporting": {"core", "data", "onnx", "teachers", "labeling", "students"},
}


def test_packages_import_one_way():
    """As nolabels/__init__.py draws them; commands and stages may import every package, and no package them."""
    assert set(BELOW) == {path.parent.name for path in Path("nolabels").glob("*/__init__.py")}
    for package, below in BELOW.items():
        for file in Path("nolabels", package).rglob("*.py"):
            reached = {path.parts[1] for path in deps.imports(file) if len(path.parts) > 2}
            assert reached <= below | {package}, f"{file}: {sorted(reached - below - {package})}"
            assert all(path.name == "__init__.py" or len(path.parts) > 2 for path in deps.imports(file)), file


def test_a_model_of_one_s_own_is_fetched_alone():
    """A folder in deps is stale when anything is added to it, so no two assets may share one."""
    places = [Path(stage["cmd"].split()[-1]) for script, stage in STAGES.values() if script == "fetch"]
    assert len(places) == len(GIVEN["${fetch.models}"]) + 1
    for place in places:
        assert [place in {path, *path.parents} for path in places].count(True) == 1, place
        listed = subprocess.run(["git", "ls-files", "-co", place], capture_output=True, text=True).stdout
        assert f"{place}/README.md" in listed.splitlines()  # a dep that is missing fails the run


def test_a_missing_import_would_be_noticed():
    assert "nolabels/data/texts.py" in deps.modules_of("sample")
    assert "nolabels/teachers/likelihood.py" in deps.modules_of("score")
    text = Path("dvc.yaml").read_text(encoding="utf-8")
    assert deps.written(text.replace("      - nolabels/data/texts.py\n", "")) == text


@pytest.mark.parametrize(
    ("path", "readers"),
    [
        ("data/raw", {"sample"}),
        ("data/scores", {"label", "forecast"}),
        ("data/gold.parquet", {"evaluate"}),
        ("data/dev_gold.parquet", {"evaluate"}),
        # `sample` reads which texts are answered, and not what (test_sample.py)
        ("data/test_labels.csv", {"evaluate", "sample"}),
        ("data/dev_labels.csv", {"evaluate", "sample"}),
        ("data/corrections.csv", {"select"}),
        (
            "data/dev.parquet",
            {"score", "select", "assist", "train", "export", "baseline", "evaluate", "report"},
        ),
        (
            "data/test.parquet",
            {"score", "select", "assist", "train", "export", "baseline", "evaluate", "report"},
        ),
    ],
)
def test_who_reads(path, readers):
    deps = {script for script, stage in STAGES.values() if path in stage["deps"]}
    writers = {script for script, stage in STAGES.values() if path in outs(stage)}
    told = {script for script, stage in STAGES.values() if path in stage["cmd"].split()}
    assert deps == readers
    assert told <= readers | writers


@pytest.mark.parametrize("name", STAGES)
def test_stage_is_described_and_named_like_its_script(name):
    script, stage = STAGES[name]
    assert len(stage["desc"]) > 20
    assert stage["cmd"].startswith(f"exec python -m stages.{script} ")  # see core.stage.die_with_parent


def untold(stage):
    """The outs and the deps of data of a stage that its command names neither themselves nor by their folder."""
    told = {Path(word) for word in stage["cmd"].split()[4:]}
    code = ("nolabels/", "stages/")
    paths = outs(stage) + [path for path in stage["deps"] if not path.startswith(code)]
    return [path for path in paths if not {Path(path), *Path(path).parents} & told]


@pytest.mark.parametrize("name", STAGES)
def test_a_command_names_all_that_is_read_and_written(name):
    assert untold(STAGES[name][1]) == []


def test_what_a_command_does_not_name_would_be_noticed():
    stage = {
        "cmd": "exec python -m stages.a data/b plots",
        "deps": ["data/c", "stages/a.py"],
        "outs": ["plots/d"],
    }
    assert untold(stage) == ["data/c"]
    assert untold(stage | {"deps": ["data/b/c"], "metrics": [{"data": {"cache": False}}]}) == ["data"]


def test_each_script_is_a_stage():
    scripts = {path.stem for path in Path("stages").glob("*.py")} - {"__init__"}
    assert scripts == {script for script, _ in STAGES.values()}


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_stage_s_own(name):
    script, stage = STAGES[name]
    listed = stage.get("params", [])
    assert {key.split(".")[0] for key in listed} <= {script, "task"} | SECTIONS.get(name.split("@")[0], set())
    # a whole section reruns the stage at any key of it
    assert script == "report" or not {"runtime", "task", "label"} & set(listed) - {script}


@pytest.mark.parametrize("name", STAGES)
def test_outs_can_be_shared(name):
    """Cached, not persistent, ignored by Git from the start; evaluate's small JSON alone lies in Git."""
    script, stage = STAGES[name]
    for entry in stage.get("outs", []) + stage.get("metrics", []):
        path, options = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
        assert not options.get("persist")
        ignored = subprocess.run(["git", "check-ignore", "-q", "--no-index", path]).returncode == 0
        assert ignored == options.get("cache", True), path
        assert options.get("cache", True) or script == "evaluate"


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (
            "sys.modules['fcntl'] = None",
            "error: system: must be Linux or macOS (on Windows: WSL), found linux",
        ),
        ("sys.version_info = (3, 10, 4)", "error: Python: must be 3.11 or newer, found 3.10.4"),
    ],
    ids=["no fcntl, as on Windows", "an old Python"],
)
@pytest.mark.parametrize("module", ["stages.score", "stages.sample", "nolabels.answers", "nolabels.classify"])
def test_an_unsupported_machine_is_told_in_one_line(machine, said, module):
    code = f"import sys; {machine}; import {module}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (1, f"{said}\n".replace("linux", sys.platform))


def test_the_python_that_is_declared_is_the_one_that_is_asked_for():
    declared = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert declared["requires-python"] == ">=3.11"


@pytest.mark.parametrize("script", sorted({script for script, _ in STAGES.values()}))
def test_help_is_quick_and_imports_nothing_heavy(script):
    code = (
        f"import sys, stages.{script} as s\n"
        "try: s.main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    # the processor's seconds, which another program's load does not change
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0, result.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
