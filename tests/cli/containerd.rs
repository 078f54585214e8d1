//! containerd's configuration as it must not be touched: broken, in no known encoding, or for a
//! daemon that is not there.

use crate::tree::{Image, photograph};

trials!(
    anyone: [absent, masked, broken, not_utf8, strange, missing_import, images],
    root: []
);

const PROFILE: &str = "schema = \"v1alpha1\"\n[containerd]\n\
                       sandbox_image = \"registry.k8s.io/pause:3.10.1\"\nsystemd_cgroup = true\n";
const CONFIG: &str = "etc/containerd/config.toml";

/// An image with containerd enabled and this configuration.
fn image(config: impl AsRef<[u8]>) -> Image {
    let image = Image::new(PROFILE);
    let unit = "[Service]\nExecStart=/usr/bin/containerd\n[Install]\nWantedBy=multi-user.target\n";
    image.add("usr/lib/systemd/system/containerd.service", unit);
    let wants = "etc/systemd/system/multi-user.target.wants/containerd.service";
    image.add(wants, unit);
    image.add(CONFIG, config);
    image
}

/// Neither check nor apply changes the file; both say why.
fn untouched(image: &Image, code: i32, says: &str) {
    let seen = photograph(&image.root().join("etc"));
    image.run("check").exits(code).says(&[says]);
    image.run("apply").exits(code).says(&[says]);
    assert!(seen == photograph(&image.root().join("etc")));
}

fn absent() {
    let image = Image::new(PROFILE);
    image.add(CONFIG, "disabled_plugins = [\"cri\"]\n");
    untouched(&image, 2, "containerd is not installed: install");
}

fn masked() {
    let image = image("version = 2\n");
    let mask = image.root().join("etc/systemd/system/containerd.service");
    std::os::unix::fs::symlink("/dev/null", mask).unwrap();
    untouched(
        &image,
        2,
        "masked → enabled  (/etc/systemd/system/containerd.service)",
    );
}

fn broken() {
    let image = image("version = 2\n\n[plugins\n");
    untouched(&image, 1, "/etc/containerd/config.toml:3 is no TOML");
}

fn not_utf8() {
    let image = image(b"version = 2\n# caf\xe9\n");
    untouched(&image, 1, "/etc/containerd/config.toml:2 is not UTF-8");
}

fn strange() {
    let image = image("version = 2\nplugins = 3\n");
    untouched(&image, 1, "is written in a way we can't edit");
}

fn missing_import() {
    let image = image("version = 2\nimports = [\"conf.d/a.toml\"]\n");
    untouched(
        &image,
        1,
        "/etc/containerd/conf.d/a.toml is imported and not there",
    );
}

/// The package tells which version a file may have.
fn images() {
    let image = image("# ours\n");
    let status = |version: &str| {
        let text =
            format!("Package: containerd.io\nStatus: install ok installed\nVersion: {version}\n");
        image.add("var/lib/dpkg/status", text);
    };
    status("1.6.33-1");
    image.add(CONFIG, "version = 3\n");
    untouched(&image, 1, "is version 3, containerd 1.6 reads up to 2");
    std::fs::remove_file(image.root().join(CONFIG)).unwrap();
    status("2.1.4-1");
    image.run("apply").exits(0);
    let text = String::from_utf8(image.read(CONFIG)).unwrap();
    assert!(
        text.contains("\nversion = 3\n") && text.contains("pinned_images]\nsandbox = "),
        "{text}"
    );
    image.run("check").exits(0);
}
