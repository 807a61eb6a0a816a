#!/usr/bin/env bash
# Measures `mlapi serve` as it is used in production, compared with FastAPI, Flask and a bare hyper server:
#
#     bash benches/serve.sh [--quick] [--only NAME,…] [--mlapi FILE]
#
# Sets up what it needs (Python packages in target/python, wrk from Debian if root), builds with benches/build.sh,
# then runs benches/serve.py, whose first comment says how each number is made. The exit status is 0 if everything
# could be measured, whatever the figures; a failed or wrong answer ends the measurement.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for argument in "$@"; do
    if [[ $argument == -h || $argument == --help ]]; then
        exec python3 benches/serve.py --help
    fi
done

if ! command -v wrk >/dev/null; then
    if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
        printf 'serve.sh: installing wrk\n' >&2
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq wrk >&2 ||
            { apt-get update -qq >&2 && apt-get install -y -qq wrk >&2; }
    else
        printf 'serve.sh: wrk is missing; install it (Debian, Ubuntu: apt-get install wrk)\n' >&2
        exit 1
    fi
fi

PY=$(bash benches/python.sh)
export BENCH_BIN
BENCH_BIN=$(bash benches/build.sh)

exec "$PY" benches/serve.py "$@"
