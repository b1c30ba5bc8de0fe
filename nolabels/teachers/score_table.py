"""The table of a teacher's scores."""

import numpy as np
import pyarrow as pa

from nolabels.core.tables import fixed, scores_schema, table_writer

CHUNK_TEXTS = 16_384  # texts to a row group of the out


def write_scores(path, ids, known, about):
    """The out: a row for each text and template, texts in the order of their table."""
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
                columns["embedding"] = first_rows(embeddings[rows], templates)
            writer.write_table(pa.table(columns).cast(writer.schema))


def first_rows(embeddings, templates):
    """N x D embeddings as bytes, each in the first of its text's T rows."""
    made = np.full((len(embeddings), templates), None, object)
    made[:, 0] = [row.tobytes() for row in np.ascontiguousarray(embeddings)]
    return pa.array(made.reshape(-1), pa.binary(embeddings.itemsize * embeddings.shape[1]))
