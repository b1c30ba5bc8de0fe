"""The output of the teachers, read from their tables of scores."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nolabels.core.params import Params, Task
from nolabels.core.stage import UserError
from nolabels.core.tables import about, matrix, read_table
from nolabels.labeling.calibration import class_log_odds


@dataclass(frozen=True)
class TeacherOutput:
    """The output of one teacher on N texts: scores (N x T x K), and embeddings (N x D float32, or None)."""

    scores: np.ndarray
    embeddings: np.ndarray | None = None

    def take(self, rows: Any) -> "TeacherOutput":
        """The output on some of the texts. rows: indices, a mask or a slice."""
        kept = None if self.embeddings is None else self.embeddings[rows]
        return TeacherOutput(self.scores[rows], kept)


def join_texts(*parts: TeacherOutput) -> TeacherOutput:
    """The outputs of one teacher on several lots of texts as one; with embeddings where all have them."""
    embeddings = [one.embeddings for one in parts if one.embeddings is not None]
    whole = np.concatenate(embeddings) if len(embeddings) == len(parts) else None
    return TeacherOutput(np.concatenate([one.scores for one in parts]), whole)


def take_texts(outputs: Mapping[str, TeacherOutput], rows: Any) -> dict[str, TeacherOutput]:
    """The outputs of all teachers on some of the texts.

    Parameters
    ----------
    outputs : mapping
        {teacher: TeacherOutput} of N texts.
    rows : ndarray or slice
        Indices, a mask of N bool or a slice.

    Returns
    -------
    dict
        {teacher: TeacherOutput}.
    """
    return {name: output.take(rows) for name, output in outputs.items()}


def read_scores(path: Path, task: Task) -> tuple[pa.ChunkedArray, np.ndarray]:
    """The ids and scores of a table of scores.

    Parameters
    ----------
    path : Path
        The table, as stages/score.py writes it.
    task : Task
        With multi_label the scores become log-odds of each class.

    Returns
    -------
    ids : pa.ChunkedArray
        N ids.
    scores : np.ndarray
        N x T x K.
    """
    table = read_table(path, ["id", "template", "score"] + (["against"] if task.multi_label else []))
    templates = len(about(table)["templates"])
    scores = matrix(table["score"])
    shape = (-1, templates, scores.shape[1])
    scores = scores.reshape(shape)
    if task.multi_label:
        against = table["against"]
        known = against.null_count == 0
        scores = class_log_odds(scores, matrix(against).reshape(shape) if known else None)
    return table["id"].take(np.arange(0, len(table), templates)), scores


def _read_output(path: Path, task: Task) -> tuple[pa.ChunkedArray, TeacherOutput]:
    """The ids (N) and the output of a teacher, from its table of scores."""
    ids, scores = read_scores(path, task)
    if "embedding" not in pq.read_schema(path).names:
        return ids, TeacherOutput(scores)
    column = read_table(path, ["embedding"])["embedding"].combine_chunks().drop_null()
    width = column.type.byte_width // 2
    flat = np.frombuffer(b"".join(column.to_pylist()), np.float16)
    return ids, TeacherOutput(scores, flat.reshape(-1, width).astype(np.float32))


def read_teachers(
    folder: Path, part: str, values: Params
) -> tuple[pa.ChunkedArray, dict[str, TeacherOutput]]:
    """The outputs of all teachers of params.yaml on one part of the texts.

    Parameters
    ----------
    folder : Path
        Holds TEACHER/PART.parquet.
    part : str
        pool, dev or test.
    values : Params
        Names the teachers and the classes.

    Returns
    -------
    ids : pa.ChunkedArray
        N ids.
    outputs : dict
        {teacher: TeacherOutput}.

    Raises
    ------
    UserError
        Where the tables do not hold the same texts, or not the task's classes.
    """
    outputs, first = {}, None
    for name in values.score:
        path = folder / name / f"{part}.parquet"
        ids, outputs[name] = _read_output(path, values.task)
        first = ids if first is None else first
        if not ids.equals(first) or outputs[name].scores.shape[2] != len(values.task.names):
            raise UserError(
                f"{path}: must hold scores of the texts of the other teachers, for {len(values.task.names)} classes; "
                "run dvc repro"
            )
    return first, outputs


def read_pool(
    pool: Path, folder: Path, values: Params, columns: list[str]
) -> tuple[pa.Table, dict[str, TeacherOutput]]:
    """The pool's table and the outputs of all teachers on its texts.

    Parameters
    ----------
    pool : Path
        Table of the pool's texts.
    folder : Path
        Holds TEACHER/pool.parquet.
    values : Params
        Names the teachers and the classes.
    columns : list of str
        Columns of the pool to read, `id` among them.

    Returns
    -------
    table : pa.Table
        The columns, N rows.
    outputs : dict
        {teacher: TeacherOutput}.

    Raises
    ------
    UserError
        Where the scores are not those of the pool's texts and the task's classes.
    """
    table = read_table(pool, columns)
    ids, outputs = read_teachers(folder, "pool", values)
    if not ids.equals(table["id"]):
        raise UserError(f"{folder}: must hold scores of {pool}; run dvc repro")
    return table, outputs


def read_further(folder: Path, values: Params) -> dict[str, TeacherOutput]:
    """The outputs of sentence encoders on the texts that they alone read (`sample.clusters`).

    Parameters
    ----------
    folder : Path
        Holds TEACHER/clusters.parquet.
    values : Params
        Names the teachers.

    Returns
    -------
    dict
        {teacher: TeacherOutput} of those that have embeddings of such texts.
    """
    encoders = [name for name, score in values.score.items() if score.kind == "similarity"]
    outputs = {name: _read_output(folder / name / "clusters.parquet", values.task)[1] for name in encoders}
    return {name: output for name, output in outputs.items() if output.embeddings is not None}


def drop_partial_embeddings(
    outputs: Mapping[str, TeacherOutput], others: Iterable[Mapping[str, TeacherOutput]]
) -> dict[str, TeacherOutput]:
    """The pool's outputs without the embeddings of teachers that have none for all dev or test texts.

    A table of very many texts holds no embeddings (nolabels/teachers/asking.py), and what is fitted on them could not
    be applied there.

    Parameters
    ----------
    outputs : mapping
        {teacher: TeacherOutput} of the pool.
    others : iterable of mapping
        The same of dev and of test.

    Returns
    -------
    dict
        {teacher: TeacherOutput} of the pool.
    """
    lacking = {
        name
        for part in others
        for name, output in part.items()
        if output.embeddings is None and len(output.scores)
    }
    return {
        name: TeacherOutput(output.scores) if name in lacking else output for name, output in outputs.items()
    }


def count_long_texts(paths: Iterable[Path]) -> int:
    """The number of texts in tables of scores that were longer than max_tokens of any teacher (cut, or chunked)."""
    long = set()
    for path in paths:
        table = read_table(path, ["id", "cut"])
        long.update(table.filter(table["cut"])["id"].to_pylist())
    return len(long)
