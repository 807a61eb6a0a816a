#!/usr/bin/env bash
# Measures how mlapi reads and predicts tables, beside pandas, polars, and LightGBM:
#
#     bash benches/read.sh [--quick] [--runs N] [--keep]
#
# Sets up what it needs (Python packages in target/python, a release build), then hands over to
# benches/read.py, which says how each number is made. The exit status is 0 if everything could
# be measured, whatever the figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PY=$(bash benches/python.sh)
cargo build --quiet --release --locked --bin mlapi --example read

exec "$PY" benches/read.py "$@"
