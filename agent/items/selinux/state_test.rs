//! Each wanted state on hosts in each state.
#![allow(clippy::disallowed_methods, reason = "tests")]

use super::Mode::{Disabled, Enforcing, Permissive};
use super::*;

fn observed(live: Mode, config: Option<&str>, line: &str) -> Observed {
    Observed {
        live,
        config: config.map(|text| text.as_bytes().into()),
        by_default: true,
        lines: Ok(vec![loader::running(line)]),
    }
}

/// One word an aspect, then the steps.
fn told(wanted: Mode, observed: &Observed) -> String {
    let plan = Selinux { state: wanted }.diff(observed);
    let word = |state: &State| match state {
        State::InSync => "ok".to_owned(),
        State::Differs { from, origin, .. } => {
            let origin = origin.as_ref().map(|o| format!("({o})"));
            from.clone() + &origin.unwrap_or_default()
        }
        State::AfterReboot { .. } => "reboot".to_owned(),
        other => format!("{other:?}"),
    };
    let steps = plan.steps.iter().map(|planned| match &planned.step {
        Step::WriteFile { content, .. } => String::from_utf8_lossy(content).into_owned(),
        Step::WriteKernel { value, .. } => value.clone(),
        other => other.to_string(),
    });
    let steps: Vec<_> = steps.collect();
    let finding = &plan.findings[0];
    format!("{} {} {steps:?}", word(&finding.live), word(&finding.boot))
}

const ON: Option<&str> = Some("SELINUX=enforcing\n");
/// Wanted, live, the file, kernel arguments; what is told.
type Case = (Mode, Mode, Option<&'static str>, &'static str, &'static str);
const CASES: [Case; 17] = [
    (Disabled, Disabled, None, "", "ok ok []"),
    (Permissive, Disabled, None, "selinux=0", "ok ok []"),
    (
        Disabled,
        Enforcing,
        ON,
        "",
        r#"enforcing enforcing(/etc/selinux/config:1) ["SELINUX=disabled\n", "0"]"#,
    ),
    (
        Disabled,
        Permissive,
        Some("SELINUX=disabled"),
        "",
        "reboot ok []",
    ),
    (Disabled, Disabled, Some("SELINUX=disabled"), "", "ok ok []"),
    (Disabled, Disabled, ON, "selinux=0", "ok ok []"),
    (
        Permissive,
        Enforcing,
        ON,
        "",
        r#"enforcing enforcing(/etc/selinux/config:1) ["SELINUX=permissive\n", "0"]"#,
    ),
    (Permissive, Permissive, ON, "enforcing=0", "ok ok []"),
    (
        Permissive,
        Permissive,
        Some("SELINUX=permissive"),
        "enforcing=1",
        "ok enforcing(kernel argument enforcing=1) []",
    ),
    (
        Permissive,
        Permissive,
        Some("SELINUX=\"enforcing\""),
        "",
        "ok ok []",
    ),
    (Permissive, Permissive, None, "", "ok ok []"),
    (
        Enforcing,
        Permissive,
        Some("A=1"),
        "",
        r#"permissive permissive(/etc/selinux/config has no valid SELINUX= line) ["A=1\nSELINUX=enforcing\n", "1"]"#,
    ),
    (
        Enforcing,
        Enforcing,
        Some("SELINUX= enforcing\n"),
        "",
        r#"ok permissive(/etc/selinux/config has no valid SELINUX= line) ["SELINUX=enforcing\n"]"#,
    ),
    (
        Enforcing,
        Disabled,
        Some("SELINUX=disabled\n"),
        "",
        r#"reboot disabled(/etc/selinux/config:1) ["SELINUX=enforcing\n"]"#,
    ),
    (
        Enforcing,
        Disabled,
        ON,
        "security=apparmor",
        "disabled(kernel argument security=apparmor) disabled(kernel argument security=apparmor) []",
    ),
    (
        Permissive,
        Disabled,
        ON,
        "selinux=0",
        r#"disabled(kernel argument selinux=0) disabled(kernel argument selinux=0) ["SELINUX=permissive\n"]"#,
    ),
    (
        Enforcing,
        Disabled,
        None,
        "",
        "no SELinux(/etc/selinux/config is not there: install the distribution's SELinux policy first) no SELinux(/etc/selinux/config is not there: install the distribution's SELinux policy first) []",
    ),
];

#[test]
fn states_by_files_by_arguments() {
    for (wanted, live, config, line, expected) in CASES {
        let found = told(wanted, &observed(live, config, line));
        assert_eq!(found, expected, "{wanted:?} {live:?} {config:?} {line}");
    }
}

#[test]
fn a_menu_that_cannot_be_read_is_not_a_difference() {
    let mut observed = observed(Permissive, Some("SELINUX=enforcing"), "");
    observed.lines = Err("/boot/grub2/grub.cfg: Permission denied".into());
    assert!(told(Permissive, &observed).starts_with("ok Unknown"));
}

#[test]
fn no_policy_is_disabled_in_effect() {
    let cases = [
        (None, None, Disabled),
        (Some("0"), Some("kernel\0"), Disabled),
        (
            Some("0"),
            Some("system_u:system_r:kernel_t:s0\0"),
            Permissive,
        ),
        (Some("1"), None, Enforcing),
    ];
    for (enforce, context, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("sys/fs/selinux/enforce", enforce),
            ("proc/self/attr/current", context),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if let Some(text) = text {
                std::fs::write(path, text).unwrap();
            }
        }
        let host = Host::captured(dir.path()).unwrap();
        assert_eq!(live(&host).unwrap(), expected, "{enforce:?} {context:?}");
    }
}

#[test]
fn a_kernel_that_does_not_know_the_switch() {
    let cases = [
        (WITHOUT_SWITCH, None, "quiet"),
        (
            "CONFIG_SECURITY_SELINUX_BOOTPARAM=y",
            None,
            "selinux=0 quiet",
        ),
        ("", Some(WITHOUT_SWITCH), "quiet"),
        ("", None, "selinux=0 quiet"),
    ];
    for (boot, modules, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("proc/cmdline", "selinux=0 quiet\n");
        put("lib/modules/6.1/vmlinuz", "");
        if !boot.is_empty() {
            put(
                "boot/config-6.1",
                &format!("CONFIG_SECURITY_SELINUX=y\n{boot}\n"),
            );
        }
        if let Some(text) = modules {
            put("lib/modules/6.1/config", text);
        }
        let host = Host::captured(dir.path()).unwrap();
        let mut running = loader::running("selinux=0 quiet");
        let found = lines(&host, &mut running).unwrap();
        assert_eq!(found[0], loader::running(expected), "{boot} {modules:?}");
        assert_eq!(running, found[0]);
    }
}
