#!/bin/sh
# Build FerretDB, a server that speaks MongoDB's protocol and keeps its data in SQLite, for the tests of the MongoDB store.
#
#   .ci/install-ferretdb.sh DEST
#
# DEST is the path of the program to make. Nothing is done where it exists already in this version. Needs Go >= 1.24.
#
# `go install ...@v1.24.2` asks the module proxy for the list of versions, which not every proxy can give, and a plain
# build leaves out the file that tells the program its version, without which it stops at once. So: fetch exactly this
# version, copy it, write that file, build the copy with its own pinned dependencies.

set -eu

version=v1.24.2
module=github.com/FerretDB/FerretDB

if [ $# -ne 1 ]; then
    echo "usage: $0 DEST" >&2
    exit 2
fi
case $1 in
    /*) dest=$1 ;;
    *) dest=$PWD/$1 ;;
esac

if [ -x "$dest" ] && "$dest" --version 2>/dev/null | grep -qx "version: $version"; then
    echo "$dest is FerretDB $version already"
    exit 0
fi
if ! command -v go >/dev/null 2>&1; then
    echo "$0: Go is not installed; install Go 1.24 or newer" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

mkdir "$work/fetch"
cd "$work/fetch"
printf 'module fetch\n\ngo 1.24\n\nrequire %s %s\n' "$module" "$version" >go.mod
go mod download "$module"
source=$(go list -m -f '{{.Dir}}' "$module")

cp -R "$source" "$work/source"
chmod -R u+w "$work/source"
cd "$work/source"
echo "$version" >build/version/version.txt

mkdir -p "$(dirname "$dest")"
CGO_ENABLED=0 go build -buildvcs=false -trimpath -o "$work/ferretdb" ./cmd/ferretdb
"$work/ferretdb" --version | grep -qx "version: $version"
mv "$work/ferretdb" "$dest"
echo "$dest is FerretDB $version"
