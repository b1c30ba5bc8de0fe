"""Rows of a user's file, in batches of bounded memory."""

import math

import pyarrow as pa
import pyarrow.csv as pacsv

from nolabels.stage import UserError


def read_rows(path, sample):
    """Yields (row, text, gold) of a file, in order; row: line in the source, from 1.

    sample: params.Sample. gold: the value as text, or None where no gold column is named.
    Raises UserError naming file, row and column.
    """
    wanted = [sample.text] + ([sample.gold.column] if sample.gold else [])
    try:
        batches = open_delimited(path, sample)
        missing = [column for column in wanted if column not in batches.schema.names]
        if missing:
            raise UserError(
                f"{path}: must have a column {missing[0]!r}, found {', '.join(batches.schema.names)}"
            )
        row = 1 if sample.columns else 2
        for batch in batches:
            texts = batch.column(sample.text).to_pylist()
            golds = batch.column(sample.gold.column).to_pylist() if sample.gold else [None] * len(texts)
            for text, gold in zip(texts, golds, strict=True):
                yield row, text, gold
                row += 1
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not a readable {sample.format} file ({error})") from error


def open_delimited(path, sample):
    """csv: quotes as usual, line breaks in quotes allowed; tsv: tabs, no quotes. UTF-8."""
    tabs = sample.format == "tsv"
    names = sample.columns
    convert = pacsv.ConvertOptions(
        column_types={
            name: pa.string()
            for name in [*(names or []), sample.text] + ([sample.gold.column] if sample.gold else [])
        },
        strings_can_be_null=False,
    )
    return pacsv.open_csv(
        path,
        read_options=pacsv.ReadOptions(column_names=names, block_size=1 << 22),
        parse_options=pacsv.ParseOptions(
            delimiter="\t" if tabs else ",", quote_char=False if tabs else '"', newlines_in_values=not tabs
        ),
        convert_options=convert,
    )


def gold_classes(path, gold, classes):
    """A function (row, value) -> class index or -1; -1: no class answers for it.

    gold: params.Gold; with `values` each value must be named, with `ranges` it must be a number,
    and what lies in no range has no class (a sentence between negative and positive).
    """
    if gold is None:
        return lambda row, value: -1
    index = {name: number for number, name in enumerate(classes)}
    if gold.values is not None:
        table = {str(value): index[name] for value, name in gold.values.items()}

        def by_value(row, value):
            if value not in table:
                raise UserError(
                    f"{path}: row {row}: {gold.column} must be one of {', '.join(table)}, found {value!r}"
                )
            return table[value]

        return by_value
    ranges = [(low, high, index[name]) for name, (low, high) in gold.ranges.items()]

    def by_range(row, value):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise UserError(f"{path}: row {row}: {gold.column} must be a number, found {value!r}")
        return next((found for low, high, found in ranges if low <= number <= high), -1)

    return by_range
