#!/usr/bin/env bash
# The commands of docs/reach.md, as they stand.
#
#     bash tests/reach.sh [MLAPI]     (default: target/release/mlapi)
#
# MLAPI is built with `--features parquet`. Its Dockerfile is run by deploy/check.sh, and docs/engines.md by
# tests/engines.sh. pyarrow is installed in target/arrow-env from tests/arrow.txt.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$(realpath "${1:-$root/target/release/mlapi}")
python=$(bash "$root/benches/python.sh" tests/arrow.txt arrow-env)
folder=$(mktemp -d)
block=
trap '[[ -z $block ]] || kill "$block" 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/bin"
ln -s "$mlapi" "$folder/bin/mlapi"
export PATH=$folder/bin:$PATH
cd "$folder"

# What the commands read: a model of iris.csv, its rows as a stream, and a table with a column `label`.
cp "$root/fixtures/iris.csv" data.csv
mlapi train data.csv --quiet >/dev/null
"$python" - <<'END'
import random
import pyarrow as pa, pyarrow.csv

random.seed(1)
rows = pyarrow.csv.read_csv("data.csv").drop_columns("species")
with pa.ipc.new_stream("rows.arrows", rows.schema) as stream:
    stream.write_table(rows, max_chunksize=40)
with open("big.csv", "w") as file:
    print("a,b,label", file=file)
    for _ in range(4000):
        a, b = random.random(), random.random()
        print(f"{a:.4f},{b:.4f},{'yes' if a + b > 1 else 'no'}", file=file)
END

awk '
    /^```sh$/ { n++; inside = 1; next }
    /^```/ { inside = 0 }
    inside { print > ("block" n ".sh") }
' "$root/docs/reach.md"

# Runs a block; a server in it is ended, as by whoever typed the command, once it answers.
run() {
    bash -euo pipefail "$1" >"$1.out" 2>"$1.err" &
    block=$!
    if grep -q ' serve ' "$1"; then
        for _ in $(seq 100); do
            grep -q 'listening on' "$1.out" && break
            sleep 0.1
        done
        curl -sS --max-time 5 -d '{"data":[5.1,3.5,1.4,0.2]}' http://127.0.0.1:8080/predict >answer
        kill -TERM "$(pgrep --parent "$block")"
    fi
    wait "$block" || { cat "$1" "$1.out" "$1.err" >&2; exit 1; }
    block=
}

shown=0
for script in block*.sh; do
    run "$script"
    case $(<"$script") in
        *'mlapi bundle'*)
            grep -q '"prediction":"setosa"' answer
            grep -q '^setosa' "$script.out"
            grep -q 'logistic-regression' "$script.out"
            ;;
        *rows.arrows*)
            "$python" -c '
import pyarrow as pa
batches = list(pa.ipc.open_stream("predictions.arrows"))
assert [batch.num_rows for batch in batches] == [40, 40, 40, 30]
assert batches[0].schema.names == ["prediction", "probability"], batches[0].schema
'
            ;;
        *--all-rows*) mlapi inspect >inspected 2>&1; grep -q '200 of 4000 rows; 3[0-9]* others were fitted' inspected ;;
        *--sample*) mlapi inspect >inspected 2>&1; grep -q 'sample of 200 of 4000 rows' inspected ;;
        *--trial-file*)
            # The members that the table below it names.
            sed -n 's/^| `\(objective[a-z_]*\)` .*/\1/p' "$root/docs/reach.md" >members
            [[ $(wc -l <members) -eq 4 ]]
            while read -r member; do grep -q "\"$member\":" "$script.out"; done <members
            ;;
        *) echo "reach.sh: nothing is known of what this block does" >&2; cat "$script" >&2; exit 1 ;;
    esac
    shown=$((shown + 1))
done
[[ $shown -eq 5 ]] || { echo "reach.sh: $shown blocks, where 5 are known" >&2; exit 1; }
echo "docs/reach.md: $shown blocks of commands do what they say"
