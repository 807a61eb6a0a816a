#!/usr/bin/env bash
# Feeds arbitrary bytes to the readers of delimited text and of JSON requests, each for the seconds of the first
# argument (default 60), and stops at the first input on which one of them panics or differs from its reference. Needs
# Rust and a C++ compiler; the same targets run under `cargo fuzz run NAME`.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}

host=$(rustc -vV | sed -n 's/^host: //p')
# The flags of `cargo fuzz build --sanitizer none`: counters on every edge, and traced comparisons. No code here is
# unsafe, so an address sanitizer has nothing to find. As the target is named, build scripts are built without them.
flags=(
    --cfg fuzzing -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
)
RUSTFLAGS=${flags[*]} cargo build --locked --release --target "$host" --bins

corpus=corpus/seeds
mkdir -p $corpus/csv_reader $corpus/json_request
for file in ../fixtures/nasty/*.csv; do
    # The first byte chooses the dialect, the second the block size; the text follows.
    { printf '\0\037'; head -c 2000 "$file"; } >"$corpus/csv_reader/$(basename "$file")"
done
seed() { printf "$2" >"$corpus/json_request/$1"; }
seed 0 '\0{"data":["Torgersen",39.1,18.7,181.0,3750.0,"male",2007.0],"threshold":0.5}'
seed 1 '\001{"features":[{"question":"Is it \\u0022 here?"},{"question":null}],"lenient":true}'
seed 2 '\002{"data":["2023-11-29T10:00:00Z","2023-11-16","2023-09-06","dry"]}'
seed 3 '\003{"features":{"plan":"p2","region":"r20","shop":"s189","age":null,"spend":"93.66"}}'
for text in data features threshold lenient explain true false null question starts booked serviced weather plan \
    region shop age spend island sex species bill_length_mm '\\ud800' '\\u0000' 1e309 -0 2024-02-29T23:59:59+01:00; do
    echo "\"$text\""
done >corpus/words

for target in csv_reader json_request; do
    mkdir -p "corpus/$target" "artifacts/$target"
    echo "== $target, $seconds seconds"
    "target/$host/release/$target" -max_total_time="$seconds" -max_len=2048 -timeout=10 -rss_limit_mb=2048 \
        -dict=corpus/words -print_final_stats=1 -verbosity=0 -artifact_prefix="artifacts/$target/" \
        "corpus/$target" "$corpus/$target"
done
