#!/usr/bin/env bash
# Predictions on PySpark, Ray and Dask, each as a local cluster of two workers: the same bits as `mlapi predict`, also
# after a worker was killed, and how much time the jobs take.
#
#     bash tests/engines.sh [MLAPI] [--quick] [spark] [ray] [dask]     (default: target/release/mlapi, all engines)
#
# MLAPI is built with `--features parquet,import`. 1,000,000 rows of 20 numbers and times; --quick: 20,000 rows, no times.
# tests/engines.py says what is compared. The engines are installed in target/engines from tests/engines.txt, and Java,
# for Spark, from Debian if it is missing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$root/target/release/mlapi
if [[ $# -gt 0 && $1 != -* && -x $1 ]]; then
    mlapi=$1
    shift
fi
mlapi=$(realpath "$mlapi")
arguments=()
engines=()
for argument in "$@"; do
    case $argument in
        --quick) arguments=(--quick --rows 20000) ;;
        spark | ray | dask) engines+=("$argument") ;;
        *) echo "engines.sh: $argument is no engine: spark, ray, dask" >&2; exit 2 ;;
    esac
done
if [[ ${#engines[@]} -eq 0 || " ${engines[*]} " == *" spark "* ]] && ! command -v java >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq default-jre-headless >/dev/null ||
        { apt-get update -qq && apt-get install -y -qq default-jre-headless >/dev/null; }
fi
python=$(bash "$root/benches/python.sh" tests/engines.txt engines)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/packages"
cp -r "$root/python/mlapi" "$folder/packages"
# The workers of Spark are started by a Python of this name.
export SPARK_LOCAL_IP=127.0.0.1 PYSPARK_PYTHON=$python PYTHONPATH=$folder/packages RAY_USAGE_STATS_ENABLED=0 PYTHONDONTWRITEBYTECODE=1
mkdir "$folder/work"
"$python" "$root/tests/engines.py" "$mlapi" "$folder/work" "${engines[@]}" "${arguments[@]}"

# The examples of docs/engines.md, those that begin with the name of an engine, each a program, and the one for shells.
mkdir "$folder/docs" "$folder/bin"
cp "$root/fixtures/breast_cancer.csv" "$folder/docs"
ln -s "$mlapi" "$folder/bin/mlapi"
awk -v folder="$folder/docs" '
    /^```sh$/ { name = folder "/example.sh"; inside = 1; next }
    /^```python$/ { getline; if ($0 ~ /^# (spark|ray|dask|duckdb)$/) { name = folder "/example_" $2 ".py"; inside = 1 } next }
    /^```/ { inside = 0 }
    inside { print > name }
' "$root/docs/engines.md"
cd "$folder/docs"
export PATH=$folder/bin:$PATH MLAPI_PROGRAM=$mlapi
"$mlapi" train breast_cancer.csv --algorithm boost --quiet >/dev/null
for engine in ${engines[@]:-spark ray dask} duckdb; do
    "$python" "example_$engine.py" >"$engine.out" 2>&1 || { tail -30 "$engine.out" >&2; exit 1; }
    echo "docs/engines.md: $engine"
done
bash -euo pipefail example.sh
"$mlapi" predict --input breast_cancer.csv --output whole.csv --quiet
awk 'FNR > 1 || NR == 1' parts/*.scored | cmp - whole.csv
echo "docs/engines.md: shells"
