#!/usr/bin/env bash
# Plain tables, generated, as mlapi reads them beside pandas and DuckDB: delimiters, quotes, line ends, gaps, numbers,
# booleans, dates and words. Figures of every column have to be those of pandas, delimiters and types those of DuckDB's
# sniffer.
#
#     bash tests/tables.sh [MLAPI [TABLES]]     (default: target/release/mlapi, 100 tables)
#
# Tables as people write them, which those two do not read, are in tests/tables.rs.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$(realpath "${1:-$root/target/release/mlapi}")
python=$(bash "$root/benches/python.sh")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$python" "$root/tests/tables.py" "$mlapi" "${2:-100}"
