"""The tables of the page, all cells text."""

from nolabels.reporting.card import named

TITLES = {
    "teacher": "teacher, calibrated",
    "teacher_raw": "teacher, as it answers",
    "assistant": "assistant",
    "student": "student",
    "onnx": "student as ONNX",
    "baseline": "TF-IDF + logistic regression",
}
PAIRS = 15  # of confused classes, where there are too many for a table of all
TABLE_CLASSES = 10


def model_rows(metrics):
    """The table of models, all cells text."""
    rows = []
    for who, title in TITLES.items():
        if who in metrics:
            rows.append((who, title, metrics[who]))
        if who == "teacher_raw":
            rows += [
                ("teacher_alone", f"{name} alone", row) for name, row in metrics.get("teachers", {}).items()
            ]
    found = []
    for who, title, row in rows:
        size = metrics["size"].get(who.removesuffix("_raw"), {})
        found.append(
            {
                "who": who,
                "title": title,
                "figures": [row[key] for key in ("accuracy", "accuracy_low", "accuracy_high")],
                "accuracy": f"{row['accuracy']:.4f}",
                "interval": f"{row['accuracy_low']:.4f}–{row['accuracy_high']:.4f}",
                "macro_f1": f"{row['macro_f1']:.4f}",
                "ece": f"{row['ece']:.4f}" if "ece" in row else "",
                "parameters": f"{size['parameters'] / 1e6:.1f} M" if "parameters" in size else "",
                "megabytes": f"{size['megabytes']:.0f}" if "megabytes" in size else "",
            }
        )
    return found


def teacher_rows(label, values):
    """The table of teachers, all cells text; none for one. label: metrics of label."""
    found = label["teachers"]
    if len(found) == 1:
        return []
    return [
        {
            "name": name,
            "model": named(values.fetch.models[name]),
            "kind": values.score[name].kind,
            "weight": f"{one['weight']:.2f}",
            "refined": "yes" if one["refined"] else "no",
            "agreement": f"{one['agreement']:.1%}",
            "shares": ", ".join(f"{kind} {share:.1%}" for kind, share in one.get("shares", {}).items()),
        }
        for name, one in found.items()
    ]


def confusion(who, rows, names):
    """A table of counts for few classes, of the most confused pairs for many. rows: actual, predicted."""
    pairs = [(row["actual"], row["predicted"]) for row in rows]
    counts = {pair: pairs.count(pair) for pair in dict.fromkeys(pairs)}
    seen = list(dict.fromkeys([*names, *(name for pair in counts for name in pair)]))
    if len(seen) <= TABLE_CLASSES:
        return {
            "who": who,
            "caption": f"What the {who} answered (columns) to texts that people gave a class (rows)",
            "head": ["people", *seen],
            "rows": [[gold, *(counts.get((gold, given), 0) for given in seen)] for gold in seen],
        }
    wrong = sorted(((-count, *pair) for pair, count in counts.items() if pair[0] != pair[1]))[:PAIRS]
    return {
        "who": who,
        "caption": f"What the {who} confuses most",
        "head": ["people", who, "texts"],
        "rows": [[gold, given, -count] for count, gold, given in wrong],
    }
