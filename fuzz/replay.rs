//! The known inputs of every target, and some hundred changes of them that are the same in each run:
//! what the fuzzer looks for by hours, in seconds and on any machine.
//!
//! `FUZZ_RUNS=5000 cargo test --test fuzz -- sysctl` gives one target so many changed inputs.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

mod targets;

/// Changed inputs a target, where FUZZ_RUNS tells no other number.
const RUNS: usize = 400;
/// An input that takes longer has found something that grows faster than its input.
const SLOWEST: Duration = Duration::from_secs(5);
/// What formats are made of.
const WORDS: [&[u8]; 12] = [
    b"\n", b"\r\n", b"\\\n", b"\x1e", b"\"", b"#", b"=", b"{", b"[", b"\xff", b"\0", b"-1",
];

fn main() {
    let arguments = Arguments::from_args();
    let trial = |(name, target): &(&'static str, fn(&[u8]))| {
        let (name, target) = (*name, *target);
        Trial::test(name, move || replay(name, target))
    };
    libtest_mimic::run(&arguments, targets::ALL.iter().map(trial).collect()).exit();
}

fn replay(name: &str, target: fn(&[u8])) -> Result<(), Failed> {
    let seeds = seeds(name);
    if seeds.is_empty() {
        return Err(format!("fuzz/seeds/{name} has no seeds").into());
    }
    let runs = std::env::var("FUZZ_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let mut random = Random(1);
    let changed = (0..runs).map(|_| change(&seeds, &mut random));
    for input in seeds.iter().cloned().chain(changed) {
        let begin = Instant::now();
        let shown = || format!("{name} with \"{}\"", input.escape_ascii());
        catch_unwind(AssertUnwindSafe(|| target(&input))).map_err(|panic| {
            let why = panic
                .downcast_ref::<String>()
                .map_or("a panic", String::as_str);
            format!("{why}\n{}", shown())
        })?;
        if begin.elapsed() > SLOWEST {
            return Err(format!("{:?}: {}", begin.elapsed(), shown()).into());
        }
    }
    Ok(())
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(name);
    let files = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// A seed with some ranges of it replaced by a byte, a word, or a range of another seed.
fn change(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let other = &seeds[random.below(seeds.len())];
        let new = match random.below(4) {
            0 => vec![u8::try_from(random.below(256)).unwrap()],
            1 => WORDS[random.below(WORDS.len())].to_vec(),
            2 => other[range(other.len(), random)].to_vec(),
            _ => Vec::new(),
        };
        input.splice(range(input.len(), random), new);
    }
    input
}

/// Mostly a short one.
fn range(length: usize, random: &mut Random) -> std::ops::Range<usize> {
    let begin = random.below(length + 1);
    let longest = [0, 1, 8, 80][random.below(4)];
    begin..(begin + random.below(longest + 1)).min(length)
}

/// The same numbers in each run (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}
