#!/usr/bin/env bash
# Prints the path of geth 1.17.5, built from the Go module proxy.
source "$(dirname "${BASH_SOURCE[0]}")/cache.sh"

make() {
    need go "Go 1.26"
    need cc "a C compiler"
    GOFLAGS=-mod=mod GOTOOLCHAIN=local GOBIN=$1 go install github.com/ethereum/go-ethereum/cmd/geth@v1.17.5
}

obtain geth-1.17.5 geth make
