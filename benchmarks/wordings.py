"""What sentence encoders compare a text with where nobody wrote a template for the classes, on the tasks of benchmarks/tasks.yaml.

usage: python -m benchmarks.wordings [--folder .work/tasks]

Each of WORDINGS, and some of them together, takes the place of the templates of both encoders, with the names of the classes
in it; the language model is asked as tasks.yaml says. Accuracy on dev of what `label` makes of the three. Writes
benchmarks/wordings.json and a table of benchmarks/tasks.md. `python -m benchmarks.tasks` comes first: the texts are
embedded there.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.task_tables import family_means, write_block
from benchmarks.task_texts import read_zones
from benchmarks.task_wording import WORK, whole, wording
from benchmarks.tasks import TEXTS, judged, model_of, outputs_of
from nolabels.core import models
from nolabels.core.labels import one_hot
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import write_json
from nolabels.labeling.outputs import TeacherOutput
from nolabels.labeling.panel import fit_panel
from nolabels.setup.draft import CLASS_TEXTS
from nolabels.teachers import kinds, similarity

JSON = Path("benchmarks/wordings.json")
TOPIC, EXPRESSES = CLASS_TEXTS
ALONE = (
    TOPIC,
    "This text is about {class}.",
    "{class}",
    "This is {class}.",
    "It is {class}.",
    "This text is {class}.",
    "This is a {class} text.",
    "Category: {class}",
    EXPRESSES,
    "This is an example of {class}.",
)
WORDINGS = {text: [text] for text in ALONE}
WORDINGS |= {f"{TOPIC} {EXPRESSES}": [TOPIC, EXPRESSES], "all of these": list(ALONE)}


@cache
def encoder(name):
    """An encoder of the tasks, by its name under `score`, to embed texts about the classes."""
    values = whole(next(iter(wording().all)))
    score, device = values.score[name], models.pick_device(values.runtime.device)
    given = {"device": device, "precision": models.pick_precision(score.precision, device)}
    return kinds.load_teacher(
        score, model_of(values.fetch.models[name]), name=name, served=None, descriptions={}, **given
    )


def asked_with(texts, names, teacher, output):
    """A TeacherOutput of an encoder as it would be with other texts about the classes."""
    about = [text.replace("{class}", name) for text in texts for name in names]
    classes = encoder(teacher).embed(about)[0].reshape(len(texts), len(names), -1)
    scores = similarity.SCALE * np.einsum("nd,tkd->ntk", output.embeddings, classes)
    return TeacherOutput(scores.astype(np.float32), output.embeddings)


@cache
def asked(name, folder):
    """Of a task: its parameters, {zone: {teacher: TeacherOutput}}, and N x K gold of dev."""
    values = whole(name)
    zones = read_zones(name, folder, wording().zones, values.sample.seed, TEXTS)
    names = values.task.names
    gold = one_hot([names.index(label) for label in zones["dev"][1]], len(names))
    return values, outputs_of(name, values, zones), gold


def accuracy_with(name, texts, folder):
    """Of a task, on dev, with these texts about the classes."""
    values, outputs, gold = asked(name, folder)
    found = {
        zone: {
            teacher: output
            if output.embeddings is None
            else asked_with(texts, values.task.names, teacher, output)
            for teacher, output in of_zone.items()
        }
        for zone, of_zone in outputs.items()
    }
    return judged(fit_panel(found["pool"], values), found["dev"], gold, values.task)["accuracy"]


def measure(folder):
    """Wording by wording, so that a run that was stopped goes on."""
    rows = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else {}
    for title, texts in WORDINGS.items():
        for name in wording().all:
            if name not in rows.setdefault(title, {}):
                rows[title][name] = accuracy_with(name, texts, folder)
                write_json(JSON, rows)
        say(f"{title}: {mean_of(rows[title]):.3f}")
    write_block("wordings", table(rows))


def mean_of(row):
    """{task: accuracy} -> the mean over families."""
    known = wording().all
    return family_means(
        [{"name": name, "family": known[name].family} for name in row], lambda one: row[one["name"]]
    )


def table(rows):
    known = wording().all
    lines = [
        f"| text about a class | {' | '.join(item.title for item in known.values())} | mean over families |",
        f"|---|{'---|' * len(known)}---|",
    ]
    for title, row in rows.items():
        cells = [f"{row[name]:.3f}" for name in known]
        lines.append(f"| {title} | {' | '.join(cells)} | **{mean_of(row):.3f}** |")
    return "\n".join(lines)


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--folder", type=Path, default=WORK, help="of the prepared texts")
    measure(parser.parse_args(argv).folder)


if __name__ == "__main__":
    run(main)
