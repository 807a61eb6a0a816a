#!/usr/bin/env bash
# Predictions of DataFrames, the Python package beside LightGBM (benches/frames.py says what is timed).
#
#     bash benches/frames.sh [MLAPI] [--quick]     (default: built with the feature parquet by the profile dist)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=
if [[ $# -gt 0 && $1 != -* ]]; then
    mlapi=$(realpath "$1")
    shift
fi
if [[ -z $mlapi ]]; then
    cargo build --quiet --locked --profile "${BENCH_PROFILE:-dist}" --features parquet --manifest-path "$root/Cargo.toml" \
        --target-dir "$root/target/frames"
    mlapi=$root/target/frames/${BENCH_PROFILE:-dist}/mlapi
fi
python=$(bash "$root/benches/python.sh" tests/python.txt python-package)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
PYTHONPATH=$root/python PYTHONDONTWRITEBYTECODE=1 "$python" "$root/benches/frames.py" "$mlapi" "$folder" "$@"
