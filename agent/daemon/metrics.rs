//! What the daemon knows as numbers for Prometheus: drift of a thousand nodes is seen on one page, and
//! without a port that somebody has to guard.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use super::agenda::Moment;
use super::standing::Standing;
use super::status::View;
use crate::report::Outcome;

/// Prometheus asks every 15 s where it is asked often (its `scrape_interval`): a file that changes more
/// often is written in vain.
const PAUSE: Duration = Duration::from_secs(15);

/// The outcomes that last, and as labels.
const OUTCOMES: [(Outcome, &str); 6] = [
    (Outcome::InSync, "in_sync"),
    (Outcome::NotApplicable, "not_applicable"),
    (Outcome::AfterReboot, "after_reboot"),
    (Outcome::Blocked, "blocked"),
    (Outcome::Differs, "differs"),
    (Outcome::Unknown, "unknown"),
];

/// When the file for node_exporter is to be written.
#[derive(Debug, Default)]
pub struct Textfile {
    written: Option<Moment>,
    is_stale: bool,
}

impl Textfile {
    /// It would be another now.
    pub fn changed(&mut self) {
        self.is_stale = true;
    }

    /// It was written, or tried to be.
    pub fn written(&mut self, now: Moment) {
        self.written = Some(now);
        self.is_stale = false;
    }

    /// When it is to be written.
    #[must_use]
    pub fn due(&self) -> Moment {
        match (self.is_stale, self.written) {
            (false, _) => Moment::MAX,
            (true, None) => Moment::ZERO,
            (true, Some(at)) => at + PAUSE,
        }
    }
}

impl View<'_> {
    /// All of them in Prometheus' text format
    /// (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut page = Page::default();
        // A String takes everything: writing to it does not fail.
        let _ = self.write(&mut page);
        page.0
    }

    fn write(&self, page: &mut Page) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.gauge("build_info", "The program.")?;
        page.sample("build_info", &version, 1)?;
        let profile = [("name", self.profile), ("hash", self.hash)];
        page.gauge("profile_info", "The profile in force.")?;
        page.sample("profile_info", &profile, 1)?;
        subjects(page, self.standing)?;
        states(page, self.standing)?;
        let contested = self
            .patience
            .left(self.now)
            .filter(|(_, left)| left.contested);
        page.gauge(
            "contested",
            "Subjects left alone, as somebody changes them back.",
        )?;
        page.sample("contested", &[], contested.count())?;
        for (name, help, count) in [
            (
                "looks_total",
                "Looks, at some items or all.",
                self.tally.looks,
            ),
            ("fixed_total", "Subjects put right.", self.tally.fixed),
            (
                "failed_total",
                "Subjects that could not be put right.",
                self.tally.failed,
            ),
        ] {
            page.head(name, "counter", help)?;
            page.sample(name, &[], count)?;
        }
        for (name, help, moment) in [
            (
                "last_look_timestamp_seconds",
                "When was looked last.",
                self.tally.last_look,
            ),
            (
                "last_full_look_timestamp_seconds",
                "When was looked at everything last.",
                self.tally.last_full_look,
            ),
        ] {
            page.gauge(name, help)?;
            if let Some(moment) = moment {
                page.sample(name, &[], self.at(moment).as_secs())?;
            }
        }
        self.reactions(page)
    }

    fn reactions(&self, page: &mut Page) -> fmt::Result {
        let reactions = &self.tally.reactions;
        let help = "From the first event of a look to what it put right.";
        page.head("reaction_seconds", "histogram", help)?;
        for (limit, count) in reactions.within() {
            let limit = (f64::from(limit) / 1000.0).to_string();
            page.sample("reaction_seconds_bucket", &[("le", &limit)], count)?;
        }
        let count = reactions.count();
        page.sample("reaction_seconds_bucket", &[("le", "+Inf")], count)?;
        page.sample("reaction_seconds_sum", &[], reactions.sum.as_secs_f64())?;
        page.sample("reaction_seconds_count", &[], count)
    }
}

/// Each subject once. What is none is told as well: a series that comes and goes has no last value.
fn subjects(page: &mut Page, standing: &Standing) -> fmt::Result {
    page.gauge("subjects", "Subjects by how they stand.")?;
    for (item, counts) in standing.counts() {
        for (outcome, label) in OUTCOMES {
            let count = counts.get(&outcome).copied().unwrap_or_default();
            let labels = [("item", item), ("outcome", label)];
            page.sample("subjects", &labels, count)?;
        }
    }
    Ok(())
}

/// The same for what is now and for what the next boot makes.
fn states(page: &mut Page, standing: &Standing) -> fmt::Result {
    let mut counts: BTreeMap<(&str, &str), BTreeMap<Outcome, usize>> = BTreeMap::new();
    for entry in standing.entries() {
        for (aspect, state) in [("live", &entry.live), ("boot", &entry.boot)] {
            let counts = counts.entry((entry.item, aspect)).or_default();
            *counts.entry(state.into()).or_default() += 1;
        }
    }
    page.gauge(
        "subject_states",
        "Subjects by how they stand now (live) and after a boot (boot).",
    )?;
    for ((item, aspect), counts) in counts {
        for (state, label) in OUTCOMES {
            let count = counts.get(&state).copied().unwrap_or_default();
            let labels = [("item", item), ("aspect", aspect), ("state", label)];
            page.sample("subject_states", &labels, count)?;
        }
    }
    Ok(())
}

/// A page of metrics, whose names all begin with the program's.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str) -> fmt::Result {
        self.head(name, "gauge", help)
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.0, "# HELP nodeprep_{name} {help}")?;
        writeln!(self.0, "# TYPE nodeprep_{name} {kind}")
    }

    fn sample(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        value: impl fmt::Display,
    ) -> fmt::Result {
        let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
        let labels: Vec<String> = labels.iter().map(label).collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        writeln!(self.0, "nodeprep_{name}{labels} {value}")
    }
}

/// A label's value as the text format wants it.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\");
    value.replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
#[path = "metrics_test.rs"]
mod tests;
