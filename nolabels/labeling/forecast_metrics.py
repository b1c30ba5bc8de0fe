"""What metrics/forecast.json holds: the expected accuracy, and the signals whether to trust it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nolabels.core.labels import decide
from nolabels.core.params import Params
from nolabels.labeling.agreement import equal_share, template_agreement
from nolabels.labeling.forecast import (
    accuracy_interval,
    accuracy_of_agreement,
    expected_accuracy,
    swapped_verbalizers,
    text_agreement,
    warnings,
)
from nolabels.labeling.outputs import TeacherOutput
from nolabels.labeling.panel import fit_panel
from nolabels.labeling.shares import describe_guess, resolve_prior


def _calibrated_labels(outputs: Mapping[str, TeacherOutput], values: Params) -> np.ndarray:
    """Labels (N x K bool) of the teachers after prior matching, also where label.calibration is none."""
    label = values.label.model_copy(update={"calibration": "prior_matching"})
    values = values.model_copy(update={"label": label})
    return decide(fit_panel(outputs, values).probabilities(outputs, values.task), values.task)


def _labels_of_each_template(outputs: Mapping[str, TeacherOutput], values: Params) -> list[np.ndarray]:
    """Labels (N x K bool) of each template of each teacher by itself."""
    return [
        _calibrated_labels({name: TeacherOutput(output.scores[:, [number]])}, values)
        for name, output in outputs.items()
        for number in range(output.scores.shape[1])
    ]


def _encoder_agreement(outputs: Mapping[str, TeacherOutput], values: Params) -> float | None:
    """Share of texts on which the sentence encoders agree, by clusters where the labels are; None for fewer than two."""
    if values.task.multi_label:
        return None
    own = fit_panel(outputs, values).labels_of_each(outputs, values.task)
    return equal_share(
        [own[name].argmax(1) for name, output in outputs.items() if output.embeddings is not None]
    )


def forecast_metrics(
    outputs: Mapping[str, TeacherOutput],
    texts: list[str],
    labels: np.ndarray,
    test_probabilities: Mapping[str, np.ndarray],
    values: Params,
) -> tuple[dict, list[str]]:
    """The metrics of the forecast, and the reasons not to trust it.

    Parameters
    ----------
    outputs : mapping
        {teacher: TeacherOutput} of N texts of the pool.
    texts : list of str
        The N texts.
    labels : np.ndarray
        N x K bool, the teachers' labels of these texts.
    test_probabilities : mapping
        Of `teacher` and of `student`, the probabilities of the test texts.
    values : Params

    Returns
    -------
    metrics : dict
        `source` (agreement or confidence); of teacher and student `expected`, `expected_low` and `expected_high`, in
        0..1; the signals; `trusted`, `warnings` and `unsure`.
    reasons : list of str
        See forecast.warnings.
    """
    task = values.task
    values, guess = resolve_prior(outputs, values)  # of all teachers: one alone cannot tell the shares
    agreed, classes = _encoder_agreement(outputs, values), len(task.names)
    metrics: dict[str, Any] = {"source": "confidence" if agreed is None else "agreement"}
    sure = {model: expected_accuracy(shares, task) for model, shares in test_probabilities.items()}
    for model, confidence in sure.items():
        bounds = accuracy_interval(confidence if agreed is None else accuracy_of_agreement(agreed, classes))
        metrics[model] = dict(zip(("expected", "expected_low", "expected_high"), bounds, strict=True))
    templates = template_agreement(_labels_of_each_template(outputs, values))
    predictable = text_agreement(texts, labels, task)
    moved = 0.0
    if values.label.calibration == "none":
        moved = float((_calibrated_labels(outputs, values) != labels).any(1).mean())
    of_labels = None if task.multi_label else sure["teacher"]
    reasons = warnings(templates, predictable, moved, swapped_verbalizers(task), agreed, of_labels, classes)
    if templates is not None:
        metrics["template_agreement"] = templates
    metrics |= {"text_agreement": predictable, "moved_by_calibration": moved, "trusted": not reasons}
    metrics["warnings"] = "; ".join(reasons)
    metrics["unsure"] = describe_guess(guess, task.names) or ""
    return metrics, reasons


def forecast_lines(metrics: dict, reasons: list[str]) -> list[str]:
    """The lines that `forecast` prints.

    Parameters
    ----------
    metrics : dict
        See forecast_metrics.
    reasons : list of str
        See forecast.warnings.

    Returns
    -------
    list of str
    """
    bounds = "{} {expected:.3f} ({expected_low:.3f} to {expected_high:.3f})"
    expected = ", ".join(bounds.format(model, **metrics[model]) for model in ("teacher", "student"))
    lines = [f"forecast, without gold: {expected}"]
    lines += [f"forecast: warning: not to be trusted: {reason}" for reason in reasons]
    if metrics["unsure"]:
        lines.append(f"forecast: warning: {metrics['unsure']}")
    return lines
