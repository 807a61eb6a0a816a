#!/usr/bin/env bash
# Measures smartcore's estimators next to the learners that mlapi has instead, and shows where they go wrong:
#
#     bash benches/smartcore.sh [--quick] [--only TEXT] [--turns N] [--threads N]
#
# benches/smartcore.rs says how each figure is made. The exit status is 0 if everything could be measured, whatever
# the figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

BENCH_BIN=$(bash benches/build.sh)
exec "$BENCH_BIN/smartcore" "$@"
