"""Every preset is a whole params.yaml, and README's way to one's own csv works as it is written."""

import random
import re
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from scipy.stats import binomtest, norm

from nolabels import params
from tests import readme, tiny, workspace

PRESETS = sorted(Path("presets").glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_are_whole_and_valid(path):
    params.load(path)  # and so no key is missing
    wanted = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(found) == list(wanted)
    for section in wanted:
        assert found[section].keys() <= wanted[section].keys(), section


@pytest.mark.parametrize("path", [Path("params.yaml"), *PRESETS], ids=lambda path: path.stem)
def test_each_key_has_a_comment(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    sections = {"sample", "score", "label", "select", "train", "export", "runtime"}
    section, before = None, ""
    for line in lines:
        if found := re.match(r"(\w+):", line):
            section = found[1]
        elif section in sections and (found := re.match(r"  (\w+):", line)) and found[1] != "overlap":
            assert before.lstrip().startswith("#"), f"{path}: {section}.{found[1]}"
        before = line


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
    project = workspace.Workspace.make(tmp_path / "project", index)
    draw = random.Random(3)
    rows = "".join(
        f'{n},"{text}, {draw.random():.3f}"\r\n' for n, (_, text) in enumerate(tiny.sentences(1500))
    )
    (project.root / "messages.csv").write_bytes(f"\ufeffnumber,text\r\n{rows}".encode())
    (commands,) = re.findall(r"```sh\n(.*?)```", text, flags=re.S)
    subprocess.run(["bash", "-euc", commands], cwd=project.root, check=True)
    path = project.root / "params.yaml"
    edits = re.findall(r"^\d\. .*?: `(.+)` becomes `(.+)`$", text, flags=re.M)
    assert len(edits) == 3
    for old, new in edits:
        content = path.read_text(encoding="utf-8")
        assert content.count(old) == 1, old
        path.write_text(content.replace(old, new), encoding="utf-8")
    with project.params() as values:  # the models' size, and nothing else
        values["fetch"]["teacher"], values["fetch"]["base"] = index["tiny_teacher"], index["tiny_base"]
    printed = project.dvc("repro")
    assert "accuracy is unknown" in printed
    assert (project.root / "models/student/model.safetensors").exists()
    predicted = pq.read_table(project.root / "data/student_test.parquet")
    assert {label for (label,) in predicted["labels"].to_pylist()} <= {"praise", "complaint", "question"}
    assert 100 < predicted.num_rows < 200  # a tenth of the file
    assert project.repro() == []
