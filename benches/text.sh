#!/usr/bin/env bash
# Measures training on a column of text, compared with scikit-learn:
#
#     bash benches/text.sh [--quick] [--mlapi FILE]
#
# Sets up what it needs (Python packages in target/python), builds with benches/build.sh, then runs
# benches/text.py, whose first comment says how each number is made. The exit status is 0 if everything could be
# measured, whatever the figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PY=$(bash benches/python.sh)
export BENCH_BIN
BENCH_BIN=$(bash benches/build.sh)

exec "$PY" benches/text.py "$@"
