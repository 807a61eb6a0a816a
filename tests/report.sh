#!/usr/bin/env bash
# Reports in a real browser: every section is there, nothing is loaded, nothing breaks the content security policy, names
# that are markup stay text, no element is wider than a phone, axe-core finds nothing, charts are whole in print.
#
#     bash tests/report.sh [MLAPI]     (default: target/release/mlapi)
#
# Debian's chromium is installed if there is none; playwright-core and axe-core come from npm, once, into target/report.
# With SHOTS=FOLDER the pages are kept there as pictures; PAGES="cancer.html /report" checks only these.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$(realpath "${1:-$root/target/release/mlapi}")

missing=()
# shellcheck source=tests/browser.sh
source "$root/tests/browser.sh"

folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
cp "$root"/fixtures/{iris,penguins,breast_cancer,diabetes}.csv .
node "$root/tests/report.mjs" data

train() { "$mlapi" --quiet train "$@" >/dev/null; }
report() { "$mlapi" --quiet eval "$@" >/dev/null; }
train iris.csv --algorithm tree --output iris.mlapi
train penguins.csv --algorithm forest --calibrate temperature --conformal 0.9 --output penguins.mlapi
train breast_cancer.csv --algorithm logreg --calibrate sigmoid --optimize f1 --conformal 0.9 --output cancer.mlapi
train breast_cancer.csv --algorithm tree --output cancer_tree.mlapi
train diabetes.csv --algorithm ridge --interval 0.9 --output diabetes.mlapi
train markup.csv --algorithm tree --output markup.mlapi
train fifty.csv --algorithm naive-bayes --output fifty.mlapi
for model in iris penguins cancer diabetes markup fifty; do
    by=()
    [ $model != penguins ] || by=(--by island --by body_mass_g)
    report --model $model.mlapi "${by[@]}" --report $model.html
done
report --model cancer.mlapi --model cancer_tree.mlapi --report both.html
drift() { "$mlapi" --quiet drift "$@" >/dev/null; }
drift --model penguins.mlapi shifted.csv --report drift.html
drift --model markup.mlapi markup_new.csv --report drift_markup.html
drift --model diabetes.mlapi diabetes.csv --report drift_diabetes.html

"$mlapi" serve --port 0 --model iris.mlapi --model diabetes.mlapi >out 2>err &
server=$!
for _ in $(seq 100); do
    url=$(grep -o 'http://[0-9.:]*' out | head -1) && [ -n "$url" ] && break
    sleep 0.1
done

NODE_PATH=$tools/node_modules BROWSER=$browser node "$root/tests/report.mjs" check "$url"
kill -TERM "$server"
wait "$server"
server=
