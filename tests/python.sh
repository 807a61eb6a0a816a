#!/usr/bin/env bash
# The Python package: installed into a fresh prefix with a program, its types checked by mypy, and tested with real
# pandas, polars and scikit-learn, whose check_estimator is among the tests.
#
#     bash tests/python.sh [MLAPI] [--quick] [PYTEST ARGUMENT…]     (default: target/release/mlapi)
#
# MLAPI is built with `--features parquet`. --quick leaves out the checks of the default estimators, which compare many
# algorithms in each of a hundred fits. The packages of tests/python.txt are installed in target/python-package.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$root/target/release/mlapi
if [[ $# -gt 0 && $1 != -* && -x $1 ]]; then
    mlapi=$1
    shift
fi
quick=()
if [[ ${1:-} == --quick ]]; then
    quick=(-m 'not slow')
    shift
fi
python=$(bash "$root/benches/python.sh" tests/python.txt python-package)

echo "-- types"
(cd "$root/python" && "$python" -m mypy --no-incremental --cache-dir /dev/null)

echo "-- a fresh prefix"
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
packages=$prefix/lib/$("$python" -c 'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}")')/site-packages
install -D --mode 755 "$mlapi" "$prefix/bin/mlapi"
mkdir -p "$packages"
cp -r "$root/python/mlapi" "$packages"

echo "-- tests"
# Not in the folder of the package, which would be imported instead of what is installed.
cd "$prefix"
unset MLAPI_PROGRAM
export PYTHONPATH=$packages PYTHONDONTWRITEBYTECODE=1
"$python" -c 'import mlapi, sys; sys.exit(not mlapi.__file__.startswith(sys.argv[1]))' "$prefix"
"$python" -m pytest -c "$root/python/pyproject.toml" -p no:cacheprovider "${quick[@]}" "$root/python/tests" "$@"

echo "-- the examples of docs/python.md"
folder=$prefix/docs
mkdir "$folder"
cp "$root"/fixtures/*.csv "$folder"
awk -v folder="$folder" '
    /^```(python|sh)$/ { n++; name = sprintf("%s/block%02d.%s", folder, n, substr($0, 4)); inside = 1; next }
    /^```/ { inside = 0 }
    inside { print > name }
' "$root/docs/python.md"
cd "$folder"
for block in block*; do
    case $block in
        *.python) "$python" "$block" ;;
        *.sh) PATH=$prefix/bin:$PATH bash -euo pipefail "$block" >/dev/null ;;
    esac
done
