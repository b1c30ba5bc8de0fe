"""README's facts that stand elsewhere too: `python -m tests.readme` writes them, a test compares."""

import json
import subprocess
import sys
from pathlib import Path

from nolabels.core import speed

README = Path("README.md")
ROWS = {
    "teacher": "teacher, calibrated",
    "teacher_raw": "teacher, uncalibrated",
    "assistant": "assistant",
    "student": "student",
    "onnx": "student as ONNX",
    "baseline": "TF-IDF + logistic regression, same labels",
}


def result(metrics):
    """The result table, from metrics/test.json and metrics/speed.json."""
    sizes = metrics["size"]
    lines = ["| | accuracy | 95 % interval | macro F1 | ECE | parameters |", "|---|---|---|---|---|---|"]
    for who, title in ROWS.items():
        if who not in metrics:  # a run from before it was measured
            continue
        if who == "student":
            lines += [
                f"| `{name}` alone | {row['accuracy']:.4f} | {row['accuracy_low']:.4f}–{row['accuracy_high']:.4f} "
                f"| {row['macro_f1']:.4f} |  |  |"
                for name, row in metrics.get("teachers", {}).items()
            ]
        row, size = metrics[who], sizes.get(who.removesuffix("_raw"), {})
        error = f"{row['ece']:.4f}" if "ece" in row else ""
        parameters = f"{size['parameters'] / 1e6:.1f} M" if size else ""
        lines.append(
            f"| {title} | {row['accuracy']:.4f} | {row['accuracy_low']:.4f}–{row['accuracy_high']:.4f} "
            f"| {row['macro_f1']:.4f} | {error} | {parameters} |"
        )
    difference = metrics["difference"]
    lines += [
        "",
        f"On {metrics['n']} texts; student − teacher {difference['accuracy']:+.4f} "
        f"(exact McNemar p = {difference['p_value']:.2g}), they agree on {metrics['agreement']:.1%}. "
        f"ECE is the expected calibration error; a perfect model would show "
        f"{metrics['student']['ece_floor']:.4f} on as many texts. " + " ".join(timings()),
    ]
    return "\n".join(lines).strip()


def timings():
    """How fast teacher and training were, as far as metrics/speed.json says when that was."""
    sayings = {
        "score_teacher_pool": "The teacher read {texts_per_second:.0f} texts a second with all its templates",
        "train": "Training took {seconds:.0f} s",
    }
    found = [(saying, speed.measured(name)) for name, saying in sayings.items()]
    return [f"{saying} ({{measured}}, {{on}}).".format(**entry) for saying, entry in found if entry]


def dag():
    """The picture of the pipeline, as DVC draws it."""
    drawn = subprocess.run(
        [sys.executable, "-m", "dvc", "dag", "--mermaid"], capture_output=True, text=True, check=True
    )
    return f"```mermaid\n{drawn.stdout.strip()}\n```".replace("\t", "    ")


def section(title):
    """What stands in README below a heading."""
    return README.read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0].strip()


def block(name, content):
    return f"<!-- {name} -->\n{content}\n<!-- /{name} -->"


def blocks():
    metrics = json.loads(Path("metrics/test.json").read_text(encoding="utf-8"))
    return {"result": result(metrics), "dag": dag()}


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    for name, content in blocks().items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        text = text.replace(text[text.index(start) : text.index(end) + len(end)], block(name, content))
    README.write_text(text, encoding="utf-8")
