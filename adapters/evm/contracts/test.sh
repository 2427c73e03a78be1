#!/usr/bin/env bash
# The contracts alone: the artifacts are those of the sources, all tests of forge pass on them (unit,
# fuzz, invariant), and gas is what docs/gas.md says. Needs node (18 or newer) with npm; all else is
# pinned by package-lock.json.
set -euo pipefail
cd "$(dirname "$0")"

skip() {
    echo "SKIPPED: the contracts' tests: $*"
    exit 0
}

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    skip "node and npm are not installed"
fi
# What the environment says of forge must not change what is tested.
unset "${!FOUNDRY_@}"
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT

# Packages: those of the lock file, whatever was there before.
if [ ! -d node_modules ] || ! npm ls --offline >/dev/null 2>&1; then
    if ! npm ci --ignore-scripts --no-audit --no-fund >"$log/npm" 2>&1; then
        rm -rf node_modules
        # A lock file that does not suit, or packages that are others, are faults and no want of network.
        if grep -qE 'code (EUSAGE|EINTEGRITY)' "$log/npm"; then
            cat "$log/npm"
            exit 1
        fi
        skip "npm packages cannot be had: $(grep -im 1 'npm err' "$log/npm" || tail -n 1 "$log/npm")"
    fi
fi
forge=$(node tools/tool.js forge)

# Two compilations side by side: of the sources alone, and of everything for the tests.
node tools/artifacts.js --check >"$log/artifacts" 2>&1 &
artifacts=$!
"$forge" build --quiet
if ! wait "$artifacts"; then
    cat "$log/artifacts"
    exit 1
fi
cat "$log/artifacts"

if ! "$forge" test >"$log/tests" 2>&1; then
    grep -vE '^\[PASS\]' "$log/tests"
    exit 1
fi
grep -E '^(Ran|Suite result)' "$log/tests"
# A test that forge did not find, or skipped, has not passed.
written=$(grep -rhcE '^ *function (test|invariant)' test | awk '{ n += $1 } END { print n }')
if ! grep -qE ": $written tests passed, 0 failed, 0 skipped \($written total tests\)\$" "$log/tests"; then
    echo "error: $written tests are written, but not all were run"
    exit 1
fi

node tools/gas.js --check
