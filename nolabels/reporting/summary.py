"""The lines that `evaluate` prints for the person at the terminal."""

from nolabels.reporting.metrics import CONFIDENT

TITLES = {
    "teacher": "teacher",
    "teacher_raw": "  uncalibrated",
    "assistant": "assistant",
    "student": "student",
    "onnx": "  as ONNX",
    "baseline": "TF-IDF + LR",
}
COLUMNS = {"macro_f1": "macro F1", "micro_f1": "micro F1", "ece": "ECE"}


def summary_lines(split: str, metrics: dict) -> list[str]:
    """The result of `evaluate` as lines of text.

    Parameters
    ----------
    split : str
        dev or test.
    metrics : dict
        See `nolabels.reporting.metrics.comparison_metrics`.

    Returns
    -------
    list of str
    """
    if metrics["n"]:
        return ["", *_table(split, metrics), _difference(metrics), *_sizes(metrics["size"])]
    if metrics["texts"]:
        return _without_gold(split, metrics)
    return [f"evaluate: {split} holds no texts"]


def _table(split: str, metrics: dict) -> list[str]:
    """The models with their scores, one line each."""
    # with one label per text micro F1 is the accuracy, and is not in the metrics
    columns = [name for name in COLUMNS if name != "micro_f1" or name in metrics["teacher"]]
    header = f"{split:14}{'accuracy':>9}   {'95 % interval':<15}"
    lines = [header + "".join(f" {COLUMNS[name]:>9}" for name in columns)]
    rows = [(title, metrics[model]) for model, title in TITLES.items() if model in metrics]
    rows[2:2] = [(f"  {name} alone", row) for name, row in metrics.get("teachers", {}).items()]
    for title, row in rows:
        interval = f"{row['accuracy_low']:.4f}-{row['accuracy_high']:.4f}"
        figures = "".join(f" {row[name]:>9.4f}" for name in columns if name in row)
        lines.append(f"{title:14}{row['accuracy']:>9.4f}   {interval:<15}{figures}")
    return lines


def _difference(metrics: dict) -> str:
    difference = metrics["difference"]
    return (
        f"student - teacher {difference['accuracy']:+.4f} (exact McNemar p = {difference['p_value']:.2g}) "
        f"on {metrics['n']} texts; they agree on {metrics['agreement']:.1%}; majority class {metrics['majority']:.4f}"
    )


def _sizes(sizes: dict[str, dict]) -> list[str]:
    """The numbers of parameters, where both are known: a served teacher does not tell its own."""
    each = (sizes.get(model, {}).get("parameters") for model in ("teacher", "student"))
    counts = [count for count in each if count is not None]
    if len(counts) < 2:
        return []
    return ["parameters {:.1f} M (teacher), {:.1f} M (student)".format(*(count / 1e6 for count in counts))]


def _without_gold(split: str, metrics: dict) -> list[str]:
    lines = [f"evaluate: {split}: accuracy is unknown without gold answers. Without gold this is known:"]
    for model, known in metrics["unseen"].items():
        shares = ", ".join(f"{name} {share:.1%}" for name, share in known.get("shares", {}).items())
        lines.append(
            f"  the {model} has a mean confidence of {known['confidence']:.3f}, {CONFIDENT} or more on "
            f"{known['coverage']:.1%} of the texts" + (f"; class shares: {shares}" if shares else "")
        )
    lines.append(f"  they agree on {metrics['agreement']:.1%} of the texts, but may share mistakes")
    lines.append(
        f"To measure accuracy: answer data/review_{split}.csv and save it as data/{split}_labels.csv"
    )
    return lines
