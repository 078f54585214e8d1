#!/bin/bash
# Makes a tree of a Debian suite with dnf 5 and rpm in it: OUT/tree.
# usage: tree.sh SUITE OUT      (root, mmdebstrap)
set -euo pipefail
mkdir -p "$2"
# testing's release file is good for a week, and a mirror can be older.
mmdebstrap --mode=root --variant=minbase --include=dnf5,rpm,python3-minimal \
    --aptopt='Acquire::Retries "3"' --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$1" "$2/tree"
