//! Times commands side by side: each round runs all of them once, so that a busy moment hits all.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The median time of each, as a whole process from its start to its end.
pub fn medians(commands: &mut [Command], rounds: usize) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(rounds); commands.len()];
    for _ in 0..rounds {
        for (command, times) in commands.iter_mut().zip(&mut times) {
            times.push(once(command));
        }
    }
    times.into_iter().map(median).collect()
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

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
