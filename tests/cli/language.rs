//! Mistakes in a profile's text: each is answered with its place, a caret, and what was meant.

use std::process::Command;

use nodeprep::items::Item;

use crate::run::{NODEPREP, Ran, directory, file, finish};

trials!(
    anyone: [
        not_toml, schema, unknown_names, wrong_types,
        bad_ports, extends, variables, sysctl_keys, sysctl_values,
        one_key_twice,
        module_names, file_names, every_command_says_the_same,
    ],
    root: []
);

/// Checks a profile called `p.toml`.
fn check(text: &str) -> Ran {
    let dir = directory();
    file(&dir.path().join("p.toml"), text);
    finish(
        Command::new(NODEPREP)
            .args(["check", "p.toml"])
            .current_dir(dir.path()),
    )
}

/// Asserts exit 65, the place `line:column`, a caret below the text, and what is said.
#[track_caller]
fn refuses(body: &str, place: &str, says: &[&str]) {
    let ran = check(&format!("schema = \"v1alpha1\"\n{body}"));
    ran.exits(65)
        .says(&[&format!("--> p.toml:{place}\n")])
        .says(says);
    assert!(
        ran.stderr.contains('^') && ran.stdout.is_empty(),
        "{ran:#?}"
    );
}

fn not_toml() {
    refuses("[swap\n", "2:6", &["error: not valid TOML"]);
    refuses(
        "[swap]\nstate = off\n",
        "3:9",
        &["string values must be quoted"],
    );
    refuses(
        "[swap]\n[swap]\n",
        "3:2",
        &["not valid TOML: duplicate key"],
    );
}

fn schema() {
    let here = "--> p.toml:1:";
    check("schema = \"v2\"\n").exits(65).says(&[
        here,
        "unknown schema \"v2\"",
        "reads v1alpha1",
        "^",
    ]);
    check("schema = 1\n").exits(65).says(&[here, "^"]);
    check("name = \"x\"\n").exits(65).says(&[
        here,
        "missing key `schema`",
        "begin the profile with",
    ]);
    check("").exits(65).says(&[here, "missing key `schema`"]);
}

fn unknown_names() {
    refuses(
        "[sysctll]\n",
        "2:2",
        &["unknown section [sysctll]", "did you mean `sysctl`?"],
    );
    refuses(
        "[zzz]\n",
        "2:2",
        &[
            "unknown section [zzz]",
            &format!("known: {}, history, lint", Item::NAMES.join(", ")),
        ],
    );
    let crictl = "unknown key `runtime-endpont` in [crictl]";
    refuses(
        "[crictl]\nruntime-endpont = \"\"\n",
        "3:1",
        &[crictl, "did you mean `runtime-endpoint`?"],
    );
    refuses("[modules]\nlaod = []\n", "3:1", &["did you mean `load`?"]);
    refuses("[swap]\n", "2:1", &["missing key `state` in [swap]"]);
}

fn bad_ports() {
    for (port, why) in [
        ("0/tcp", "\"0\" is no port: give a number from 1 to 65535"),
        ("70000/tcp", "\"70000\" is no port"),
        ("9-8/udp", "9 is above 8: write 8-9"),
        ("80/quic", "\"quic\" is neither tcp nor udp"),
        ("80", "names no protocol: write 80/tcp"),
        ("", "names no protocol"),
    ] {
        let section = format!("[ports]\nopen = [\"{port}\"]\n");
        refuses(&section, "3:9", &["ports.open", why]);
    }
    refuses("[ports]\nnode_ports = \"80/tcp\"\n", "3:14", &["a list"]);
}

fn wrong_types() {
    refuses(
        "[crictl]\ntimeout = \"ten\"\n",
        "3:11",
        &["crictl.timeout", "an integer", "found the string \"ten\""],
    );
    refuses(
        "[crictl]\ntimeout = -1\n",
        "3:11",
        &["an integer from 0 to 4294967295", "-1"],
    );
    refuses("[crictl]\ndebug = 1\n", "3:9", &["crictl.debug"]);
    refuses(
        "[swap]\nstate = \"on\"\n",
        "3:9",
        &["expected one of \"off\", found \"on\""],
    );
    refuses("swap = \"off\"\n", "2:8", &["swap: expected a table"]);
    refuses("[modules]\nload = \"overlay\"\n", "3:8", &["modules.load"]);
    refuses(
        "[modules]\nload = [\"overlay\", 2]\n",
        "3:20",
        &["modules.load[1]"],
    );
    refuses(
        "[crictl]\nruntime-endpoint = \"tcp://x\"\n",
        "3:20",
        &["\"tcp://x\" is no endpoint: expected unix:///"],
    );
    refuses("vars = 1\n", "2:8", &["`vars` is a table"]);
    refuses(
        "[kubeadm]\nversion = \"1.34\"\nrole = \"join\"\ntoken = 31337\n",
        "5:9",
        &[
            "kubeadm.token: expected a string, found something else",
            "*****",
        ],
    );
}

fn extends() {
    refuses(
        "extends = [\"./none.toml\"]\n",
        "2:12",
        &["none.toml: No such file"],
    );
    let near = [
        "there is no profile called `kubeadm-wrker`",
        "did you mean `kubeadm-worker`?",
    ];
    refuses("extends = [\"kubeadm-wrker\"]\n", "2:12", &near);
    refuses("extends = 3\n", "2:11", &["`extends`", "write extends = ["]);
    refuses(
        "extends = [\"./p.toml\"]\n",
        "2:12",
        &["profiles extend each other"],
    );
}

fn variables() {
    let body =
        "[vars]\nsocket = \"/run/x\"\n[crictl]\nruntime-endpoint = \"unix://{{ vars.sockt }}\"\n";
    refuses(
        body,
        "5:20",
        &["undefined variable `vars.sockt`", "did you mean `socket`?"],
    );
    refuses(
        "[crictl]\nruntime-endpoint = \"{{ facts.nod_ip }}\"\n",
        "3:20",
        &["did you mean `node_ip`?"],
    );
    refuses("[crictl]\nruntime-endpoint = \"{{ vars.x\"\n", "3:20", &[]);
}

fn sysctl_keys() {
    for key in [
        "../../etc/passwd",
        "net/../../../etc/passwd",
        "net/../..",
        "/../x",
        "net..x",
        "a.*",
        "x",
    ] {
        let body = format!("[sysctl.keys]\n\"{key}\" = 1\n");
        refuses(
            &body,
            "3:1",
            &[&format!("\"{key}\" is no sysctl key"), "within /proc/sys"],
        );
    }
}

fn sysctl_values() {
    let key = "[sysctl.keys]\n\"net.ipv4.ip_forward\" = ";
    refuses(
        &format!("{key}1.5\n"),
        "3:25",
        &["expected an integer, a string, or a table", "1.5"],
    );
    refuses(
        &format!("{key}[1]\n"),
        "3:25",
        &["expected an integer, a string, or a table"],
    );
    refuses(
        &format!("{key}{{ valeu = 1 }}\n"),
        "3:27",
        &["unknown key `valeu`", "did you mean `value`?"],
    );
    refuses(
        &format!("{key}{{ at_least = \"x\" }}\n"),
        "3:38",
        &["an integer"],
    );
    refuses(
        &format!("{key}{{ value = 1, at_least = 2 }}\n"),
        "3:1",
        &["either `value` or `at_least`"],
    );
    refuses(
        &format!("{key}\"\"\n"),
        "3:25",
        &["a sysctl value is one line with something in it"],
    );
    refuses(
        &format!("{key}\"\"\"1\n2\u{1}\"\"\"\n"),
        "4:2",
        &["not valid TOML"],
    );
}

fn one_key_twice() {
    let key = "[sysctl.keys]\n\"net.ipv4.ip_forward\" = 1\n";
    for name in ["net/ipv4/ip_forward", "net.ipv4.conf.all.forwarding"] {
        let says = ["they are one, keep one", "(as net.ipv4.ip_forward)"];
        refuses(&format!("{key}\"{name}\" = 0\n"), "2:9", &says);
    }
}

fn module_names() {
    for name in ["../evil", "net/bridge", "-r", "", "a b"] {
        let body = format!("[modules]\nload = [\"overlay\", \"{name}\"]\n");
        refuses(
            &body,
            "3:20",
            &[&format!("modules.load[1]: \"{name}\" is no module name")],
        );
    }
}

fn file_names() {
    for name in ["../x.conf", "/etc/passwd", "x", ".conf", "a/b.conf"] {
        let body = format!("[sysctl]\nfile = \"{name}\"\n[sysctl.keys]\n");
        refuses(&body, "3:8", &[&format!("\"{name}\" is no drop-in name")]);
    }
}

fn every_command_says_the_same() {
    let dir = directory();
    let profile = file(
        &dir.path().join("p.toml"),
        "schema = \"v1alpha1\"\n[swop]\nstate = \"off\"\n",
    );
    let commands: [&[&str]; 6] = [
        &["check"],
        &["plan", "--root", "/"],
        &["apply", "--dry-run"],
        &["profile", "show"],
        &["profile", "validate"],
        &["check", "--output", "json"],
    ];
    for command in commands {
        let ran = finish(Command::new(NODEPREP).args(command).arg(&profile));
        ran.exits(65)
            .says(&["p.toml:2:2", "[swop]", "did you mean `swap`?"]);
    }
}
