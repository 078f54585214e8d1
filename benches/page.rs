//! The page: what was run, on what, and the figures.

use std::fmt::Write;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::generated::{self, Generated};
use crate::record::{self, record};
use crate::run::{Time, times};
use crate::trace::{self, Cost};

/// The profile that is checked.
const PROFILE: &str = "kubeadm-control-plane";
/// What an emulated machine has not: a registry, a time server, a name server and a kubelet.
const WITHOUT: &str = r#"remove=["images", "time", "dns", "kubelet"]"#;
/// Enough for a median that repeats to a few percent.
const ROUNDS: usize = 101;
/// Where a process takes a tenth of a second.
const SOME_ROUNDS: usize = 31;
/// For the slow ones.
const FEW_ROUNDS: usize = 5;
/// Keys of the generated profiles.
const KEYS: [usize; 3] = [100, 1_000, 10_000];

/// One line of a table.
struct Row {
    name: String,
    time: Time,
    cost: Cost,
    instructions: Option<u64>,
}

/// Runs everything.
pub fn write(program: &str, script: &str) -> String {
    let mut live = Command::new(program);
    live.args(["check", PROFILE]);
    let mut bash = Command::new("bash");
    bash.arg(script);
    let prepared = Generated::new(0, true);
    let mut page = head();
    page += "\n## This machine\n\n";
    eprintln!("this machine");
    page += &compared(live, Some(bash));
    eprintln!("a captured host");
    writeln!(
        page,
        "\n## A prepared control plane: {}, captured\n",
        generated::BASE
    )
    .unwrap();
    page += &compared(prepared.check_shipped(PROFILE), None);
    page += "\n## Up to 10,000 kernel parameters\n\n";
    page += &linear();
    page
}

/// A machine that is emulated: its times mean something beside each other only.
pub fn emulated(program: &str, script: &str) -> String {
    let mut live = Command::new(program);
    live.args(["check", PROFILE, "--set", WITHOUT]);
    let mut bash = Command::new("bash");
    bash.arg(script);
    let (rows, asks) = compare(live, Some(bash), SOME_ROUNDS);
    let floor = rows[1].time;
    let mut text = String::from(
        "| | time | processor time | system calls | child processes | peak memory |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for Row {
        name, time, cost, ..
    } in &rows
    {
        writeln!(
            text,
            "| {name} | {:.2} | {:.2} | {} | {} | {:.1} MiB |",
            time.fastest.div_duration_f64(floor.fastest),
            time.processor.div_duration_f64(floor.processor),
            thousands(cost.calls as u64),
            cost.children,
            cost.peak as f64 / 1024.0,
        )
        .unwrap();
    }
    text + &ratio(&rows, asks)
}

/// As it is in the page.
fn compared(check: Command, script: Option<Command>) -> String {
    let (rows, asks) = compare(check, script, ROUNDS);
    table(&rows) + &ratio(&rows, asks)
}

fn head() -> String {
    let date = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    format!(
        include_str!("head.md"),
        date = &date[..10],
        machine = machine()
    )
}

/// The processor, the kernel and the system, no name.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, key: &str, sign: char| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(sign));
        let value = pairs.find(|(name, _)| name.trim() == key);
        value.map_or("unknown".into(), |(_, value)| {
            value.trim().trim_matches('"').to_owned()
        })
    };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = read("/proc/cpuinfo");
    let guest = if after(&cpuinfo, "flags", ':').contains("hypervisor") {
        ", a virtual machine"
    } else {
        ""
    };
    format!(
        "{cpus} × {}{guest}, Linux {}, {}; load average before the run {}",
        after(&cpuinfo, "model name", ':'),
        read("/proc/sys/kernel/osrelease").trim(),
        after(&read("/etc/os-release"), "PRETTY_NAME", '='),
        read("/proc/loadavg").split(' ').next().unwrap_or_default(),
    )
}

/// A check, the floor below it, an empty process, the script if there is one; and how many things
/// the check asks.
fn compare(check: Command, script: Option<Command>, rounds: usize) -> (Vec<Row>, usize) {
    let (asks, cost) = record(&check);
    assert_eq!(cost.children, 0, "a check starts no process");
    let mut list = NamedTempFile::new().unwrap();
    list.write_all(record::write(&asks).as_bytes()).unwrap();
    let nothing = NamedTempFile::new().unwrap();
    let mut commands = [check, floor(list.path()), floor(nothing.path())];
    let measured = times(&mut commands, rounds);
    let names = ["check", "the floor below it", "an empty process"];
    let costs = names.iter().zip(commands.iter().zip(measured));
    let mut rows: Vec<Row> = costs
        .map(|(name, (command, time))| Row::new(name, command, time))
        .collect();
    if let Some(script) = script {
        let mut script = [script];
        let measured = times(&mut script, FEW_ROUNDS);
        rows.push(Row {
            name: "benches/check.sh".to_owned(),
            time: measured[0],
            cost: trace::calls(&script[0], |_| {}),
            // Bash's alone would say nothing.
            instructions: None,
        });
    }
    (rows, asks.len())
}

impl Row {
    fn new(name: &str, command: &Command, time: Time) -> Self {
        Self {
            name: name.to_owned(),
            time,
            cost: trace::calls(command, |_| {}),
            instructions: trace::instructions(command),
        }
    }
}

fn floor(list: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("floor").arg(list);
    command
}

fn ratio(rows: &[Row], asks: usize) -> String {
    let [check, floor, nothing, ..] = rows else {
        panic!("no rows")
    };
    let times = |of: fn(&Time) -> Duration| {
        let [check, floor, nothing] = [check, floor, nothing].map(|row| of(&row.time));
        let inner = (check - nothing).div_duration_f64(floor - nothing);
        (check.div_duration_f64(floor), inner)
    };
    let (fastest, inner) = times(|time| time.fastest);
    let (processor, inner_processor) = times(|time| time.processor);
    let calls = check.cost.calls as f64 / floor.cost.calls as f64;
    format!(
        "\nThe floor asks {asks} things. A check's fastest run takes {fastest:.2} times the floor's time, \
         {processor:.2} times its processor time, and {calls:.2} times its calls; without starting and ending a \
         process {inner:.2} times its time and {inner_processor:.2} times its processor time.\n"
    )
}

fn linear() -> String {
    let mut rows = Vec::new();
    for prepared in [true, false] {
        for keys in KEYS {
            let generated = Generated::new(keys, prepared);
            let check = generated.check();
            eprintln!("{keys} kernel parameters");
            let how = if prepared {
                "as wanted"
            } else {
                "none as wanted"
            };
            let name = format!("{keys} keys, {how}");
            let time = times(&mut [generated.check()], FEW_ROUNDS)[0];
            rows.push(Row::new(&name, &check, time));
        }
    }
    table(&rows)
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| | median | fastest | processor time | instructions | system calls | child processes | peak memory |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for Row {
        name,
        time,
        cost,
        instructions,
    } in rows
    {
        let Cost {
            calls,
            children,
            peak,
        } = cost;
        let instructions = instructions.map_or("not counted".into(), thousands);
        writeln!(
            text,
            "| {name} | {:.2} ms | {:.2} ms | {:.2} ms | {instructions} | {} | {children} | {:.1} MiB |",
            time.median.as_secs_f64() * 1e3,
            time.fastest.as_secs_f64() * 1e3,
            time.processor.as_secs_f64() * 1e3,
            thousands(*calls as u64),
            *peak as f64 / 1024.0,
        )
        .unwrap();
    }
    text
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
