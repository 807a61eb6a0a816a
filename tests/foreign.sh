#!/usr/bin/env bash
# Models of XGBoost, LightGBM and CatBoost, imported and compared with their trainers, ONNX files, imported and compared with
# onnxruntime, and models of mlapi, exported and
# compared with LightGBM, SQLite and DuckDB; then the examples of docs/import.md as they stand.
#
#     bash tests/foreign.sh [MLAPI] [--quick] [NAME…]     (default: target/release/mlapi, all models)
#
# MLAPI is built with `--features import`.
# tests/foreign.py and tests/foreign_onnx.py say what is compared. The trainers are installed in target/foreign-env from tests/foreign.txt, exactly
# as written there; FOREIGN_PYTHON names a Python that has them.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$root/target/release/mlapi
if [[ $# -gt 0 && $1 != --* && -x $1 ]]; then
    mlapi=$1
    shift
fi
mlapi=$(realpath "$mlapi")
python=${FOREIGN_PYTHON:-}
if [[ -z $python ]]; then
    environment=$root/target/foreign-env
    python=$environment/bin/python
    if ! cmp -s "$root/tests/foreign.txt" "$environment/installed.txt"; then
        rm -rf "$environment"
        python3 -m venv "$environment"
        "$python" -m pip install --quiet --no-compile --no-deps --requirement "$root/tests/foreign.txt"
        cp "$root/tests/foreign.txt" "$environment/installed.txt"
    fi
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" "$root/tests/foreign.py" "$mlapi" "$folder" "$root/fixtures" "$@"
"$python" "$root/tests/foreign_onnx.py" "$mlapi" "$folder" "$@"

# The examples: each block of Python and of the shell in turn.
mkdir "$folder/docs"
cp "$root"/fixtures/*.csv "$folder/docs"
awk -v folder="$folder/docs" '
    /^```(python|sh)$/ { n++; name = sprintf("%s/block%02d.%s", folder, n, substr($0, 4)); inside = 1; next }
    /^```/ { inside = 0 }
    inside { print > name }
' "$root/docs/import.md"
cd "$folder/docs"
mkdir bin
ln -s "$mlapi" bin/mlapi
for block in block*; do
    echo "docs/import.md: $block"
    case $block in
        *.python) "$python" "$block" ;;
        *.sh) PATH=$PWD/bin:$PATH bash -euo pipefail "$block" >"$block.out" || { cat "$block.out"; exit 1; } ;;
    esac
done
