#!/usr/bin/env bash
# `train --sample` of a file that is read as a stream: time and peak memory, which hold for a file of four times the rows.
#
#     bash benches/sample.sh [MLAPI] [--quick]     (default: target/release/mlapi; needs GNU time)
#
# Generates 20,000,000 rows × 10 (1.3 GB; --quick: 1,000,000) with awk in $TMPDIR. Every row that is not in the sample has to
# be evaluated; with --all-rows, which is tried last, to be fitted or evaluated, in at most so many bytes a row more.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$root/target/release/mlapi
if [[ $# -gt 0 && $1 != --* && -x $1 ]]; then
    mlapi=$1
    shift
fi
mlapi=$(realpath "$mlapi")
rows=20000000
[[ ${1:-} == --quick ]] && rows=1000000
sample=$((rows / 20))
if [ ! -x /usr/bin/time ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq time >/dev/null ||
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq time >/dev/null; }
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

generate() {
    awk -v rows="$1" 'BEGIN {
        srand(1)
        print "x0,x1,x2,x3,x4,x5,x6,x7,x8,y"
        for (i = 0; i < rows; i++) {
            line = ""
            for (k = 0; k < 9; k++) { x[k] = rand() * 100; line = line sprintf("%.3f,", x[k]) }
            print line (x[0] + x[1] / 2 - x[2] / 3 + rand() * 40 > 80 ? "yes" : "no")
        }
    }'
}
peak() { awk -F': ' '/Maximum resident/ { print int($2 / 1000) }' "$1"; }

declare -A peaks
for n in $((rows / 4)) "$rows"; do
    generate "$n" >big.csv
    /usr/bin/time -v "$mlapi" train big.csv --sample "$sample" --algorithm boost --set n_estimators=40 --format json \
        >result.json 2>time.txt
    evaluated=$(python3 -c 'import json; print(json.load(open("result.json"))["n_rows"])')
    [ "$evaluated" -eq $((n - sample)) ] || { echo "$evaluated of $((n - sample)) rows were evaluated" >&2; exit 1; }
    peaks[$n]=$(peak time.txt)
    echo "$((n * 10)) cells, $(($(stat --format %s big.csv) / 1000000)) MB: sample of $sample rows, $evaluated others evaluated," \
        "$(awk -F'): ' '/Elapsed/ { print $2 }' time.txt) on the clock, ${peaks[$n]} MB at most"
done
peaks_of_sample=${peaks[$rows]}
n=$rows
/usr/bin/time -v "$mlapi" train big.csv --sample "$sample" --all-rows --algorithm boost --set n_estimators=40 --format json \
    >result.json 2>time.txt
python3 - "$n" "$sample" "$(peak time.txt)" "$peaks_of_sample" "$(awk -F'): ' '/Elapsed/ { print $2 }' time.txt)" <<'END'
import json, sys

n, sample, peak, before = map(int, sys.argv[1:5])
result = json.load(open("result.json"))
assert result["n_train"] + result["n_rows"] == n - sample, result
print(f"{n * 10} cells, all rows: {result['n_train']} fitted in {result['fit_seconds']:.1f} s, {result['n_rows']} evaluated,"
      f" {sys.argv[5]} on the clock, {peak} MB at most; log loss {result['metrics']['log_loss']:.4f}")
# Nine bytes of columns, and some 60 of row numbers, label, score, derivatives and what a tree grows on.
assert peak - before < 100e-6 * result["n_train"], (peak, before)
END
# The sample alone, and what holds its rows while it is drawn, is in memory.
[ "${peaks[$rows]}" -le $((peaks[$((rows / 4))] * 13 / 10 + 20)) ] ||
    { echo "memory grows with the rows: ${peaks[*]} MB" >&2; exit 1; }
