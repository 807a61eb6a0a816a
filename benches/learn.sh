#!/usr/bin/env bash
# Measures mlapi's learners, compared with scikit-learn, LightGBM and XGBoost, and prints the ratios:
#
#     bash benches/learn.sh [--quick] [--only TEXT] [--runs N] [--program FILE]
#
# Sets up what it needs (Python packages in target/python), builds with benches/build.sh, then runs
# benches/learn.py, whose first comment says how each number is made. The exit status is 0 if everything could be
# measured, whatever the figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PY=$(bash benches/python.sh)
export BENCH_BIN
BENCH_BIN=$(bash benches/build.sh)

exec "$PY" benches/learn.py "$@"
