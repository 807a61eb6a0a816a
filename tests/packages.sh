#!/usr/bin/env bash
# What users install, built, installed into a fresh prefix, and run: the wheel, the Debian package, and the plan of a
# release.
#
#     bash tests/packages.sh [MLAPI] [--release]     (default: target/debug/mlapi)
#
# The Debian package holds MLAPI as it is. The wheel is built by maturin with the profile of MLAPI's cargo build, dev,
# so that nothing is compiled twice; with --release both are built as they are shipped: static, by the profile dist.
# The tools are installed in target/packages from tests/packages.txt.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$root/target/debug/mlapi
release=
for argument in "$@"; do
    case $argument in
        --release) release=yes ;;
        *) mlapi=$(realpath --canonicalize-missing "$argument") ;;
    esac
done
tools=$(dirname "$(bash "$root/benches/python.sh" tests/packages.txt packages)")
python=$(bash "$root/benches/python.sh" tests/python.txt python-package)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
say() { printf -- '-- %s\n' "$*"; }
try() {
    (
        cd "$folder"
        rm -f model.mlapi
        "$1" train "$root/fixtures/iris.csv" --quiet >/dev/null
        [[ $("$1" predict --features 5.1,3.5,1.4,0.2) == setosa* ]]
        "$1" --version
    )
}
cd "$root"

say "the wheel"
host=$(rustc -vV | sed -n 's/^host: //p')
if [[ -n $release ]]; then
    export RUSTFLAGS="-C target-feature=+crt-static"
    (cd python && "$tools/maturin" build --quiet --profile dist --target "$host" --target-dir "$root/target/static" --out "$folder")
    mlapi=$root/target/static/$host/dist/mlapi
else
    (cd python && "$tools/maturin" build --quiet --profile dev --compatibility linux --target-dir "$root/target" --out "$folder")
fi
wheel=$(echo "$folder"/mlapi-*.whl)
echo "${wheel##*/}: $(($(stat --format %s "$wheel") / 1000)) kB"
"$python" -m venv --without-pip "$folder/wheel"
"$python" -m pip --python "$folder/wheel/bin/python" install --quiet --no-deps --no-index --disable-pip-version-check "$wheel"
try "$folder/wheel/bin/mlapi"
packages=$("$python" -c 'import site; print(site.getsitepackages()[0])')
env -u MLAPI_PROGRAM PYTHONPATH="$packages" "$folder/wheel/bin/python" - "$folder" <<'END'
import sys

import mlapi

assert mlapi.__file__.startswith(sys.argv[1]) and mlapi.find_program().startswith(sys.argv[1])
model = mlapi.load(f"{sys.argv[1]}/model.mlapi")
assert model.predict([{name: value for name, value in zip(model.features, [5.1, 3.5, 1.4, 0.2])}]) == ["setosa"]
END

# What is packaged, without most fixtures, in a folder that may be written to.
copy=$folder/copy
mkdir -p "$copy/fixtures"
git ls-files -z --cached --others --exclude-standard -- ':!fixtures' ':!fuzz' | xargs -0 cp --parents -t "$copy"
cp fixtures/iris.csv "$copy/fixtures"
cd "$copy"

say "the plan of a release"
# dist wants the address of the repository, which Cargo.toml has once there is one.
git init --quiet
grep -q '^repository' Cargo.toml || sed -i '0,/^license = /s##repository = "https://github.com/OWNER/mlapi"\nlicense = #' Cargo.toml
if ! "$tools/dist" generate --check >dist.out 2>&1; then
    tail -20 dist.out >&2
    echo "release.yml does not follow from dist-workspace.toml: run dist generate" >&2
    exit 1
fi
"$tools/dist" plan 2>/dev/null >plan
grep -q 'mlapi-installer.sh' plan
grep -q 'mlapi.rb' plan
grep -c 'tar.xz$' plan | sed 's/$/ archives, installer and formula/'

say "the Debian package"
if ! command -v dpkg >/dev/null; then
    echo "this is no Debian: the package is not built"
    exit
fi
# A target folder of its own, with the program where cargo would have put it.
mkdir -p target/release target/completions
strip -o target/release/mlapi "$mlapi" 2>/dev/null || cp "$mlapi" target/release/mlapi
for pair in bash:mlapi zsh:_mlapi fish:mlapi.fish; do
    "$mlapi" completions "${pair%%:*}" >"target/completions/${pair#*:}"
done
# This cargo-deb is older than the edition, and compiles nothing here.
sed -i 's/^edition = "2024"/edition = "2021"/' Cargo.toml
CARGO_TARGET_DIR=$copy/target "$tools/cargo-deb" --no-build --no-strip --quiet --output "$folder/mlapi.deb"
echo "mlapi.deb: $(($(stat --format %s "$folder/mlapi.deb") / 1000)) kB"
prefix=$folder/debian
mkdir -p "$prefix/var/lib/dpkg/"{updates,info}
touch "$prefix/var/lib/dpkg/"{status,available}
into() { dpkg --root="$prefix" --force-not-root --force-script-chrootless --log=/dev/null "$@" >/dev/null; }
into --install "$folder/mlapi.deb"
try "$prefix/usr/bin/mlapi"
for page in man/*.1; do
    test -s "$prefix/usr/share/man/man1/$(basename "$page").gz"
done
bash -n "$prefix/usr/share/bash-completion/completions/mlapi"
test -s "$prefix/usr/share/zsh/vendor-completions/_mlapi"
test -s "$prefix/usr/share/fish/vendor_completions.d/mlapi.fish"
if command -v systemd-analyze >/dev/null; then
    sed -i "s|^ExecStart=mlapi|ExecStart=$prefix/usr/bin/mlapi|" "$prefix/usr/lib/systemd/system/mlapi.service"
    systemd-analyze verify --man=no "$prefix/usr/lib/systemd/system/mlapi.service"
fi
into --purge mlapi
[[ ! -e $prefix/usr/bin/mlapi ]]
