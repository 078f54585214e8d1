//! One change against what is there now: nothing to do, a step, or someone else's change in the way.

use std::path::Path;

use super::Others;
use super::change::{Change, Left, What, is_same};
use crate::boot::packages;
use crate::boot::packages::version::Version;
use crate::error::Result;
use crate::finding::{Finding, State};
use crate::host::{Host, Images, Prior};
use crate::items::sysctl::same_value;
use crate::items::{Item, swap};
use crate::plan::ItemPlan;
use crate::step::{Access, Aspect, Manager, Package, Standing, Step, Transaction, Wish};

/// How a change stands.
enum Stands {
    /// What was there before is there.
    Back,
    /// It can be taken back: what is, what will be, by which step.
    Ours(&'static str, String, Step),
    /// Only a boot takes it back.
    AfterReboot(String),
    /// Someone has changed it since, in words; the step would take that away too.
    Changed(String, Option<Step>),
}

/// Adds what is found for a change, with the step that takes it back, and lays that over the host.
pub fn add(
    host: &mut Host,
    change: &Change,
    all: &[Change],
    others: Others,
    plan: &mut ItemPlan,
) -> Result<()> {
    let aspect = match change.what {
        What::Path { .. } | What::Access { .. } | What::Extracted { .. } => Aspect::Boot,
        _ => Aspect::Live,
    };
    if aspect == Aspect::Live && host.no_live().is_some() {
        return Ok(());
    }
    let stands = how(host, &change.what, all)?;
    let Some((state, step)) = told(stands, others, spared(host, change)?) else {
        return Ok(());
    };
    let subject = change.what.subject();
    let (live, boot) = match aspect {
        Aspect::Live => (state, State::InSync),
        Aspect::Boot => (State::InSync, state),
    };
    plan.findings.push(Finding::new(&subject, live, boot));
    if let Some(step) = step {
        host.lay_over(&step)?;
        match aspect {
            Aspect::Live => match (plan.steps.last_mut(), step) {
                // All packages in one transaction, as they came.
                (Some(last), Step::Packages(own)) if last.joins(&own) => last.join(own, subject),
                (_, step) => plan.live(step, [subject]),
            },
            Aspect::Boot => plan.boot(step, [subject]),
        }
    }
    Ok(())
}

/// Why a change is not taken back from a member of a cluster, where that could hurt it.
fn spared(host: &Host, change: &Change) -> Result<Option<&'static str>> {
    let hurts = |subject: &String| Item::hurts_member(change.item, subject);
    match change.serves.iter().any(hurts) {
        true => host.spares_member(),
        false => Ok(None),
    }
}

fn told(stands: Stands, others: Others, spared: Option<&str>) -> Option<(State, Option<Step>)> {
    Some(match (stands, spared) {
        (Stands::Back, _) => return None,
        (Stands::Ours(..) | Stands::Changed(..), Some(reason)) => (State::blocked(reason), None),
        (Stands::Ours(from, to, step), None) => (State::differs(from, to, None), Some(step)),
        (Stands::AfterReboot(reason), _) => (State::AfterReboot { reason }, None),
        (Stands::Changed(from, Some(step)), None) if others == Others::Go => {
            (State::differs(from, "as it was", None), Some(step))
        }
        (Stands::Changed(how, step), None) => {
            let force = step.map_or("", |_| ", or give --force");
            let reason = format!("{how}: it stays; take it back by hand{force}");
            (State::Blocked { reason }, None)
        }
    })
}

/// How it stands, by what it is.
fn how(host: &Host, what: &What, all: &[Change]) -> Result<Stands> {
    Ok(match what {
        What::Path {
            path,
            before,
            left,
            or,
        } => of_path(host, path, before, left, or.as_ref())?,
        What::Value {
            path,
            before,
            left,
            or,
        } => of_value(host, path, before, [Some(left), or.as_ref()])?,
        What::Access {
            path,
            before,
            left,
            or,
        } => of_access(host, path, *before, [Some(*left), *or])?,
        What::Extracted { path, before } => of_extracted(host, path, before.as_deref())?,
        What::Module(name) => of_module(host, name, all)?,
        What::Swap(area) => of_swap(host, area)?,
        What::Unit { name, before, .. } => of_unit(host, name, *before)?,
        What::Image(name, socket) => of_image(host, name, socket)?,
        What::Rules(tool, rules) => {
            let (tool, rules) = (*tool, rules.clone());
            let step = Step::RemoveRules { tool, rules };
            Stands::Ours("added", "taken out".into(), step)
        }
        What::Package {
            manager,
            before,
            wait,
        } => of_package(host, *manager, before, *wait)?,
    })
}

fn of_path(
    host: &Host,
    path: &Path,
    before: &Prior,
    left: &Left,
    or: Option<&Left>,
) -> Result<Stands> {
    let now = host.found(path)?;
    if is_back(&now, before) {
        return Ok(Stands::Back);
    }
    let to = match before {
        Prior::Absent => "not there",
        _ => "as it was",
    };
    let left = or.filter(|or| or.is_there(&now, before)).unwrap_or(left);
    let step = back(path, before, left);
    if *left == Left::Directory && !host.list(path)?.is_empty() {
        // It is theirs now who have put files there.
        return Ok(Stands::Back);
    }
    Ok(match left.is_there(&now, before) {
        true => Stands::Ours("as nodeprep left it", to.into(), step),
        // A directory is in the way of a file: that is more than a changed file.
        false if now == Prior::Directory => Stands::Changed("it is a directory now".into(), None),
        false => Stands::Changed("changed since".into(), Some(step)),
    })
}

/// The step that brings back what was at a path.
pub fn back(path: &Path, before: &Prior, left: &Left) -> Step {
    let path = path.to_owned();
    match before {
        Prior::Absent if *left == Left::Directory => Step::RemoveDirectory { path },
        Prior::Absent => Step::RemoveFile { path },
        Prior::File { file, .. } => Step::RestoreFile {
            path,
            file: file.clone(),
        },
        Prior::Link { target } => Step::WriteLink {
            path,
            target: target.clone(),
        },
        _ => Step::MakeDirectory { path },
    }
}

fn is_back(now: &Prior, before: &Prior) -> bool {
    match (now, before) {
        (Prior::File { file: now, .. }, Prior::File { file: old, .. }) => is_same(now, old),
        (now, before) => now == before,
    }
}

fn of_access(
    host: &Host,
    path: &Path,
    before: Access,
    left: [Option<Access>; 2],
) -> Result<Stands> {
    let step = Step::SetAccess {
        path: path.to_owned(),
        access: before,
    };
    Ok(match host.access(path)? {
        None => Stands::Back,
        Some(now) if now == before => Stands::Back,
        Some(now) if left.contains(&Some(now)) => {
            Stands::Ours("as nodeprep gave it", before.to_string(), step)
        }
        Some(now) => Stands::Changed(format!("changed since, to {now}"), Some(step)),
    })
}

fn of_extracted(host: &Host, path: &Path, before: Option<&str>) -> Result<Stands> {
    let Some(sha256) = host.digest(path)? else {
        return Ok(Stands::Back);
    };
    if Some(sha256.as_str()) == before {
        return Ok(Stands::Back);
    }
    if before.is_some() {
        let text = "the file it replaced was not kept";
        return Ok(Stands::Changed(text.into(), None));
    }
    let is_ours = host.is_as_extracted(path, &sha256)?;
    let path = path.to_owned();
    let step = Step::RemoveExtracted { path, sha256 };
    Ok(match is_ours {
        true => Stands::Ours("as nodeprep left it", "not there".into(), step),
        false => Stands::Changed("changed since".into(), Some(step)),
    })
}

fn of_value(host: &Host, path: &Path, before: &str, left: [Option<&String>; 2]) -> Result<Stands> {
    let step = Step::WriteKernel {
        path: path.to_owned(),
        value: before.to_owned(),
    };
    Ok(match host.text(path)? {
        None => Stands::Back,
        Some(now) if same_value(&now, before) => Stands::Back,
        Some(now) if left.iter().flatten().any(|left| same_value(&now, left)) => {
            Stands::Ours("as nodeprep set it", before.to_owned(), step)
        }
        Some(now) => Stands::Changed(format!("changed since, to {}", now.trim_end()), Some(step)),
    })
}

fn of_module(host: &Host, name: &str, all: &[Change]) -> Result<Stands> {
    if !host.is_loaded(name)? {
        return Ok(Stands::Back);
    }
    let directory = Path::new("/sys/module").join(name);
    let users: usize = match host.text(&directory.join("refcnt"))? {
        Some(text) => text.trim().parse().unwrap_or(usize::MAX),
        // Built in, or a kernel that unloads nothing.
        None => usize::MAX,
    };
    let goes = |holder: &String| {
        let is_it = |change: &Change| matches!(&change.what, What::Module(m) if m == holder);
        all.iter().any(is_it)
    };
    let holders = host.list(&directory.join("holders"))?;
    // A module may hold another more than once (ip_vs_rr holds ip_vs twice): the numbers don't tell
    // who else does, the kernel will.
    let held_by_ours = !holders.is_empty() && holders.iter().all(goes);
    if users > 0 && !held_by_ours {
        return Ok(Stands::AfterReboot(format!("{name} is in use")));
    }
    let name = name.to_owned();
    let step = Step::UnloadModule { name };
    Ok(Stands::Ours("loaded", "not loaded".into(), step))
}

fn of_package(host: &Host, manager: Manager, before: &Package, wait: u64) -> Result<Stands> {
    let now = packages::standing(host, manager, &[&before.name])?;
    let now = now.into_iter().next().unwrap_or_default();
    // What came along with others and was there before stays as new as it is: going back would lose
    // what was mended in it.
    if before.is_back(&now) || (before.dependency && before.version.is_some()) {
        return Ok(Stands::Back);
    }
    let step = Step::Packages(package_back(manager, before, &now, wait));
    let to = Standing {
        version: before.version.clone(),
        held: before.held,
        automatic: false,
    };
    let left = before.left.as_ref();
    Ok(match left.and_then(|left| since(left, &now)) {
        Some(how) => Stands::Changed(how, Some(step)),
        None => Stands::Ours("as nodeprep left it", to.to_string(), step),
    })
}

/// What someone else did with a package since it was left so.
fn since(left: &Standing, now: &Standing) -> Option<String> {
    if (&left.version, left.held) != (&now.version, now.held) {
        return Some(format!("changed since, to {now}"));
    }
    let is_wanted = left.automatic && !now.automatic;
    is_wanted.then(|| "someone has asked for it since".into())
}

/// The transaction that makes a package what it was.
fn package_back(manager: Manager, before: &Package, now: &Standing, wait: u64) -> Transaction {
    let name = &before.name;
    let mut back = Transaction::new(manager, wait);
    back.partial = true;
    let Some(old) = &before.version else {
        back.remove.push(name.clone());
        // dpkg forgets that with the package, a list of locks does not; what came along was locked by
        // someone else.
        let stays = manager != Manager::Apt && now.held && !before.dependency;
        back.release.extend(stays.then(|| name.clone()));
        return back;
    };
    if now.version.as_ref() != Some(old) {
        back.install.push(Wish {
            name: name.clone(),
            version: Some(Version::exactly(old)),
        });
    }
    match before.held {
        true => back.hold.push(name.clone()),
        false => back.release.extend(now.held.then(|| name.clone())),
    }
    back
}

fn of_swap(host: &Host, area: &swap::Area) -> Result<Stands> {
    if swap::areas(host)?.iter().any(|now| now.path == area.path) {
        return Ok(Stands::Back);
    }
    let step = Step::SwapOn {
        area: area.path.clone(),
        priority: area.priority,
    };
    Ok(Stands::Ours("off", "on".into(), step))
}

fn of_unit(host: &Host, name: &str, before: bool) -> Result<Stands> {
    Ok(match (host.is_active(name)?, before) {
        (Some(now), _) if now == before => Stands::Back,
        (_, true) => Stands::Ours("stopped", "running".into(), Step::switch(name, true)),
        (_, false) => Stands::Ours("running", "stopped".into(), Step::switch(name, false)),
    })
}

fn of_image(host: &Host, name: &str, socket: &Path) -> Result<Stands> {
    Ok(match host.images(socket)? {
        Images::Has(names) if names.contains(name) => {
            let (image, socket) = (name.to_owned(), socket.to_owned());
            let step = Step::RemoveImage { image, socket };
            Stands::Ours("there", "not there".into(), step)
        }
        Images::Has(_) => Stands::Back,
        Images::Off(complaint) => Stands::Changed(format!("no runtime to ask: {complaint}"), None),
    })
}

#[cfg(test)]
#[path = "judge_test.rs"]
mod tests;
