//! Runs as their journals tell them, and what is to be taken back of them.

use super::changes;
use crate::host::Prior;
use crate::journal;
use crate::runs::Run;
use crate::step::{FirewallTool, Step};
use crate::undo::What;

/// A whole run of one step.
fn run(step: &str, done: &str) -> Run {
    let begin = r#"{"record":"begin","version":1,"nodeprep":"0","command":"apply","profile":"p","time":"","boot":null}"#;
    let record = |text: &str| serde_json::from_str(text).unwrap();
    Run {
        id: String::new(),
        records: vec![
            record(begin),
            record(step),
            record(done),
            journal::Record::End,
        ],
        damage: None,
        bytes: 0,
    }
}

/// Installs of one package, the first as of before packages were in `done`.
fn installs(lefts: &[Option<&str>]) -> Vec<Run> {
    let step = r#"{"record":"step","number":1,"item":"packages","serves":["kubelet"],
        "step":{"step":"packages","manager":"apt","install":[{"name":"kubelet"}],"wait":1},
        "prior":{"prior":"packages","packages":[{"name":"kubelet","version":null,"held":false}]}}"#;
    let one = |left: &Option<&str>| {
        let left = left.map_or(String::new(), |version| {
            let package = r#"{"name":"kubelet","version":null,"held":false,"left":"#;
            format!(r#","left":[{package}{{"version":{version},"held":false}}}}]"#)
        });
        let done = format!(r#"{{"record":"done","number":1,"error":null{left}}}"#);
        run(step, &done)
    };
    lefts.iter().map(one).collect()
}

#[test]
fn the_last_run_knows_what_was_left() {
    let left = |lefts: &[Option<&str>]| {
        let all = changes(&installs(lefts));
        let left = all.first().map(|change| match &change.what {
            What::Package { before, .. } => before.left.clone().map(|left| left.version),
            _ => panic!("no package"),
        });
        left.map(Option::flatten)
    };
    assert_eq!(left(&[None]), Some(None));
    let (old, new) = (Some("\"1.30\""), Some("\"1.31\""));
    assert_eq!(left(&[None, old]), Some(Some("1.30".into())));
    assert_eq!(left(&[old, new]), Some(Some("1.31".into())));
    assert_eq!(left(&[old, Some("null")]), None);
}

/// nft may have added rules that bear our name though the step failed; what firewall-cmd would have
/// added looks like an administrator's own.
#[test]
fn what_a_failed_step_at_the_firewall_may_have_done_is_taken_back() {
    let is_taken_back = |tool, error: &str| {
        let step = Step::Firewall {
            tool,
            change: vec!["add".into()],
            undo: vec!["delete".into()],
        };
        let step = serde_json::json!({"record": "step", "number": 1, "item": "ports",
            "serves": ["6443/tcp"], "step": step, "prior": Prior::Absent});
        let done = format!(r#"{{"record":"done","number":1,"error":{error}}}"#);
        !changes(&[run(&step.to_string(), &done)]).is_empty()
    };
    let failed = r#""no pipe: Too many open files""#;
    let (nft, firewalld) = (FirewallTool::Nft, FirewallTool::FirewallCmd);
    assert!(is_taken_back(nft, failed));
    assert!(!is_taken_back(firewalld, failed));
    assert!(is_taken_back(nft, "null") && is_taken_back(firewalld, "null"));
}
