#!/usr/bin/env bash
# Makes RESULTS.md of what the test runner prints. A scenario that could not run is in it as skipped.
set -euo pipefail

said=$(cat)
echo "# Results on real machines"
echo
echo "\`make vm-all\`, $(date -u +%F), commit $(git rev-parse --short HEAD), QEMU's software emulation."
echo
echo "| suite | machine |"
echo "|---|---|"
sed -n 's/^machine \([a-z]*\): \(.*\)$/| \1 | \2 |/p' <<<"$said"
echo
echo "| suite | scenario | result |"
echo "|---|---|---|"
sed -n 's/^test \([a-z]*\)::\([a-z_]*\) *\.\.\. \(.*\)$/| \1 | \2 | \3 |/p' <<<"$said" |
    sed 's/| ignored |$/| skipped |/'
