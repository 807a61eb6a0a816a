#!/usr/bin/env bash
# What a server on the open network meets, against `mlapi serve`: ten times too many clients, clients that send or
# read slowly (slowhttptest), ten thousand that say nothing, bodies that break off, and a model file whose writer
# is killed in the midst of it. Loopback only, under 100 seconds.
#
#     bash tests/robust.sh [MLAPI] [CHECK…]     (default: target/release/mlapi, all checks)
#
# tests/robust.py says what each check asserts. slowhttptest is installed from Debian where it is missing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$(realpath "${1:-$root/target/release/mlapi}")
shift || true
if ! command -v slowhttptest >/dev/null; then
    if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq slowhttptest >/dev/null ||
            { apt-get update -qq && apt-get install -y -qq slowhttptest >/dev/null; }
    else
        printf 'robust.sh: slowhttptest is missing; install it (Debian, Ubuntu: apt-get install slowhttptest)\n' >&2
        exit 1
    fi
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 "$root/tests/robust.py" "$mlapi" "$root/fixtures" "$@"
