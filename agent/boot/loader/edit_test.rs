//! Every format, and what is not ours survives byte for byte.

use proptest::prelude::*;

use super::*;

fn change(with: &[&str], without: &[&str]) -> Change {
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Change {
        with: own(with),
        without: own(without),
    }
}

fn edited(format: Format, text: &str, change: &Change) -> String {
    let place = Place {
        path: "/x".into(),
        text: text.into(),
        format,
    };
    place.edited(change).unwrap()
}

#[test]
fn a_line() {
    let cases = [
        ("ro quiet", &["a=1"][..], &[][..], "ro quiet a=1"),
        ("ro  a=1 quiet ", &["a=1"], &[], "ro  a=1 quiet "),
        ("a=1 a=2", &["a=1"], &[], "a=1 a=2 a=1"),
        ("a-b=1", &["a_b=1"], &[], "a-b=1"),
        (
            "console=tty0 console=ttyS0",
            &["console=tty0"],
            &[],
            "console=tty0 console=ttyS0",
        ),
        ("ro quiet splash", &[], &["quiet"], "ro splash"),
        ("quiet ro", &[], &["quiet"], "ro"),
        ("a=1 a=2 a", &[], &["a=1"], "a=2 a"),
        ("a=1 a=2 a b", &["c"], &["a"], "b c"),
        ("", &["c"], &[], "c"),
        ("x=\"1 2\" y", &["c"], &[], "x=\"1 2\" y c"),
    ];
    for (line, with, without, expected) in cases {
        let change = change(with, without);
        assert_eq!(change.edit(line).unwrap(), expected, "{line}");
        assert_eq!(change.edit(expected).unwrap(), expected, "{line} again");
    }
}

#[test]
fn behind_an_open_quote_nothing_can_be_added() {
    let (adds, removes) = (change(&["a=1"], &[]), change(&["b"], &["quiet"]));
    let line = "ro b quiet x=\"1 2";
    assert_eq!(removes.edit(line).unwrap(), "ro b x=\"1 2");
    assert!(adds.edit(line).is_err());
    for (text, format) in [
        (format!("linux /vmlinuz-1 {line}\n"), Format::Menu),
        (format!("linux /v\noptions {line}\n"), Format::Entry),
        (line.to_owned(), Format::CommandLine),
        (format!("kernelopts={line}\n"), Format::Environment),
        (format!("GRUB_CMDLINE_LINUX='{line}'\n"), Format::Defaults),
    ] {
        let path = "/x".into();
        let told = Place { path, text, format }.edited(&adds).unwrap_err();
        let told = told.to_string();
        assert!(told.contains("/x") && told.contains("not closed"), "{told}");
    }
}

#[test]
fn each_format() {
    let change = change(&["selinux=0"], &["quiet"]);
    let menu = "# linux x y\nmenuentry 'A' {\n\tlinux\t/vmlinuz-1 root=/dev/a ro quiet $vt_handoff\n\
                \tinitrd /i\n}\n linux16 /vmlinuz-0-rescue-1 quiet\n linux /memtest86+.bin console=ttyS0\n";
    let expected = menu.replace("ro quiet $vt_handoff", "ro $vt_handoff selinux=0");
    assert_eq!(edited(Format::Menu, menu, &change), expected);
    let entry = "title A\r\noptions root=/dev/a quiet\r\nlinux /v\r\n";
    let expected = "title A\r\noptions root=/dev/a selinux=0\r\nlinux /v\r\n";
    assert_eq!(edited(Format::Entry, entry, &change), expected);
    for (entry, expected) in [
        (
            "linux /v\noptions $kernelopts quiet $tuned_params\n",
            "linux /v\noptions $kernelopts $tuned_params\n",
        ),
        ("linux /v\noptions\ta\n", "linux /v\noptions\ta selinux=0\n"),
        ("linux /v\noptions\n", "linux /v\noptions selinux=0\n"),
        ("linux\t/v", "linux\t/v\noptions selinux=0\n"),
        (
            "efi /shell.efi\noptions quiet\n",
            "efi /shell.efi\noptions quiet\n",
        ),
    ] {
        assert_eq!(edited(Format::Entry, entry, &change), expected);
    }
    assert_eq!(
        edited(Format::Menu, "\tlinux /vmlinuz-1\n", &change),
        "\tlinux /vmlinuz-1 selinux=0\n"
    );
    let text = "# GRUB Environment Block\nsaved_entry=x\nkernelopts=root=/dev/a quiet \n";
    let environment = format!("{text}{}", "#".repeat(1024 - text.len()));
    let new = edited(Format::Environment, &environment, &change);
    assert!(
        new.contains("\nkernelopts=root=/dev/a selinux=0 \n#"),
        "{new}"
    );
    assert_eq!(new.len(), 1024);
    assert_eq!(
        edited(Format::CommandLine, "root=/dev/a quiet\n", &change),
        "root=/dev/a selinux=0\n"
    );
}

#[test]
fn defaults() {
    let change = change(&["selinux=0"], &["quiet"]);
    let cases = [
        ("", "GRUB_CMDLINE_LINUX=\"selinux=0\"\n"),
        ("A=1", "A=1\nGRUB_CMDLINE_LINUX=\"selinux=0\"\n"),
        (
            "GRUB_CMDLINE_LINUX=\"\"\n",
            "GRUB_CMDLINE_LINUX=\"selinux=0\"\n",
        ),
        (
            "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\" # hm\nGRUB_CMDLINE_LINUX='a=1'\n",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"splash\" # hm\nGRUB_CMDLINE_LINUX='a=1 selinux=0'\n",
        ),
        (
            "GRUB_CMDLINE_LINUX=ro\nB=2\n",
            "GRUB_CMDLINE_LINUX=\"ro selinux=0\"\nB=2\n",
        ),
        (
            "GRUB_CMDLINE_LINUX=\"d=\\\"file x\\\"\"\n",
            "GRUB_CMDLINE_LINUX=\"d=\\\"file x\\\" selinux=0\"\n",
        ),
        // What comes later wins.
        (
            "GRUB_CMDLINE_LINUX=\"\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"selinux=1\"\n",
            "GRUB_CMDLINE_LINUX=\"selinux=0\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"selinux=1 selinux=0\"\n",
        ),
        (
            "GRUB_CMDLINE_LINUX=\"selinux=0\"\n",
            "GRUB_CMDLINE_LINUX=\"selinux=0\"\n",
        ),
        // What is added to counts, too.
        (
            "GRUB_CMDLINE_LINUX=\"quiet ro\"\nGRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX quiet\"\n",
            "GRUB_CMDLINE_LINUX=\"ro\"\nGRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX selinux=0\"\n",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(edited(Format::Defaults, text, &change), expected, "{text}");
    }
    let open = Place {
        path: "/x".into(),
        text: "GRUB_CMDLINE_LINUX=\"a\nb\"\n".into(),
        format: Format::Defaults,
    };
    assert!(
        open.edited(&change)
            .unwrap_err()
            .to_string()
            .contains("by hand")
    );
}

#[test]
fn a_full_environment_is_told() {
    let text = format!("kernelopts={}\n", "x".repeat(1012));
    assert_eq!(
        set_in_environment(&text, "kernelopts", |old| Ok(format!("{old} y"))),
        Err("GRUB's environment has no room")
    );
    assert!(set_in_environment("a=1\n", "b", |_| Ok(String::new())).is_err());
}

proptest! {
    #[test]
    fn words_of_others_stay_in_their_order(line in "[a-c=\" \\t]{0,40}") {
        let change = change(&["zz=1"], &["b"]);
        let Ok(new) = change.edit(&line) else {
            return Ok(());
        };
        let others = |text: &str| -> Vec<String> {
            let words = text.split_whitespace().filter(|word| *word != "b" && !word.starts_with("b="));
            words.filter(|word| *word != "zz=1").map(str::to_owned).collect()
        };
        prop_assert_eq!(others(&line), others(&new));
        prop_assert_eq!(change.edit(&new), Ok(new.clone()));
    }

    #[test]
    fn no_text_is_too_strange(text in "(?s).{0,200}") {
        let change = change(&["zz=1"], &["b"]);
        for format in [Format::Menu, Format::Entry, Format::Environment, Format::Defaults, Format::CommandLine] {
            let _ = Place { path: "/x".into(), text: text.clone(), format }.edited(&change);
        }
    }

    #[test]
    fn other_lines_of_the_defaults_stay(lines in proptest::collection::vec("[A-Z_]{1,8}=[a-z\"' ]{0,8}", 0..6)) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let new = edited(Format::Defaults, &text, &change(&["zz=1"], &[]));
        prop_assert!(new.starts_with(&text), "{}", new);
    }
}
