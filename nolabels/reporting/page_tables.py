"""The tables of the page as rows for its templates."""

from collections import Counter

from nolabels.core.params import Params
from nolabels.reporting.card import asset_name

TITLES = {
    "teacher": "teacher, calibrated",
    "teacher_raw": "teacher, uncalibrated",
    "assistant": "assistant",
    "student": "student",
    "onnx": "student as ONNX",
    "baseline": "TF-IDF + logistic regression",
}
# beside the teachers one by one
TITLES_OF_SEVERAL = TITLES | {
    "teacher": "teachers combined, calibrated",
    "teacher_raw": "teachers combined, uncalibrated",
}
PAIRS = 15  # most confused pairs of classes that are listed
TABLE_CLASSES = 10  # most classes of a full confusion matrix


def model_rows(metrics: dict) -> list[dict]:
    """The scores and the size of each model; none without gold. metrics: of dev or test."""
    teachers = metrics.get("teachers", {})
    rows = []
    for model, title in (TITLES_OF_SEVERAL if teachers else TITLES).items():
        if model in metrics:
            size = metrics["size"].get(model.removesuffix("_raw"), {})
            rows.append(_model_row(model, title, metrics[model], size))
        if model == "teacher_raw":
            rows += [_model_row("single_teacher", f"{name} alone", row, {}) for name, row in teachers.items()]
    return rows


def _model_row(model: str, title: str, scores: dict, size: dict) -> dict:
    return {
        "model": model,
        "title": title,
        "figures": [scores[key] for key in ("accuracy", "accuracy_low", "accuracy_high")],
        "accuracy": f"{scores['accuracy']:.4f}",
        "interval": f"{scores['accuracy_low']:.4f}–{scores['accuracy_high']:.4f}",
        "macro_f1": f"{scores['macro_f1']:.4f}",
        "ece": f"{scores['ece']:.4f}" if "ece" in scores else "",
        "parameters": f"{size['parameters'] / 1e6:.1f} M" if "parameters" in size else "",
        "megabytes": f"{size['megabytes']:.0f}" if "megabytes" in size else "",
    }


def teacher_rows(label: dict, values: Params) -> list[dict]:
    """What each of several teachers answers alone, and its weight; none for one teacher.

    Parameters
    ----------
    label : dict
        metrics/label.json
    values : Params

    Returns
    -------
    list of dict
        All values are text.
    """
    teachers = label["teachers"]
    if len(teachers) == 1:
        return []
    return [
        {
            "name": name,
            "model": asset_name(values.fetch.models[name]),
            "kind": values.score[name].kind,
            "weight": f"{teacher['weight']:.2f}",
            "refined": _how_refined(teacher),
            "agreement": f"{teacher['agreement']:.1%}",
            "shares": ", ".join(f"{kind} {share:.1%}" for kind, share in teacher.get("shares", {}).items()),
        }
        for name, teacher in teachers.items()
    ]


def _how_refined(teacher: dict) -> str:
    """The cell for one teacher of metrics/label.json."""
    if teacher["refined"]:
        return "by clusters"
    return "by the combined answer" if teacher.get("refined_by_answers") else "no"


def share_rows(shares: dict) -> list[dict]:
    """The class shares of the labels; shares: `before` and `after` calibration, {class: share} each."""
    return [
        {"name": name, "before": f"{shares['before'][name]:.1%}", "after": f"{share:.1%}"}
        for name, share in shares["after"].items()
    ]


def confusion_table(model: str, rows: list[dict], names: list[str]) -> dict:
    """The confusion matrix of a model for few classes, its most confused pairs for many.

    Parameters
    ----------
    model : str
        teacher or student.
    rows : list of dict
        `actual` and `predicted` of each text with gold.
    names : list of str
        The class names.

    Returns
    -------
    dict
        `model`, `caption`, `head` (column titles) and `rows` (lists of a class and further cells).
    """
    counts = Counter((row["actual"], row["predicted"]) for row in rows)
    seen = list(dict.fromkeys([*names, *(name for pair in counts for name in pair)]))
    if len(seen) <= TABLE_CLASSES:
        return {
            "model": model,
            "caption": f"Confusion matrix of the {model}: number of texts by human label (rows) and answer of the "
            f"{model} (columns)",
            "head": ["human label", *seen],
            "rows": [[gold, *(counts[gold, given] for given in seen)] for gold in seen],
        }
    wrong = sorted((-count, *pair) for pair, count in counts.items() if pair[0] != pair[1])[:PAIRS]
    return {
        "model": model,
        "caption": f"The classes that the {model} confuses most",
        "head": ["human label", model, "texts"],
        "rows": [[gold, given, -count] for count, gold, given in wrong],
    }
