//! The figures, and what of them must never be otherwise.

use std::fs;
use std::time::{Duration, Instant};

use super::process::{Daemon, wait_for};
use super::space::{PROFILE, save};
use super::{Extent, FLAT, drift};

const QUIET: &str = "schema = \"v1alpha1\"\n[daemon]\npoll = \"5s\"\n[sysctl.keys]\n\
                     \"net.ipv4.ip_forward\" = 1\n[crictl]\ntimeout = 10\n";
/// Events a second: names made, written, renamed and removed where drop-ins are read from.
const STORM: u64 = 10_000;

/// What it used while nothing happened.
pub struct Idle {
    time: Duration,
    processor: Duration,
    wakes: u64,
    memory: u64,
    descriptors: usize,
}

/// A whole control plane is watched, the kernel's values every five seconds.
pub fn idle(extent: Extent) -> Idle {
    let profile =
        "schema = \"v1alpha1\"\nextends = [\"kubeadm-control-plane\"]\n[daemon]\npoll = \"5s\"\n";
    save(PROFILE, profile);
    let daemon = Daemon::start(&["--mode", "watch"]);
    std::thread::sleep(extent.calm);
    daemon.settle();
    let (begin, processor, wakes) = (Instant::now(), daemon.processor(), daemon.wakes());
    std::thread::sleep(extent.idle);
    Idle {
        time: begin.elapsed(),
        processor: daemon.processor() - processor,
        wakes: daemon.wakes() - wakes,
        memory: daemon.memory(),
        descriptors: daemon.descriptors(),
    }
}

/// What a storm left.
pub struct Storm {
    events: u64,
    time: Duration,
    processor: Duration,
    before: u64,
    peak: u64,
    after: u64,
}

/// In the middle of it something drifts.
pub fn storm(extent: Extent) -> Storm {
    save(PROFILE, QUIET);
    let daemon = Daemon::start(&[]);
    daemon.settle();
    let (before, processor) = (daemon.memory(), daemon.processor());
    let begin = Instant::now();
    let mut events = 0;
    let mut drifted = false;
    while begin.elapsed() < extent.storm {
        for number in 0..STORM / 100 / 4 {
            let path = format!("/etc/sysctl.d/{number}.tmp");
            let other = format!("/etc/sysctl.d/{number}.swp");
            fs::write(&path, "x").unwrap();
            fs::rename(path, &other).unwrap();
            fs::remove_file(other).unwrap();
            // Made, written, renamed, removed.
            events += 4;
        }
        if !drifted && begin.elapsed() > extent.storm / 2 {
            drifted = true;
            fs::write("/etc/crictl.yaml", "timeout: 2\n").unwrap();
        }
        let due = Duration::from_micros(events * 1_000_000 / STORM);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    let time = begin.elapsed();
    wait_for(|| {
        fs::read_to_string("/etc/crictl.yaml").is_ok_and(|text| text.contains("timeout: 10"))
    });
    daemon.settle();
    let storm = Storm {
        events,
        time,
        processor: daemon.processor() - processor,
        before,
        peak: daemon.peak(),
        after: daemon.memory(),
    };
    assert!(
        storm.after < before + FLAT,
        "{before} KiB before, {} after",
        storm.after
    );
    storm
}

/// What many reloads left.
pub struct Reloads {
    times: usize,
    descriptors: [usize; 2],
    memory: [u64; 2],
}

/// Each time with another profile.
pub fn reloads(extent: Extent) -> Reloads {
    save(PROFILE, QUIET);
    let daemon = Daemon::start(&[]);
    let reload = |number: usize| {
        let timeout = 11 + number % 2;
        save(
            PROFILE,
            &QUIET.replace("timeout = 10", &format!("timeout = {timeout}")),
        );
        let line = format!("timeout: {timeout}");
        wait_for(|| fs::read_to_string("/etc/crictl.yaml").is_ok_and(|text| text.contains(&line)));
    };
    (0..10).for_each(reload);
    daemon.settle();
    let (descriptors, memory) = (daemon.descriptors(), daemon.memory());
    (0..extent.reloads).for_each(reload);
    daemon.settle();
    let reloads = Reloads {
        times: extent.reloads,
        descriptors: [descriptors, daemon.descriptors()],
        memory: [memory, daemon.memory()],
    };
    assert_eq!(reloads.descriptors[0], reloads.descriptors[1]);
    assert!(
        reloads.memory[1] < memory + FLAT,
        "{:?} KiB",
        reloads.memory
    );
    reloads
}

/// The section of BENCHMARKS.md.
pub fn print(extent: Extent) {
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    let load = load.split(' ').next().unwrap().to_owned();
    println!("## The daemon\n");
    println!(
        "Written by `make soak` (the release program, in namespaces of its own on this machine; load average \
         before the run {load}). What is put right is written, read back and flushed to the disk: that is \
         in the times.\n"
    );
    let idle = idle(extent);
    println!(
        "| idle, a whole control plane watched, kernel values polled every 5 s | |\n|---|--:|"
    );
    println!("| measured for | {:.0} s |", idle.time.as_secs_f64());
    let part = idle.processor.as_secs_f64() / idle.time.as_secs_f64();
    println!("| processor | {:.4} % of a core |", part * 100.0);
    let hourly = idle.wakes as f64 * 3600.0 / idle.time.as_secs_f64();
    println!("| wake-ups an hour | {hourly:.0} |");
    println!("| resident memory | {:.1} MiB |", mib(idle.memory));
    println!("| file descriptors | {} |\n", idle.descriptors);
    println!(
        "| from drift to repaired | times | median | 99th of 100 | longest |\n|---|--:|--:|--:|--:|"
    );
    for (name, mut took) in drift::all(extent) {
        took.sort_unstable();
        let at = |part: usize| ms(took[(took.len() * part / 100).min(took.len() - 1)]);
        println!(
            "| {name} | {} | {} | {} | {} |",
            took.len(),
            at(50),
            at(99),
            at(100)
        );
    }
    let storm = storm(extent);
    println!("\n| a storm of file events where drop-ins are read | |\n|---|--:|");
    let rate = storm.events as f64 / storm.time.as_secs_f64();
    println!(
        "| events | {} in {:.0} s: {rate:.0} a second |",
        storm.events,
        storm.time.as_secs_f64()
    );
    let part = storm.processor.as_secs_f64() / storm.time.as_secs_f64();
    println!("| processor | {:.1} % of a core |", part * 100.0);
    let [before, peak, after] = [storm.before, storm.peak, storm.after].map(mib);
    println!("| resident memory before, at most, after | {before:.1}, {peak:.1}, {after:.1} MiB |");
    println!("| what drifted meanwhile | repaired |\n");
    let reloads = reloads(extent);
    let [before, after] = reloads.memory.map(mib);
    println!(
        "| {} reloads, each with another profile | before | after |\n|---|--:|--:|",
        reloads.times
    );
    println!("| resident memory | {before:.1} MiB | {after:.1} MiB |");
    let [before, after] = reloads.descriptors;
    println!("| file descriptors | {before} | {after} |");
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
