#!/usr/bin/env bash
# Requests that are written to do harm, against `mlapi serve` with its default flags: small JSON that grows in memory,
# headers of a million columns, shapes without data, rows times classes, endless names, clients that leave, read or send
# nothing. Loopback only.
#
#     bash tests/hostile.sh [--quick] [--report-only] [--mlapi FILE] [WORD…]     (default: target/release/mlapi)
#
# Each request is sent alone, and then all of them are mixed, with the health check asked beside them; a table says what
# each took. WORDs choose requests by parts of their names. tests/hostile.py says what has to hold; with --report-only
# nothing has to, --quick mixes for a few seconds. Needs Python.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$root/target/release/mlapi
rest=()
while [ $# -gt 0 ]; do
    case $1 in
    --mlapi) mlapi=$2 && shift ;;
    *) rest+=("$1") ;;
    esac
    shift
done
mlapi=$(realpath "$mlapi")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 "$root/tests/hostile.py" "$mlapi" "$root/fixtures" "${rest[@]}"
