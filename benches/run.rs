//! Times commands side by side: each round runs all of them once, so that a busy moment hits all.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a whole process takes, from its start to its end.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    /// Half the rounds took no longer.
    pub median: Duration,
    /// What the machine can do when nothing else happens.
    pub fastest: Duration,
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

fn once(command: &mut Command) -> Duration {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begin = Instant::now();
    command.status().unwrap();
    begin.elapsed()
}

fn summary(mut times: Vec<Duration>) -> Time {
    times.sort_unstable();
    Time {
        median: times[times.len() / 2],
        fastest: times[0],
    }
}
