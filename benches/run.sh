#!/usr/bin/env bash
# Measures mlapi, compared with the scripts it replaces, and prints the ratios:
#
#     bash benches/run.sh [--quick] [--only a,b,c,d] [--mlapi FILE]
#
# Sets up what it needs (Python packages in target/python, wrk from Debian if root), builds with benches/build.sh,
# then runs benches/run.py, whose first comment says how each number is made. The exit status is 0 if everything
# could be measured, whatever the figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'run.sh: %s\n' "$*" >&2; }

for argument in "$@"; do
    if [[ $argument == -h || $argument == --help ]]; then
        exec python3 benches/run.py --help
    fi
done

if ! command -v wrk >/dev/null; then
    if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
        say 'installing wrk'
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq wrk >&2 ||
            { apt-get update -qq >&2 && apt-get install -y -qq wrk >&2; }
    else
        say 'wrk is missing; install it (Debian, Ubuntu: apt-get install wrk)'
        exit 1
    fi
fi
if ! command -v taskset >/dev/null; then
    say 'taskset is missing; install it (Debian, Ubuntu: apt-get install util-linux)'
    exit 1
fi

PY=$(bash benches/python.sh)
export BENCH_BIN
BENCH_BIN=$(bash benches/build.sh)

# exec, so that a signal to this script reaches run.py, which stops its servers.
exec "$PY" benches/run.py "$@"
