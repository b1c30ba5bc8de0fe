"""Data sets of the hub: the files of their splits, as parquet."""

import shutil
import tempfile
from pathlib import Path

from nolabels.core.stage import UserError
from nolabels.data.hub.download import HASH, download, look, note
from nolabels.data.hub.errors import attempt, explain, token

PARTS = ".hub"  # where a dataset's files lie until they have their names


def take_dataset(asset, name, folder):
    """Downloads a dataset's splits as parquet files SPLIT-00000.parquet …; returns the commit.

    asset: params.HubDataset; else as `take_model`. Which files a split has is asked of `datasets`;
    parquet files are taken as they are, other forms are read by `datasets` and written as parquet.
    """
    folder = Path(folder)
    commit, tree = look(asset, "dataset", name)
    form, options, splits = attempt(asset, "dataset", name, lambda: split_files(asset, name, commit))
    wanted = {role: split for role, split in asset.splits.model_dump().items() if split is not None}
    for role, split in wanted.items():
        if split not in splits:
            raise UserError(
                f"params.yaml: {name}.splits.{role}: must be one of {', '.join(splits)}, found {split!r}"
            )
    paths = {role: splits[split] for role, split in wanted.items()}
    files = {path: tree[path] for role in paths for path in paths[role]}
    parts = folder / PARTS
    for path in folder.glob("*"):
        if path.is_file():
            path.unlink()
    sums = download(asset, "dataset", name, commit, files, parts)
    found = {}
    for role, sources in paths.items():
        if form == "parquet":
            for number, path in enumerate(sources):
                place = folder / f"{role}-{number:05}.parquet"
                shutil.copyfile(parts / path, place)  # a split may be named twice
                found[place.name] = {"from": path, HASH: sums[path]}
        else:
            place = folder / f"{role}-00000.parquet"
            rewrite(form, options, [parts / path for path in sources], place, name)
            found[place.name] = {"from": {path: sums[path] for path in sources}}
    shutil.rmtree(parts)
    note(folder, asset, commit, found)
    return commit


def split_files(asset, name, commit):
    """The form of a dataset's files, how they are read, and {split: paths}, as `datasets` finds them."""
    import dataclasses

    import datasets

    with tempfile.TemporaryDirectory() as cache:
        try:
            builder = datasets.load_dataset_builder(
                asset.hub, asset.config, revision=commit, token=token(), cache_dir=cache
            )
        except (ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            if explain(error, asset, "dataset")[1]:
                raise
            reason = str(error).strip().split("\n")[0][:300]
            raise UserError(
                f"params.yaml: {name}.config: must be one that datasets can read ({reason})"
            ) from None
        except FileNotFoundError as error:
            if error.__cause__ is not None:
                raise error.__cause__ from None
            raise
    base = {field.name for field in dataclasses.fields(datasets.BuilderConfig)}
    options = {
        field.name: getattr(builder.config, field.name)
        for field in dataclasses.fields(builder.config)
        if field.name not in base and field.name != "features"
    }
    splits = {
        str(split): [url.split(f"@{commit}/", 1)[1] for url in urls]
        for split, urls in builder.config.data_files.items()
    }
    return type(builder).__module__.split(".")[-1], options, splits


def rewrite(form, options, paths, place, name):
    """Files of a form that `datasets` reads -> one parquet file; rows in the order of the files."""
    import datasets
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(dir=place.parent) as cache:
        try:
            rows = datasets.load_dataset(
                form, data_files=[str(path) for path in paths], split="train", cache_dir=cache, **options
            )
        except datasets.exceptions.DatasetGenerationError as error:
            reason = str(error.__cause__ or error).split("\n")[0][:300]
            raise UserError(
                f"{name}: {paths[0].name} must be a file that datasets can read ({reason})"
            ) from error
        rows = rows.with_format("arrow")
        schema = rows.features.arrow_schema.remove_metadata()
        with pq.ParquetWriter(place, schema, compression="zstd") as writer:
            for table in rows.iter(batch_size=16_384):
                writer.write_table(table.cast(schema))
