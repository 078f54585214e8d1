//! What changed with which release of Kubernetes, in the order of the releases.

/// A tag by the release it came with: minor version, patch. It holds until the next line.
pub(super) type Since = (u32, u32, &'static str);

pub(super) const PAUSE: [Since; 10] = [
    (20, 0, "3.2"),
    (21, 0, "3.4.1"),
    (22, 0, "3.5"),
    (23, 0, "3.6"),
    (24, 0, "3.7"),
    (25, 0, "3.8"),
    (26, 0, "3.9"),
    (31, 0, "3.10"),
    (34, 0, "3.10.1"),
    (36, 0, "3.10.2"),
];

/// Complete up to 1.31; from 1.32 on the tag of the first patch release.
pub(super) const ETCD: [Since; 34] = [
    (20, 0, "3.4.13-0"),
    (22, 0, "3.5.0-0"),
    (22, 17, "3.5.6-0"),
    (23, 0, "3.5.1-0"),
    (23, 14, "3.5.5-0"),
    (23, 15, "3.5.6-0"),
    (24, 0, "3.5.3-0"),
    (24, 8, "3.5.5-0"),
    (24, 9, "3.5.6-0"),
    (25, 0, "3.5.4-0"),
    (25, 4, "3.5.5-0"),
    (25, 5, "3.5.6-0"),
    (25, 15, "3.5.9-0"),
    (26, 0, "3.5.6-0"),
    (26, 10, "3.5.9-0"),
    (26, 13, "3.5.10-0"),
    (27, 0, "3.5.7-0"),
    (27, 7, "3.5.9-0"),
    (27, 10, "3.5.10-0"),
    (27, 12, "3.5.12-0"),
    (28, 0, "3.5.9-0"),
    (28, 6, "3.5.10-0"),
    (28, 8, "3.5.12-0"),
    (28, 14, "3.5.15-0"),
    (29, 0, "3.5.10-0"),
    (29, 3, "3.5.12-0"),
    (29, 9, "3.5.15-0"),
    (30, 0, "3.5.12-0"),
    (30, 5, "3.5.15-0"),
    (32, 0, "3.5.16-0"),
    (33, 0, "3.5.21-0"),
    (34, 0, "3.6.4-0"),
    (35, 0, "3.6.6-0"),
    (36, 0, "3.6.8-0"),
];

pub(super) const COREDNS: [Since; 14] = [
    (20, 0, "1.7.0"),
    (21, 0, "v1.8.0"),
    (22, 0, "v1.8.4"),
    (23, 0, "v1.8.6"),
    (25, 0, "v1.9.3"),
    (27, 0, "v1.10.1"),
    (29, 0, "v1.11.1"),
    (30, 5, "v1.11.3"),
    (31, 0, "v1.11.1"),
    (31, 1, "v1.11.3"),
    (33, 0, "v1.12.0"),
    (34, 0, "v1.12.1"),
    (35, 0, "v1.13.1"),
    (36, 0, "v1.14.2"),
];

/// Flags of the kubelet with which it no longer starts, and since when.
pub(super) const REMOVED_FLAGS: [(&str, u32); 12] = [
    // dockershim's, with dockershim.
    ("cni-bin-dir", 24),
    ("cni-cache-dir", 24),
    ("cni-conf-dir", 24),
    ("docker-endpoint", 24),
    ("experimental-dockershim-root-directory", 24),
    ("image-pull-progress-deadline", 24),
    ("network-plugin", 24),
    ("network-plugin-mtu", 24),
    ("container-runtime", 27),
    ("keep-terminated-pod-volumes", 31),
    ("cloud-config", 34),
    ("pod-infra-container-image", 35),
];
