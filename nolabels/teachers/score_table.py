"""The table of a teacher's scores: what the stage `score` writes."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nolabels.core.memory import give_back_tables
from nolabels.core.schemas import scores_schema
from nolabels.core.tables import fixed, table_writer
from nolabels.teachers.known_answers import KnownAnswers

CHUNK_TEXTS = 16_384  # texts to a row group


def write_scores(path: Path, ids: pa.Array, known: KnownAnswers, about: dict[str, Any]) -> None:
    """Writes a row for each text and template, texts in the order of their table.

    Parameters
    ----------
    path : pathlib.Path
        The table to write.
    ids : pyarrow.Array
        N ids of the texts.
    known : KnownAnswers
        N x T x K answers, all of them known.
    about : dict
        JSON-able metadata of the table.
    """
    count, templates, classes = known.scores.shape
    embeddings = known.embeddings
    schema = scores_schema(classes, None if embeddings is None else embeddings.shape[1])
    with table_writer(path, schema, **about) as writer:
        for start in range(0, count, CHUNK_TEXTS):
            rows = slice(start, min(start + CHUNK_TEXTS, count))
            size = rows.stop - rows.start
            against = known.against[rows].reshape(-1, classes)
            absent = np.isnan(against).all(1)
            columns = {
                "id": ids.slice(start, size).take(pa.array(np.repeat(np.arange(size), templates))),
                "template": pa.array(np.tile(np.arange(templates, dtype=np.int16), size)),
                "score": fixed(known.scores[rows].reshape(-1, classes), np.float32),
                "against": pa.nulls(len(absent), schema.field("against").type)
                if absent.all()
                else fixed(against, np.float32),
                "tokens": pa.array(known.tokens[rows].reshape(-1)),
                "cut": pa.array(known.cut[rows].reshape(-1)),
            }
            if embeddings is not None:
                columns["embedding"] = embedding_column(embeddings[rows], templates)
            writer.write_table(pa.table(columns).cast(writer.schema))
            del columns
            give_back_tables()  # else Arrow keeps what each row group took


def embedding_column(embeddings: np.ndarray, templates: int) -> pa.Array:
    """N x D embeddings as bytes, each in the first of the rows that its text has, one for each template."""
    values = np.full((len(embeddings), templates), None, object)
    values[:, 0] = [row.tobytes() for row in np.ascontiguousarray(embeddings)]
    return pa.array(values.reshape(-1), pa.binary(embeddings.itemsize * embeddings.shape[1]))
