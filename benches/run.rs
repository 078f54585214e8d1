//! Times commands side by side: each round runs all of them once, so that a busy moment hits all.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// How long a whole process takes, from its start to its end.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    /// Half the rounds took no longer.
    pub median: Duration,
    /// What the machine can do when nothing else happens.
    pub fastest: Duration,
    /// The least time on a processor, in the program and in the kernel: what else the machine does
    /// hardly counts.
    pub processor: Duration,
}

/// The times of each.
pub fn times(commands: &mut [Command], rounds: usize) -> Vec<Time> {
    let mut times = vec![Vec::with_capacity(rounds); commands.len()];
    for _ in 0..rounds {
        for (command, times) in commands.iter_mut().zip(&mut times) {
            times.push(once(command));
        }
    }
    times.into_iter().map(summary).collect()
}

fn once(command: &mut Command) -> (Duration, Duration) {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let before = processor();
    let begin = Instant::now();
    command.status().unwrap();
    (begin.elapsed(), processor() - before)
}

/// What all children used that have ended.
fn processor() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let microseconds = usage.user_time() + usage.system_time();
    Duration::from_micros(microseconds.num_microseconds().try_into().unwrap())
}

fn summary(rounds: Vec<(Duration, Duration)>) -> Time {
    let (mut times, mut processor): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
    times.sort_unstable();
    processor.sort_unstable();
    Time {
        median: times[times.len() / 2],
        fastest: times[0],
        processor: processor[0],
    }
}
