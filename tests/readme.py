"""The pages that people read: their sections, their links, and the facts in them that are generated.

usage: python -m tests.readme     writes the blocks between <!-- NAME --> and <!-- /NAME --> of all pages
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from nolabels.core import speed
from nolabels.reporting.sentences import SIGNIFICANT

README = Path("README.md")
PAGES = [README, *sorted(Path("docs").glob("*.md"))]
ALSO = [Path("CONTRIBUTING.md"), Path("CHANGELOG.md"), Path("data/README.md"), Path("models/own/README.md")]
ROWS = {
    "teacher": "teachers combined",
    "teacher_raw": "teachers combined, uncalibrated",
    "assistant": "assistant",
    "student": "student",
    "onnx": "student as ONNX",
    "baseline": "TF-IDF + logistic regression, same labels",
}


KINDS = {
    "likelihood": "language model",
    "entailment": "NLI model",
    "similarity": "sentence encoder",
    "endpoint": "served model",
}


def measured(metrics):
    """(title, figures, size or {}) of each model in metrics/test.json, in the order of ROWS; each teacher alone at the end."""
    found = [
        (title, metrics[who], metrics["size"].get(who.removesuffix("_raw"), {}))
        for who, title in ROWS.items()
        if who in metrics
    ]
    teachers = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["score"]
    return found + [
        (f"{KINDS.get(teachers.get(name, {}).get('kind'), 'teacher')} alone (`{name}`)", row, {})
        for name, row in metrics.get("teachers", {}).items()
    ]


def interval(row):
    return f"{row['accuracy_low']:.4f}–{row['accuracy_high']:.4f}"


def result(metrics):
    """The README's small table, the most accurate first: what ships, what it learned from, and the baseline."""
    rows = [one for one in measured(metrics) if "uncalibrated" not in one[0]]
    lines = ["| | accuracy | 95 % interval | size |", "|---|---|---|---|"]
    for title, row, size in sorted(rows, key=lambda one: -one[1]["accuracy"]):
        megabytes = f"{size['megabytes']:.0f} MB" if "megabytes" in size else ""
        lines.append(f"| {title} | {row['accuracy']:.4f} | {interval(row)} | {megabytes} |")
    difference = metrics["difference"]
    verdict = "a significant" if difference["p_value"] < SIGNIFICANT else "no significant"
    lines += [
        "",
        f"On {metrics['n']} test texts. *student*, which is the PyTorch model, minus *teachers combined*: "
        f"{difference['accuracy']:+.4f}, {verdict} difference (exact McNemar test, p = {difference['p_value']:.2g}).",
    ]
    return "\n".join(lines)


def figures(metrics):
    """The table of all figures of metrics/test.json, and how long the run took."""
    lines = ["| | accuracy | 95 % interval | macro F1 | ECE | parameters |", "|---|---|---|---|---|---|"]
    for title, row, size in measured(metrics):
        error = f"{row['ece']:.4f}" if "ece" in row else ""
        parameters = f"{size['parameters'] / 1e6:.1f} M" if "parameters" in size else ""
        lines.append(
            f"| {title} | {row['accuracy']:.4f} | {interval(row)} | {row['macro_f1']:.4f} | {error} | {parameters} |"
        )
    lines += [
        "",
        f"On {metrics['n']} test texts, of which teachers and student label {metrics['agreement']:.1%} alike. ECE is the "
        f"expected calibration error; a perfectly calibrated model would show {metrics['student']['ece_floor']:.4f} on as "
        "many texts. " + " ".join(timings()),
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
    """The graph of the stages, as DVC draws it."""
    drawn = subprocess.run(
        [sys.executable, "-m", "dvc", "dag", "--mermaid"], capture_output=True, text=True, check=True
    )
    return f"```mermaid\n{drawn.stdout.strip()}\n```".replace("\t", "    ")


def section(title):
    """What stands below a heading of the second level, on the one page that has it."""
    texts = [path.read_text(encoding="utf-8") for path in PAGES]
    (text,) = [text for text in texts if f"\n## {title}\n" in text]
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0].strip()


def code(text, language):
    """The blocks of code in a language ("" for none) of a page, without their fences."""
    return [
        body
        for mark, body in re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.S | re.M)
        if mark == language
    ]


def unfenced(text):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)


def inline(text):
    """What stands between backticks in the sentences and tables of a page."""
    return re.findall(r"`([^`]+)`", unfenced(text))


def anchors(text):
    """What a link may name after # in a page: its headings, as GitHub spells them."""
    titles = re.findall(r"^#+ (.+)$", unfenced(text), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(text):
    """(path or "", anchor or "") of the links and pictures of a page that stay in the repository."""
    found = re.findall(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)", unfenced(text))
    return [(path, anchor) for path, anchor in found if "://" not in path]


def block(name, content):
    return f"<!-- {name} -->\n{content}\n<!-- /{name} -->"


def blocks():
    """{name: content} of the generated blocks."""
    metrics = json.loads(Path("metrics/test.json").read_text(encoding="utf-8"))
    return {"result": result(metrics), "figures": figures(metrics), "dag": dag()}


def main():
    made = blocks()
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for name, content in made.items():
            text = re.sub(
                rf"<!-- {name} -->.*<!-- /{name} -->",
                lambda _, name=name, content=content: block(name, content),
                text,
                flags=re.S,
            )
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
