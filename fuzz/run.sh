#!/usr/bin/env bash
# Feeds arbitrary bytes to the readers of delimited text and of JSON requests, to a server in each of its dialects, to
# `predict` as a file of rows, to `train` as a table whose types are inferred (and to the model's `predict`), and to the
# loader of model files as changes of sound ones, and to the readers of other programs' model files; each for the seconds of the first argument (default 60), or only the
# targets that further arguments name. Stops at the first input on which one of them panics or breaks its rule;
# arithmetic that overflows panics. Needs Rust and a C++ compiler; the same targets run under `cargo fuzz run NAME`.
#
#     bash fuzz/run.sh [SECONDS] [TARGET | TARGET:DIALECT]…
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
dialects=(json csv ndjson v2 v2_binary mlflow mlflow_csv feedback)
targets=("$@")
[ $# -gt 0 ] || targets=(csv_reader json_request "${dialects[@]/#/http_request:}" predict_file table model_file
    import_xgboost import_lightgbm import_catboost import_onnx)

host=$(rustc -vV | sed -n 's/^host: //p')
# The flags of `cargo fuzz build --sanitizer none`: counters on every edge, and traced comparisons. No code here is
# unsafe, so an address sanitizer has nothing to find. As the target is named, build scripts are built without them.
flags=(
    --cfg fuzzing -Coverflow-checks -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
)
RUSTFLAGS=${flags[*]} cargo build --locked --release --target "$host" --bins

corpus=corpus/seeds
folder=
seeds() { folder=$corpus/$1 && mkdir -p "$folder"; }
n=0
seed() { n=$((n + 1)) && printf "$1" >"$folder/$n"; }

seeds csv_reader
for file in ../fixtures/nasty/*.csv; do
    # The first byte chooses the dialect, the second the block size; the text follows.
    { printf '\0\037'; head -c 2000 "$file"; } >"$folder/$(basename "$file")"
done
seeds json_request
seed '\0{"data":["Torgersen",39.1,18.7,181.0,3750.0,"male",2007.0],"threshold":0.5}'
seed '\001{"features":[{"question":"Is it \\u0022 here?"},{"question":null}],"lenient":true}'
seed '\002{"data":["2023-11-29T10:00:00Z","2023-11-16","2023-09-06","dry"]}'
seed '\003{"features":{"plan":"p2","region":"r20","shop":"s189","age":null,"spend":"93.66"}}'

# The first byte chooses model, content type and chunks.
row='12.5,true,p2,s17,2024-03-05,late parcel refund'
header='spend,member,plan,shop,day,said'
json='[12.5,true,"p2","s17","2024-03-05","late parcel"]'
named='{"spend":12.5,"member":"no","plan":"p9","shop":null,"day":"2024-03-05T10:00:00Z","said":"lost \\u0041"}'
for first in '\000' '\010' '\120' '\150'; do
    seeds http_request:json
    seed "$first"'{"data":'"$json"',"threshold":0.5}'
    seed "$first"'{"data":['"$json,$json"'],"explain":false}'
    seed "$first"'{"features":['"$named,{}"'],"lenient":true}'
    seeds http_request:csv
    seed "$first$header"'\n'"$row"'\n"1.5",,,s1,,"a ""b"""\n'
    seed "$first$row"'\n'
    seeds http_request:ndjson
    seed "$first$json"'\n'"$named"'\n'
    seeds http_request:v2
    seed "$first"'{"id":"1","parameters":{"threshold":0.3},"inputs":[{"name":"spend","shape":[2],"datatype":"FP64","data":[1,2]},{"name":"member","shape":[2,1],"datatype":"BOOL","data":[true,[false]]},{"name":"plan","shape":[2],"datatype":"BYTES","data":["p1","p2"]},{"name":"shop","shape":[2],"datatype":"BYTES","data":["s1","s2"]},{"name":"day","shape":[2],"datatype":"BYTES","data":["2024-01-01","2024-01-02"]},{"name":"said","shape":[2],"datatype":"BYTES","data":["late","lost"]}],"outputs":[{"name":"predict"}]}'
    seed "$first"'{"inputs":[{"name":"x","shape":[1,6],"datatype":"INT32","data":[1,1,1,1,1,1]}]}'
    seeds http_request:v2_binary
    # 139 bytes of JSON, then two doubles.
    seed "$first"'\213\0{"parameters":{"binary_data_output":true},"inputs":[{"name":"spend","shape":[2],"datatype":"FP64","parameters":{"binary_data_size":16}}]}  \0\0\0\0\0\0\360?\0\0\0\0\0\0\0@'
    seed "$first"'\141\0{"inputs":[{"name":"said","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":8}}]}  \004\0\0\0late'
    seeds http_request:mlflow
    seed "$first"'{"dataframe_split":{"index":[0],"columns":["spend","member","plan","shop","day","said"],"data":['"$json"']}}'
    seed "$first"'{"dataframe_records":['"$named"'],"params":{"a":[1]}}'
    seed "$first"'{"instances":['"$json"']}'
    seed "$first"'{"inputs":{"spend":[1,2],"member":[[true],[false]],"plan":["p1","p2"],"shop":["s1","s2"],"day":[null,null],"said":["a","b"]}}'
    seeds http_request:mlflow_csv
    seed "$first$header"'\n'"$row"'\n'
    seeds http_request:feedback
    seed "$first"'{"request_id":"r","labels":["low","high"]}'
    seed "$first"'{"request_id":"r","label":1}'
done
# The first two bytes choose form and options.
seeds predict_file
for options in '\000\000' '\300\001' '\211\003' '\066\005' '\014\045'; do
    seed "$options$header"',extra\n'"$row"',x\n1e309,maybe,,,2024-02-30,\n'
    seed "$options$row"'\n'
done
for options in '\002\000' '\012\005' '\317\003' '\036\001'; do
    seed "$options$json"'\n\n'"$named"'\n{"new":[1]}\n'
done
# Twelve rows of a column in some notation, and of a target.
seeds table
for cells in '"1,234.50" "9,148" 3' '1.299,99 950 12,5' '$12 ($5) $1,020.00' '4.2kg 11kg 0.5kg' '12% 3.5% 99%' '19.4M 870k 3' \
    '3/5/24 12/31/23 1/2/24' '2024-03-05 2024-12-31 NA' 'Mar-5-2024 5.3.2024 2024Q2' '01:30:00 26:00:00 00:00:01' \
    'a|b|c b|c a' '007 1E10 10E9' 'yes no ..' '# "quoted" Total' '9007199254740993 1 -1.7976931348623157e+308' \
    '"48.1,11.6" "12.5,-3.25" "0.5,9.75"' '(48.1;11.6) (1.5;2.25) (-7.5;0.1)' '0x1F 0xff 0x0A' '1_000 85 2_500' '85m2 7m2 12m2' \
    '12,- 9.-- 3,-'; do
    read -r one two three <<<"$cells"
    for delimiter in ',' ';' '||' '::'; do
        text="c${delimiter}label\n"
        for label in no yes yes no; do
            for cell in "$one" "$two" "$three"; do text+="${cell//%/%%}$delimiter$label\n"; done
        done
        seed "$text"
    done
done
# Pairs of numbers with a blank, and arrays.
for cells in 'POINT(11.6 48.1)|POINT(0.5 9.75)|POINT(-3.25 12.5)' '48.1 11.6|12.5 3.25|0.5 9.75'; do
    IFS='|' read -r one two three <<<"$cells"
    text='c,label\n'
    for label in no yes yes no; do text+="$one,$label\n$two,$label\n$three,$label\n"; done
    seed "$text"
done
for cells in '[48.1,11.6]|[12.5,-3.25]|[0.5,9.75]' '["a","b"]|["b","c"]|["a"]' '[1,null]|[]|"a"'; do
    IFS='|' read -r one two three <<<"$cells"
    text=
    for label in no yes yes no; do
        for cell in "$one" "$two" "$three"; do text+='{"c":'"$cell"',"label":"'"$label"'"}\n'; done
    done
    seed "$text"
done
seeds model_file
for file in $(seq 0 17); do
    for change in '\0\001\002\003' '\003\004\0\014\001' '\006\001\020\140' '\010\002\005\0' '\002\003\001'; do
        seed "\\$(printf %o "$file")$change"
    done
done

for format in xgboost:json xgboost:ubj lightgbm:txt catboost:json; do
    seeds "import_${format%:*}"
    cp "../fixtures/import/${format/:/.}" "$folder/"
done
seeds import_onnx
cp ../fixtures/import/*.onnx "$folder/"

for text in data features threshold lenient explain true false null question starts booked serviced weather plan \
    region shop age spend island sex species bill_length_mm '\\ud800' '\\u0000' 1e309 -0 2024-02-29T23:59:59+01:00 \
    member day said inputs outputs name shape datatype parameters binary_data_size binary_data_output predict_proba \
    FP64 FP32 INT64 UINT8 BOOL BYTES dataframe_split dataframe_records columns instances params request_id label \
    labels low high 18446744073709551615 'sep=;' '(5)' '1.234,5' '12%' '19.4M' 01:30:00 Mar 2024Q2 Total '#N/A' 0x4d2 \
    'POINT(1.5 2.5)' '(48.1,11.6)' '[1.5,2.5]' '||' '::' 85m2 '12,-' 1_000; do
    echo "\"$text\""
done >corpus/words

for target in "${targets[@]}"; do
    mkdir -p "corpus/$target" "artifacts/$target" "$corpus/$target"
    echo "== $target, $seconds seconds"
    dialect=${target#*:}
    if [ "$dialect" != "$target" ]; then export MLAPI_DIALECT=$dialect; else unset MLAPI_DIALECT; fi
    # A model file of another program is longer than a request.
    case $target in import_*) longest=32768 ;; *) longest=2048 ;; esac
    "target/$host/release/${target%:*}" -max_total_time="$seconds" -max_len="$longest" -timeout=10 -rss_limit_mb=2048 \
        -dict=corpus/words -print_final_stats=1 -verbosity=0 -artifact_prefix="artifacts/$target/" \
        "corpus/$target" "$corpus/$target"
done
