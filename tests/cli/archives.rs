//! Programs out of archives, as a user meets them: what is taken, what is refused and why, and that
//! nothing of a refused one is left anywhere.

use std::process::Command;

use crate::run::{Ran, directory, file, finish};
use crate::space::Space;
use crate::tree::{Image, leftovers, photograph};

trials!(
    anyone: [
        taken_and_taken_back, a_newer_one_takes_its_place, what_left_the_profile, a_member_that_left, cut_off, refused, checksum, no_archive,
    ],
    root: [full]
);

/// A shell's way to an archive called `a`, from a directory with a program called crictl in it.
fn archive(script: &str) -> Vec<u8> {
    let dir = directory();
    file(&dir.path().join("crictl"), "#!/bin/sh\necho 1\n");
    let made = finish(
        Command::new("sh")
            .args(["-euc", script])
            .current_dir(dir.path()),
    );
    made.exits(0);
    std::fs::read(dir.path().join("a")).unwrap()
}

fn sum(bytes: &[u8]) -> String {
    let dir = directory();
    file(&dir.path().join("a"), bytes);
    let said = finish(Command::new("sha256sum").arg(dir.path().join("a")));
    said.stdout.split(' ').next().unwrap().to_owned()
}

fn profile(sum: &str) -> String {
    format!(
        "schema = \"v1alpha1\"\n[archives.crictl]\nsource = \"/srv/a.tgz\"\nsha256 = \"{sum}\"\n\
         version = \"v1\"\ninto = \"/usr/local/bin\"\nmembers = [\"crictl\"]\n"
    )
}

const GOOD: &str = "chmod 755 crictl; tar czf a ./crictl";

fn image(archive: &[u8]) -> Image {
    let image = Image::new(&profile(&sum(archive)));
    image.add("srv/a.tgz", archive);
    image
}

fn taken_and_taken_back() {
    let image = image(&archive(GOOD));
    let plan = [
        "extract crictl from /srv/a.tgz to /usr/local/bin",
        "of crictl v1",
    ];
    image.run("plan").exits(2).says(&plan);
    image.run("apply").exits(0).says(&["1 fixed"]);
    let seen = photograph(&image.root());
    image.run("check").exits(0).says(&["1 in sync"]);
    image.run("apply").exits(0).never_says("fixed");
    assert!(seen == photograph(&image.root()));

    image.add("usr/local/bin/crictl", "another");
    image
        .run("check")
        .exits(2)
        .says(&["changed since it was taken out"]);
    image.run("apply").exits(0).says(&["1 fixed"]);
    std::fs::remove_file(image.root().join("usr/local/bin/crictl")).unwrap();
    image.run("apply").exits(0).says(&["1 fixed"]);

    // What is there needs the archive no more.
    std::fs::remove_file(image.root().join("srv/a.tgz")).unwrap();
    image.run("check").exits(0);
    image.past(&["remove"]).exits(0);
    assert!(!image.root().join("usr").exists());
    assert!(leftovers(&image.root()).is_empty());
}

fn a_newer_one_takes_its_place() {
    let image = image(&archive(GOOD));
    image.run("apply").exits(0);
    let newer = archive("echo 2 >crictl; tar cf a crictl");
    image.add("srv/a.tgz", &newer);
    image.profile(&profile(&sum(&newer)));
    image.run("check").exits(2).says(&["of another archive"]);
    image.run("apply").exits(0);
    assert_eq!(image.read("usr/local/bin/crictl"), b"2\n");
    image
        .past(&["rollback"])
        .says(&["one that was replaced does not come back", "was not kept"]);
    assert_eq!(image.read("usr/local/bin/crictl"), b"2\n");
}

fn what_left_the_profile() {
    let image = image(&archive(GOOD));
    image.run("apply").exits(0);
    image.profile("schema = \"v1alpha1\"\n[archives]\n");
    image
        .run("apply")
        .exits(0)
        .says(&["no longer in the profile"]);
    assert!(!image.root().join("usr").exists());
}

/// One of two files of an archive leaves: the other, and the directory made for both, stay.
fn a_member_that_left() {
    let image = image(&archive("cp crictl critest; tar cf a crictl critest"));
    let sum = sum(&image.read("srv/a.tgz"));
    image.profile(&profile(&sum).replace("[\"crictl\"]", "[\"crictl\", \"critest\"]"));
    image.run("apply").exits(0).says(&["2 fixed"]);
    image.profile(&profile(&sum));
    image
        .run("apply")
        .exits(0)
        .says(&["critest", "no longer in the profile"]);
    assert!(!image.root().join("usr/local/bin/critest").exists());
    image.run("check").exits(0).says(&["1 in sync"]);
    image.past(&["remove"]).exits(0);
    assert!(!image.root().join("usr").exists());
}

/// Killed before the file had its name, and after: both ways it is finished, and taken back.
fn cut_off() {
    for is_named in [false, true] {
        let image = image(&archive(GOOD));
        image.run("apply").exits(0);
        let journal = image.journals().remove(0);
        let text = std::fs::read_to_string(&journal).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        file(&journal, lines[..lines.len() - 2].concat());
        let process = journal.file_stem().unwrap().to_str().unwrap();
        let process = process.rsplit('-').next().unwrap();
        if !is_named {
            let name = image.root().join("usr/local/bin/crictl");
            let temporary = format!("usr/local/bin/.crictl.nodeprep-{process}");
            std::fs::rename(name, image.root().join(temporary)).unwrap();
        }
        image.run("check").exits(2).says(&["cut off → finished"]);
        let ran = image.run("apply");
        ran.exits(0)
            .says(&[if is_named { "1 in sync" } else { "fixed" }]);
        assert!(leftovers(&image.root()).is_empty());
        image.run("check").exits(0);
        image.past(&["remove"]).exits(0);
        assert!(!image.root().join("usr").exists());
    }
}

fn refused() {
    for (script, told) in [
        ("mkdir d; cd d; tar cPf ../a ../crictl", "leads out of"),
        ("tar cPf a \"$PWD/crictl\"", "leads out of"),
        ("ln -sf /etc/passwd crictl; tar czf a crictl", "is a link"),
        ("ln crictl b; tar cf a b crictl", "is a link"),
        ("mkfifo f; mv f crictl; tar cf a crictl", "device, no file"),
        (
            "tar czf a --transform s/crictl/bin/ crictl",
            "it has no crictl, it has bin",
        ),
        (
            "echo '<html>404</html>' >a",
            "is it a whole .tar or .tar.gz?",
        ),
        (
            "head -c 99999 /dev/urandom >crictl; tar cz crictl | head -c 9999 >a",
            "is it a whole",
        ),
        (
            "tar cJf a crictl 2>&- || tar cf - crictl | tail -c +2 >a",
            "is it a whole",
        ),
    ] {
        let image = image(&archive(script));
        image.add("usr/local/bin/other", "");
        image
            .run("apply")
            .exits(1)
            .says(&[told, "nothing was taken from it"]);
        assert!(
            !image.root().join("usr/local/bin/crictl").exists(),
            "{told}"
        );
        assert!(leftovers(&image.root()).is_empty(), "{told}");
    }
}

fn checksum() {
    let image = image(&archive(GOOD));
    let other = archive("tar cf a crictl");
    image.add("srv/a.tgz", &other);
    image
        .run("apply")
        .exits(1)
        .says(&["its SHA-256 is", &sum(&other)]);
    assert!(!image.root().join("usr/local/bin/crictl").exists());
}

fn no_archive() {
    let image = Image::new(&profile(&sum(b"")));
    let told = ["/srv/a.tgz is not there: copy it here"];
    image.run("apply").exits(2).says(&told);
    assert!(!image.root().join("usr").exists());
}

/// A disk that has room for half of the file: nothing of it is left.
fn full() {
    let archive = archive("head -c 200000 /dev/urandom >crictl; tar cf a crictl");
    let text = profile(&sum(&archive)).replace("/usr/local/bin", "/etc/full");
    let text = text.replace("/srv/a.tgz", "/run/a.tgz");
    let space = Space::new(&text);
    file(&space.path("run/a.tgz"), &archive);
    std::fs::create_dir(space.path("etc/full")).unwrap();
    let prepare = "mount -t tmpfs -o size=128k,mode=755 none /etc/full";
    let after = "find /etc/full -mindepth 1";
    let ran: Ran = space.run_between(prepare, &["apply"], after);
    ran.exits(1)
        .says(&["No space left on device", "free some space"])
        .never_says(".nodeprep-");
}
