#!/usr/bin/env bash
# Two replicas behind HAProxy under load: both replaced one after the other, and one killed. Counts the answers.
#
#     bash tests/replicas.sh [MLAPI] [--quick]     (default: target/release/mlapi)
#
# tests/replicas.py says what has to hold. Each replica is a bundle. As root on Debian or Ubuntu it installs haproxy if that
# is missing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$root/target/release/mlapi
if [[ $# -gt 0 && $1 != --* && -x $1 ]]; then
    mlapi=$1
    shift
fi
mlapi=$(realpath "$mlapi")
if ! command -v haproxy >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends haproxy >/dev/null ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends haproxy >/dev/null; }
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$root/fixtures/iris.csv" "$folder"
cd "$folder"
"$mlapi" -q train iris.csv --algorithm logreg >/dev/null
"$mlapi" bundle --output churn-1 >/dev/null
"$mlapi" -q train iris.csv --algorithm tree >/dev/null
./churn-1 bundle --model model.mlapi --output churn-2 >/dev/null
rm model.mlapi
python3 "$root/tests/replicas.py" "$root/deploy/haproxy.cfg" "$@"
