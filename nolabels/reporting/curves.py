"""The tables behind the plots of dev and test: confusion, calibration, coverage and confidence."""

import csv

from nolabels.reporting.comparison import how_sure, spelled, were_right
from nolabels.reporting.statistics import coverage_curve, histogram, reliability


def write_csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_plots(folder, gold, answers, probabilities, known, task):
    """The curves, a file each, in the forms that DVC's own templates draw.

    gold, answers[who]: N x K bool; probabilities[who]: N x K; known: N bool, which texts have gold. Without
    gold all but the histogram of the certainty have their header alone.
    """
    people = ("teacher", "student")
    sure = {who: how_sure(probabilities[who], task) for who in people}
    right = {who: were_right(gold, answers[who], task)[known].ravel() for who in people}
    curves = {who: coverage_curve(sure[who][known].ravel(), right[who]) for who in people}
    lowest = 0.5 if task.multi_label else 1 / len(task.labels)
    counts = {who: histogram(sure[who].ravel(), lowest) for who in people}
    told = {who: spelled(answers[who][known], task.labels) for who in people}
    for who in people:
        actual = spelled(gold[known], task.labels)
        rows = zip(actual, told[who], strict=True)
        write_csv(folder / f"confusion_{who}.csv", ["actual", "predicted"], rows)
        bins = reliability(sure[who][known].ravel(), right[who])
        header = ["confidence", "accuracy", "low", "high", "texts"]
        rows = [[round(found[name], 4) for name in header] for found in bins]
        write_csv(folder / f"calibration_{who}.csv", header, rows)
    for name, found in (("coverage", curves), ("confidence", counts)):
        rows = [
            [round(place, 4), *(round(found[who][number][1], 4) for who in people)]
            for number, (place, _) in enumerate(found["teacher"])
        ]
        write_csv(folder / f"{name}.csv", [name, *people], rows)
