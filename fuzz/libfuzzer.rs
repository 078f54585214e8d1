//! The fuzzer: libFuzzer with the target that FUZZ_TARGET names.
#![no_main]

use std::sync::LazyLock;

mod targets;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = targets::ALL.iter().find(|(target, _)| *target == name);
    found
        .unwrap_or_else(|| panic!("FUZZ_TARGET={name}: there is no such target"))
        .1
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET(input));
