//! What a host tells of itself: os-release, routes, and a container runtime's answers.

use super::host::{Case, Keeps};
use nodeprep::host::CriAnswer;

pub fn told(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[],
        fuzzed: &[
            "/answers.json",
            "/proc/net/route",
            "/proc/net/ipv6_route",
            "/proc/net/if_inet6",
        ],
        fixed: &[],
        keeps: Keeps::Tested,
        theirs: &[],
    };
    let host = CASE.host(input);
    let _ = host.facts();
    let _ = host.uplink();
    let _ = host.node_ip();
}

pub fn cri(input: &[u8]) {
    let mut parts = super::parts(input);
    let (status, version) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let _ = CriAnswer::parse(status, version);
}
