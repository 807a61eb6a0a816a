# What the tests in a browser need; sourced by tests/report.sh and tests/page.sh, which set `root` and `missing`, the
# packages of Debian that they lack.
#
# Sets `browser`, and `tools`, the folder of the npm packages of tests/report.json; installs what is missing.

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
tools=$root/target/report
[ -n "$browser" ] || missing+=(chromium)
command -v npm >/dev/null || missing+=(nodejs npm)
fc-list 2>/dev/null | grep -q . || missing+=(fonts-dejavu-core)
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    browser=${browser:-$(command -v chromium)}
fi
if ! cmp -s "$root/tests/report.json" "$tools/package.json"; then
    mkdir -p "$tools"
    (cd "$tools" && cp "$root/tests/report.json" new.json && cp new.json package.json &&
        npm install --no-audit --no-fund --silent || { rm -f package.json; exit 1; })
fi
