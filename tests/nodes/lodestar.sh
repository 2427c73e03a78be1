#!/usr/bin/env bash
# Prints the path of Lodestar 1.5.1's entry, to be run by node with `--require` of the
# `promises.cjs` beside it. From npm; newer lines are not whole there.
source "$(dirname "${BASH_SOURCE[0]}")/cache.sh"

make() {
    need npm "Node.js 20 with npm"
    need c++ "a C++ compiler"
    need python3 "Python 3"
    cp "$here"/lodestar/package.json "$here"/lodestar/package-lock.json "$here"/lodestar/promises.cjs .
    npm ci --ignore-scripts --no-audit --no-fund
    local gyp
    gyp=$(npm root --global)/npm/node_modules/node-gyp/bin/node-gyp.js
    local headers
    headers=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
    for module in snappy bcrypto bigint-buffer; do
        (cd node_modules/$module && node "$gyp" rebuild --nodedir="$headers")
    done
    ln -s node_modules/@chainsafe/lodestar/lib/index.js lodestar.js
    node --require ./promises.cjs lodestar.js --version
}

obtain lodestar-1.5.1 lodestar.js make
