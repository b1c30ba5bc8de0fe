#!/usr/bin/env bash
# Runs the pipeline with what a remote already holds, and writes one comment into a pull request.
#   .github/comment.sh BASE NUMBER      BASE: the revision to compare with; NUMBER: of the pull request
set -euo pipefail
base=$1 number=$2
if [ -n "$(dvc remote list)" ]; then
  dvc repro --pull
else
  dvc repro
fi
comment=$(mktemp)
trap 'rm -f "$comment"' EXIT
python -m nolabels.comment "$base" > "$comment"
# the same comment is written again after the next push
gh pr comment "$number" --edit-last --create-if-none --body-file "$comment"
