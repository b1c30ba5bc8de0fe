"""The sentences of the page, its short form and the model card."""

from collections.abc import Iterable

SIGNIFICANT = 0.05  # a difference with a p-value below it is called one
FORECASTS = {
    "agreement": "The forecast follows from the share of texts on which the sentence encoders agree. It is within 7.5 "
    "percentage points of the teachers' accuracy on the eight tasks that it was fitted to, and on three of four others "
    "(benchmarks/tasks.md).",
    "confidence": "The forecast is the mean confidence of the answers. On eight tasks it was off by up to 36 percentage "
    "points (benchmarks/tasks.md).",
}
LIMITS_OF_FORECASTS = (
    "No forecast detects mistakes that a teacher makes consistently, and none holds where a warning says that the labels "
    "are unreliable."
)


def verdict(metrics: dict, split: str) -> str:
    """The first sentence of the page: the student's accuracy beside the teacher's.

    Parameters
    ----------
    metrics : dict
        metrics/dev.json or metrics/test.json
    split : str
        dev or test

    Returns
    -------
    str
    """
    if not metrics["n"]:
        return (
            "The accuracy of student and teacher is unknown: nobody has labeled test or dev texts. "
            "To measure it, answer data/review_test.csv and save it as data/test_labels.csv."
        )
    difference, p_value = metrics["difference"]["accuracy"], metrics["difference"]["p_value"]
    student = f"The student classifies {metrics['student']['accuracy']:.1%} of the {split} texts correctly"
    test = f"(exact McNemar test: p = {p_value:.2g}, {metrics['n']} texts)"
    if p_value >= SIGNIFICANT:
        return f"{student}; there is no significant difference from the teacher {test}."
    direction = "more" if difference > 0 else "less"
    return f"{student}, {abs(difference) * 100:.1f} percentage points {direction} than the teacher {test}."


def findings(metrics: dict, split: str, exported: dict) -> list[str]:
    """What else the metrics of a split say.

    Parameters
    ----------
    metrics : dict
        Metrics of dev or test.
    split : str
        Which of the two.
    exported : dict
        metrics/export.json

    Returns
    -------
    list of str
        One item each.
    """
    lines = _findings_with_gold(metrics) if metrics["n"] else []
    if metrics["texts"]:
        lines.append(
            f"Teacher and student give the same answer to {metrics['agreement']:.1%} of the {split} texts."
        )
        lines += [
            f"The {model}'s mean confidence on the {split} texts is {known['confidence']:.3f}; on "
            f"{known['coverage']:.1%} of them its confidence is 0.9 or more."
            for model, known in metrics["unseen"].items()
        ]
    lines.append(
        f"The ONNX model gives the same label as the student to {exported['agreement']:.1%} of the dev and test texts. "
        f"Its size is {exported['megabytes']:.1f} MB."
    )
    return lines


def _findings_with_gold(metrics: dict) -> list[str]:
    student, baseline = metrics["student"], metrics["baseline"]
    gain = student["accuracy"] - baseline["accuracy"]
    return [
        f"The 95 % confidence interval of the student's accuracy is {student['accuracy_low']:.1%} to "
        f"{student['accuracy_high']:.1%}. It holds for other texts of the same kind.",
        f"The accuracy of TF-IDF + logistic regression, trained on the same labels, is {abs(gain) * 100:.1f} percentage "
        f"points {'below' if gain > 0 else 'above'} the student's. Always answering the most frequent class would give "
        f"{metrics['majority']:.1%}.",
        f"The student's calibration error is {student['ece'] * 100:.1f} percentage points. A perfectly calibrated model "
        f"would show {student['ece_floor'] * 100:.1f} on as many texts.",
    ]


def other_split(metrics: dict, split: str) -> list[str]:
    """The accuracies on the split that the page does not lead with; none without gold.

    Parameters
    ----------
    metrics : dict
        Metrics of that split.
    split : str
        Its name, dev or test.

    Returns
    -------
    list of str
        One sentence at most.
    """
    if not metrics["n"]:
        return []
    purpose = "which serve to choose settings" if split == "dev" else "which serve for the final figure"
    accuracies = " and ".join(
        f"{metrics[model]['accuracy']:.1%} ({model})" for model in ("teacher", "student")
    )
    return [f"On the {metrics['n']} {split} texts, {purpose}, the accuracy is {accuracies}."]


def forecast_sentences(forecast: dict, metrics: dict) -> list[str]:
    """The accuracy that was forecast without gold, and its error where there is gold.

    Parameters
    ----------
    forecast : dict
        metrics/forecast.json
    metrics : dict
        Metrics of the leading split.

    Returns
    -------
    list of str
        One item each.
    """
    lines = []
    for model in ("teacher", "student"):
        expected = forecast[model]["expected"]
        low, high = forecast[model]["expected_low"], forecast[model]["expected_high"]
        line = f"Without human labels, the {model}'s accuracy was forecast at {expected:.1%} ({low:.1%} to {high:.1%})"
        if metrics["n"]:
            error = (expected - metrics[model]["accuracy"]) * 100
            line += f", {abs(error):.1f} percentage points too {'high' if error > 0 else 'low'}"
        lines.append(f"{line}.")
    return [*lines, f"{FORECASTS[forecast['source']]} {LIMITS_OF_FORECASTS}"]


def speed_sentences(timings: dict[str, dict | None], teachers: Iterable[str]) -> list[str]:
    """The rates of metrics/speed.json with day and machine, since they may be of another run.

    Parameters
    ----------
    timings : dict of str to dict
        Entries of metrics/speed.json by stage; None or absent where nothing was measured.
    teachers : iterable of str
        Names of the teachers.

    Returns
    -------
    list of str
        One sentence for each stage that was measured.
    """
    sentences = {
        **{
            f"score_{name}_pool": f"The teacher {name} read {{texts_per_second:,.1f}} texts per second, with all its templates"
            for name in teachers
        },
        "train": "Training took {seconds:,.0f} seconds",
        "export": "The ONNX model classified {texts_per_second:,.0f} texts per second",
    }
    when = " (measured on {measured}, {on})."
    return [
        f"{sentence}{when}".format(**timing)
        for stage, sentence in sentences.items()
        if (timing := timings.get(stage))
    ]


def software_sentences(versions: dict[str, str], teachers: dict[str, dict], student_precision: str) -> str:
    """Versions of the libraries, and the floating-point precision of teachers and student.

    Parameters
    ----------
    versions : dict of str to str
        By package.
    teachers : dict of str to dict
        By name, as in metrics/label.json.
    student_precision : str

    Returns
    -------
    str
    """
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    precisions = sorted({_precision(teacher["precision"]) for teacher in teachers.values()})
    return (
        f"Made with {packages}. The {'teacher' if len(teachers) == 1 else 'teachers'} computed in "
        f"{' and '.join(precisions)}, the student was trained in {_precision(student_precision)}."
    )


def _precision(name: str) -> str:
    return "the precision that its server chose" if name == "auto" else name
