//! The command line. Whatever looks at the system happens after parsing.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::daemon::Mode;

const EXIT: &str = "Exit codes:
   0  the host matches the profile, or now does
   1  trouble: something failed or could not be told
   2  differs: drift found, or left unfixed
   3  will match after a reboot (0 with --accept-reboot)
  64  wrong usage
  65  bad profile
  75  another run holds the lock
  77  not root";

/// Makes a Linux host ready for kubeadm and containerd, and keeps it ready.
#[derive(Debug, Parser)]
#[command(name = "nodeprep", version, after_help = EXIT, disable_help_subcommand = true)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// Say more: also what is in sync or not applicable, and each step.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Say only the summary line, and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// How results are printed.
    #[arg(long, value_enum, default_value_t = Output::Human, global = true)]
    pub output: Output,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Human,
    /// For programs: one JSON document.
    Json,
    /// For node-problem-detector: a line of at most 80 bytes, and exit codes of its own. Only of check.
    #[value(hide = true)]
    Npd,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Change what differs from the profile, then prove it.
    Apply(Apply),
    /// Look, and change nothing. With --output npd it is a plugin of node-problem-detector: it says a
    /// line of at most 80 bytes and exits with 0 where all is well, 1 where something differs and 2
    /// where that could not be told.
    Check(Target),
    /// Show what apply would do (the same as apply --dry-run).
    Plan(Plan),
    /// Keep the host as its profile says, from now on: what happens to it is seen, looked at and put
    /// right. SIGHUP has it look at everything, also at the profile, which it does by itself as well.
    #[command(args_conflicts_with_subcommands = true)]
    Daemon(Daemon),
    /// Ask the running daemon how this host stands: what differs and why, what is left alone, when it
    /// looked. Nothing is looked at for it. Exits with 0 where all is well, 2 where something differs, 3
    /// where a reboot is missing, and 1 where that is not known or no daemon runs.
    Status,
    /// Print what the running daemon has to tell, a line each, as it prints it itself: what is not well
    /// now; with -f what happens from now on, until it is stopped. With --output json each line is a
    /// JSON object.
    Events(Events),
    /// Let what `apply --confirm` did stay.
    Confirm,
    /// List the runs that changed this host, the oldest first, or what one of them did.
    #[command(args_conflicts_with_subcommands = true)]
    History(History),
    /// Take back a run and all that came after it; without RUN, the last one.
    Rollback(Rollback),
    /// Take back all that was ever done here.
    Remove(TakeBack),
    /// Tell why an item is needed, what is looked at, what is changed and how to undo it.
    Explain {
        /// The item: a section of the profile.
        item: Option<String>,
    },
    /// Show the facts a profile can use.
    Facts {
        /// A tree that will be booted, instead of this machine.
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
    },
    /// List, show or validate profiles.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Profile and host of a run.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// A path, or a built-in profile's name [default: /etc/nodeprep/profile.toml].
    pub profile: Option<String>,
    /// A tree that will be booted, instead of this machine: boot truth only.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Set a value of the profile: vars.name=value, or any other key by its path.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Only these items.
    #[arg(long, value_name = "ITEM", value_delimiter = ',')]
    pub only: Vec<String>,
    /// All items but these.
    #[arg(
        long,
        value_name = "ITEM",
        value_delimiter = ',',
        conflicts_with = "only"
    )]
    pub skip: Vec<String>,
    /// Leave what an earlier run did and the profile no longer names.
    #[arg(long)]
    pub keep: bool,
    /// Also do what could hurt a node that is a member of a cluster.
    #[arg(long)]
    pub on_member: bool,
    /// Exit with 0 where all that is missing is a reboot.
    #[arg(long)]
    pub accept_reboot: bool,
}

/// `plan`
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// Profile and host.
    #[command(flatten)]
    pub target: Target,
    /// Show how files change.
    #[arg(long)]
    pub diff: bool,
}

/// `apply`
#[derive(Debug, Clone, Args)]
pub struct Apply {
    /// As for plan.
    #[command(flatten)]
    pub plan: Plan,
    /// Show what would be done and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Take everything back after this time, such as 120s, or at the next boot, unless `nodeprep
    /// confirm` comes before: for a change that could lock you out.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with_all = ["root", "dry_run"])]
    pub confirm: Option<Duration>,
    /// Wait this long for another run to end, such as 60s or 5min.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
    pub wait: Duration,
}

/// `daemon`
#[derive(Debug, Clone, Args)]
pub struct Daemon {
    /// What a running daemon is told.
    #[command(subcommand)]
    pub command: Option<DaemonCommand>,
    /// A path, or a built-in profile's name [default: /etc/nodeprep/profile.toml].
    pub profile: Option<String>,
    /// What is done about differences. With watch nothing is changed, whatever the profile says; with
    /// enforce an item that has a mode of its own in the profile's [daemon.modes] keeps it. [default:
    /// the profile's [daemon] mode, else enforce]
    #[arg(long, value_enum, hide_default_value = true)]
    pub mode: Option<Mode>,
}

/// `daemon …`
#[derive(Debug, Clone, Subcommand)]
pub enum DaemonCommand {
    /// Have nothing put right for a time, such as 10m; differences are told meanwhile.
    Pause {
        /// For how long.
        #[arg(value_parser = humantime::parse_duration)]
        time: Duration,
    },
    /// End a pause.
    Resume,
}

/// `events`
#[derive(Debug, Clone, Args)]
pub struct Events {
    /// Go on, and tell what happens.
    #[arg(short, long)]
    pub follow: bool,
}

/// `history`
#[derive(Debug, Clone, Args)]
pub struct History {
    /// Show what one run did.
    #[command(subcommand)]
    pub show: Option<HistoryCommand>,
    /// A tree that will be booted, instead of this machine.
    #[arg(long, value_name = "DIR", global = true)]
    pub root: Option<PathBuf>,
}

/// `history …`
#[derive(Debug, Clone, Subcommand)]
pub enum HistoryCommand {
    /// Show what one run did.
    Show {
        /// Its name, or the beginning of it.
        run: String,
    },
}

/// `rollback`
#[derive(Debug, Clone, Args)]
pub struct Rollback {
    /// A run as `history` names it, or the beginning of its name.
    pub run: Option<String>,
    /// As for remove.
    #[command(flatten)]
    pub how: TakeBack,
    /// What the guard of a run that was not confirmed is started with.
    #[arg(long, hide = true, requires = "run")]
    pub guard: bool,
}

/// `remove`
#[derive(Debug, Clone, Args)]
pub struct TakeBack {
    /// Show what would be done and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Also take back what someone else has changed since.
    #[arg(long)]
    pub force: bool,
    /// A tree that will be booted, instead of this machine.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Show how files change.
    #[arg(long)]
    pub diff: bool,
    /// Also take back what could hurt a node that is a member of a cluster.
    #[arg(long)]
    pub on_member: bool,
    /// Exit with 0 where all that is missing is a reboot.
    #[arg(long)]
    pub accept_reboot: bool,
    /// Wait this long for another run to end, such as 60s or 5min.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
    pub wait: Duration,
}

/// `profile …`
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// List the built-in profiles.
    List,
    /// Print a profile as it is after extends, variables and facts.
    Show(Source),
    /// Tell whether a profile can be used, and what in it may hurt.
    Validate {
        /// Which one.
        #[command(flatten)]
        source: Source,
        /// Exit with 65 where there are warnings.
        #[arg(long)]
        strict: bool,
    },
}

/// Which profile.
#[derive(Debug, Clone, Args)]
pub struct Source {
    /// A path, or a built-in profile's name [default: /etc/nodeprep/profile.toml].
    pub profile: Option<String>,
    /// Set a value of the profile.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}
