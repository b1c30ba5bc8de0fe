"""The sentences of the page, its short form and the model card."""

from nolabels.core import speed


def verdict(metrics, name):
    """The one sentence to read: how the student stands beside the teacher. name: dev or test."""
    if not metrics["n"]:
        return (
            "How good student and teacher are is unknown: nobody has answered test or dev texts. "
            "Answer data/review_test.csv and save it as data/test_labels.csv to find out."
        )
    difference, n = metrics["difference"], metrics["n"]
    points, p = abs(difference["accuracy"]) * 100, difference["p_value"]
    student = metrics["student"]["accuracy"]
    found = f"The student answers {student:.1%} of the {name} texts correctly"
    if p >= 0.05:
        return f"{found}; there is no significant difference from the teacher on {n} texts (p = {p:.2g})."
    better = "more" if difference["accuracy"] > 0 else "fewer"
    return f"{found}, {points:.1f} points {better} than the teacher (exact McNemar p = {p:.2g}, {n} texts)."


def words(metrics, name, exported):
    """What else there is to say, a sentence a line. name: dev or test."""
    lines = []
    if metrics["n"]:
        low, high = metrics["student"]["accuracy_low"], metrics["student"]["accuracy_high"]
        lines.append(
            f"On other texts of the same kind the student's accuracy is between {low:.1%} and {high:.1%}, "
            "as far as these texts can tell (95 %)."
        )
        gain = metrics["student"]["accuracy"] - metrics["baseline"]["accuracy"]
        lines.append(
            f"TF-IDF and logistic regression, from the same labels, are {abs(gain) * 100:.1f} points "
            f"{'below' if gain > 0 else 'above'} it; always answering the most frequent class gives "
            f"{metrics['majority']:.1%}."
        )
        ece, floor = metrics["student"]["ece"], metrics["student"]["ece_floor"]
        lines.append(
            f"The student's probabilities are off by {ece * 100:.1f} points on average; a perfect model would "
            f"show {floor * 100:.1f} on as many texts."
        )
    if metrics["texts"]:
        lines.append(
            f"Teacher and student give the same answer to {metrics['agreement']:.1%} of the {name} texts."
        )
        for who, found in metrics["unseen"].items():
            lines.append(
                f"The {who}'s mean confidence on the {name} texts is {found['confidence']:.3f}; it is 0.9 or more on "
                f"{found['coverage']:.1%} of them."
            )
    lines.append(
        f"The ONNX form gives the student's label to {exported['agreement']:.1%} of the dev and test texts and has "
        f"{exported['megabytes']:.1f} MB."
    )
    return lines


def beside(metrics, name):
    """The figures of the split that the page does not lead with, one sentence; none without gold."""
    if not metrics["n"]:
        return []
    purpose = "by which settings are chosen" if name == "dev" else "kept for the final figure"
    accuracies = " and ".join(f"the {who} {metrics[who]['accuracy']:.1%}" for who in ("teacher", "student"))
    return [f"On the {metrics['n']} {name} texts, {purpose}, {accuracies} are correct."]


def foretold(forecast, metrics):
    """What was expected without gold, and how good that was where there is some, a sentence a line."""
    lines = []
    for who in ("teacher", "student"):
        found = forecast[who]
        line = f"Without any answer of people the {who} was expected at {found['expected']:.1%}"
        line += f" ({found['expected_low']:.1%} to {found['expected_high']:.1%})"
        if metrics["n"]:
            off = (found["expected"] - metrics[who]["accuracy"]) * 100
            line += f", {abs(off):.1f} points too {'high' if off > 0 else 'low'}"
        lines.append(f"{line}.")
    source = (
        "That is how often the sentence encoders agree, which was within 5 points of the teachers' accuracy on average over "
        "eight tasks (benchmarks/tasks.md)"
        if forecast["source"] == "agreement"
        else "That is how sure the answers are, which was off by up to 23 points on eight tasks (benchmarks/tasks.md)"
    )
    lines.append(
        f"{source}. It holds as far as nothing speaks against the labels, and no signal sees a teacher that is wrong in "
        "a consistent way."
    )
    return lines


def speeds(teachers):
    """Rates of metrics/speed.json in words, with the day of each: it may be another run's. teachers: their names."""
    sayings = {
        **{
            f"score_{name}_pool": f"The teacher {name} read {{texts_per_second:,.1f}} texts a second, with all its templates"
            for name in teachers
        },
        "train": "Training took {seconds:,.0f} seconds",
        "export": "The student as ONNX read {texts_per_second:,.0f} texts a second",
    }
    found = [(saying, speed.measured(name)) for name, saying in sayings.items()]
    when = " (measured on {measured}, {on})."
    return [f"{saying}{when}".format(**entry) for saying, entry in found if entry]


def precisions(teachers):
    """In which arithmetic the teachers answered. teachers: of the metrics of label."""
    found = sorted({arithmetic(one["precision"]) for one in teachers.values()})
    return f"The {'teacher' if len(teachers) == 1 else 'teachers'} answered in {' and '.join(found)}"


def arithmetic(precision):
    return "the arithmetic that its server chose" if precision == "auto" else precision
