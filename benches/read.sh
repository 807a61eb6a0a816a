#!/usr/bin/env bash
# Measures how mlapi reads and predicts tables, compared with pandas, polars and LightGBM:
#
#     bash benches/read.sh [--quick] [--runs N] [--keep]
#
# Sets up what it needs (Python packages in target/python), builds with benches/build.sh, then runs
# benches/read.py, whose first comment says how each number is made. The exit status is 0 if everything could be
# measured, whatever the figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PY=$(bash benches/python.sh)
export BENCH_BIN
BENCH_BIN=$(bash benches/build.sh)

exec "$PY" benches/read.py "$@"
