"""Which shifts `nolabels.drift` sees, and how often it sees one where there is none: benchmarks/drift.md.

usage: python -m benchmarks.drift [--model FOLDER] [--data FOLDER] [--splits N] [--threads N]

Needs a `dvc repro` with the default texts (any student). Beside these the same package holds sentences of three other
kinds with the same layout: of editorials, of product reviews, and tweets. The false ones are counted on random halves
of the student's dev and test texts: one half makes the profile, the other is new.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.task_texts import read_beside
from nolabels.core import params
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import about, read_table, write_json
from nolabels.data.texts import hash_position, text_id
from nolabels.reporting.shift import SIGNIFICANCE, compare
from nolabels.students.profile import SIGNALS, counts_of, profile_of

SHIFTS = {
    "news": "nytEditorialSnippets_GroundTruth.txt",
    "product reviews": "amazonReviewSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
}
SIZES = (100, 500, None)  # texts of a shifted file; None: all
BAR = 0.1
SEED = 0
PAGE, JSON = Path("benchmarks/drift.md"), Path("benchmarks/drift.json")


@dataclass
class Texts:
    """Different texts, and the N x K probabilities that the student gives them."""

    texts: list
    probabilities: np.ndarray

    @classmethod
    def read(cls, texts, model):
        texts = list({text_id(text): text for text in texts if text.strip()}.values())
        return cls(texts, model.predict_proba(texts))

    def take(self, rows):
        return Texts([self.texts[row] for row in rows], self.probabilities[rows])

    def __add__(self, other):
        return Texts(self.texts + other.texts, np.concatenate([self.probabilities, other.probabilities]))

    def __len__(self):
        return len(self.texts)


def measure(model, known, new):
    """A row of the result: the signals' distances, which of them drifted, and the sizes. known, new: Texts."""
    profile = profile_of(model, known.texts, known.probabilities)
    shifts = compare(profile, counts_of(profile, model, new.texts, new.probabilities))
    return {
        "profile": len(known),
        "texts": len(new),
        "distance": {one.signal: round(one.distance, 4) for one in shifts},
        "chance": {one.signal: round(float(one.chance), 4) for one in shifts},
        "p": {one.signal: round(one.p, 4) for one in shifts},
        "drift": [one.signal for one in shifts if one.is_past(BAR)],
    }


def measure_all(model, folder, values, splits):
    """Rows of the shifts, of the splits, and of splits with sentences that have no class."""
    known = Texts.read(
        [
            text
            for part in ("dev", "test")
            for text in read_table(folder / f"{part}.parquet")["text"].to_pylist()
        ],
        model,
    )
    dataset, column = values.fetch.dataset, values.sample.columns.index(values.sample.text)
    draw, rows = np.random.default_rng(SEED), []
    for name, file in SHIFTS.items():
        new = Texts.read([row[column] for row in read_beside(dataset, file)], model)
        for size in SIZES:
            some = new.take(draw.permutation(len(new))[:size])
            rows.append({"kind": "shift", "of": name} | measure(model, known, some))
            say(f"{name}, {len(some)} texts: {', '.join(rows[-1]['drift']) or 'none'}")
    taken, zones = set(map(text_id, known.texts)), values.sample.zones
    rest = [row[column] for row in read_beside(dataset, dataset.path.rpartition("/")[2])]
    rest = [text for text in rest if text_id(text) not in taken]
    rest = [text for text in rest if hash_position(text_id(text)) < zones.test + zones.dev]
    unclear = Texts.read(rest, model)
    for number in range(splits):
        order, other = draw.permutation(len(known)), draw.permutation(len(unclear))
        first, second = (known.take(half) for half in np.array_split(order, 2))
        more = unclear.take(other[: len(unclear) // 2])
        for kind, new in (("split", second), ("split with unclear ones", second + more)):
            rows.append({"kind": kind, "of": f"split {number + 1}"} | measure(model, first, new))
            say(f"{kind} {number + 1}: {', '.join(rows[-1]['drift']) or 'none'}")
    return rows


def cells(row):
    """The distance of each signal, in bold where it has drifted."""
    return [
        f"**{row['distance'][signal]:.3f}**" if signal in row["drift"] else f"{row['distance'][signal]:.3f}"
        for signal in SIGNALS
    ]


def page(result):
    """The tables: each shift at each size, and the largest distance of all splits of a kind."""
    rows = result["rows"]
    shifts = [row for row in rows if row["kind"] == "shift"]
    whole = {row["of"]: row for row in shifts}  # the last size of each
    lines = [f"| new texts | | {' | '.join(SIGNALS)} |", f"|---|---{'|---' * len(SIGNALS)}|"]
    lines += [f"| {row['of']} | {row['texts']} | {' | '.join(cells(row))} |" for row in shifts]
    seen = [sum(bool(row["drift"]) for row in shifts if row["of"] == name) for name in whole]
    lines += [
        "",
        f"{sum(bool(row['drift']) for row in whole.values())} of {len(whole)} shifts are seen in all of their texts, and "
        f"{sum(seen)} of {len(shifts)} over all sizes. The profile is of {shifts[0]['profile']} texts, the student has "
        f"{result['parameters'] / 1e6:.1f} M parameters. Bold: drift (above {BAR:g} by more than chance, p < {SIGNIFICANCE:g}).",
        "",
        f"| no shift | false | largest {' | largest '.join(SIGNALS)} |",
        f"|---|---{'|---' * len(SIGNALS)}|",
    ]
    for kind in dict.fromkeys(row["kind"] for row in rows if row["kind"] != "shift"):
        some = [row for row in rows if row["kind"] == kind]
        false = sum(bool(row["drift"]) for row in some)
        largest = [f"{max(row['distance'][signal] for row in some):.3f}" for signal in SIGNALS]
        name = f"{kind}, {some[0]['profile']} and {some[0]['texts']} texts"
        lines.append(f"| {name} | {false} of {len(some)} | {' | '.join(largest)} |")
    return "\n".join(lines)


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/student-onnx"), metavar="FOLDER")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), metavar="FOLDER", help="dev and test texts"
    )
    parser.add_argument("--splits", type=int, default=10, metavar="N")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args(argv)

    from nolabels.students.predict import Model

    values = params.load()
    rows = measure_all(Model(args.model, args.threads), args.data, values, args.splits)
    parameters = about(args.data / "onnx_test.parquet")["model"]["parameters"]
    write_json(JSON, {"parameters": parameters, "bar": BAR, "rows": rows})
    head = PAGE.read_text(encoding="utf-8").split("<!-- table -->")[0]
    result = json.loads(JSON.read_text(encoding="utf-8"))
    PAGE.write_text(f"{head}<!-- table -->\n{page(result)}\n<!-- /table -->\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
