#!/usr/bin/env bash
# Measures `mlapi train` without --algorithm, compared with a script that compares scikit-learn's models, and shows
# how good the choice is:
#
#     bash benches/auto.sh [--quick] [--only peer,bound,fixtures] [--tables iris,…] [--mlapi FILE]
#
# Sets up what it needs (Python packages in target/python), builds with benches/build.sh, then runs
# benches/auto.py, whose first comment says how each number is made. The exit status is 0 if everything could be
# measured, whatever the figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PY=$(bash benches/python.sh)
export BENCH_BIN
BENCH_BIN=$(bash benches/build.sh)

exec "$PY" benches/auto.py "$@"
