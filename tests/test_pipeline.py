"""dvc.yaml against the code: what stages depend on, and the promise about gold."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

PIPELINE = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
# what a stage of a foreach is for each of its items, as DVC resolves it
ITEMS = {
    name: [(f"{name}@{key}", key, item) for key, item in (pairs(stage["foreach"]))]
    for name, stage in PIPELINE.items()
    if "foreach" in stage
    for pairs in [
        lambda items: items.items() if isinstance(items, dict) else [(item, item) for item in items]
    ]
}


def resolved():
    """{stage: (script, definition)} with the items of each foreach filled in."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    found = {}
    for name, stage in PIPELINE.items():
        for label, key, item in ITEMS.get(name, [(name, None, None)]):
            text = yaml.safe_dump(stage.get("do", stage))
            text = text.replace("${key}", str(key)).replace("${label.round}", str(params["label"]["round"]))
            for field, value in item.items() if isinstance(item, dict) else []:
                text = text.replace(f"${{item.{field}}}", value)
            found[label] = name, yaml.safe_load(text.replace("${item}", str(item)))
    return found


STAGES = resolved()


def names(entries):
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def outs(stage):
    return names(stage.get("outs", [])) + names(stage.get("metrics", [])) + names(stage.get("plots", []))


def module_file(name):
    """The file of a project module, or None where the name is no module of the project."""
    path = Path(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.exists():
            return file
    return None


def imports(file):
    """Project files that a file imports, anywhere in it, with the packages around them."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for module in modules:
            if module.split(".")[0] in ("nolabels", "stages"):
                parts = module.split(".")
                files = [module_file(".".join(parts[:count])) for count in range(1, len(parts) + 1)]
                found |= {file for file in files if file}
    return found


def closure(file):
    found, waiting = set(), [file]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += imports(current)
    return {path.as_posix() for path in found}


@pytest.mark.parametrize("name", STAGES)
def test_deps_are_the_files_that_the_stage_imports(name):
    script, stage = STAGES[name]
    listed = [path for path in stage["deps"] if path.endswith(".py")]
    assert sorted(listed) == sorted(closure(Path("stages", f"{script}.py")) | {"stages/__init__.py"})


def test_a_missing_import_would_be_noticed(tmp_path):
    assert "nolabels/texts.py" in closure(Path("stages/sample.py"))
    assert "nolabels/teachers/likelihood.py" in closure(Path("stages/score.py"))


@pytest.mark.parametrize(
    ("path", "readers"),
    [
        ("data/raw", {"sample"}),
        ("data/gold.parquet", {"evaluate"}),
        ("data/test_labels.csv", {"evaluate"}),
        ("data/corrections.csv", {"select"}),
        ("data/dev.parquet", set()),
        ("data/dev_gold.parquet", set()),
    ],
)
def test_who_reads(path, readers):
    deps = {script for script, stage in STAGES.values() if path in stage["deps"]}
    writers = {script for script, stage in STAGES.values() if path in outs(stage)}
    told = {script for script, stage in STAGES.values() if path in stage["cmd"].split()}
    assert deps == readers
    assert told <= readers | writers


@pytest.mark.parametrize("script", sorted({script for script, _ in STAGES.values()} - {"sample", "evaluate"}))
def test_code_of_other_stages_names_no_gold(script):
    """Paths come as arguments, so a stage could read gold only by naming it."""
    for file in closure(Path("stages", f"{script}.py")) - {"nolabels/params.py", "nolabels/readers.py"}:
        for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and "gold.parquet" in node.value
            ):
                raise AssertionError(f"{file} line {node.lineno}")


@pytest.mark.parametrize("name", STAGES)
def test_stage_is_described_and_named_like_its_script(name):
    script, stage = STAGES[name]
    assert len(stage["desc"]) > 20
    assert stage["cmd"].startswith(f"python -m stages.{script} ")
    assert set(stage["cmd"].split()[3:]) >= {path for path in outs(stage) if path in stage["cmd"]}


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_stage_s_own(name):
    script, stage = STAGES[name]
    sections = {key.split(".")[0] for key in stage.get("params", [])}
    assert sections <= {script, "task"}
    assert "runtime" not in sections and "task" not in stage.get("params", [])


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


@pytest.mark.parametrize("script", sorted({script for script, _ in STAGES.values()}))
def test_help_is_quick_and_imports_nothing_heavy(script):
    code = (
        f"import sys, stages.{script} as s\n"
        "try: s.main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        seconds.append(time.perf_counter() - started)
        assert result.returncode == 0, result.stderr
        if seconds[-1] < 1:
            break
    assert min(seconds) < 1
