#!/usr/bin/env bash
# mlapi in process and onnxruntime from Python with the same models, those of mlapi exported to ONNX and those of other
# trainers imported from it: one row, and 2,000 rows on one thread; and how long forests of 100 MB and more take to import
# and to load.
#
#     bash benches/exported.sh [--quick] [--only models|large]
#
# benches/exported.py says how each figure is made. The packages are those of tests/foreign.txt, in target/foreign-env;
# FOREIGN_PYTHON names a Python that has them.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
python=${FOREIGN_PYTHON:-$(bash benches/python.sh tests/foreign.txt foreign-env)}
profile=${BENCH_PROFILE:-dist}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cargo build --quiet --locked --features import --bin mlapi --profile "$profile" >&2
cargo build --quiet --locked --package mlapi-benches --features import --bin one_row --profile "$profile" >&2
bin=$root/target/$profile
OMP_NUM_THREADS=1 "$python" benches/exported.py "$bin/mlapi" "$bin/one_row" "$folder" "$@"
