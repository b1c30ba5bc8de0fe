"""Whether clusters gain from further texts, which sentence encoders alone read, on the tasks of benchmarks/tasks.yaml.

usage: python -m benchmarks.clusters [--further 3000] [--folder .work/tasks]

Clusters are found in the pool's texts of benchmarks.tasks alone, and in these and up to `--further` more. Accuracy on dev
of what `label` makes of a language model and one encoder, as the default has them, and of all three teachers, with
`refine: always`. Writes benchmarks/clusters.json and a table of benchmarks/tasks.md. `python -m benchmarks.tasks` comes
first: the other texts are read there. About ten minutes of two cores.
"""

from pathlib import Path

from benchmarks.task_tables import family_means, write_block
from benchmarks.task_texts import read_zones
from benchmarks.task_wording import TEACHERS, WORK, whole, wording
from benchmarks.tasks import TEXTS, judged, output_of, outputs_of, with_refine
from nolabels.core.labels import one_hot
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import write_json
from nolabels.labeling.panel import fit_panel

JSON = Path("benchmarks/clusters.json")
PANELS = {"SmolLM2 and mpnet": ("teacher", "base"), "all three": tuple(TEACHERS)}


def figures(name, count, folder):
    """Of a task: how many further texts there are, and {panel: [accuracy with the pool alone, with these too]}."""
    values = with_refine(whole(name), "always")
    task, seed, zones = values.task, values.sample.seed, wording().zones
    texts = read_zones(name, folder, zones, seed, TEXTS)
    outputs = outputs_of(name, values, texts)
    more = read_zones(name, folder, zones, seed, TEXTS + count)["pool"][0][TEXTS:]
    encoders = [one for one in TEACHERS if outputs["pool"][one].embeddings is not None]
    further = {one: output_of(name, values, one, more)[0] for one in encoders} if more else {}
    gold = one_hot([task.names.index(label) for label in texts["dev"][1]], len(task.names))
    row = {"name": name, "family": wording().all[name].family, "further": len(more)}
    for title, members in PANELS.items():
        pool, dev = ({one: outputs[zone][one] for one in members} for zone in ("pool", "dev"))
        given = {one: output for one, output in further.items() if one in members}
        panels = (fit_panel(pool, values, some) for some in ({}, given))
        row[title] = [judged(panel, dev, gold, task)["accuracy"] for panel in panels]
    return row


def table(rows):
    """The rows in Markdown, and their means over families."""
    heads = [f"{title}: {texts}" for title in PANELS for texts in ("the pool", "and further texts")]
    lines = [f"| task | further texts | {' | '.join(heads)} |", f"|---|---|{'---|' * len(heads)}"]
    for row in rows:
        cells = [f"{accuracy:.3f}" for title in PANELS for accuracy in row[title]]
        lines.append(f"| {wording().all[row['name']].title} | {row['further']:,} | {' | '.join(cells)} |")
    means = [
        family_means(rows, lambda row, title=title, number=number: row[title][number])
        for title in PANELS
        for number in (0, 1)
    ]
    cells = [f"**{mean:.3f}**" for mean in means]
    return "\n".join([*lines, f"| **mean over families** | | {' | '.join(cells)} |"])


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--further", type=int, default=3000, metavar="N", help="texts at most")
    parser.add_argument("--folder", type=Path, default=WORK, help="of the prepared texts")
    args = parser.parse_args(argv)
    rows = []
    for name in wording().all:
        rows.append(figures(name, args.further, args.folder))
        say(f"{name}: {', '.join(f'{title} {rows[-1][title]}' for title in PANELS)}")
    write_json(JSON, rows)
    write_block("clusters", table(rows))


if __name__ == "__main__":
    run(main)
