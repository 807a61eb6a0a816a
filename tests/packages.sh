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
        *) mlapi=$argument ;;
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

say "the Debian package"
if ! command -v dpkg >/dev/null; then
    echo "this is no Debian: the package is not built"
else
    # A target folder of its own, with the program where cargo would have put it.
    mkdir -p "$folder/target/release" target/completions
    cp "$mlapi" "$folder/target/release/mlapi"
    for pair in bash:mlapi zsh:_mlapi fish:mlapi.fish; do
        "$mlapi" completions "${pair%%:*}" >"target/completions/${pair#*:}"
    done
    CARGO_TARGET_DIR=$folder/target "$tools/cargo-deb" --no-build --no-strip --quiet --output "$folder/mlapi.deb"
    echo "mlapi.deb: $(($(stat --format %s "$folder/mlapi.deb") / 1000)) kB"
    prefix=$folder/debian
    mkdir -p "$prefix/var/lib/dpkg/"{updates,info}
    touch "$prefix/var/lib/dpkg/"{status,available}
    dpkg --root="$prefix" --force-not-root --force-script-chrootless --log=/dev/null --install "$folder/mlapi.deb" >/dev/null
    try "$prefix/usr/bin/mlapi"
    for verb in man/*.1; do
        test -s "$prefix/usr/share/man/man1/$(basename "$verb").gz"
    done
    bash -n "$prefix/usr/share/bash-completion/completions/mlapi"
    test -s "$prefix/usr/share/zsh/vendor-completions/_mlapi"
    test -s "$prefix/usr/share/fish/vendor_completions.d/mlapi.fish"
    if command -v systemd-analyze >/dev/null; then
        systemd-analyze --root="$prefix" --man=no verify "$prefix/usr/lib/systemd/system/mlapi.service"
    fi
    dpkg --root="$prefix" --force-not-root --force-script-chrootless --log=/dev/null --purge mlapi >/dev/null
    [[ ! -e $prefix/usr/bin/mlapi ]]
fi

say "the plan of a release"
# dist wants the address of the repository, which Cargo.toml has once there is one, and writes what it finds different.
mkdir "$folder/dist"
git ls-files -z --cached --others --exclude-standard -- ':!fixtures' ':!fuzz' | xargs -0 cp --parents -t "$folder/dist"
mkdir -p "$folder/dist/fixtures" && cp fixtures/iris.csv "$folder/dist/fixtures"
cd "$folder/dist"
git init --quiet
grep -q '^repository' Cargo.toml || sed -i '0,/^license = /s##repository = "https://github.com/OWNER/mlapi"\nlicense = #' Cargo.toml
"$tools/dist" generate --check 2>/dev/null || { echo "release.yml does not follow from dist-workspace.toml: dist generate" >&2; exit 1; }
"$tools/dist" plan 2>/dev/null | tee plan
grep -q 'mlapi-installer.sh' plan
grep -q 'mlapi.rb' plan
