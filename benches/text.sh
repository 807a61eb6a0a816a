#!/usr/bin/env bash
# Measures training on a column of text beside scikit-learn:
#
#     bash benches/text.sh [--quick] [--mlapi FILE]
#
# Sets up what it needs (Python packages in target/python, a release build), then hands over to
# benches/text.py, which says how each number is made. The exit status is 0 if everything could be measured,
# whatever the figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PY=$(bash benches/python.sh)
cargo build --quiet --release --locked

exec "$PY" benches/text.py "$@"
