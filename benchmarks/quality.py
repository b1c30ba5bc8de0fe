"""What each step of the recipe brings, with gold answers only to measure it.

usage: python -m benchmarks.quality [--seeds 42 43 44] [--only WORD ...]

Needs a finished `dvc repro` in this folder. Takes the whole pool through the pipeline's own code: `sample` and
`score` of the preset reviews-best in a folder of its own, then calibration and students in many forms.
Writes benchmarks/quality.json (a row for each form), the curves benchmarks/quality.svg, and the figures of
benchmarks/quality.md. Teacher and students are measured on the 872 test texts and on dev's 1,500. What is
done is kept in .work/quality, so a run that was stopped goes on; answers of the teacher come from the answer
store.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from nolabels.core import models, params
from nolabels.core.labels import decide, from_column, one_hot
from nolabels.core.stage import UserError, arguments, progress, run, say
from nolabels.core.tables import read_table, write_json
from nolabels.labeling.fitting import fit
from nolabels.labeling.outputs import read_scores
from nolabels.labeling.tfidf import fit_predict
from nolabels.reporting import statistics
from nolabels.reporting.statistics import calibration_error
from nolabels.setup import presets

JSON, PAGE, FIGURE = (Path("benchmarks", f"quality.{form}") for form in ("json", "md", "svg"))
BEST = "reviews-best"  # the preset
WORK = Path(".work/quality")
SMALL = 1000  # pools up to here are learned from with the recipe of params.yaml, larger ones with BEST's
DRAWS = 2000  # of the bootstrap


@dataclass(frozen=True)
class Form:
    """One way to make a student.

    pool: texts to learn from; None: the whole pool. labels: `teacher`, or `gold`. few: gold answers per
    class, in place of pool. templates: how many of the templates are asked, None: all. label: what differs
    from params.yaml there. targets: soft or hard. learner: `student` or `tfidf`. long: as many
    steps as the whole pool takes, in its recipe.
    """

    name: str
    pool: int | None = SMALL
    labels: str = "teacher"
    few: int | None = None
    templates: int | None = None
    label: tuple = ()
    targets: str = "soft"
    learner: str = "student"
    long: bool = False


AS_IT_ANSWERS = (("calibration", "none"), ("temperature", 1.0))
CALIBRATED = (("temperature", 1.0),)
STEPS = [  # each adds one thing to the one before
    Form("the notebook's recipe", templates=1, label=AS_IT_ANSWERS, targets="hard"),
    Form("+ calibration", templates=1, label=CALIBRATED, targets="hard"),
    Form("+ four templates", label=CALIBRATED, targets="hard"),
    Form("+ soft targets (the default)"),
    Form("+ more text: the whole pool", pool=None),
]
CURVE = [Form("250 texts", pool=250), Form("4,000 texts", pool=4000)]
GOLD = [
    Form("gold, 5 per class", labels="gold", few=5),
    Form("gold, 50 per class", labels="gold", few=50),
    Form("gold, 1,000 texts", labels="gold"),
    Form("gold, 1,000 texts, steps of the whole pool", labels="gold", long=True),
    Form("gold, the whole pool", labels="gold", pool=None),
]
TFIDF = [
    Form("TF-IDF + logistic regression, 1,000 texts", learner="tfidf", targets="hard"),
    Form("TF-IDF + logistic regression, the whole pool", learner="tfidf", targets="hard", pool=None),
]
FORMS = STEPS + CURVE + GOLD + TFIDF


# ---------------------------------------------------------------------- the whole pool


def stage(name, *words):
    """Runs a stage's script in WORK, with the answer store of the project."""
    root = Path.cwd()
    given = os.environ | {"DVC_ROOT": str(root), "PYTHONPATH": str(root)}
    result = subprocess.run([sys.executable, "-m", f"stages.{name}", *map(str, words)], cwd=WORK, env=given)
    if result.returncode:
        raise UserError(f"stages.{name}: must end well, found exit code {result.returncode}")


def decides(values):
    """The values of Params but for those that say where and how fast."""
    return values.model_dump(exclude={"runtime"})


def prepare():
    """Texts and scores of the whole pool, test and dev in WORK."""
    root = Path.cwd()
    kept = WORK / "params.yaml"
    if kept.exists() and decides(params.load(kept)) != decides(presets.params_of(BEST)):
        raise UserError(
            f"{WORK}: must be of the preset {BEST} as it is, found one of another; delete the folder"
        )
    WORK.mkdir(parents=True, exist_ok=True)
    kept.write_text(presets.text_of(BEST), encoding="utf-8")
    if not (WORK / "metrics/sample.json").exists():
        answers = [f"{name}_labels.csv" for name in ("dev", "test")]
        for name in answers:  # of nobody: the figures depend on the source alone
            (WORK / name).write_text("id,text,label\n", encoding="utf-8")
        stage("sample", root / "data/raw", *answers, "data", "metrics/sample.json")
    for part in ("pool", "test", "dev"):
        out = Path("data/scores/teacher", f"{part}.parquet")
        if not (WORK / out).exists():
            stage("score", "teacher", f"data/{part}.parquet", root / "models/teacher", out)


@dataclass(frozen=True)
class Data:
    """Texts and gold (N x K bool) of the pool's train split, test and dev; scores: {part: N x T x K}.

    known: which pool texts have gold (N bool).
    """

    texts: dict
    gold: dict
    known: np.ndarray
    scores: dict


def read(values):
    tables = {name: read_table(WORK / f"data/{name}.parquet") for name in ("pool", "test", "dev")}
    train = np.array(tables["pool"]["split"].to_pylist()) == "train"
    ids = {name: np.array(table["id"].to_pylist(), object) for name, table in tables.items()}
    answers = gold_of_all(values)
    names = values.task.names
    gold = {name: np.array([answers.get(key, [False] * len(names)) for key in ids[name]]) for name in ids}
    texts = {name: np.array(table["text"].to_pylist(), object) for name, table in tables.items()}
    scores = {name: read_scores(WORK / f"data/scores/teacher/{name}.parquet", values.task)[1] for name in ids}
    for of in (texts, gold, scores):
        of["pool"] = of["pool"][train]
    for name in ("test", "dev"):
        table = read_table(WORK / f"data/{'gold' if name == 'test' else 'dev_gold'}.parquet")
        if table["id"].to_pylist() != ids[name].tolist():
            raise UserError(f"{WORK}/data: {name} must have gold for every text; delete the folder")
        gold[name] = from_column(table["labels"], names)
    return Data(texts, gold, gold["pool"].any(1), scores)


def gold_of_all(values):
    """{id: K bool} of every raw text that has an answer; `sample` writes those of test and dev alone."""
    from nolabels.data import readers
    from nolabels.data.source import first_of_each, scan

    files = readers.list_files(Path("data/raw"), values.sample.test_file)[0]
    source, answers, _ = scan(files, values.sample, values.task, [True] * len(files), False)
    source = source.take(first_of_each(source.ids))
    classes = len(values.task.names)
    return {
        source.ids[row].tobytes().hex(): [number in answers[source.golds[row]] for number in range(classes)]
        for row in np.flatnonzero(source.golds >= 0)
    }


# ---------------------------------------------------------------------- one form


def lesson(form, data, values):
    """Rows of the pool to learn from, what to learn (N x K), and the teacher's {part: N x K probabilities}."""
    if form.labels == "gold":
        rows = np.flatnonzero(data.known)
        if form.few:
            each = [
                rows[data.gold["pool"][rows, number]][: form.few] for number in range(len(values.task.names))
            ]
            rows = np.sort(np.concatenate(each))
        rows = rows[: form.pool] if form.few is None else rows
        return rows, data.gold["pool"][rows].astype(np.float32), {}
    scores = {part: found[:, : form.templates] for part, found in data.scores.items()}
    values = values.model_copy(update={"label": values.label.model_copy(update=dict(form.label))})
    rows = np.arange(len(scores["pool"]))[: form.pool]
    fitted = fit(scores["pool"][rows], values)
    found = {part: fitted.probabilities(given, values.task).round(4) for part, given in scores.items()}
    wanted = found["pool"][rows]
    return rows, wanted if form.targets == "soft" else one_hot(wanted.argmax(1), wanted.shape[1]), found


def recipe(form, rows, values, best, whole):
    """params.Train for a form that learns from so many rows; whole: texts in the whole pool."""
    if form.pool is None or form.pool > SMALL:
        return best.train
    if form.long:  # the whole pool's recipe, for as many steps
        return best.train.model_copy(update={"epochs": max(1, round(best.train.epochs * whole / rows))})
    return values.train.model_copy(update={"epochs": max(1, round(values.train.epochs * SMALL / rows))})


def student(texts, wanted, parts, settings, values):
    """A student of N texts and what to learn (N x K) -> {part: probabilities}, seconds of learning."""
    import transformers
    from datasets import Dataset

    from nolabels.students import dataset
    from nolabels.students import training as train

    device = models.pick_device(values.runtime.device)
    precision = models.pick_precision(settings.precision, device)
    models.use_threads(values.runtime.threads)
    transformers.set_seed(settings.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained("models/base")
    model = train.load_base("models/base", values.task, device)
    labels = wanted.astype(np.float32).tolist()
    ids = dataset.encode(tokenizer, texts.tolist(), settings.max_tokens)
    given = {"input_ids": ids, "labels": labels, "length": [len(row) for row in ids]}
    given, nothing = Dataset.from_dict(given), Dataset.from_dict({"input_ids": [], "labels": []})
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train.fit(model, tokenizer, given, nothing, settings, device, precision, folder)
    seconds = time.perf_counter() - started
    return {
        part: train.predict_proba(model, tokenizer, some.tolist(), settings) for part, some in parts.items()
    }, seconds


def tfidf(texts, wanted, parts, values):
    started = time.perf_counter()
    answers = decide(wanted, values.task)
    found = {
        part: fit_predict(texts.tolist(), answers, some.tolist(), values.task) for part, some in parts.items()
    }
    return found, time.perf_counter() - started


def measure(probabilities, data, task):
    """{part: which answers are right (a text of 0 and 1), ece}."""
    found = {}
    for part in ("test", "dev"):
        given = probabilities[part]
        right = (decide(given, task) == data.gold[part]).all(1)
        error, floor = calibration_error(given.max(1), right)
        found[part] = {
            "right": "".join(map(str, right.astype(int))),
            "ece": round(error, 4),
            "floor": round(floor, 4),
        }
    return found


def one(form, seed, data, values, best):
    """The results of a form with one seed, from WORK if they are there."""
    settings_of = {"train": values.train.model_dump(), "best": best.train.model_dump()}
    asked = json.dumps(
        [asdict(replace(form, name="")), seed, settings_of, values.label.model_dump()], sort_keys=True
    )
    path = WORK / "results" / f"{hashlib.sha256(asked.encode()).hexdigest()[:24]}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    rows, wanted, teacher = lesson(form, data, values)
    texts = data.texts["pool"][rows]
    parts = {part: data.texts[part] for part in ("test", "dev")}
    if form.learner == "tfidf":
        found, seconds = tfidf(texts, wanted, parts, values)
    else:
        settings = recipe(form, len(rows), values, best, len(data.texts["pool"]))
        settings = settings.model_copy(update={"seed": seed})
        found, seconds = student(texts, wanted, parts, settings, values)
    result = {
        "texts": len(rows),
        "seconds": round(seconds, 1),
        "student": measure(found, data, values.task),
        "teacher": measure(teacher, data, values.task) if teacher else None,
    }
    write_json(path, result)
    return result


# ---------------------------------------------------------------------- uneven shares


def uneven(data, values, seeds, size=5000, share=0.1):
    """Rows of the JSON for pools of `size` texts, drawn again for each seed, in which one class is rare.

    Each class in turn is the rare one, with each way to give the prior: the share that the fit finds, and
    the teacher's accuracy and macro F1 over that pool, means over the seeds.
    """
    names, rows = values.task.names, []
    for rare, name in enumerate(names):
        shares = np.full(len(names), (1 - share) / (len(names) - 1))
        shares[rare] = share
        declared = dict(zip(names, shares.tolist(), strict=True))
        for how, prior in (("uniform", "uniform"), ("estimated", "estimated"), ("declared", declared)):
            label = values.label.model_copy(update={"prior": prior})
            given = values.model_copy(update={"label": label})
            found, started = [], time.perf_counter()
            for seed in seeds:
                random = np.random.default_rng(seed)
                texts = np.concatenate(
                    [
                        random.choice(np.flatnonzero(data.gold["pool"][:, number]), round(size * part))
                        for number, part in enumerate(shares)
                    ]
                )
                texts = random.permutation(texts)
                scores, gold = data.scores["pool"][texts], data.gold["pool"][texts]
                fitted = fit(scores, given)
                answers = decide(fitted.probabilities(scores, values.task), values.task)
                known = statistics.classification_scores(gold, answers, values.task)
                found.append((known["accuracy"], known["macro_f1"], fitted.prior[rare]))
            accuracy, macro_f1, estimated = np.mean(found, axis=0)
            rows.append({
                "name": f"{share:.0%} {name}, prior {how}",
                "pool": size,
                "seeds": len(seeds),
                "teacher_mean": round(float(accuracy), 4),
                "teacher_sd": round(float(np.std([one[0] for one in found], ddof=min(1, len(found) - 1))), 4),
                "teacher_macro_f1": round(float(macro_f1), 4),
                "share": round(float(estimated), 4),
                "student_mean": None,
                "student_sd": None,
                "seconds": round((time.perf_counter() - started) / len(seeds), 1),
            })  # fmt: skip
    return rows


# ---------------------------------------------------------------------- figures


def right(results, who, part):
    """For each text the share of the seeds that had it right. N numbers in 0..1."""
    return np.mean([[int(letter) for letter in one[who][part]["right"]] for one in results], axis=0)


def resampled(each):
    """Means over DRAWS bootstrap samples of N numbers."""
    random = np.random.default_rng(0)
    return np.array([each[random.integers(len(each), size=len(each))].mean() for _ in range(DRAWS)])


def row(form, results, before):
    """One row of the JSON; before: the results that it is compared with, text by text, or None.

    student_sd: over the seeds; teacher_sd: of the bootstrap over the texts; seconds: of learning, the median.
    gain, gain_low, gain_high: how many more of the test texts are right than before, with the 95 % interval
    of the bootstrap.
    """

    def mean(who, part="test"):
        return float(right(results, who, part).mean())

    found = {"name": form.name, "pool": results[0]["texts"], "seeds": len(results)}
    found |= dict.fromkeys(("teacher_mean", "teacher_sd", "teacher_dev", "teacher_ece"))
    if results[0]["teacher"]:
        one = results[:1]  # the same for every seed
        found["teacher_mean"] = float(right(one, "teacher", "test").mean())
        found["teacher_sd"] = float(resampled(right(one, "teacher", "test")).std())
        found["teacher_dev"] = float(right(one, "teacher", "dev").mean())
        found["teacher_ece"] = one[0]["teacher"]["test"]["ece"]
    each = [right([one], "student", "test").mean() for one in results]
    found["student_mean"], found["student_dev"] = mean("student"), mean("student", "dev")
    found["student_sd"] = float(np.std(each, ddof=1)) if len(each) > 1 else None
    found["student_ece"] = float(np.mean([one["student"]["test"]["ece"] for one in results]))
    found["seconds"] = float(np.median([one["seconds"] for one in results]))
    if before:
        gains = right(results, "student", "test") - right(before, "student", "test")
        low, high = np.quantile(resampled(gains), [0.025, 0.975])
        found |= {"gain": float(gains.mean()), "gain_low": float(low), "gain_high": float(high)}
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}


COMPARED = {  # what a form is compared with: the one before it, or the same student on other labels
    **{later.name: earlier.name for earlier, later in pairwise(STEPS)},
    "gold, 1,000 texts": "+ soft targets (the default)",
    "gold, the whole pool": "+ more text: the whole pool",
    "gold, 1,000 texts, steps of the whole pool": "+ more text: the whole pool",
}


def table(rows):
    lines = [
        "| labels and learner | texts | teacher, test | dev | ECE | student, test | dev | ECE | seeds | seconds | gain |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        teacher = ["", "", ""]
        if one["teacher_mean"] is not None:
            teacher = [
                f"{one['teacher_mean']:.4f} ± {one['teacher_sd']:.4f}",
                f"{one['teacher_dev']:.4f}",
                f"{one['teacher_ece']:.3f}",
            ]
        spread = "" if one["student_sd"] is None else f" ± {one['student_sd']:.4f}"
        gain = ""
        if "gain" in one:
            gain = f"{one['gain'] * 100:+.1f} ({one['gain_low'] * 100:+.1f} to {one['gain_high'] * 100:+.1f}) on “{COMPARED[one['name']]}”"
        cells = [
            one["name"],
            f"{one['pool']:,}",
            *teacher,
            f"{one['student_mean']:.4f}{spread}",
            f"{one['student_dev']:.4f}",
            f"{one['student_ece']:.3f}",
            str(one["seeds"]),
            f"{one['seconds']:.0f}",
            gain,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def uneven_table(rows):
    lines = ["| pool of 5,000 | prior used | teacher, accuracy | macro F1 |", "|---|---|---|---|"]
    for one in rows:
        lines.append(
            f"| {one['name']} | {one['share']:.3f} | {one['teacher_mean']:.4f} ± {one['teacher_sd']:.4f} "
            f"| {one['teacher_macro_f1']:.4f} |"
        )
    return "\n".join(lines)


def draw(rows):
    """Accuracy over texts: students of the teacher's labels, of gold, and TF-IDF, with what they scatter."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.hashsalt": "quality", "svg.fonttype": "none", "font.family": "sans-serif"})
    known = {one["name"]: one for one in rows}
    lines = {
        "student, the teacher's labels": ["250 texts", STEPS[3].name, "4,000 texts", STEPS[4].name],
        "student, gold labels": [GOLD[0].name, GOLD[1].name, GOLD[2].name, GOLD[4].name],
        "TF-IDF, the teacher's labels": [form.name for form in TFIDF],
    }
    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for (name, forms), marker in zip(lines.items(), "oD^", strict=True):
        found = [known[form] for form in forms if form in known]
        axes.errorbar(
            [one["pool"] for one in found],
            [one["student_mean"] for one in found],
            [one["student_sd"] or 0 for one in found],
            label=name,
            marker=marker,
            capsize=3,
        )
    if teacher := known.get(STEPS[4].name):
        axes.axhline(teacher["teacher_mean"], color="grey", linestyle=":", label="the teacher itself")
    axes.set(xscale="log", xlabel="texts to learn from", ylabel="accuracy on the test texts")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(FIGURE, metadata={"Date": None})
    pyplot.close(figure)


def write(found, others):
    """found: {form's name: results}, one for each seed; others: rows of `uneven`."""
    rows = [
        row(form, found[form.name], found.get(COMPARED.get(form.name)))
        for form in FORMS
        if found.get(form.name)
    ]
    write_json(JSON, rows + others)
    draw(rows)
    text = PAGE.read_text(encoding="utf-8")
    for name, figures in (("figures", table(rows)), ("shares", uneven_table(others))):
        block = f"<!-- {name} -->\n{figures}\n<!-- /{name} -->"
        text = re.sub(f"<!-- {name} -->.*<!-- /{name} -->", lambda _, block=block: block, text, flags=re.S)
    PAGE.write_text(text, encoding="utf-8")


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44], help="of the students")
    parser.add_argument("--only", nargs="+", default=[""], help="forms whose name has one of these words")
    args = parser.parse_args(argv)
    for path in ("data/raw", "models/teacher", "models/base"):
        if not Path(path).exists():
            raise UserError(f"{path}: must be there, found nothing; run dvc repro first")
    forms = [form for form in FORMS if any(word in form.name for word in args.only)]
    values, best = params.load(), presets.params_of(BEST)
    prepare()
    data = read(best)
    others = uneven(data, values, args.seeds)
    found = {}
    # a whole table with one seed first, then with two
    asked = [
        (form, seed)
        for seed in args.seeds
        for form in forms
        if seed == args.seeds[0] or form.learner == "student"
    ]
    with progress(len(asked), "student") as bar:
        for form, seed in asked:
            result = one(form, seed, data, values, best)
            found.setdefault(form.name, []).append(result)
            accuracy = right([result], "student", "test").mean()
            say(f"{form.name}, seed {seed}: {accuracy:.4f} in {result['seconds']:.0f} s")
            write(found, others)
            bar.update()


if __name__ == "__main__":
    run(main)
