#!/usr/bin/env bash
# Prints the folder of anvil, forge and cast 1.7.1. They come ready-made in npm packages.
source "$(dirname "${BASH_SOURCE[0]}")/cache.sh"

make() {
    need npm "Node.js 20 with npm"
    cp "$here"/foundry/package.json "$here"/foundry/package-lock.json .
    npm ci --ignore-scripts --no-audit --no-fund
    mkdir bin
    for tool in anvil forge cast; do
        ln -s "../$(echo node_modules/@foundry-rs/"$tool"-*/bin/"$tool")" bin/"$tool"
        bin/"$tool" --version
    done
}

obtain foundry-1.7.1 bin make
