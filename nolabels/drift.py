"""Says whether new texts are of another kind than those that a student was measured on, without any answer of people.

    python -m nolabels.drift MODEL FILES... [--text COLUMN] [--bar D]

MODEL: models/student-onnx, with the profile.json that `export` wrote of the student's answers on the dev and test texts.
FILES: txt (one text a line), csv, tsv, jsonl or parquet, also .gz. Compared are the shares of the labels, the student's
confidence, the length of the texts and how usual their words are; a text that stands twice counts once. No text leaves
the machine, and none can be read from the profile.

A signal has drifted where chance is ruled out (p below 0.01, corrected for four signals) and its distance, which goes from
0 to 1, is above the bar by more than chance gives. Exit code: 0, or 1 where a signal has drifted, or 2 where the command or
a file is wrong. Drift says that the student's figures may not hold there, not that they do not.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from nolabels.classify import share
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.data.records import FORMS, ErrorLog, form_of, windows
from nolabels.data.texts import text_id
from nolabels.reporting.shift import SIGNIFICANCE, Shift, compare
from nolabels.students.profile import BUCKETS, FEWEST, SIGNALS, counts_of

if TYPE_CHECKING:  # it needs onnxruntime, which takes a second to import
    from nolabels.students.predict import Model


def read_profile(folder: Path) -> dict:
    """The profile of a model's folder. Raises UserError where there is none, or none that can be compared."""
    path = folder / "profile.json"
    if not path.exists():
        raise UserError(
            f"{path}: must be there, found nothing; dvc repro export writes it (models/student-onnx)"
        )
    try:
        profile = json.loads(path.read_text(encoding="utf-8"))
        whole = len(profile["buckets"]) == BUCKETS and all(signal in profile for signal in SIGNALS)
        texts = int(profile["texts"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: must be a profile that export wrote, found another form ({error})"
        ) from error
    if not whole:
        raise UserError(f"{path}: must be a profile that export wrote, found another form")
    if texts < 2 * FEWEST:
        raise UserError(f"{path}: must be of {2 * FEWEST} texts or more, found {texts}")
    return profile


def count_all(sources: list[tuple], column: str, profile: dict, model: "Model") -> tuple[dict, Counter, int]:
    """How the texts of files fall into what the profile counts; counts of texts, blank and repeated ones; broken rows.

    sources: (path, form) of each file; column: of the texts. Every text's id is kept in memory, and no text.
    """
    trouble, seen = ErrorLog(), set()
    counts: dict[str, Counter] = {signal: Counter() for signal in SIGNALS}
    kinds: Counter[str] = Counter()
    for window in windows(sources, column, trouble):
        texts = []
        for _, _, text in window:
            given = bytes.fromhex(text_id(text))
            kind = "blank" if not text.strip() else "repeated" if given in seen else "new"
            kinds[kind] += 1
            if kind == "new":
                seen.add(given)
                texts.append(text)
        if texts:
            for signal, own in counts_of(profile, model, texts, model.predict_proba(texts)).items():
                counts[signal].update(own)
    return counts, kinds, trouble.count


def show(shifts: list[Shift], bar: float) -> list[str]:
    """The lines of the table and of the verdict."""
    rows = [("signal", "distance", "chance", "p", "drift", "most")]
    rows += [
        (one.signal, f"{one.distance:.3f}", f"{one.chance:.3f}", f"{one.p:.4f}")
        + ("yes" if one.is_past(bar) else "no", one.where)
        for one in shifts
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    drifted = [one.signal for one in shifts if one.is_past(bar)]
    blind = max(one.largest - one.chance for one in shifts)
    if blind > bar:
        lines.append(f"so few texts show a drift above {blind:.2f} alone, and none of {bar:g}")
    lines.append(
        f"drift: {', '.join(drifted) or 'none'} (above {bar:g} and not by chance, p < {SIGNIFICANCE:g})"
    )
    return lines


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL", help="folder of the student, ONNX")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILES", help="the new texts")
    parser.add_argument("--format", choices=FORMS, help="form of names that tell none")
    parser.add_argument("--text", default="text", metavar="COLUMN", help="column of the texts (text)")
    parser.add_argument(
        "--bar", type=share, default=0.1, metavar="D", help="distance that matters; 0 to 1 (0.1)"
    )
    parser.add_argument("--threads", type=int, default=0, help="of the processor; 0: as many as cores")
    args = parser.parse_args(argv)
    sources = [(path, form_of(path, FORMS) or args.format) for path in args.files]
    for path, form in sources:
        if form is None:
            parser.error(f"{path}: --format must say its form")
        if not path.exists():
            parser.error(f"{path}: must be a file, found nothing")
    try:
        profile = read_profile(args.model)
    except UserError as error:
        parser.error(str(error))
    if not (args.model / "model.onnx").exists():
        parser.error(f"{args.model}: must be a folder that export wrote, found no model.onnx")

    from nolabels.students.predict import Model

    model = Model(args.model, args.threads)
    counts, kinds, broken = count_all(sources, args.text, profile, model)
    if not kinds["new"]:
        parser.error(f"{', '.join(map(str, args.files))}: must hold texts, found none")
    say(
        f"{kinds['new']} texts beside the {profile['texts']} of the profile; "
        f"passed over: {kinds['blank']} blank, {kinds['repeated']} repeated, {broken} broken"
    )
    shifts = compare(profile, counts)
    for line in show(shifts, args.bar):
        say(line)
    if any(one.is_past(args.bar) for one in shifts):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
