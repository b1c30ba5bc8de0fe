"""How near the labels of an NLI teacher are to those of float32 in cheaper arithmetic, over the tasks of benchmarks.tasks.

usage: python -m benchmarks.precision [--texts 200] [--learned 100]

No package brings an NLI model. So the default's base learns one: does "This example is about CLASS." fit a text? It learns
from the gold of `--learned` pool texts of each task, once with their class and once with another. Then it is asked about
`--texts` dev texts of each task in each precision. Labels and probabilities are those after calibration. Writes
benchmarks/precision.json and precision.md. Takes a quarter of an hour of two cores.
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measuring import precisions, teacher
from benchmarks.speed_entailment import TEMPLATE
from benchmarks.task_texts import read_zones
from benchmarks.task_wording import WORK, whole, wording
from benchmarks.tasks import model_of, with_refine
from nolabels.core import models, params
from nolabels.core.labels import decide, one_hot
from nolabels.core.speed import processor
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import write_json
from nolabels.labeling.outputs import TeacherOutput
from nolabels.labeling.panel import fit_panel

JSON, PAGE = Path("benchmarks/precision.json"), Path("benchmarks/precision.md")


def values_of(name):
    """The parameters of a task, with answers that are calibrated and not refined."""
    return with_refine(whole(name), "never")


def pairs_of(names, learned, seed):
    """Texts, hypotheses and whether they fit: of each task as many, with the class of gold and with another one."""
    draw, pairs = np.random.default_rng(seed), []
    for name in names:
        values = whole(name)
        zones = read_zones(name, WORK, wording().zones, values.sample.seed, learned)
        for text, label in zip(*zones["pool"], strict=True):
            right = values.task.names.index(label)
            wrong = draw.choice([index for index in range(len(values.task.names)) if index != right])
            for index, fits in ((right, 1), (wrong, 0)):
                words = values.task.words[index]
                pairs.append((text, TEMPLATE.hypothesis.replace("{class}", words), fits))
    return pairs


def learn(names, learned, folder):
    """Writes an NLI model that has learned from the pairs of the tasks."""
    import transformers
    from datasets import Dataset

    from nolabels.students import training as train

    values = params.load()
    base = model_of(values.fetch.models["base"])
    labels = {"not_entailment": 0, "entailment": 1}
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=2, label2id=labels, id2label={number: label for label, number in labels.items()}
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    settings = values.train.model_copy(update={"epochs": 1})
    pairs = pairs_of(names, learned, settings.seed)
    ids = [
        tokenizer(text, hypothesis, truncation="only_first", max_length=settings.max_tokens)["input_ids"]
        for text, hypothesis, _ in pairs
    ]
    targets = one_hot([fits for *_, fits in pairs], 2).tolist()
    given = Dataset.from_dict({"input_ids": ids, "labels": targets, "length": list(map(len, ids))})
    none = Dataset.from_dict({"input_ids": [], "labels": []})
    precision = models.pick_precision(settings.precision, "cpu")
    with tempfile.TemporaryDirectory() as scratch:
        train.fit(model, tokenizer, given, none, settings, "cpu", precision, scratch)
    models.save_model(model, tokenizer, Path(folder), "")


def answers_of(folder, name, precision, texts):
    """N x K calibrated probabilities of the teacher about texts."""
    values, engine = values_of(name), teacher("entailment", folder, precision, templates=[TEMPLATE])
    # from short to long, as `score` asks
    short = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    scores = np.empty((len(texts), 1, len(values.task.names)), np.float32)
    scores[short] = engine.ask([texts[row] for row in short], [TEMPLATE], values.task.words).scores
    output = {"teacher": TeacherOutput(scores, None)}
    return fit_panel(output, values).probabilities(output, values.task)


def compared(folder, name, args):
    """The row of a task: {precision: accuracy, share of labels equal to float32's, mean difference of probabilities}."""
    values = values_of(name)
    texts, labels = read_zones(name, WORK, wording().zones, values.sample.seed, args.texts)["dev"]
    gold = np.array([values.task.names.index(label) for label in labels])
    answers = {
        one: answers_of(folder, name, one, texts) for one in dict.fromkeys(["float32", *precisions(), "int8"])
    }
    exact = answers["float32"]
    result = {"name": name, "texts": len(texts), "learned": args.learned, "on": processor()}
    for precision, found in answers.items():
        label = decide(found, values.task).argmax(1)
        result[precision] = {
            "accuracy": float((label == gold).mean()),
            "equal": float((label == decide(exact, values.task).argmax(1)).mean()),
            "difference": float(np.abs(found - exact).mean()),
        }
    return result


def page(rows):
    """What benchmarks/precision.md holds."""
    cheaper = [one for one in ("bfloat16", "int8") if one in rows[0]]
    means = {
        "title": "**mean**",
        "texts": sum(row["texts"] for row in rows),
        **{
            one: {key: float(np.mean([row[one][key] for row in rows])) for key in rows[0][one]}
            for one in ("float32", *cheaper)
        },
    }
    lines = [
        "# Precision of NLI teachers",
        "",
        f"`python -m benchmarks.precision` on {rows[0]['on']}: an NLI model that the default's base learned from "
        f"{rows[0]['learned']} texts of each task, asked about others. Under a precision stands its accuracy; beside it the share "
        "of texts with the label of float32, and the mean difference of a probability, both after calibration. "
        "That int8 scales each token in every layer was chosen by the share of equal labels on four of these tasks.",
        "",
        "| task | texts | float32 | "
        + " | ".join(f"{one} | equal labels | difference" for one in cheaper)
        + " |",
        "|---|---|---|" + "---|---|---|" * len(cheaper),
    ]
    for row in [*({"title": wording().all[row["name"]].title, **row} for row in rows), means]:
        cells = [row["title"], str(row["texts"]), f"{row['float32']['accuracy']:.3f}"]
        for one in cheaper:
            cells += [
                f"{row[one]['accuracy']:.3f}",
                f"{row[one]['equal']:.3f}",
                f"{row[one]['difference']:.4f}",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--texts", type=int, default=200, help="dev texts of each task (200)")
    parser.add_argument(
        "--learned", type=int, default=100, help="pool texts of each task that it learns from (100)"
    )
    args = parser.parse_args(argv)
    models.use_threads(params.load().runtime.threads)
    names = list(wording().tasks)
    with tempfile.TemporaryDirectory() as folder:
        learn(names, args.learned, Path(folder, "nli"))
        rows = []
        for name in names:
            rows.append(compared(Path(folder, "nli"), name, args))
            say(f"{name}: {rows[-1]}")
    write_json(JSON, rows)
    PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    run(main)
