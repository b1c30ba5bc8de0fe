"""Texts and people's answers: fetching, reading files, drawing texts.

May import core.

    packages, archives     assets out of packages of the Python package index
    hub                    assets of the Hugging Face hub
    readers                rows of the source's files, which must be whole (a format is added here)
    records                rows of a person's file, broken ones passed over
    lines, parquet         what both read with
    gold                   the gold column as classes
    texts                  ids, hashes
    source, draw, splits   the stage `sample`: scan, draw, tables
    duplicates             near-duplicates of test and dev texts
    annotations            people's answers and their columns: corrections.csv, dev_labels.csv, test_labels.csv, review csv files
    answer_files           adds answers to these files
    labelstudio            tasks for Label Studio, and its exports
"""
