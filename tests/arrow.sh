#!/usr/bin/env bash
# `predict --input - --input-format arrow --format arrow` with pyarrow at both ends: types, missing values, order, one
# batch out for each that comes in, at once, bad rows, damaged streams, memory that does not grow.
#
#     bash tests/arrow.sh [MLAPI] [--quick]     (default: target/release/mlapi)
#
# MLAPI is built with `--features parquet`. tests/arrow.py says what is compared. pyarrow is installed in target/arrow-env
# from tests/arrow.txt; ARROW_PYTHON names a Python that has it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$root/target/release/mlapi
if [[ $# -gt 0 && $1 != --* && -x $1 ]]; then
    mlapi=$1
    shift
fi
mlapi=$(realpath "$mlapi")
python=${ARROW_PYTHON:-$(bash "$root/benches/python.sh" tests/arrow.txt arrow-env)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" "$root/tests/arrow.py" "$mlapi" "$folder" "$root/fixtures" "$@"
