"""What changed since a revision of the project: texts, accuracy, confidence and the shares of the classes.

Metrics of the revision come from Git. Its tables of texts come from DVC's local cache: nothing is downloaded.
"""

import json
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from nolabels.core.git import git
from nolabels.core.stage import UserError

# tables of texts, whose revisions lie in DVC's cache, and evaluate's metrics, whose revisions lie in Git
TEXTS = {part: Path(f"data/{part}.parquet") for part in ("pool", "dev", "test")}
METRICS = {part: Path(f"metrics/{part}.json") for part in ("dev", "test")}


def read_at(revision: str, path: str) -> str | None:
    """The content of a file of a revision that Git knows; None where the revision has no such file."""
    try:
        return git("show", f"{revision}:./{path}")
    except UserError:
        return None


def check_revision(revision: str) -> str:
    """The first 7 digits of the commit that a revision names. Raises UserError where there is none."""
    try:
        return git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()[:7]
    except UserError as error:
        raise UserError(
            f"revision: must be a commit, branch or tag of this repository, found {revision}"
        ) from error


def cached_files(revision: str) -> dict[str, Path]:
    """{out: its file in DVC's local cache} of the outs that a revision had, as far as the cache holds them."""
    from dvc.repo import Repo

    lock = yaml.safe_load(read_at(revision, "dvc.lock") or "") or {}
    outs = [out for stage in (lock.get("stages") or {}).values() for out in stage.get("outs", [])]
    with Repo() as repo:
        files = {out["path"]: Path(repo.cache.local.oid_to_path(out["md5"])) for out in outs if "md5" in out}
    return {path: file for path, file in files.items() if file.exists()}


def ids_of(path: Path) -> set[str]:
    """The ids of a table of texts."""
    return set(pq.read_table(path, columns=["id"])["id"].to_pylist())


def text_changes(revision: str, tables: dict[str, Path]) -> list[dict]:
    """How many texts each part has now, and how many of them are new or gone since the revision.

    Parameters
    ----------
    revision : str
        Commit, branch or tag.
    tables : dict of str to Path
        The table of texts of each part, from the root of the project on.

    Returns
    -------
    list of dict
        For pool, dev and test: `part`, `now`, and `before`, `new`, `gone`, which are None where the table of the
        revision is not in DVC's local cache.
    """
    rows, cached = [], cached_files(revision)
    for part, path in tables.items():
        now, file = ids_of(path), cached.get(path.as_posix())
        before = None if file is None else ids_of(file)
        counts = (None, None, None) if before is None else (len(before), len(now - before), len(before - now))
        rows.append(
            {"part": part, "now": len(now), **dict(zip(("before", "new", "gone"), counts, strict=True))}
        )
    return rows


def figures_of(metrics: dict) -> dict[tuple[str, str], float]:
    """{(model, figure): value in 0..1} of evaluate's metrics: accuracy, mean confidence and shares of the classes."""
    figures = {}
    for who in ("teacher", "student"):
        unlabeled = metrics.get("unseen", {}).get(who, {})
        if "accuracy" in metrics.get(who, {}):
            figures[who, "accuracy"] = metrics[who]["accuracy"]
        if "confidence" in unlabeled:
            figures[who, "mean confidence"] = unlabeled["confidence"]
        figures |= {(who, f"share of {name}"): share for name, share in unlabeled.get("shares", {}).items()}
    return figures


def figure_changes(revision: str, files: dict[str, Path]) -> list[dict]:
    """Figures of dev and test now and at the revision.

    Parameters
    ----------
    revision : str
        Commit, branch or tag.
    files : dict of str to Path
        The metrics of each part, from the root of the project on.

    Returns
    -------
    list of dict
        `part`, `model`, `figure`, and `before` and `now` in 0..1; None where one of the two has no such figure.
    """
    rows = []
    for part, path in files.items():
        now = figures_of(json.loads(path.read_text(encoding="utf-8")))
        before = figures_of(json.loads(read_at(revision, path.as_posix()) or "{}"))
        rows += [
            {
                "part": part,
                "model": who,
                "figure": name,
                "before": before.get((who, name)),
                "now": now.get((who, name)),
            }
            for who, name in [*now, *(key for key in before if key not in now)]
        ]
    return rows


def cell(value: float | int | None, signed: bool = False) -> str:
    """A count or a share as a cell of a table; empty for None."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:+.4f}" if signed else f"{value:.4f}"


def changes_since(revision: str, tables: dict[str, Path] = TEXTS, files: dict[str, Path] = METRICS) -> dict:
    """What changed since a revision, as cells of two tables.

    Parameters
    ----------
    revision : str
        Commit, branch or tag.
    tables, files : dict of str to Path
        The texts and the metrics of each part.

    Returns
    -------
    dict
        `revision`, and `commit`, its first 7 digits; `texts`, rows of part, then, now, new, gone; `complete`, whether
        DVC's local cache holds all texts of the revision; `figures`, rows of part, model, figure, then, now, change.

    Raises
    ------
    UserError
        Where Git knows no such revision.
    """
    commit, texts = check_revision(revision), text_changes(revision, tables)
    figures = []
    for row in figure_changes(revision, files):
        moved = None if None in (row["before"], row["now"]) else row["now"] - row["before"]
        numbers = cell(row["before"]), cell(row["now"]), cell(moved, signed=True)
        figures.append([row["part"], row["model"], row["figure"], *numbers])
    return {
        "revision": revision,
        "commit": commit,
        "texts": [
            [row["part"], *(cell(row[key]) for key in ("before", "now", "new", "gone"))] for row in texts
        ],
        "complete": all(row["before"] is not None for row in texts),
        "figures": figures,
    }


def markdown(revision: str) -> str:
    """Both tables in Markdown. Raises UserError where Git knows no such revision."""
    changes = changes_since(revision)
    lines = [f"### Texts since {revision} ({changes['commit']})", ""]
    lines += _table(("texts", "then", "now", "new", "gone"), changes["texts"])
    if not changes["complete"]:
        lines += [
            "",
            f"Empty cells: DVC's local cache does not hold the texts of {revision}; `dvc fetch -A` brings them.",
        ]
    lines += ["", f"### Answers since {revision}", ""]
    lines += _table(("part", "model", "figure", "then", "now", "change"), changes["figures"])
    return "\n".join(lines) + "\n"


def _table(titles: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    """Lines of a table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles), *rows)]
