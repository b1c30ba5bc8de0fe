"""What a person reads in the terminal when `evaluate` ends."""

from nolabels.reporting.metrics import SURE


def table_lines(name, metrics):
    """The comparison as a person reads it at the end of a run. name: dev or test."""
    several = "micro_f1" in metrics["teacher"]  # accuracy is then that of all classes of a text
    columns = ["macro_f1", *(["micro_f1"] if several else []), "ece"]
    titles = {"macro_f1": "macro F1", "micro_f1": "micro F1", "ece": "ECE"}
    lines = [
        f"{name:14}{'accuracy':>9}   {'95 % interval':<15}"
        + "".join(f" {titles[column]:>9}" for column in columns)
    ]
    names = {
        "teacher": "teacher",
        "teacher_raw": "  uncalibrated",
        "assistant": "assistant",
        "student": "student",
        "onnx": "  as ONNX",
        "baseline": "TF-IDF + LR",
    }
    rows = [(title, metrics[who]) for who, title in names.items() if who in metrics]
    rows[2:2] = [(f"  {who} alone", row) for who, row in metrics.get("teachers", {}).items()]
    for name, row in rows:
        interval = f"{row['accuracy_low']:.4f}-{row['accuracy_high']:.4f}"
        lines.append(
            f"{name:14}{row['accuracy']:>9.4f}   {interval:<15}"
            + "".join(f" {row[column]:>9.4f}" for column in columns if column in row)
        )
    difference, sizes = (
        metrics["difference"],
        [metrics["size"].get(who, {}) for who in ("teacher", "student")],
    )
    lines.append(
        f"student - teacher {difference['accuracy']:+.4f} (exact McNemar p = {difference['p_value']:.2g}) on {metrics['n']} texts; "
        f"they agree on {metrics['agreement']:.1%}; majority class {metrics['majority']:.4f}"
    )
    if all("parameters" in size for size in sizes):
        lines.append(
            "parameters {:.1f} M (teacher), {:.1f} M (student)".format(
                *(size["parameters"] / 1e6 for size in sizes)
            )
        )
    return lines


def unknown_lines(name, metrics):
    """What a person reads who has no gold answers. name: dev or test."""
    lines = [f"evaluate: {name}: accuracy is unknown without gold answers. On its unseen texts"]
    for who, found in metrics["unseen"].items():
        counted = ", ".join(f"{name} {share:.1%}" for name, share in found.get("shares", {}).items())
        lines.append(
            f"  the {who} has a mean confidence of {found['confidence']:.3f}, {SURE} or more on "
            f"{found['coverage']:.1%}" + (f"; it answers {counted}" if counted else "")
        )
    lines.append(
        f"  and they agree on {metrics['agreement']:.1%}, which says nothing of a mistake they share."
    )
    lines.append(f"To find out: answer data/review_{name}.csv and save it as data/{name}_labels.csv")
    return lines
