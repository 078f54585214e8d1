#!/usr/bin/env bash
# Looks for inputs that break a parser: fuzz/run.sh SECONDS [TARGET...]. Each target, or each of those
# named, runs so long on one core, from its seeds and what earlier runs found worth keeping. Prints a
# line a target; an input that breaks one stays in target/fuzz/found and makes the end a failure:
#     FUZZ_TARGET=TARGET target/fuzz/*/release/fuzz FILE
# shows it again.
set -euo pipefail
cd "$(dirname "$0")/.."

# What no parser may need: seconds for an input, and MiB for all of it.
slowest=10 memory=1024
# Bytes of an input; captured netlink dumps have 26,000.
longest=32768

each=$1
shift
[ $# -gt 0 ] || set -- $(ls fuzz/seeds)
cargo build --release --manifest-path fuzz/Cargo.toml --config fuzz/build.toml
program=$(ls target/fuzz/*/release/fuzz)
failed=0
printf '%-16s %12s %8s %8s  %s\n' target executions edges inputs result
for target; do
    corpus=target/fuzz/corpus/$target found=target/fuzz/found/$target
    mkdir -p "$corpus" "$found"
    result=ok
    FUZZ_TARGET=$target "$program" "$corpus" "fuzz/seeds/$target" -max_total_time="$each" \
        -timeout=$slowest -rss_limit_mb=$memory -max_len=$longest -artifact_prefix="$found/" \
        >"target/fuzz/$target.log" 2>&1 || { result="see target/fuzz/$target.log"; failed=1; }
    # The last line with counts: #N WHAT cov: N ft: N corp: N/SIZE …
    counts=$(grep -a '^#[0-9]' "target/fuzz/$target.log" | tail -1)
    printf '%-16s %12s %8s %8s  %s\n' "$target" "$(sed 's/^#\([0-9]*\).*/\1/' <<<"$counts")" \
        "$(sed 's/.*cov: \([0-9]*\).*/\1/' <<<"$counts")" \
        "$(sed 's/.*corp: \([0-9]*\).*/\1/' <<<"$counts")" "$result"
done
exit $failed
