//! What is not to be done, though it differs: the steps for it go, and the reason stays.

use std::collections::{BTreeMap, BTreeSet};

use super::ItemPlan;
use crate::finding::{Finding, State};
use crate::host::Host;
use crate::items::Item;

/// Takes away what could hurt a member of a cluster.
pub(super) fn spare(plan: &mut ItemPlan, reason: &str) {
    let hurts = |f: &&Finding| Item::hurts_member(plan.item, &f.subject) && differs(f);
    let blocked = plan.findings.iter().filter(hurts);
    let blocked = blocked
        .map(|f| (f.subject.clone(), reason.to_owned()))
        .collect();
    block(plan, blocked);
}

/// Takes away what the host was told to be left alone.
pub(super) fn leave_alone(plan: &mut ItemPlan, host: &Host) {
    let differing = plan.findings.iter().filter(|f| differs(f));
    let blocked: BTreeMap<String, String> = differing
        .filter_map(|f| {
            let reason = host.left_alone(plan.item, &f.subject)?;
            Some((f.subject.clone(), reason.to_owned()))
        })
        .collect();
    if blocked.is_empty() {
        return;
    }
    block(plan, blocked);
    if plan.steps.is_empty() && !plan.findings.iter().any(differs) {
        plan.due.clear();
    }
}

fn differs(finding: &Finding) -> bool {
    [&finding.live, &finding.boot]
        .iter()
        .any(|state| matches!(state, State::Differs { .. }))
}

/// Takes away steps for these subjects, with all else they would do, and gives the reasons. What was
/// due after them is not, where none is left.
fn block(plan: &mut ItemPlan, mut blocked: BTreeMap<String, String>) {
    if blocked.is_empty() {
        return;
    }
    let subjects: BTreeSet<String> = blocked.keys().cloned().collect();
    let had_steps = !plan.steps.is_empty();
    plan.steps
        .iter_mut()
        .for_each(|step| step.leave_out(&subjects));
    plan.steps.retain(|step| !step.serves.is_empty());
    let (gone, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut plan.steps)
        .into_iter()
        .partition(|step| step.serves.iter().any(|subject| subjects.contains(subject)));
    plan.steps = stay;
    for step in gone {
        let reason = step.serves.iter().find_map(|one| blocked.get(one)).cloned();
        for subject in step.serves {
            blocked
                .entry(subject)
                .or_insert(reason.clone().unwrap_or_default());
        }
    }
    if plan.steps.is_empty() && had_steps {
        plan.due.clear();
    }
    for finding in &mut plan.findings {
        let Some(reason) = blocked.get(&finding.subject) else {
            continue;
        };
        for state in [&mut finding.live, &mut finding.boot] {
            if let State::Differs { from, to, .. } = state {
                *state = State::blocked(format!("{from} → {to}: {reason}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::step::{Due, Owner, Step};

    /// Of containerd's subjects the cgroup driver could hurt a member; what is written with it waits.
    #[test]
    fn what_could_hurt_a_member_is_taken_out() {
        let differs = |subject: &str| {
            let state = State::differs("a", "b", None);
            Finding::new(subject, state.clone(), state)
        };
        let plan = |subjects: &[&str]| {
            let mut plan = ItemPlan {
                item: "containerd",
                findings: subjects.iter().map(|subject| differs(subject)).collect(),
                due: vec![Due::DaemonReload],
                ..ItemPlan::default()
            };
            let both = ["systemd_cgroup", "sandbox_image"];
            let edit = Step::write("/etc/containerd/config.toml", "", Owner::Shared);
            plan.boot(
                edit,
                both.into_iter()
                    .filter(|subject| subjects.contains(subject)),
            );
            plan
        };
        let mut harmless = plan(&["sandbox_image"]);
        spare(&mut harmless, "member");
        assert_eq!(harmless, plan(&["sandbox_image"]));

        let mut hurting = plan(&["systemd_cgroup", "sandbox_image", "service"]);
        let target = "/usr/lib/systemd/system/containerd.service".into();
        let path = PathBuf::from("/etc/systemd/system/multi-user.target.wants/containerd.service");
        hurting.boot(Step::WriteLink { path, target }, ["service"]);
        spare(&mut hurting, "member");
        assert_eq!(hurting.steps.len(), 1, "{hurting:?}");
        assert_eq!(hurting.due, [Due::DaemonReload]);
        let blocked = |f: &&Finding| f.boot == State::blocked("a → b: member");
        assert_eq!(hurting.findings.iter().filter(blocked).count(), 2);

        let mut nothing_left = plan(&["systemd_cgroup"]);
        spare(&mut nothing_left, "member");
        assert!(!nothing_left.has_work());
    }
}
