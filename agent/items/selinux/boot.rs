//! What the next boot makes of kernel arguments and file together: the kernel decides whether SELinux
//! is there at all, then libselinux, in init, decides on its mode.

use super::Mode;
use crate::boot::loader::{Argument, Line};
use crate::finding::Origin;

/// Security modules of which the kernel takes one: the first that is enabled (`LSM_FLAG_EXCLUSIVE`).
const EXCLUSIVE: [&str; 3] = ["selinux", "apparmor", "smack"];

/// The mode a boot with these arguments and this file ends in, with the argument that makes it so.
///
/// libselinux/src/load_policy.c, `selinux_init_load_policy`: a file that says disabled wins over
/// `enforcing=`, which wins over any other file; without a valid line the mode is permissive.
#[must_use]
pub fn mode(line: &Line, file: Option<Mode>, by_default: bool) -> (Mode, Option<Origin>) {
    if let Some(origin) = left_out(line, by_default) {
        return (Mode::Disabled, Some(origin));
    }
    if file == Some(Mode::Disabled) {
        return (Mode::Disabled, None);
    }
    match enforcing(line) {
        Some((mode, origin)) => (mode, Some(origin.clone())),
        None => (file.unwrap_or(Mode::Permissive), None),
    }
}

/// What leaves SELinux out of the kernel, if anything does: `selinux=0` (security/selinux/hooks.c,
/// `selinux_enabled_setup`), a list `lsm=` or else a `security=` that chooses another module
/// (security/security.c, `ordered_lsm_init`), or the kernel's own list.
fn left_out(line: &Line, by_default: bool) -> Option<Origin> {
    let last = |key: &str| {
        let mut arguments = line.iter().rev();
        arguments.find(|argument| argument.key == key && argument.value.is_some())
    };
    if let Some(argument) = last("selinux")
        && value(argument).parse() == Ok(0_u64)
    {
        return Some(argument.origin.clone());
    }
    let (chosen, origin) = match (last("lsm"), last("security")) {
        (Some(list), _) => {
            let mut names = value(list).split(',');
            let first = names.find(|name| EXCLUSIVE.contains(name));
            (first == Some("selinux"), list.origin.clone())
        }
        (None, Some(one)) => (value(one) == "selinux", one.origin.clone()),
        (None, None) => (by_default, Origin::Other(NOT_BY_DEFAULT.into())),
    };
    (!chosen).then_some(origin)
}

const NOT_BY_DEFAULT: &str =
    "the kernel's own list, /sys/kernel/security/lsm, is without it: needs security=selinux";

/// The first `enforcing=`, read as atoi(3) does: the one libselinux looks at.
fn enforcing(line: &Line) -> Option<(Mode, &Origin)> {
    let argument = line
        .iter()
        .find(|argument| argument.key == "enforcing" && argument.value.is_some())?;
    let digits = value(argument).trim_start_matches('+');
    if digits.starts_with('-') {
        return None;
    }
    let digits = digits.split(|c: char| !c.is_ascii_digit()).next();
    let zero = digits.is_none_or(|digits| digits.bytes().all(|digit| digit == b'0'));
    let mode = if zero {
        Mode::Permissive
    } else {
        Mode::Enforcing
    };
    Some((mode, &argument.origin))
}

fn value(argument: &Argument) -> &str {
    argument.value.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Mode::{Disabled, Enforcing, Permissive};
    use super::*;
    use crate::boot::loader;

    #[test]
    fn kernel_then_file() {
        let cases = [
            ("quiet", Some(Enforcing), Enforcing, ""),
            ("quiet", None, Permissive, ""),
            (
                "selinux=0 enforcing=1",
                Some(Enforcing),
                Disabled,
                "selinux=0",
            ),
            ("selinux=0 selinux=1", Some(Enforcing), Enforcing, ""),
            ("selinux", Some(Permissive), Permissive, ""),
            ("enforcing=0", Some(Enforcing), Permissive, "enforcing=0"),
            ("enforcing=1", Some(Disabled), Disabled, ""),
            (
                "enforcing=1 enforcing=0",
                Some(Permissive),
                Enforcing,
                "enforcing=1",
            ),
            ("enforcing=-1", Some(Permissive), Permissive, ""),
            ("enforcing=on", Some(Enforcing), Permissive, "enforcing=on"),
            (
                "security=apparmor",
                Some(Enforcing),
                Disabled,
                "security=apparmor",
            ),
            (
                "security=apparmor lsm=yama,selinux,bpf",
                Some(Enforcing),
                Enforcing,
                "",
            ),
            (
                "security=selinux lsm=apparmor,selinux",
                Some(Enforcing),
                Disabled,
                "lsm=apparmor,selinux",
            ),
            ("lsm=yama,bpf", Some(Enforcing), Disabled, "lsm=yama,bpf"),
        ];
        for (line, file, expected, argument) in cases {
            let origin = (!argument.is_empty())
                .then(|| Origin::Other(format!("kernel argument {argument}")));
            let found = mode(&loader::running(line), file, true);
            assert_eq!(found, (expected, origin), "{line}");
        }
    }

    #[test]
    fn a_kernel_that_chooses_another_module_by_itself() {
        assert_eq!(
            mode(&loader::running("quiet"), Some(Enforcing), false).0,
            Disabled
        );
        let asked = loader::running("security=selinux selinux=1");
        assert_eq!(mode(&asked, Some(Enforcing), false), (Enforcing, None));
    }
}
