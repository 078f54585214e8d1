//! Every shipped profile on one machine, one after the other as people change their minds: each is
//! prepared in one apply, and what the last one wants is there after a reboot.

use crate::guest::{self, CONTROL_PLANE, PROFILE, Report};
use crate::image::Image;

/// The guide's comes last: it wants most, and less than others of some. From here no time server can be
/// reached, no repository and no name server.
const PROFILES: [&str; 5] = [
    "kubeadm-base",
    PROFILE,
    CONTROL_PLANE,
    "guide-kubernetes-1.24-worker --skip time,images,packages,dns,kubelet",
    "guide-kubernetes-1.24-control-plane --skip time,images,packages,dns,kubelet",
];

pub fn run(image: &Image) {
    let mut machine = guest::boot(image);
    // A firewall, so that the profiles' ports are something to do.
    machine.ok(guest::NFTABLES);
    for profile in PROFILES {
        Report::with(&mut machine, "apply", profile, 0);
        Report::with(&mut machine, "check", profile, 0);
        let again = Report::with(&mut machine, "apply", profile, 0);
        assert!(again.steps().is_empty(), "{profile}: {:?}", again.steps());
    }
    let open = machine.ok("nft list chain inet filter input");
    for port in ["6443", "2379-2380", "10250", "30000-32767"] {
        assert_eq!(
            open.matches(&format!("tcp dport {port} accept")).count(),
            1,
            "{port}: {open}"
        );
    }
    machine.reboot();
    let last = PROFILES[PROFILES.len() - 1];
    Report::with(&mut machine, "check", last, 0);
    assert_eq!(machine.ok("nft list chain inet filter input"), open);
}
