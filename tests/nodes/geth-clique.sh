#!/usr/bin/env bash
# Prints the path of geth 1.13.15, built from the Go module proxy: the last line that seals Clique.
source "$(dirname "${BASH_SOURCE[0]}")/cache.sh"

make() {
    need go "Go 1.26"
    need cc "a C compiler"
    # A profiler page of this version links to names inside the Go runtime, which newer linkers
    # refuse unless told. Nothing here opens that page.
    GOFLAGS=-mod=mod GOTOOLCHAIN=local GOBIN=$1 \
        go install -ldflags=-checklinkname=0 github.com/ethereum/go-ethereum/cmd/geth@v1.13.15
}

obtain geth-1.13.15 geth make
