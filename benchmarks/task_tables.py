"""The tables of benchmarks/tasks.md, from the rows of benchmarks/tasks.json."""

import re
from pathlib import Path

import numpy as np

from benchmarks.task_wording import TEACHERS, family_of, wording
from nolabels.labeling import forecast

PAGE = Path("benchmarks/tasks.md")
GAINS = [round(0.005 * step, 3) for step in range(-12, 13)]  # of the encoders' agreement, that are tried


def told(one):
    """An accuracy with its 95 % interval."""
    return f"{one['accuracy']:.3f} ({one['accuracy_low']:.3f} to {one['accuracy_high']:.3f})"


def share_list(shares):
    return ", ".join(f"{name} {share:.3f}" for name, share in shares.items())


def table(rows):
    lines = [
        "| task | texts | classes and their shares | words, median | test | dev | pool |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        zones = [
            f"{one['left'][zone]:,}"
            + (f" of {count:,}" if one["family"] and one["left"][zone] != count else "")
            for zone, count in one["zones"].items()
        ]
        cells = [
            one["title"],
            f"{one['texts']:,}",
            share_list(one["shares"]),
            f"{one['median_words']:g}",
            *zones,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def best_single(row):
    """The highest accuracy of a teacher by itself, refined or not: picked with gold."""
    return max(value for one in TEACHERS for key, value in row[one].items() if key in ("accuracy", "refined"))


def families_of(rows):
    """{family: its rows}; a task without one is a family by itself. SUBJ counts with the reviews."""
    families = {}
    for row in rows:
        families.setdefault(family_of(row["name"], row["family"]), []).append(row)
    return families


def family_means(rows, figure):
    """The mean over families of the means over their tasks; figure: row -> number."""
    return float(np.mean([np.mean([figure(row) for row in own]) for own in families_of(rows).values()]))


def chosen_with(row, gain):
    """Accuracy of the panel if it is refined by clusters where the encoders' agreement rises by `gain` or more."""
    agreement = row["chosen"]["agreement"]
    return row["always" if agreement["refined"] - agreement["before"] >= gain else "answers"]


def best_gain(rows):
    """The threshold of GAINS with the highest mean accuracy over families; of several equally good ones the middle."""
    means = {
        gain: round(family_means(rows, lambda row, gain=gain: chosen_with(row, gain)), 6) for gain in GAINS
    }
    best = [gain for gain, mean in means.items() if mean == max(means.values())]
    return best[len(best) // 2]


def left_out_table(rows):
    """The threshold for refining, chosen with gold on the other families, and what it comes to on the one left out."""
    lines = [
        "| family left out | threshold of the others | accuracy there | best single | regret | of `auto` |",
        "|---|---|---|---|---|---|",
    ]
    means = []
    for name, own in families_of(rows).items():
        gain = best_gain([row for row in rows if row not in own])
        found = [
            np.mean([figure(row) for row in own])
            for figure in (
                lambda row, gain=gain: chosen_with(row, gain),
                best_single,
                lambda row: row["chosen"]["accuracy"],
            )
        ]
        means.append(found)
        title = own[0]["title"] if len(own) == 1 else name
        lines.append(row_of_regret(title, f"{gain:+.3f}", *found))
    return "\n".join([*lines, row_of_regret("**mean**", "", *np.mean(means, axis=0))])


def row_of_regret(title, gain, found, best, auto):
    return f"| {title} | {gain} | {found:.3f} | {best:.3f} | {best - found:+.3f} | {best - auto:+.3f} |"


def teacher_table(rows):
    """Accuracy on dev of each teacher, refined and not, of the plain product and of what is chosen."""
    figures_of = {
        "SmolLM2": lambda row: row["teacher"]["accuracy"],
        "MiniLM": lambda row: row["encoder"]["accuracy"],
        "MiniLM, refined": lambda row: row["encoder"]["refined"],
        "mpnet": lambda row: row["base"]["accuracy"],
        "mpnet, refined": lambda row: row["base"]["refined"],
        "product, none refined": lambda row: row["product"],
        "by answers": lambda row: row["answers"],
        "by clusters": lambda row: row["always"],
        "chosen": lambda row: row["chosen"]["accuracy"],
        "best single": best_single,
        "chosen − best": lambda row: row["chosen"]["accuracy"] - best_single(row),
    }
    lines = [
        f"| task | {' | '.join(figures_of)} | encoders agree: before, refined | weights |",
        f"|---|{'---|' * len(figures_of)}---|---|",
    ]
    for row in rows:
        chosen = row["chosen"]
        cells = [row["title"], *(f"{figure(row):.3f}" for figure in figures_of.values())]
        cells[1 + list(figures_of).index("chosen")] = told(chosen)
        cells.append(f"{chosen['agreement']['before']:.3f}, {chosen['agreement']['refined']:.3f}")
        cells.append(", ".join(f"{TEACHERS[one]} {share:.2f}" for one, share in chosen["weights"].items()))
        lines.append("| " + " | ".join(cells) + " |")
    means = [f"**{family_means(rows, figure):.3f}**" for figure in figures_of.values()]
    return "\n".join([*lines, "| " + " | ".join(["**mean over families**", *means, "", ""]) + " |"])


def line_of(rows):
    """The line of forecast.accuracy_of_agreement that fits rows best, each family with the same weight: two numbers."""
    weights = {row["name"]: len(own) ** -0.5 for own in families_of(rows).values() for row in own}
    steps, missed = [], []
    for row in rows:
        weight, agreed = weights[row["name"]], row["chosen"]["encoders_agree"]
        disagreed = weight * (1 - agreed)
        steps.append([disagreed, disagreed * min(len(row["shares"]), forecast.MOST_CLASSES)])
        missed.append(weight * (row["chosen"]["accuracy"] - agreed))
    return np.linalg.lstsq(np.array(steps), np.array(missed), rcond=None)[0]


def forecast_with(row, line=forecast.LINE, draw=None):
    """The forecast of the chosen teachers' accuracy from the encoders' agreement; draw: one of row["draws"]."""
    agreed = (draw or row["chosen"])["encoders_agree"]
    return forecast.accuracy_of_agreement(agreed, len(row["shares"]), line)


def off_in_draws(row):
    """How far the forecast is off in each further draw of a task."""
    return [forecast_with(row, draw=draw) - draw["accuracy"] for draw in row["draws"]]


def forecast_table(rows, known):
    """The forecast without gold, in the two ways of nolabels/labeling/forecast.py; known: rows with the fitted ones among them."""
    lines = [
        "| task | accuracy | encoders agree on | forecast | off | off, fitted without its family | off in three further draws | confidence | off | warned of |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    families, off = families_of(known), []
    for row in rows:
        others = [one for own in families.values() if row not in own for one in own]
        told, other = forecast_with(row), forecast_with(row, line_of(others))
        accuracy, agreed, confidence = (
            row["chosen"][key] for key in ("accuracy", "encoders_agree", "confidence")
        )
        off.append([told - accuracy, other - accuracy, confidence - accuracy])
        warned = forecast.warnings(None, 1.0, 0.0, [], agreed, confidence, len(row["shares"]))
        cells = [f"{accuracy:.3f}", f"{agreed:.3f}", f"{told:.3f}", *(f"{one:+.3f}" for one in off[-1][:2])]
        cells.append(", ".join(f"{one:+.3f}" for one in off_in_draws(row)))
        cells += [f"{confidence:.3f}", f"{off[-1][2]:+.3f}", "yes" if warned else "no"]
        lines.append("| " + " | ".join([row["title"], *cells]) + " |")
    plain, left_out, confident = (f"**{one:.3f}**" for one in np.abs(off).mean(0))
    drawn = f"**{np.abs([off_in_draws(row) for row in rows]).mean():.3f}**"
    means = ["**mean, without sign**", "", "", "", plain, left_out, drawn, "", confident, ""]
    return "\n".join([*lines, "| " + " | ".join(means) + " |"])


def calibration_table(rows):
    heads = " | ".join(f"{title}: before | after | macro F1 | seconds" for title in TEACHERS.values())
    lines = [f"| task | dev | pool | {heads} |", f"|---|---|---|{'---|' * 4 * len(TEACHERS)}"]
    for one in rows:
        cells = [one["title"], str(one["dev"]), str(one["asked"])]
        for kind in TEACHERS:
            cells += [f"{one[kind][key]:.3f}" for key in ("before", "accuracy", "macro_f1")]
            cells.append(f"{one[kind]['seconds']:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def family_table(rows):
    titles = {name: item.title for name, item in wording().all.items()} | {
        "params.yaml": "the default's source"
    }
    lines = [
        "| task | of its texts also in | left in the pool | words, median | classes and their shares | related to a dev text |",
        "|---|---|---|---|---|---|",
    ]
    for one in rows:
        if not one["also_in"]:
            continue
        others = ", ".join(f"{titles[name]} {count:,}" for name, count in one["also_in"].items())
        pool = one["pool"]
        cells = [one["title"], others, f"{one['left']['pool']:,} of {one['zones']['pool']:,}"]
        cells += [f"{pool['median_words']:g}", share_list(pool["shares"])]
        cells.append("" if pool["near_dev"] is None else f"{pool['near_dev']:,}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def source_table(known):
    lines = ["| task | what | publication | licence of the texts |", "|---|---|---|---|"]
    for item in known.all.values():
        lines.append(f"| {item.title} | {item.what} | {item.publication} | {item.licence} |")
    return "\n".join(lines)


def write_page(rows, page=PAGE):
    """Puts all tables that come from tasks.json onto the page."""
    later = [row for row in rows if row["name"] in wording().later]
    rows = [row for row in rows if row not in later]
    blocks = {
        "tasks": table(rows),
        "teachers": teacher_table(rows),
        "left out": left_out_table(rows),
        "forecast": forecast_table(rows, rows),
        "calibration": calibration_table(rows),
        "family": family_table(rows),
        "sources": source_table(wording()),
    }
    if later:
        blocks["later tasks"] = table(later)
        blocks["later teachers"] = teacher_table(later)
        blocks["later forecast"] = forecast_table(later, rows)
    for name, figures in blocks.items():
        write_block(name, figures, page)


def write_block(name, figures, page=PAGE):
    """Puts a table between the marks of its name on a page."""
    text, block = page.read_text(encoding="utf-8"), f"<!-- {name} -->\n{figures}\n<!-- /{name} -->"
    text = re.sub(f"<!-- {name} -->.*<!-- /{name} -->", lambda _: block, text, flags=re.S)
    page.write_text(text, encoding="utf-8")
