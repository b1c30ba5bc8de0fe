"""The output of the teachers, read from their tables of scores."""

from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from nolabels.core.stage import UserError
from nolabels.core.tables import about, matrix, read_table
from nolabels.labeling.calibration import own_odds


@dataclass(frozen=True)
class Said:
    """What one teacher said about N texts: scores (N x T x K), and embeddings (N x D float32, or None)."""

    scores: np.ndarray
    embeddings: np.ndarray | None = None

    def take(self, rows):
        """Of some of the texts. rows: indices, a mask or a slice."""
        kept = None if self.embeddings is None else self.embeddings[rows]
        return Said(self.scores[rows], kept)


def read_said(path, task):
    """ids (a column of N) and what a teacher said, from its table of scores."""
    ids, scores = read_scores(path, task)
    if "embedding" not in pq.read_schema(path).names:
        return ids, Said(scores)
    column = read_table(path, ["embedding"])["embedding"].combine_chunks().drop_null()
    width = column.type.byte_width // 2
    flat = np.frombuffer(b"".join(column.to_pylist()), np.float16)
    return ids, Said(scores, flat.reshape(-1, width).astype(np.float32))


def read_teachers(folder, part, values):
    """ids (a column of N) and {name: Said} of every teacher of params.yaml about a part: pool, dev or test.

    folder: holds NAME/PART.parquet. Raises UserError where the tables are not about the same texts and classes.
    """
    found, first = {}, None
    for name in values.score:
        path = folder / name / f"{part}.parquet"
        ids, found[name] = read_said(path, values.task)
        first = ids if first is None else first
        if not ids.equals(first) or found[name].scores.shape[2] != len(values.task.names):
            raise UserError(
                f"{path}: must hold scores of the texts of the other teachers, for {len(values.task.names)} classes; "
                "run dvc repro"
            )
    return first, found


def read_scores(path, task):
    """ids (a column of N) and scores (N x T x K) of a table of scores; with several labels per text, log-odds."""
    table = read_table(path, ["id", "template", "score"] + (["against"] if task.multi_label else []))
    templates = len(about(table)["templates"])
    scores = matrix(table["score"])
    shape = (-1, templates, scores.shape[1])
    scores = scores.reshape(shape)
    if task.multi_label:
        against = table["against"]
        known = against.null_count == 0
        scores = own_odds(scores, matrix(against).reshape(shape) if known else None)
    return table["id"].take(np.arange(0, len(table), templates)), scores


def read_pool(pool, folder, values, columns):
    """The columns of the pool's table, id among them, and {name: Said} of its teachers (see read_teachers).

    Raises UserError where the scores are not those of the pool's texts and the task's classes.
    """
    table = read_table(pool, columns)
    ids, said = read_teachers(folder, "pool", values)
    if not ids.equals(table["id"]):
        raise UserError(f"{folder}: must hold scores of {pool}; run dvc repro")
    return table, said
