"""Datasets of the hub: the files of their splits, as parquet; no code of theirs runs."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nolabels.core.params import HubDataset
from nolabels.core.stage import UserError
from nolabels.data.hub.download import HASH, download, resolve, write_note
from nolabels.data.hub.errors import attempt, explain, token

PARTS = ".hub"  # where a dataset's files lie until they have their names


def take_dataset(asset: HubDataset, name: str, folder: Path) -> str:
    """Downloads a dataset's splits as parquet files ROLE-00000.parquet and so on.

    `datasets` says which files a split has. Parquet files are taken as they are; `datasets` reads other forms, which
    are written as parquet.

    Parameters
    ----------
    asset : HubDataset
        The dataset, its splits and its revision.
    name : str
        How messages name it: its key in params.yaml.
    folder : Path
        Where to. Downloads that are there from a run that was stopped are not asked for again.

    Returns
    -------
    str
        The commit that the revision stands for.

    Raises
    ------
    UserError
        Where the hub does not give the dataset, there is no such split, or a file is not what the commit promises.
    """
    folder = Path(folder)
    commit, tree = resolve(asset, "dataset", name)
    form, options, splits = attempt(asset, "dataset", name, lambda: _split_files(asset, name, commit))
    wanted = {role: split for role, split in asset.splits.model_dump().items() if split is not None}
    for role, split in wanted.items():
        if split not in splits:
            raise UserError(
                f"params.yaml: {name}.splits.{role}: must be one of {', '.join(splits)}, found {split!r}"
            )
    paths = {role: splits[split] for role, split in wanted.items()}
    files = {path: tree[path] for role in paths for path in paths[role]}
    for path in folder.glob("*"):
        if path.is_file():
            path.unlink()
    sums = download(asset, "dataset", name, commit, files, folder / PARTS)
    origins: dict[str, dict] = {}
    for role, sources in paths.items():
        origins |= _write_role(folder, role, sources, form, options, sums, name)
    shutil.rmtree(folder / PARTS)
    write_note(folder, asset, commit, origins)
    return commit


def _write_role(
    folder: Path,
    role: str,
    sources: Sequence[str],
    form: str,
    options: Mapping[str, Any],
    sums: Mapping[str, str],
    name: str,
) -> dict[str, dict]:
    """Writes the parquet files of pool or test; returns where each comes from. sums: {downloaded path: SHA-256}."""
    parts = folder / PARTS
    if form != "parquet":
        target = folder / f"{role}-00000.parquet"
        _rewrite(form, options, [parts / path for path in sources], target, name)
        return {target.name: {"from": {path: sums[path] for path in sources}}}
    origins = {}
    for number, path in enumerate(sources):
        target = folder / f"{role}-{number:05}.parquet"
        shutil.copyfile(parts / path, target)  # a split may be named twice
        origins[target.name] = {"from": path, HASH: sums[path]}
    return origins


def _split_files(asset: HubDataset, name: str, commit: str) -> tuple[str, dict, dict[str, list[str]]]:
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


def _rewrite(form: str, options: Mapping[str, Any], paths: Sequence[Path], target: Path, name: str) -> None:
    """Writes files of a form that `datasets` reads as one parquet file; rows in the order of the files."""
    import datasets
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(dir=target.parent) as cache:
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
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for table in rows.iter(batch_size=16_384):
                writer.write_table(table.cast(schema))
