"""What metrics/label.json holds: shares and confidence before and after calibration, and what each teacher adds."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nolabels.core.labels import certainty, class_shares, decide, per_class
from nolabels.core.params import Params, Task
from nolabels.labeling.outputs import TeacherOutput
from nolabels.labeling.panel import Panel


def combined_model(models: Mapping[str, dict]) -> dict:
    """Kind and size of all teachers together, from {teacher: its kind, parameters and megabytes}."""
    together: dict[str, Any] = {"kind": " + ".join(model["kind"] for model in models.values())}
    for key in ("parameters", "megabytes"):
        each = [model[key] for model in models.values()]
        together[key] = None if None in each else sum(each)
    return together


def label_metrics(
    panel: Panel,
    uncalibrated: Panel,
    outputs: Mapping[str, TeacherOutput],
    models: Mapping[str, dict],
    cut: Mapping[str, int],
    values: Params,
) -> dict:
    """The metrics of `label`.

    Parameters
    ----------
    panel, uncalibrated : Panel
        The calibrated teachers, and the same before calibration.
    outputs : mapping
        {teacher: TeacherOutput} of the N pool texts to learn from.
    models : mapping
        {teacher: facts of its model}, from the pool's table of scores.
    cut : mapping
        {part: number of texts longer than score.NAME.max_tokens}: cut or chunked, as long_text says.
    values : Params

    Returns
    -------
    dict
    """
    task = values.task
    raw, calibrated = (one.probabilities(outputs, task) for one in (uncalibrated, panel))
    metrics = _calibration_metrics(panel, raw, calibrated, task)
    metrics["teachers"] = _teacher_metrics(panel, models, outputs, decide(calibrated, task), task)
    if panel.agreement is not None:  # of the encoders
        metrics["agreement"] = dict(zip(("before", "refined"), panel.agreement, strict=True))
    metrics["cut"] = dict(cut)
    if panel.guess is not None or (values.label.prior == "estimated" and not task.multi_label):
        metrics["prior"] = dict(zip(task.names, map(float, panel.final_fit.prior), strict=True))
    if panel.guess is not None:
        metrics["prior_found"] = panel.guess.why is None  # else the shares are taken as equal
    return metrics


def _calibration_metrics(panel: Panel, raw: np.ndarray, calibrated: np.ndarray, task: Task) -> dict:
    """Shares and confidence before and after calibration. raw, calibrated: N x L probabilities."""
    before, after = (class_shares(decide(one, task), task.labels) for one in (raw, calibrated))
    metrics: dict[str, Any] = {
        "shares": {"before": before, "after": after},
        "temperature": float(panel.final_fit.temperature.mean()),
        "confidence": {
            "before": float(certainty(raw, task).mean()),
            "after": float(certainty(calibrated, task).mean()),
        },
    }
    if task.reject is not None:
        metrics["reject"] = {"share": after[task.reject]}
        if panel.final_fit.reject is not None:
            metrics["reject"]["threshold"] = panel.final_fit.reject
    return metrics


def _teacher_metrics(
    panel: Panel,
    models: Mapping[str, dict],
    outputs: Mapping[str, TeacherOutput],
    labels: np.ndarray,
    task: Task,
) -> dict:
    """{teacher: weight, agreement with the labels of all (N x L bool), shares, weights of its templates}."""
    own = panel.labels_of_each(outputs, task)
    return {
        name: {
            "weight": float(weight),
            "precision": models[name]["precision"],  # of the arithmetic in which the pool was read
            "refined": panel.alone[name].groups is not None,  # by clusters
            **({"refined_by_answers": True} if teacher is not panel.alone[name] else {}),
            "agreement": float((own[name] == labels).all(1).mean()),
            **per_class(task.labels, {"shares": class_shares(own[name], task.labels).values()}),
            "template_weight": {
                str(number + 1): float(share) for number, share in enumerate(teacher.templates)
            },
        }
        for (name, teacher), weight in zip(panel.teachers.items(), panel.shares, strict=True)
    }
