"""Parquet tables of the pipeline: their columns, one way to write them, and one to read them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nolabels.core.stage import UserError

POOL = pa.schema([("id", pa.string()), ("text", pa.string()), ("split", pa.string()), ("row", pa.int64())])
TEXTS = pa.schema([("id", pa.string()), ("text", pa.string()), ("row", pa.int64())])
GOLD = pa.schema([("id", pa.string()), ("labels", pa.list_(pa.string()))])


def scores_schema(classes, embedding=None):
    """Raw scores of one text and template; `classes`: number of classes K.

    embedding: numbers D of the embedding that the text's first row holds as float16; None: there is none.
    """
    column = [] if embedding is None else [("embedding", pa.binary(2 * embedding))]
    return pa.schema(
        [
            ("id", pa.string()),
            ("template", pa.int16()),
            ("score", pa.list_(pa.float32(), classes)),
            ("against", pa.list_(pa.float32(), classes)),
            ("tokens", pa.int32()),
            ("cut", pa.bool_()),
            *column,
        ]
    )


def labeled_schema(classes):
    return pa.schema(
        [
            ("id", pa.string()),
            ("split", pa.string()),
            ("probabilities", pa.list_(pa.float32(), classes)),
            ("labels", pa.list_(pa.string())),
            ("confidence", pa.float32()),
        ]
    )


def train_schema(classes):
    return pa.schema(
        [
            ("id", pa.string()),
            ("text", pa.string()),
            ("split", pa.string()),
            ("probabilities", pa.list_(pa.float32(), classes)),
            ("labels", pa.list_(pa.string())),
            ("learn", pa.bool_()),
            ("source", pa.string()),
        ]
    )


EACH = "labels_"  # begins the columns of what each of several teachers answers by itself


def predictions_schema(classes, raw=False, each=()):
    """Answers on the dev or the test texts; raw: with the teacher's labels before calibration; each: names of
    teachers whose own labels stand beside."""
    columns = [
        ("id", pa.string()),
        ("probabilities", pa.list_(pa.float32(), classes)),
        ("labels", pa.list_(pa.string())),
    ]
    more = (["raw_labels"] if raw else []) + [f"{EACH}{name}" for name in each]
    return pa.schema(columns + [(name, pa.list_(pa.string())) for name in more])


def write_predictions(path, ids, probabilities, labels, names, raw_labels=None, each=None, **about):
    """The answers of one model on the texts of a split.

    ids: column of N; probabilities: N x K in 0..1; labels, raw_labels: columns of N lists of class names;
    each: {teacher: such a column}; about: facts for the metadata, such as the model's size.
    """
    each = each or {}
    columns = {"id": ids, "probabilities": fixed(rounded(probabilities), "float32"), "labels": labels}
    if raw_labels is not None:
        columns["raw_labels"] = raw_labels
    columns |= {f"{EACH}{name}": own for name, own in each.items()}
    schema = predictions_schema(len(names), raw=raw_labels is not None, each=each)
    write_table(path, pa.table(columns, schema=schema), classes=names, **about)


def fixed(array, dtype):
    """N x K numbers -> a fixed-size list column, without a Python object per number."""
    array = array.astype(dtype, copy=False)
    flat = pa.array(array.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, array.shape[1])


def matrix(column):
    """A fixed-size list column -> N x K numbers."""
    column = column.combine_chunks()
    width = column.type.list_size
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def rounded(probabilities):
    """Probabilities as they are written: 4 decimals, so that equal runs are equal bytes."""
    return probabilities.astype("float64").round(4).astype("float32")


def write_table(path, table, **about):
    """Writes a table whole or not at all; equal tables give equal bytes.

    about: facts for the file's metadata, as JSON.
    """
    with table_writer(path, table.schema, **about) as writer:
        writer.write_table(table.replace_schema_metadata(writer.schema.metadata))


class table_writer:
    """Context manager: a Parquet writer to `path`, which appears only when the block ends well."""

    def __init__(self, path, schema, **about):
        self.path = Path(path)
        self.partial = self.path.with_name(f".{self.path.name}.partial")
        self.schema = schema.with_metadata(
            {"about": json.dumps(about, sort_keys=True, ensure_ascii=False)} if about else {}
        )

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.writer = pq.ParquetWriter(
            self.partial, self.schema, compression="zstd", version="2.6", store_schema=True
        )
        return self.writer

    def __exit__(self, kind, error, trace):
        self.writer.close()
        if kind is None:
            self.partial.replace(self.path)
        else:
            self.partial.unlink(missing_ok=True)


def read_table(path, columns=None):
    """A whole table, or some of its columns. Raises UserError where the file is no Parquet."""
    try:
        return pq.read_table(path, columns=columns)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not a readable Parquet file ({error})") from error


def is_in_split(table, name):
    """Which rows of a table are of a split: N bool, without a Python object per row."""
    return pc.equal(table["split"], name).to_numpy(zero_copy_only=False)


def about(path_or_table):
    """The facts that `write_table` put into a file's metadata."""
    schema = path_or_table.schema if isinstance(path_or_table, pa.Table) else pq.read_schema(path_or_table)
    return json.loads((schema.metadata or {}).get(b"about", b"{}"))


def write_json(path, value):
    """Small JSON for people and `dvc metrics`, whole or not at all; floats with 4 decimals.

    What is smaller than 0.001 keeps two digits: a p-value is never 0.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(trimmed(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def trimmed(value):
    if isinstance(value, dict):
        return {key: trimmed(item) for key, item in value.items()}
    if not isinstance(value, float):
        return value
    return float(f"{value:.2g}") if abs(value) < 0.001 else round(value, 4)
