# make        build the program
# make static the same with its own libc, for any host; says where it is
# make demo   the main job on a Debian machine booted in QEMU: plan, apply, check, reboot, check
# make test   every test, real machines included; installs what they need
# make vm-all the real machines of every suite, results into tests/vm/RESULTS.md
# make fuzz   every parser fuzzed, ten minutes each or EACH=SECONDS, or only TARGETS="swap sysctl"
# make power  the power fails at 200 moments of an apply, and of others; 10 minutes
# make torture  a run killed at each system call, and each call failing in each way; tests/torture/
# make bench  what a check costs, into BENCHMARKS.md
# make soak   what the daemon costs and how soon it reacts, into BENCHMARKS.md; 20 minutes
# make lint   what CI checks before the tests
# make deny   licences, versions and sources of the crates; installs what it needs

SHELL = /bin/bash
.SHELLFLAGS = -o pipefail -c

.PHONY: all static demo test vm-all torture fuzz power bench soak lint deny tools

all:
	cargo build --release

# 8 MB: it is copied to every node, and /usr/local on an appliance is small.
static:
	cargo build --release --config .cargo/static.toml
	@program=target/$$(rustc --print host-tuple)/release/nodeprep; \
	size=$$(stat -c %s $$program); \
	[ $$size -lt 8000000 ] || { echo "$$program has $$size bytes, 8 MB at most are allowed" >&2; exit 1; }; \
	echo $$program

demo: tools
	cargo test --test vm -- --demo

# No doc tests: the crate has no examples to run.
test: tools
	cargo test --lib --tests

vm-all: tools
	cargo test --test vm -- --include-ignored --test-threads 2 | tee /dev/stderr | tests/vm/results.sh >tests/vm/RESULTS.md

EACH = 600
fuzz: tools
	fuzz/run.sh $(EACH) $(TARGETS)

# Mounts disks, so it needs root; another seed: cargo test --test vm -- --power 200 SEED
power: tools
	cargo test --test vm -- --power

torture: tools
	cargo test --test torture -- --ignored

# The programs as they are handed out; first here, then in a prepared machine.
bench: tools
	cargo build --release --config .cargo/static.toml --bin nodeprep --example bench
	release=target/$$(rustc --print host-tuple)/release; \
	$$release/examples/bench $$release/nodeprep benches/check.sh >BENCHMARKS.md.new
	release=$$PWD/target/$$(rustc --print host-tuple)/release; \
	cargo test --test vm -- --bench $$release/nodeprep $$release/examples/bench >>BENCHMARKS.md.new
	sed -n '/^## The daemon/,$$p' BENCHMARKS.md >>BENCHMARKS.md.new
	mv BENCHMARKS.md.new BENCHMARKS.md

soak: tools
	sed '/^## The daemon/,$$d' BENCHMARKS.md >BENCHMARKS.md.new
	cargo test --release --test soak -- --figures >>BENCHMARKS.md.new
	mv BENCHMARKS.md.new BENCHMARKS.md

# The modules in items/ are declared by a macro, and the fuzzer is a crate of its own: cargo fmt sees
# neither.
lint:
	cargo fmt --check
	rustfmt --check $$(git ls-files 'agent/items/*.rs') fuzz/libfuzzer.rs
	cargo clippy --all-targets -- -D warnings
	@places=$$(git grep -l 'unsafe_code)' agent); \
	[ "$$places" = agent/host/syscall.rs ] || { echo "unsafe code is for agent/host/syscall.rs alone: $$places" >&2; exit 1; }

deny:
	tests/deny.sh

tools:
	tests/vm/install.sh
