#!/usr/bin/env bash
# Sends generated requests in every dialect to `mlapi serve`: valid ones, near misses and damaged ones. No answer may be
# a 500, the server must not end, and its memory must not grow. Loopback only.
#
#     bash tests/generated.sh [MLAPI] [REQUESTS] [SEED]     (default: target/release/mlapi, 20000, 1)
#
# tests/generated.py says how requests are made. A build with overflow checks:
# RUSTFLAGS="-C overflow-checks=on -C debug-assertions=on" cargo build --release --target-dir target/checked
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$(realpath "${1:-$root/target/release/mlapi}")
shift || true
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 "$root/tests/generated.py" "$mlapi" "$root/fixtures" "$@"
