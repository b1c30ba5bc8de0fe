"""Shares of the classes that nobody says, on the eight tasks of benchmarks/tasks.yaml.

usage: python -m benchmarks.shares [--draws 5] [--folder .work/tasks]

Dev and pool texts of each task are drawn again so that its classes are even, or its largest class has 50, 70 or 90 % and
the others what is left in their own proportions; with two classes also so that it has 30 or 10 %. The default's three
teachers are taken with `label.prior` auto, uniform, estimated and the true shares. Gold makes the draws and measures; the
method is given none. Writes benchmarks/shares.json and a table of benchmarks/tasks.md. `python -m benchmarks.tasks prepare`
comes first. A run that was stopped goes on.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.task_tables import write_block
from benchmarks.task_texts import read_zones
from benchmarks.task_wording import TEACHERS, WORK, family_of, whole, wording
from benchmarks.tasks import TEXTS, outputs_of
from nolabels.core.labels import decide, one_hot
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import write_json
from nolabels.labeling.outputs import join_texts
from nolabels.labeling.panel import fit_panel
from nolabels.reporting import statistics

JSON = Path("benchmarks/shares.json")
DRAWN = 600  # texts of a draw, at most
SHARES = ("even", 0.5, 0.7, 0.9)  # of the largest class
OF_TWO = (0.5, 0.7, 0.9, 0.3, 0.1)  # with two classes, where 50 % is even
PRIORS = ("auto", "uniform", "estimated", "true")


@cache
def all_of(name, folder):
    """Parameters, {teacher: TeacherOutput} of dev and pool texts together, and their classes (N numbers)."""
    values = whole(name)
    zones = read_zones(name, folder, wording().zones, values.sample.seed, TEXTS)
    names, parts = values.task.names, outputs_of(name, values, zones)
    outputs = {teacher: join_texts(parts["pool"][teacher], parts["dev"][teacher]) for teacher in TEACHERS}
    gold = np.array([names.index(label) for zone in ("pool", "dev") for label in zones[zone][1]])
    return values, outputs, gold


def draw(gold, classes, share, seed):
    """Rows of texts of which the largest class has the share, in random order; as many as there are, at most DRAWN."""
    counts = np.bincount(gold, minlength=classes)
    if share == "even":
        wanted = np.full(classes, 1 / classes)
    else:
        others = np.where(np.arange(classes) == counts.argmax(), 0, counts)
        wanted = np.where(others == 0, share, (1 - share) * others / others.sum())
    size = min(DRAWN, int((counts / wanted).min()))
    random = np.random.default_rng(seed)
    rows = [
        random.choice(np.flatnonzero(gold == one), round(size * part), replace=False)
        for one, part in enumerate(wanted)
    ]
    return random.permutation(np.concatenate(rows))


def with_prior(values, prior):
    return values.model_copy(update={"label": values.label.model_copy(update={"prior": prior})})


def figures(values, outputs, gold):
    """Macro F1 of one draw with each of PRIORS; whether auto found shares, and of them the largest class's."""
    task, classes = values.task, len(values.task.names)
    true = np.maximum(np.bincount(gold, minlength=classes), 1)  # a class without a text has no share at all
    true = true / true.sum()
    row = {}
    for how in PRIORS:
        prior = dict(zip(task.names, true.tolist(), strict=True)) if how == "true" else how
        if how == "uniform" and not row["found"]:
            row[how] = row["auto"]  # it is the same
            continue
        try:
            panel = fit_panel(outputs, with_prior(values, prior))
        except UserError:
            if how != "estimated":
                raise
            row[how] = None  # the mixture found a class so small that no calibration reaches it
            continue
        answers = decide(panel.probabilities(outputs, task), task)
        row[how] = statistics.classification_scores(one_hot(gold, classes), answers, task)["macro_f1"]
        if how == "auto":
            row |= {"found": panel.guess.why is None, "share": float(panel.guess.shares[true.argmax()])}
    return row


def measure(folder, draws):
    """Draw by draw, so that a run that was stopped has as many of each task."""
    rows = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    done = {(row["task"], row["largest"], row["draw"]) for row in rows}
    for number in range(draws):
        for name in wording().tasks:
            classes = len(whole(name).task.names)
            for share in OF_TWO if classes == 2 else SHARES:
                if (name, share, number) in done:
                    continue
                values, outputs, gold = all_of(name, folder)
                taken = draw(gold, classes, share, number)
                some = {teacher: one.take(taken) for teacher, one in outputs.items()}
                row = {
                    "task": name,
                    "largest": share,
                    "draw": number,
                    "texts": len(taken),
                    "classes": classes,
                }
                rows.append(row | figures(values, some, gold[taken]))
                rows.sort(key=lambda row: list(wording().tasks).index(row["task"]))
                write_json(JSON, rows)
            say(f"{name}, draw {number + 1}: done")
    write_block("shares", table(rows))


def mean_of(rows, figure):
    known = [figure(row) for row in rows if figure(row) is not None]
    return float(np.mean(known)) if known else np.nan


def in_column(row, share):
    """Whether a draw stands in a column: with two classes, even is one of 50 %."""
    return row["largest"] == share or (share == "even" and row["classes"] == 2 and row["largest"] == 0.5)


def cell(rows):
    """Macro F1 with each prior, the mean over rows, and how often auto found shares, of which mean."""
    if not rows:
        return ""
    priors = " / ".join(f"{mean_of(rows, lambda row, how=how: row[how]):.3f}" for how in PRIORS)
    moved = [row for row in rows if row["found"]]
    share = f", {mean_of(moved, lambda row: row['share']):.2f}" if moved else ""
    return f"{priors} ({len(moved)} of {len(rows)}{share})"


def table(rows):
    known = wording().tasks
    columns = tuple(dict.fromkeys([*SHARES, *OF_TWO]))
    heads = " | ".join("even" if share == "even" else f"{share:.0%}" for share in columns)
    lines = [f"| task | {heads} |", f"|---|{'---|' * len(columns)}"]
    for name in dict.fromkeys(row["task"] for row in rows):
        some = [[row for row in rows if row["task"] == name and in_column(row, share)] for share in columns]
        lines.append(f"| {known[name].title} | {' | '.join(map(cell, some))} |")
    for title, group in (
        ("mean over tasks", lambda name: name),
        ("mean over families", lambda name: family_of(name, known[name].family)),
    ):
        cells = [" / ".join(f"{one:.3f}" for one in means(rows, share, group)) for share in columns]
        lines.append(f"| **{title}** | {' | '.join(cells)} |")
    return "\n".join(lines)


def means(rows, share, group):
    """Macro F1 with each of PRIORS: the mean over groups of the means over their tasks, of those that have the column."""
    groups, rows = {}, [row for row in rows if in_column(row, share)]
    for name in dict.fromkeys(row["task"] for row in rows):
        some = [row for row in rows if row["task"] == name]
        groups.setdefault(group(name), []).append(
            [mean_of(some, lambda row, how=how: row[how]) for how in PRIORS]
        )
    return np.mean([np.mean(found, axis=0) for found in groups.values()], axis=0)


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--folder", type=Path, default=WORK, help="of the prepared texts")
    parser.add_argument("--draws", type=int, default=5, help="of each task and share")
    args = parser.parse_args(argv)
    measure(args.folder, args.draws)


if __name__ == "__main__":
    run(main)
