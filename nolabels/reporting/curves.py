"""The tables behind the plots of dev and test, in the forms that DVC's plot templates draw."""

from collections.abc import Iterable

from nolabels.reporting.comparison import (
    PLOTTED,
    Comparison,
    decision_confidence,
    decision_correct,
    joined_labels,
)
from nolabels.reporting.statistics import confidence_histogram, coverage_curve, reliability_bins

CALIBRATION_COLUMNS = ["confidence", "accuracy", "low", "high", "texts"]


def plot_tables(comparison: Comparison) -> dict[str, tuple[list[str], Iterable]]:
    """The csv files of a plots folder: {file name: (column names, rows)}.

    Confusion, calibration and coverage are of the texts with gold; without gold they have no rows. The histogram of the
    confidence is of all texts.
    """
    task, known = comparison.task, comparison.has_gold
    gold = comparison.gold[known]
    actual, curves, counts = joined_labels(gold, task.labels), {}, {}
    tables: dict[str, tuple[list[str], Iterable]] = {}
    lowest = 0.5 if task.multi_label else 1 / len(task.labels)  # the least confidence that an answer can have
    for model in PLOTTED:
        answers = comparison.answers[model][known]
        confidence = decision_confidence(comparison.probabilities[model], task)
        correct = decision_correct(gold, answers, task).ravel()
        pairs = zip(actual, joined_labels(answers, task.labels), strict=True)
        tables[f"confusion_{model}.csv"] = ["actual", "predicted"], pairs
        bins = reliability_bins(confidence[known].ravel(), correct)
        rows = [[round(one[name], 4) for name in CALIBRATION_COLUMNS] for one in bins]
        tables[f"calibration_{model}.csv"] = CALIBRATION_COLUMNS, rows
        curves[model] = coverage_curve(confidence[known].ravel(), correct)
        counts[model] = confidence_histogram(confidence.ravel(), lowest)
    tables["coverage.csv"] = ["coverage", *PLOTTED], _rows_by_model(curves)
    tables["confidence.csv"] = ["confidence", *PLOTTED], _rows_by_model(counts)
    return tables


def _rows_by_model(curves: dict[str, list[tuple]]) -> list[list]:
    """Curves of equal x as rows: x, and one y for each model. curves: {model: [(x, y)]}."""
    return [
        [round(points[0][0], 4), *(round(value, 4) for _, value in points)]
        for points in zip(*curves.values(), strict=True)
    ]
