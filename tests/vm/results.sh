#!/usr/bin/env bash
# Makes RESULTS.md of what the test runner prints.
set -euo pipefail

echo "# Results on real machines"
echo
echo "\`make vm-all\`, $(date -u +%F), commit $(git rev-parse --short HEAD)."
echo
echo "| suite | scenario | result |"
echo "|---|---|---|"
sed -n 's/^test \([a-z]*\)::\([a-z_]*\) *\.\.\. \(.*\)$/| \1 | \2 | \3 |/p'
