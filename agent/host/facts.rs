//! What a profile may want to know about the host it prepares.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use procfs::FromRead;
use procfs::net::RouteEntries;
use serde::{Deserialize, Serialize};

use super::{Clock, CriAnswer, Host, Origin, Source};
use crate::error::{Result, trouble};
use crate::firewall::Ruleset;
use crate::step::Access;

/// Facts about a host, by the names templates use (`{{ facts.node_ip }}`).
///
/// An image has only those its files tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The running host name, or the one in /etc/hostname for an image.
    pub hostname: Option<String>,
    /// First address of the interface that holds the IPv4 default route, else the IPv6 one's.
    pub node_ip: Option<String>,
    /// Logical processors.
    pub cpus: Option<usize>,
    /// Memory in MiB.
    pub memory: Option<u64>,
    /// `ID` of os-release(5): debian, ubuntu, centos, rocky …
    pub distribution: Option<String>,
    /// `VERSION_ID` of os-release(5).
    pub distribution_version: Option<String>,
    /// `PRETTY_NAME` of os-release(5).
    pub distribution_name: Option<String>,
    /// Release of the running kernel.
    pub kernel: Option<String>,
    /// The machine as uname(2) names it: x86_64, aarch64 …
    pub architecture: Option<String>,
}

/// What a captured tree says where a file can't.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    /// As `nodeprep facts --output json` printed them there.
    pub facts: Facts,
    /// What container runtimes told, by socket.
    pub cri: BTreeMap<PathBuf, CriAnswer>,
    /// Images that they have, by every name.
    #[serde(default)]
    pub images: BTreeMap<PathBuf, BTreeSet<String>>,
    /// When files last changed, in seconds since 1970: a checkout has other times. 0 where not told.
    #[serde(default)]
    pub changed: BTreeMap<PathBuf, u64>,
    /// How its clock was.
    #[serde(default)]
    pub clock: Option<Clock>,
    /// Modes and owners that a checkout does not keep.
    #[serde(default)]
    pub access: BTreeMap<PathBuf, Access>,
    /// rpm's packages with their versions.
    #[serde(default)]
    pub rpm: BTreeMap<String, String>,
    /// The packet filter's rules.
    #[serde(default)]
    pub rules: Ruleset,
}

impl Host {
    /// The host's facts.
    ///
    /// # Errors
    /// Where a file that tells one exists and cannot be read.
    pub fn facts(&self) -> Result<Facts> {
        match self.origin {
            Origin::Captured => Ok(self.answers()?.facts),
            Origin::Live | Origin::Image => self.observe_facts(),
        }
    }

    /// The interface that other nodes' packets come by, as far as can be told: the one of the IPv4
    /// default route with the lowest metric, else of the IPv6 one; none for an image.
    ///
    /// # Errors
    /// Where the kernel's routes cannot be read.
    pub fn uplink(&self) -> Result<Option<String>> {
        match default_v4(self)? {
            Some(interface) => Ok(Some(interface)),
            None => default_v6(self),
        }
    }

    /// The node's address, as [`Host::facts`] tells it, without asking for the others.
    ///
    /// # Errors
    /// Where the kernel's routes or addresses cannot be read.
    pub fn node_ip(&self) -> Result<Option<String>> {
        match self.origin {
            Origin::Captured => Ok(self.answers()?.facts.node_ip),
            Origin::Live => node_ip(self),
            Origin::Image => Ok(None),
        }
    }

    /// The host's name, as [`Host::facts`] tells it, without asking for the others.
    ///
    /// # Errors
    /// Where the file that tells it exists and cannot be read.
    pub fn hostname(&self) -> Result<Option<String>> {
        if self.origin == Origin::Captured {
            return Ok(self.answers()?.facts.hostname);
        }
        let line = |path: &str| self.text(Path::new(path));
        let name = match line("/proc/sys/kernel/hostname")? {
            Some(name) => Some(name),
            None => line("/etc/hostname")?,
        };
        Ok(name.map(|name| name.trim().to_owned()))
    }

    /// The kernel's number of this boot (random(4), boot_id); none in a tree without one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn boot_id(&self) -> Result<Option<String>> {
        let text = self.text(Path::new("/proc/sys/kernel/random/boot_id"))?;
        Ok(text.map(|text| text.trim().to_owned()))
    }

    pub(super) fn answers(&self) -> Result<Answers> {
        let path = Path::new("/answers.json");
        let bytes = self.bytes(path)?.unwrap_or_default();
        serde_json::from_slice(&bytes).map_err(|error| trouble!("{}: {error}", path.display()))
    }

    fn observe_facts(&self) -> Result<Facts> {
        let mut facts = Facts {
            hostname: self.hostname()?,
            kernel: self.kernel_release()?,
            ..Facts::default()
        };
        self.add_distribution(&mut facts)?;
        facts.node_ip = self.node_ip()?;
        if self.origin == Origin::Live {
            facts.architecture = Some(std::env::consts::ARCH.to_owned());
            facts.cpus = std::thread::available_parallelism().ok().map(Into::into);
            let mut system = sysinfo::System::new().map_err(|error| trouble!("memory: {error}"))?;
            system.refresh_memory();
            facts.memory = Some(system.total_memory() >> 20);
        }
        Ok(facts)
    }

    fn add_distribution(&self, facts: &mut Facts) -> Result<()> {
        facts.distribution = self.os_release("ID")?;
        facts.distribution_version = self.os_release("VERSION_ID")?;
        facts.distribution_name = self.os_release("PRETTY_NAME")?;
        Ok(())
    }

    /// A value of os-release(5): /etc wins over /usr/lib, values may be quoted.
    ///
    /// # Errors
    /// Where it exists and cannot be read.
    pub fn os_release(&self, key: &str) -> Result<Option<String>> {
        let etc = self.text(Path::new("/etc/os-release"))?;
        let text = match etc {
            Some(text) => text,
            None => self
                .text(Path::new("/usr/lib/os-release"))?
                .unwrap_or_default(),
        };
        let mut lines = text.lines().filter_map(|line| line.trim().split_once('='));
        let value = lines.find(|(name, _)| *name == key);
        Ok(value.map(|(_, value)| value.trim_matches(['"', '\'']).to_owned()))
    }
}

/// The address other nodes reach this one by, as kubeadm guesses it: of the interface that holds
/// the default route with the lowest metric.
fn node_ip(host: &Host) -> Result<Option<String>> {
    host.note(Source::Network);
    let address = match default_v4(host)? {
        Some(interface) => address_of(&interface, IpAddr::is_ipv4)?,
        None => None,
    };
    match (address, default_v6(host)?) {
        (Some(address), _) => Ok(Some(address)),
        (None, Some(interface)) => address_of(&interface, IpAddr::is_ipv6),
        (None, None) => Ok(None),
    }
}

/// The interface of the IPv4 default route with the lowest metric.
fn default_v4(host: &Host) -> Result<Option<String>> {
    let routes = host
        .bytes(Path::new("/proc/net/route"))?
        .unwrap_or_default();
    let RouteEntries(routes) =
        RouteEntries::from_read(&*routes).map_err(|error| trouble!("/proc/net/route: {error}"))?;
    let default = |ip: &Ipv4Addr, mask: &Ipv4Addr| ip.is_unspecified() && mask.is_unspecified();
    let best = routes
        .iter()
        .filter(|route| default(&route.destination, &route.mask))
        .min_by_key(|route| route.metrics);
    Ok(best.map(|route| route.iface.clone()))
}

/// The interface of the IPv6 default route: `/proc/net/ipv6_route` has ten fields a line, the
/// destination, its prefix length in hex, …, the metric sixth, the interface last
/// (net/ipv6/route.c, `rt6_info_route`).
fn default_v6(host: &Host) -> Result<Option<String>> {
    let text = host
        .text(Path::new("/proc/net/ipv6_route"))?
        .unwrap_or_default();
    let rows = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let best = rows
        .filter_map(|row| match row.as_slice() {
            [to, "00", .., metric, _, _, _, interface]
                if to.bytes().all(|b| b == b'0') && *interface != "lo" =>
            {
                Some(((*metric).to_owned(), (*interface).to_owned()))
            }
            _ => None,
        })
        .min();
    Ok(best.map(|(_, interface)| interface))
}

fn address_of(interface: &str, wanted: impl Fn(&IpAddr) -> bool) -> Result<Option<String>> {
    let all = nix::ifaddrs::getifaddrs().map_err(|e| trouble!("addresses: {}", e.desc()))?;
    let addresses = all
        .filter(|a| a.interface_name == interface)
        .filter_map(|a| a.address);
    let mut ips = addresses.filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    });
    Ok(ips
        .find(|ip| wanted(ip) && !link_local(ip))
        .map(|ip| ip.to_string()))
}

fn link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
