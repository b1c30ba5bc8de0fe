"""The page, its short form and the model card, rendered from their templates."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from nolabels.core.params import Params
from nolabels.core.spelling import NONE, SEPARATOR
from nolabels.reporting import charts
from nolabels.reporting.card import TARGETS, asset_name, card_title, front_matter
from nolabels.reporting.page_tables import confusion_table, model_rows, share_rows, teacher_rows
from nolabels.reporting.sentences import (
    findings,
    forecast_sentences,
    other_split,
    software_sentences,
    speed_sentences,
    verdict,
)

MODELS = ["teacher", "student"]  # that charts and confusion matrices compare
COLOURS = {"teacher_raw": "teacher", "single_teacher": "teacher"}  # models that have another one's colour
MISTAKES = 20  # most mistakes on the page


@dataclass(frozen=True)
class Run:
    """What the stages before `report` wrote.

    Attributes
    ----------
    values : Params
    metrics : dict of str to dict
        metrics/NAME.json for dev, test, label, export and forecast.
    plots : dict of str to list of dict
        Rows of plots/SPLIT/NAME.csv by NAME, of the split that the page leads with.
    loss : list of dict
        Rows of plots/training.csv.
    train : pyarrow.Table
        `split`, `learn` and `source` of the texts to learn from.
    mistakes : pyarrow.Table
        Of the split that `split_of_mistakes` names.
    review : list of dict
        Rows of data/review.csv.
    student, onnx : dict
        What the tables of answers say of the models: `versions` and the student's `precision`.
    timings : dict of str to dict
        Entries of metrics/speed.json by stage; None where nothing was measured.
    changes : dict or None
        What `changes_since` says of the revision to compare with; None where there is none.
    """

    values: Params
    metrics: dict[str, dict]
    plots: dict[str, list[dict]]
    loss: list[dict]
    train: pa.Table
    mistakes: pa.Table
    review: list[dict]
    student: dict
    onnx: dict
    timings: dict[str, dict | None]
    changes: dict | None


def leading_split(metrics: dict[str, dict]) -> str:
    """The split whose figures lead the page: test, or dev where people have answered dev texts alone."""
    return "dev" if metrics["dev"]["n"] and not metrics["test"]["n"] else "test"


def split_of_mistakes(metrics: dict[str, dict]) -> str:
    """The split whose mistakes are shown: dev where it has gold, so that nobody chooses by looking at the test."""
    return "dev" if metrics["dev"]["n"] else "test"


def render_pages(run: Run) -> dict[str, str]:
    """{template name: text} of index.html, report.md and card.md."""
    import jinja2

    context = _results(run) | _training(run) | _texts(run)
    pages = {}
    for name in ("index.html", "report.md", "card.md"):
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("nolabels.reporting", "pages"),
            autoescape=name.endswith(".html"),
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=name.endswith(".html"),
        )
        pages[name] = environment.get_template(name).render(context)
    return pages


def _results(run: Run) -> dict:
    """What the templates say of accuracy, confidence, classes and speed."""
    split = leading_split(run.metrics)
    other = "test" if split == "dev" else "dev"
    metrics, forecast, label = run.metrics[split], run.metrics["forecast"], run.metrics["label"]
    rows, names = model_rows(metrics), run.values.task.labels
    confusions = [confusion_table(model, run.plots[f"confusion_{model}"], names) for model in MODELS]
    return {
        "verdict": verdict(metrics, split),
        "warning": forecast["warnings"],
        "unsure": forecast["unsure"],
        "split": split,
        "metrics": metrics,
        "rows": rows,
        "onnx": next((row for row in rows if row["model"] == "onnx"), None),
        "panel": teacher_rows(label, run.values),
        "findings": findings(metrics, split, run.metrics["export"])
        + other_split(run.metrics[other], other)
        + forecast_sentences(forecast, metrics),
        "charts": _charts(rows, run),
        "shares": share_rows(label["shares"]),
        "confusion": confusions if metrics["n"] else [],
        "speeds": speed_sentences(run.timings, run.values.score),
        "changes": run.changes,
    }


def _charts(rows: list[dict], run: Run) -> dict[str, str]:
    """The charts as svg elements, empty where there is no gold to draw them of. rows: of `model_rows`."""
    drawn = {
        "accuracy": "",
        "calibration": "",
        "coverage": "",
        "confidence": charts.confidence_chart(run.plots["confidence"], MODELS),
        "training": charts.training_chart(run.loss),
    }
    if rows:
        drawn["accuracy"] = charts.accuracy_chart(
            [(row["title"], COLOURS.get(row["model"], row["model"]), *row["figures"]) for row in rows]
        )
    if run.plots["coverage"]:
        curves = {model: run.plots[f"calibration_{model}"] for model in MODELS}
        drawn["calibration"] = charts.calibration_chart(curves)
        drawn["coverage"] = charts.coverage_chart(run.plots["coverage"], MODELS)
    return drawn


def _training(run: Run) -> dict:
    """What the templates say of how the student was made."""
    values, metrics = run.values, run.metrics
    task, models = values.task, values.fetch.models
    base = models[values.train.base]
    learned = run.train.filter(pc.field("learn") & (pc.field("split") == "train"))["source"].to_pylist()
    parameters = values.model_dump(exclude={"runtime"})
    return {
        "title": card_title(task.labels),
        "front_matter": front_matter(
            "onnxruntime",
            values.report,
            values.fetch,
            metrics["test"].get("onnx"),
            metrics["test"]["n"],
            base,
        ),
        "note": values.report.note,
        "license": values.report.license,
        "classes": task.labels,
        "source": asset_name(values.fetch.dataset),
        "teachers": [asset_name(models[name]) for name in values.score],
        "assistant": " ".join(asset_name(models[one.base]) for one in values.assist.values()),
        "student": asset_name(base),
        "targets": TARGETS[values.train.targets],
        "learned": f"{len(learned):,}",
        "corrected": learned.count("person"),
        "max_tokens": values.train.max_tokens,
        "int8": values.export.precision == "int8",
        "made": software_sentences(
            {**run.student["versions"], **run.onnx["versions"]},
            metrics["label"]["teachers"],
            run.student["precision"],
        ),
        "parameters": yaml.safe_dump(parameters, sort_keys=False, allow_unicode=True, width=100).strip(),
    }


def _texts(run: Run) -> dict:
    """The texts that the page shows, the student's most confident mistakes and those to label; none where none may be."""
    show, task = run.values.report.show_texts, run.values.task
    mistakes = run.mistakes.filter(pc.not_equal(run.mistakes["student"], run.mistakes["gold"]))
    rows = mistakes.slice(0, MISTAKES).to_pylist() if show else []
    return {
        "mistakes_of": split_of_mistakes(run.metrics),
        "mistakes": [row | {"confidence": f"{row['confidence']:.2f}"} for row in rows],
        "review": run.review if show else [],
        "multi_label": task.multi_label,
        "choices": [*task.labels, NONE] if task.multi_label else task.labels,
        "separator": SEPARATOR,
    }
