#!/usr/bin/env bash
# Models of mlapi in process beside the same models, exported to ONNX, in onnxruntime from Python: one row, and 2,000 rows
# on one thread; and how long a forest of 100 MB takes to load.
#
#     bash benches/exported.sh [--quick]
#
# The packages are those of tests/foreign.txt; tests/foreign.sh installs them in target/foreign-env.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
python=${FOREIGN_PYTHON:-$root/target/foreign-env/bin/python}
if [[ ! -x $python ]]; then
    echo "bash tests/foreign.sh makes $python" >&2
    exit 1
fi
profile=${BENCH_PROFILE:-dist}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cargo build --quiet --locked --features import --bin mlapi --profile "$profile" >&2
cargo build --quiet --locked --package mlapi-benches --bin one_row --profile "$profile" >&2
bin=$root/target/$profile
OMP_NUM_THREADS=1 "$python" benches/exported.py "$bin/mlapi" "$bin/one_row" "$folder" "$@"
