//! ufw: Ubuntu's firewall. Ports are opened as rules of its own, so that `ufw status` shows them and
//! `ufw delete` takes them away.
//!
//! Its rules are files, written here as ufw writes them: an exact undo, and the same whether it runs
//! or not. The running chains get just the new rule from iptables-restore, which is what ufw itself
//! loads its files with. `ufw allow` would write the files a second way, and it does nothing live
//! where a file has the rule already; `ufw reload` makes every chain of it anew, and with
//! MANAGE_BUILTINS=yes flushes everybody's rules.
//!
//! A port is open by before.rules, ufw's own rules, after.rules and the policy, asked in that order
//! (ufw-framework(8)). Of before.rules and after.rules those for packets from anywhere count. With
//! IPV6=no ufw refuses IPv6 altogether; that is taken as a host without it.

#[cfg(test)]
mod host_test;
mod rules;

use std::path::{Path, PathBuf};

use super::iptables_rule::{self, Hook};
use super::opening::{Closed, Opening};
use super::sequence::{Entry, judge};
use crate::boot::units;
use crate::error::Result;
use crate::finding::{Origin, State};
use crate::firewall::{Engine, Family, Ruleset};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{FirewallTool, Owner, Step};

/// Its unit.
const UNIT: &str = "ufw.service";
const DIRECTORY: &str = "/etc/ufw";
const CONF: &str = "/etc/ufw/ufw.conf";
const DEFAULTS: &str = "/etc/default/ufw";
/// The chain that ufw asks for to tell whether it is started (ufw-init-functions, `ufw_start`).
const STARTED: &str = "ufw-user-input";
/// Lets through what kube-proxy translated; a policy of ACCEPT would route for everybody.
const TRANSLATED: &str = "-m conntrack --ctstate DNAT -j ACCEPT";

/// ufw as it is configured.
#[derive(Debug)]
pub struct Ufw {
    /// Whether its chains are in the kernel.
    pub running: bool,
    /// Whether the boot starts it.
    pub enabled: bool,
    /// Whose tables its chains are in: iptables has two.
    engine: Engine,
    /// IPv4, and IPv6 where ufw does that.
    sides: Vec<Side>,
}

/// One family's files.
#[derive(Debug)]
struct Side {
    family: Family,
    before: File,
    user: File,
    after: File,
    /// The policies, by hook.
    policies: [(Hook, Entry); 2],
    /// ufw's own rules.
    rules: Vec<(Hook, Entry)>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    text: String,
}

impl Ufw {
    /// Reads its configuration, and whether it is among the `live` rules; none where it is not
    /// installed.
    ///
    /// # Errors
    /// Where a file of it cannot be read.
    pub fn observe(host: &Host, live: Option<&Ruleset>) -> Result<Option<Self>> {
        let Some(conf) = host.text(Path::new(CONF))? else {
            return Ok(None);
        };
        let defaults = host.text(Path::new(DEFAULTS))?.unwrap_or_default();
        let is_yes = |text: &str, name: &str| {
            value(text, name).is_some_and(|(value, _)| value == "yes" || value == "YES")
        };
        let started = !units::wanted(host, |unit| unit == UNIT)?.is_empty();
        let mut families = vec![Family::Ip];
        families.extend(is_yes(&defaults, "IPV6").then_some(Family::Ip6));
        let uplink = host.uplink()?;
        let sides = families
            .into_iter()
            .map(|family| Side::observe(host, family, &defaults, uplink.as_deref()));
        let mut chains = live.iter().flat_map(|rules| &rules.chains);
        let chain = chains.find(|chain| chain.name == STARTED);
        Ok(Some(Self {
            running: chain.is_some(),
            engine: chain.map_or(Engine::Nft, |chain| chain.table.engine),
            enabled: started && is_yes(&conf, "ENABLED"),
            sides: sides.collect::<Result<_>>()?,
        }))
    }

    /// Whether it keeps all of IPv6 out, as with IPV6=no: that host is to have none.
    #[must_use]
    pub fn refuses_ipv6(&self) -> bool {
        let is_on = self.running || self.enabled;
        is_on && self.sides.iter().all(|side| side.family != Family::Ip6)
    }

    /// Whether its files let an opening pass, and what does not.
    #[must_use]
    pub fn boot(&self, opening: &Opening) -> State {
        let files = self
            .sides
            .iter()
            .flat_map(|side| [&side.before, &side.user]);
        if let Some(file) = files.into_iter().find(|file| file.text.is_empty()) {
            return State::unknown(format!(
                "{} is missing or empty, ufw will not start: reinstall it",
                file.path.display()
            ));
        }
        let families: Vec<Family> = self.sides.iter().map(|side| side.family).collect();
        let all = |hook| -> Vec<Entry> {
            self.sides
                .iter()
                .flat_map(|side| side.sequence(hook))
                .collect()
        };
        match judge(&all(Hook::Input), opening, &families) {
            State::InSync if opening.forward => {
                match judge(&all(Hook::Forward), opening, &families) {
                    State::Differs { to, origin, .. } => {
                        State::differs("refused when forwarded", to, origin)
                    }
                    state => state,
                }
            }
            state => state,
        }
    }

    /// Adds what opens these: `boot` in the files, `live` in the running chains. What before.rules
    /// refuse is left to who wrote it there.
    pub fn steps(&self, boot: &[Opening], live: &[Closed], plan: &mut ItemPlan) {
        for side in &self.sides {
            side.write(boot, plan);
            side.forward(boot, plan);
            if self.running {
                side.tell(live, self.engine, plan);
            }
        }
    }
}

impl Side {
    fn observe(host: &Host, family: Family, defaults: &str, uplink: Option<&str>) -> Result<Self> {
        let six = if family == Family::Ip6 { "6" } else { "" };
        let file = |name: &str| {
            let path = Path::new(DIRECTORY).join(format!("{name}{six}.rules"));
            File::read(host, path)
        };
        let user = file("user")?;
        let policy = |name: &str| {
            let (word, line) = value(defaults, name).unwrap_or(("DROP", 1));
            Entry {
                family,
                ..Entry::all(word == "ACCEPT", Origin::line(Path::new(DEFAULTS), line))
            }
        };
        Ok(Self {
            family,
            before: file("before")?,
            after: file("after")?,
            policies: [
                (Hook::Input, policy("DEFAULT_INPUT_POLICY")),
                (Hook::Forward, policy("DEFAULT_FORWARD_POLICY")),
            ],
            rules: rules::parse(&user.path, &user.text, family, uplink),
            user,
        })
    }

    /// The rules of a hook in the order they are asked.
    fn sequence(&self, hook: Hook) -> Vec<Entry> {
        let of = |all: &[(Hook, Entry)]| -> Vec<Entry> {
            let on = all.iter().filter(|(other, _)| *other == hook);
            on.map(|(_, entry)| entry.clone()).collect()
        };
        let mut all = self.framework(&self.before, "before", hook);
        all.extend(of(&self.rules));
        all.extend(self.framework(&self.after, "after", hook));
        all.extend(of(&self.policies));
        all
    }

    /// The rules that before.rules or after.rules have for a hook.
    fn framework(&self, file: &File, name: &str, hook: Hook) -> Vec<Entry> {
        let start = format!("-A {} ", self.chain(name, hook));
        let lines = file.text.lines().enumerate().filter_map(|(index, line)| {
            let origin = Origin::line(&file.path, index + 1);
            iptables_rule::parse(line.trim().strip_prefix(&start)?, self.family, hook, origin)
        });
        lines.collect()
    }

    fn chain(&self, name: &str, hook: Hook) -> String {
        let six = if self.family == Family::Ip6 { "6" } else { "" };
        let hook = match hook {
            Hook::Input => "input",
            Hook::Forward => "forward",
        };
        format!("ufw{six}-{name}-{hook}")
    }

    /// Whether an opening is closed on a hook, and would not be with a rule of ours after
    /// before.rules.
    fn is_mended(&self, opening: &Opening, hook: Hook) -> bool {
        let is_open = |entries: &[Entry]| judge(entries, opening, &[self.family]) == State::InSync;
        let before = self.framework(&self.before, "before", hook);
        !is_open(&self.sequence(hook)) && is_open(&before)
    }

    /// The line of the first of ufw's own rules that refuses some of an opening.
    fn refusal(&self, opening: &Opening) -> Option<usize> {
        let refuses = |(hook, entry): &&(Hook, Entry)| {
            let alone = std::slice::from_ref(entry);
            *hook == Hook::Input && judge(alone, opening, &[self.family]) != State::InSync
        };
        match &self.rules.iter().find(refuses)?.1.origin {
            Origin::File { line, .. } => *line,
            Origin::Other(_) => None,
        }
    }

    /// Those openings with their place, the last place first: what is put in before a line moves no
    /// place that is still to come.
    fn placed<'a>(
        &self,
        openings: impl Iterator<Item = &'a Opening>,
    ) -> Vec<(Option<usize>, &'a Opening)> {
        let mut placed: Vec<_> = openings.map(|o| (self.refusal(o), o)).collect();
        placed.sort_by_key(|(line, _)| std::cmp::Reverse(line.unwrap_or(usize::MAX)));
        placed
    }

    fn write(&self, openings: &[Opening], plan: &mut ItemPlan) {
        let missing = openings.iter().filter(|o| self.is_mended(o, Hook::Input));
        let placed = self.placed(missing);
        let content = placed
            .iter()
            .fold(self.user.text.clone(), |text, (line, opening)| {
                rules::with(&text, opening, self.family, *line)
            });
        self.user
            .write(content, placed.iter().map(|(_, o)| *o), plan);
    }

    /// The rule for what was translated, before the end of before.rules' filter table.
    fn forward(&self, openings: &[Opening], plan: &mut ItemPlan) {
        let missing = openings
            .iter()
            .filter(|o| o.forward && self.is_mended(o, Hook::Forward));
        let rule = format!("-A {} {TRANSLATED}", self.chain("before", Hook::Forward));
        let content = in_filter(&self.before.text, &rule);
        self.before.write(content, missing, plan);
    }

    fn tell(&self, closed: &[Closed], engine: Engine, plan: &mut ItemPlan) {
        let on = |forward: bool| {
            let own = move |c: &&Closed| c.family == self.family || c.family == Family::Inet;
            let of = closed.iter().filter(own);
            of.filter(move |c| c.forward == forward).map(|c| &c.opening)
        };
        let placed = self.placed(on(false));
        let mut added: Vec<[String; 2]> = placed
            .iter()
            .map(|(line, opening)| rules::tell(&self.user.text, opening, self.family, *line))
            .collect();
        if on(true).next().is_some() {
            let chain = self.chain("before", Hook::Forward);
            added.push(["-A", "-D"].map(|verb| format!("{verb} {chain} {TRANSLATED}")));
        }
        if added.is_empty() {
            return;
        }
        let framed = |at: usize| -> Vec<String> {
            let rules = added.iter().filter_map(|pair| pair.get(at).cloned());
            let (begin, end) = (["*filter".to_owned()], ["COMMIT".to_owned()]);
            begin.into_iter().chain(rules).chain(end).collect()
        };
        let step = Step::Firewall {
            tool: FirewallTool::Iptables {
                engine,
                ipv6: self.family == Family::Ip6,
            },
            change: framed(0),
            undo: framed(1),
        };
        plan.live(step, served(on(false).chain(on(true))));
    }
}

impl File {
    fn read(host: &Host, path: PathBuf) -> Result<Self> {
        let text = host.exact_text(&path)?.unwrap_or_default();
        Ok(Self { path, text })
    }

    fn write<'a>(
        &self,
        content: String,
        serves: impl Iterator<Item = &'a Opening>,
        plan: &mut ItemPlan,
    ) {
        let serves = served(serves);
        if serves.is_empty() || self.text.is_empty() {
            return;
        }
        plan.boot(Step::write(&self.path, content, Owner::Shared), serves);
    }
}

/// The names of openings, each once.
fn served<'a>(openings: impl Iterator<Item = &'a Opening>) -> Vec<String> {
    let mut names: Vec<String> = openings.map(Opening::to_string).collect();
    names.dedup();
    names
}

/// The last value given to a shell variable, and its line: ufw-init sources these files.
fn value<'a>(text: &'a str, name: &str) -> Option<(&'a str, usize)> {
    let lines = text.lines().enumerate().filter_map(|(index, line)| {
        let value = line.trim().strip_prefix(name)?.strip_prefix('=')?;
        let value = value.split('#').next()?.trim();
        Some((value.trim_matches(['"', '\'']), index + 1))
    });
    lines.last()
}

/// The text with a rule before the end of its filter table, or as a table where it has none.
fn in_filter(text: &str, rule: &str) -> String {
    let mut in_table = false;
    let mut begun = 0;
    for line in text.split_inclusive('\n') {
        match line.trim() {
            "COMMIT" if in_table => {
                let (before, after) = text.split_at(begun);
                return format!("{before}{rule}\n{after}");
            }
            word if word.starts_with('*') => in_table = word == "*filter",
            _ => {}
        }
        begun += line.len();
    }
    let gap = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{gap}*filter\n{rule}\nCOMMIT\n")
}
