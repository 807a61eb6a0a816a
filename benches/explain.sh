#!/usr/bin/env bash
# Measures explanations of boosted trees, compared with LightGBM, XGBoost and shap:
#
#     bash benches/explain.sh [--quick] [--mlapi FILE]
#
# Sets up what it needs (Python packages of benches/explain-requirements.txt in target/explain), builds with
# benches/build.sh, then runs benches/explain.py, whose first comment says how each number is made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PY=${EXPLAIN_PYTHON:-$(bash benches/python.sh benches/explain-requirements.txt explain)}
export BENCH_BIN
BENCH_BIN=${BENCH_BIN:-$(bash benches/build.sh)}

exec "$PY" benches/explain.py "$@"
