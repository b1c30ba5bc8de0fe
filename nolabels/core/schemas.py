"""The columns of the tables: what each holds stands in data/README.md."""

from collections.abc import Collection

import pyarrow as pa

POOL = pa.schema([("id", pa.string()), ("text", pa.string()), ("split", pa.string()), ("row", pa.int64())])
TEXTS = pa.schema([("id", pa.string()), ("text", pa.string()), ("row", pa.int64())])
GOLD = pa.schema([("id", pa.string()), ("labels", pa.list_(pa.string()))])
EACH = "labels_"  # begins the columns of what each of several teachers answers by itself


def scores_schema(classes: int, embedding: int | None = None) -> pa.Schema:
    """Columns of a teacher's raw scores: a row for each text and template.

    Parameters
    ----------
    classes : int
        Number of classes K.
    embedding : int, optional
        Numbers D of the embedding that the first row of a text holds as float16; None where there is none.

    Returns
    -------
    pa.Schema
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


def labeled_schema(classes: int) -> pa.Schema:
    """Columns of the teacher's labels of the pool; classes: their number K."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("split", pa.string()),
            ("probabilities", pa.list_(pa.float32(), classes)),
            ("labels", pa.list_(pa.string())),
            ("confidence", pa.float32()),
        ]
    )


def train_schema(classes: int) -> pa.Schema:
    """Columns of what a student learns from; classes: their number K."""
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


def predictions_schema(classes: int, raw: bool = False, each: Collection[str] = ()) -> pa.Schema:
    """Columns of a model's answers on the dev or the test texts.

    Parameters
    ----------
    classes : int
        Number of classes K.
    raw : bool
        Whether the teacher's labels before calibration stand beside.
    each : collection of str
        Names of the teachers whose own labels stand beside.

    Returns
    -------
    pa.Schema
    """
    columns = [
        ("id", pa.string()),
        ("probabilities", pa.list_(pa.float32(), classes)),
        ("labels", pa.list_(pa.string())),
    ]
    more = (["raw_labels"] if raw else []) + [f"{EACH}{name}" for name in each]
    return pa.schema(columns + [(name, pa.list_(pa.string())) for name in more])
