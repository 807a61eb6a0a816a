#!/usr/bin/env bash
# `mlapi serve` under the conditions of an open network: ten times too many clients, clients that send or read slowly
# (slowhttptest), ten thousand idle ones, truncated bodies, and a model file whose writer is killed while it writes.
# Loopback only, under 100 seconds.
#
#     bash tests/robust.sh [MLAPI] [CHECK…]     (default: target/release/mlapi, all checks)
#
# tests/robust.py says what each check asserts. If slowhttptest is missing, it is installed from Debian.
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
