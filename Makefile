# make        build the program
# make demo   the main job on a Debian machine booted in QEMU: plan, apply, check, reboot, check
# make test   every test, real machines included; installs what they need
# make vm-all the real machines of every suite, results into tests/vm/RESULTS.md
# make lint   what CI checks before the tests

SHELL = /bin/bash
.SHELLFLAGS = -o pipefail -c

.PHONY: all demo test vm-all lint tools

all:
	cargo build --release

demo: tools
	cargo test --test vm -- --demo

# No doc tests: the crate has no examples to run.
test: tools
	cargo test --lib --tests

vm-all: tools
	cargo test --test vm -- --include-ignored | tee /dev/stderr | tests/vm/results.sh >tests/vm/RESULTS.md

# The modules in items/ are declared by a macro, where cargo fmt does not see them.
lint:
	cargo fmt --check
	rustfmt --check $$(git ls-files 'agent/items/*.rs')
	cargo clippy --all-targets -- -D warnings

tools:
	tests/vm/install.sh
