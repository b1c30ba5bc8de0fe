"""Parquet tables and small JSON: one way to write them, and one to read them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nolabels.core.schemas import EACH, predictions_schema
from nolabels.core.stage import UserError

BATCH_ROWS = 8_192  # that read_values reads at a time


def write_predictions(
    path: Path,
    ids: pa.ChunkedArray,
    probabilities: np.ndarray,
    labels: pa.ListArray,
    names: Sequence[str],
    raw_labels: pa.ListArray | None = None,
    each: Mapping[str, pa.ListArray] | None = None,
    **about: Any,
) -> None:
    """Writes the answers of one model on the texts of a split.

    Parameters
    ----------
    path : Path
        The table to write.
    ids : pa.ChunkedArray
        N ids.
    probabilities : np.ndarray
        N x K numbers in 0..1; they are rounded to 4 decimals.
    labels : pa.ListArray
        N lists of class names.
    names : sequence of str
        Names of the K classes.
    raw_labels : pa.ListArray, optional
        The teacher's labels before calibration, N lists of class names.
    each : mapping, optional
        {teacher: its own labels, N lists of class names}.
    **about
        Facts for the file's metadata, such as the model's size.
    """
    each = each or {}
    columns = {"id": ids, "probabilities": fixed(rounded(probabilities), "float32"), "labels": labels}
    if raw_labels is not None:
        columns["raw_labels"] = raw_labels
    columns |= {f"{EACH}{name}": own for name, own in each.items()}
    schema = predictions_schema(len(names), raw=raw_labels is not None, each=each)
    write_table(path, pa.table(columns, schema=schema), classes=names, **about)


def fixed(array: np.ndarray, dtype: Any) -> pa.FixedSizeListArray:
    """N x K numbers as a column of lists of K numbers, without a Python object per number.

    Parameters
    ----------
    array : np.ndarray
        N x K numbers.
    dtype : dtype
        Type of the numbers in the column.

    Returns
    -------
    pa.FixedSizeListArray
        N lists.
    """
    array = array.astype(dtype, copy=False)
    flat = pa.array(array.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, array.shape[1])


def matrix(column: pa.ChunkedArray) -> np.ndarray:
    """A column of lists of K numbers as N x K numbers; the inverse of `fixed`."""
    column = column.combine_chunks()
    width = column.type.list_size
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def rounded(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities as they are written: 4 decimals, so that equal runs are equal bytes."""
    return probabilities.astype("float64").round(4).astype("float32")


def write_table(path: Path, table: pa.Table, **about: Any) -> None:
    """Writes a table whole or not at all; equal tables give equal bytes.

    Parameters
    ----------
    path : Path
        The Parquet file to write.
    table : pa.Table
        What it holds.
    **about
        Facts for the file's metadata, kept as JSON.
    """
    with table_writer(path, table.schema, **about) as writer:
        writer.write_table(table.replace_schema_metadata(writer.schema.metadata))


class table_writer:
    """Context manager: a Parquet writer to `path`, which appears only when the block ends well."""

    def __init__(self, path: Path, schema: pa.Schema, **about: Any) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(f".{self.path.name}.partial")
        self.schema = schema.with_metadata(
            {"about": json.dumps(about, sort_keys=True, ensure_ascii=False)} if about else {}
        )

    def __enter__(self) -> pq.ParquetWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.writer = pq.ParquetWriter(
            self.partial, self.schema, compression="zstd", version="2.6", store_schema=True
        )
        return self.writer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()
        if kind is None:
            self.partial.replace(self.path)
        else:
            self.partial.unlink(missing_ok=True)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole table, or some of its columns.

    Parameters
    ----------
    path : Path
        The Parquet file.
    columns : sequence of str, optional
        The columns to read; None for all.

    Returns
    -------
    pa.Table

    Raises
    ------
    UserError
        Where the file is no Parquet.
    """
    with _parquet(path) as file:
        return file.read(columns=columns)


def read_values(path: Path, column: str) -> list:
    """One column as Python objects, with little memory beside them.

    Parameters
    ----------
    path : Path
        The Parquet file.
    column : str
        Name of the column.

    Returns
    -------
    list

    Raises
    ------
    UserError
        Where the file is no Parquet.
    """
    with _parquet(path) as file:
        batches = file.iter_batches(BATCH_ROWS, columns=[column], use_threads=False)
        return [value for batch in batches for value in batch[column].to_pylist()]


@contextmanager
def _parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """An open Parquet file. pq.read_table would import pyarrow.dataset and pandas first, which takes longer than a table."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not a readable Parquet file ({error})") from error


def is_in_split(table: pa.Table, name: str) -> np.ndarray:
    """Which rows of a table are of a split, without a Python object per row.

    Parameters
    ----------
    table : pa.Table
        N rows with the column `split`.
    name : str
        The split: train or valid.

    Returns
    -------
    np.ndarray
        N bool.
    """
    return pc.equal(table["split"], name).to_numpy(zero_copy_only=False)


def about(path_or_table: Path | pa.Table) -> dict:
    """The facts that `write_table` put into a file's metadata."""
    schema = path_or_table.schema if isinstance(path_or_table, pa.Table) else pq.read_schema(path_or_table)
    return json.loads((schema.metadata or {}).get(b"about", b"{}"))


def write_json(path: Path, value: Any) -> None:
    """Writes small JSON for people and `dvc metrics`, whole or not at all.

    Parameters
    ----------
    path : Path
        The file to write.
    value : dict, list, str or number
        What it holds. Numbers get 4 decimals; what is smaller than 0.001 keeps two digits, so that a p-value is
        never 0.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(trimmed(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def trimmed(value: Any) -> Any:
    """A value with the decimals that write_json keeps."""
    if isinstance(value, dict):
        return {key: trimmed(item) for key, item in value.items()}
    if not isinstance(value, float):
        return value
    return float(f"{value:.2g}") if abs(value) < 0.001 else round(value, 4)
