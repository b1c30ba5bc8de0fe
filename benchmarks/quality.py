"""What each part of the recipe brings, on the default's movie reviews and on the phrases of SST-2.

usage: python -m benchmarks.quality [--tasks reviews phrases] [--seeds 42 43 44] [--only WORD ...]

Needs a `dvc repro`, and for the phrases `python -m benchmarks.tasks prepare`. Each form of the recipe is a preset that
`dvc repro` runs in a clone of the project under .work/quality; the last commit is measured. DVC keeps what is done, so a
stopped run goes on. Gold answers measure and do nothing else. Writes benchmarks/quality.json, a row for each form, and
the tables of benchmarks/quality.md. Several hours.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import task_tables, task_wording
from benchmarks.clone import Clone
from benchmarks.quality_forms import BEFORE, TASKS, Task, forms
from nolabels.core import params
from nolabels.core.labels import decide, from_column
from nolabels.core.stage import UserError, arguments, progress, run, say
from nolabels.core.tables import read_table, write_json
from nolabels.reporting.statistics import calibration_error
from nolabels.setup.merging import merged

WORK, JSON, PAGE = Path(".work/quality"), Path("benchmarks/quality.json"), Path("benchmarks/quality.md")
PHRASES = task_wording.WORK / "sst2" / "sst2.parquet"
LONG_PHRASE = 8  # words of the shortest phrase that counts on dev and test
DRAWS = 2000  # of the bootstrap


def write_phrases(clone: Clone) -> None:
    """SST-2 as a file of one's own; short phrases have no gold, so dev and test are of longer ones."""
    if not PHRASES.exists():
        raise UserError(
            f"{PHRASES}: must be there, found nothing; python -m benchmarks.tasks prepare makes it"
        )
    rows = pq.read_table(PHRASES, columns=["text", "label"]).to_pylist()
    with (clone.folder / "data/own/phrases.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for row in rows:
            writer.writerow([row["text"], row["label"] if len(row["text"].split()) >= LONG_PHRASE else ""])


# ---------------------------------------------------------------------- one student


def measure(clone: Clone, who: str) -> dict[str, Any]:
    """Which answers of the teacher or the student are right, as 0 and 1; ECE and its floor on dev and test together."""
    task = params.load(clone.folder / "params.yaml").task
    found, confidence, correct = {}, [], []
    for part, gold in (("test", "gold"), ("dev", "dev_gold")):
        answers = read_table(clone.folder / f"data/{who}_{part}.parquet")
        known = read_table(clone.folder / f"data/{gold}.parquet")
        place = {key: row for row, key in enumerate(answers["id"].to_pylist())}
        rows = [place[key] for key in known["id"].to_pylist()]
        given = np.array(answers["probabilities"].to_pylist())[rows]
        right = (decide(given, task) == from_column(known["labels"], task.names)).all(1)
        found[part] = "".join(map(str, right.astype(int)))
        confidence.append(given.max(1))
        correct.append(right)
    error, floor = calibration_error(np.concatenate(confidence), np.concatenate(correct))
    return found | {"ece": round(error, 4), "floor": round(floor, 4)}


def student(clone: Clone, task: Task, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """A form with one seed: texts, seconds of training (null if DVC had it), and what `measure` says of both."""
    clone.set_params(merged(merged(values, task.values), {"train": {"seed": seed}}))
    printed = clone.repro("train")
    seconds = clone.read_json("metrics/speed.json").get("train", {}).get("seconds")
    used = params.load(clone.folder / "params.yaml")
    table = pq.read_metadata(clone.folder / f"data/{used.train.labels}_train.parquet")
    return {
        "texts": table.num_rows - used.sample.valid,
        "seconds": seconds if "steps in" in printed else None,
        "teacher": measure(clone, "teacher"),
        "student": measure(clone, "student"),
    }


def timed(name: str, result: dict[str, Any]) -> dict[str, Any]:
    """The result with the seconds that an earlier run saw, where DVC brought the student from its cache."""
    path = WORK / "seconds.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if result["seconds"] is not None:
        write_json(path, known | {name: result["seconds"]})
    return result | {"seconds": result["seconds"] or known.get(name)}


# ---------------------------------------------------------------------- figures


def right(results: list[dict[str, Any]], who: str, part: str) -> np.ndarray:
    """For each text the share of the seeds that had it right: N numbers in 0..1."""
    return np.mean([[int(letter) for letter in one[who][part]] for one in results], axis=0)


def resampled(each: np.ndarray) -> np.ndarray:
    """Means over DRAWS bootstrap samples of N numbers."""
    random = np.random.default_rng(0)
    return np.array([each[random.integers(len(each), size=len(each))].mean() for _ in range(DRAWS)])


def row(
    task: str, form: str, results: list[dict[str, Any]], before: list[dict[str, Any]] | None
) -> dict[str, Any]:
    """One row of the JSON.

    Parameters
    ----------
    task, form : str
        Names.
    results, before : list of dict
        Of `student`, one for each seed: of this form, and of the one that it is compared with, if there is one.

    Returns
    -------
    dict
        dev_sd: of the student over the seeds. gain, gain_low, gain_high: how many more texts of dev are right than before,
        with the 95 % interval of a bootstrap over the texts. seconds: of training, the median; None where DVC had every student.
    """
    dev = [right([one], "student", "dev").mean() for one in results]
    found = {"task": task, "form": form, "texts": results[0]["texts"], "seeds": len(results)}
    for who in ("teacher", "student"):
        for part in ("dev", "test"):
            found[f"{who}_{part}"] = float(right(results, who, part).mean())
        found[f"{who}_ece"] = float(np.mean([one[who]["ece"] - one[who]["floor"] for one in results]))
    found["dev_sd"] = float(np.std(dev, ddof=1)) if len(dev) > 1 else None
    seconds = [one["seconds"] for one in results if one["seconds"] is not None]
    found["seconds"] = float(np.median(seconds)) if seconds else None
    if before:
        gains = right(results, "student", "dev") - right(before, "student", "dev")
        low, high = np.quantile(resampled(gains), [0.025, 0.975])
        found |= {"gain": float(gains.mean()), "gain_low": float(low), "gain_high": float(high)}
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows of one task in Markdown."""
    lines = [
        "| form | texts | teachers: dev; test | student: dev | test | ECE above floor | seeds | seconds | gain on dev, points |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        spread = "" if one["dev_sd"] is None else f" ± {one['dev_sd']:.4f}"
        gain = ""
        if "gain" in one:
            gain = f"{one['gain'] * 100:+.1f} ({one['gain_low'] * 100:+.1f} to {one['gain_high'] * 100:+.1f})"
        cells = [
            one["form"],
            f"{one['texts']:,}",
            f"{one['teacher_dev']:.4f}; {one['teacher_test']:.4f}",
            f"{one['student_dev']:.4f}{spread}",
            f"{one['student_test']:.4f}",
            f"{one['student_ece']:.3f}",
            str(one["seeds"]),
            "" if one["seconds"] is None else f"{one['seconds']:.0f}",
            gain,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(results: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    """Writes what is known of {task: {form: results}}; rows of other tasks and forms stay."""
    known = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    fresh = {
        (task, form): row(task, form, found, of_task.get(BEFORE.get(form, "")))
        for task, of_task in results.items()
        for form, found in of_task.items()
    }
    kept = {(one["task"], one["form"]): one for one in known} | fresh
    rows = [kept[task, form] for task in TASKS for form in forms() if (task, form) in kept]
    write_json(JSON, rows)
    for task in TASKS:
        task_tables.write_block(task, table([one for one in rows if one["task"] == task]), PAGE)


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44], help="of the students")
    parser.add_argument("--only", nargs="+", default=[""], help="forms whose name has one of these words")
    args = parser.parse_args(argv)
    clone = Clone(WORK / "project")
    if "phrases" in args.tasks:
        write_phrases(clone)
    results: dict[str, dict[str, list[dict[str, Any]]]] = {}
    # a whole table with one seed first, then with two
    asked = [
        (task, form, values, seed)
        for task in args.tasks
        for seed in args.seeds
        for form, values in forms(TASKS[task].most).items()
        if any(word in form for word in args.only)
    ]
    with progress(len(asked), "student") as bar:
        for task, form, values, seed in asked:
            result = timed(f"{task}, {form}, {seed}", student(clone, TASKS[task], values, seed))
            results.setdefault(task, {}).setdefault(form, []).append(result)
            accuracy = right([result], "student", "dev").mean()
            say(f"quality: {task}, {form}, seed {seed}: {accuracy:.4f}")
            write(results)
            bar.update()


if __name__ == "__main__":
    run(main)
