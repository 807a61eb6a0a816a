#!/usr/bin/env bash
# Measures mlapi's learners beside scikit-learn, LightGBM and XGBoost, and prints the ratios:
#
#     bash benches/learn.sh [--quick] [--only TEXT] [--runs N] [--program FILE]
#
# Sets up what it needs (Python packages in target/python, a release build), then hands over
# to benches/learn.py, which says how each number is made. The exit status is 0 if everything
# could be measured, whatever the figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PY=$(bash benches/python.sh)
cargo build --quiet --release --locked --example fit

exec "$PY" benches/learn.py "$@"
