#!/usr/bin/env bash
# What other systems compile and Linux on x86-64 does not, type-checked here, where there is no standard library for them:
# the sources with their conditions turned as they are on macOS (no Linux, unix) and on Windows (no unix), on a processor
# that is not x86-64.
#
#     bash tests/portable.sh
#
# On Windows' side names of Unix alone are not there: std::os::unix, the sockets and signals of Unix, the crate rustix.
# Not checked: the branches of dependencies for these systems, which their own tests hold, and whether it runs.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cd "$root"
git ls-files -z --cached --others --exclude-standard -- Cargo.toml Cargo.lock build.rs src benches README.md docs/library.md |
    xargs -0 cp --parents -t "$copy"

# The conditions of the system, in attributes and in cfg!(…).
turn() {
    find "$copy/src" "$copy/build.rs" -name '*.rs' -exec sed -i -E "$@" {} +
}

check() {
    local name=$1 features=$2
    (cd "$copy" && cargo check --quiet --locked --lib --bins $features --target-dir "$root/target") 2>"$copy/said" || {
        cat "$copy/said" >&2
        echo "portable.sh: not what $name compiles" >&2
        exit 1
    }
    if grep '^warning' "$copy/said"; then
        cat "$copy/said" >&2
        exit 1
    fi
    echo "$name, ${features:-default features}: type-checked"
}

turn -e '/cfg/ s/target_arch = "x86_64"/any()/g' -e '/cfg/ s/target_os = "linux"/any()/g'
check "macOS on ARM" ""

turn -e '/cfg/ s/\bunix\b/any()/g' -e 's/\b(os|signal)::unix\b/\1::absent/g' -e 's/\bUnix(Listener|Stream|Datagram)\b/Absent\1/g'
sed -i "s/^\[target.'cfg(unix)'.dependencies\]/[target.'cfg(any())'.dependencies]/" "$copy/Cargo.toml"
# What lacks Unix lacks more than what lacks Linux, so all features are checked here.
check "Windows on ARM" --all-features
