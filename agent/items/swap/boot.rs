//! Everything that switches swap on at boot, judged as it will be once our own fstab edit is done:
//! a swap row keeps systemd-gpt-auto-generator quiet, and commenting it wakes the generator up.

use std::path::{Path, PathBuf};

use procfs::FromRead;
use procfs::process::MountInfos;

use super::fstab;
use crate::boot::{cmdline, dropins, units};
use crate::error::{Result, trouble};
use crate::finding::Origin;
use crate::host::Host;
use crate::step::{Owner, Step};

const FSTAB: &str = "/etc/fstab";
const GPT: &str = "systemd-gpt-auto-generator";
const ZRAM: &str = "zram-generator";
const ZRAM_CONF: &str = "/etc/systemd/zram-generator.conf";
/// Services that make swap of their own: zram-tools, zram-config (Ubuntu), dphys-swapfile, swapspace.
const SERVICES: [&str; 4] = [
    "zramswap.service",
    "zram-config.service",
    "dphys-swapfile.service",
    "swapspace.service",
];
/// Type of a swap partition and the attribute that keeps systemd off it (Discoverable Partitions
/// Specification), as udev writes them down.
const SWAP_TYPE: &str = "ID_PART_ENTRY_TYPE=0657fd6d-a4ab-43c4-84e5-0933c84b4f4f";
const NO_AUTO: u64 = 1 << 63;
/// From this version on systemd.swap=no keeps fstab rows and GPT partitions from becoming units
/// (systemd-fstab-generator(8), systemd-gpt-auto-generator(8)); older ones take no notice.
const SWAP_ARGUMENT: u32 = 246;

/// One thing that switches swap on at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The area, or what makes it.
    pub subject: String,
    /// Where it stands.
    pub origin: Origin,
    /// What ends it.
    remedy: Remedy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Remedy {
    /// `#` before this line of the fstab whose bytes are given.
    Comment {
        line: usize,
        fstab: std::rc::Rc<[u8]>,
    },
    /// A link to /dev/null at this path.
    Mask(PathBuf),
    /// An empty file at this path.
    Empty(PathBuf),
    /// The link at this path removed.
    Unlink(PathBuf),
}

/// What will switch swap on at the next boot.
///
/// # Errors
/// Where something that decides cannot be read.
pub fn sources(host: &Host) -> Result<Vec<Source>> {
    let arguments = cmdline::arguments(host)?;
    let is_off = |name| cmdline::value(&arguments, name).is_some_and(is_no);
    let mut sources = zram(host, &arguments)?;
    services(host, &mut sources)?;
    if is_off("systemd.swap") && units::systemd_version(host)? >= SWAP_ARGUMENT {
        return Ok(sources);
    }
    let mut rows = Vec::new();
    let mut row_stays = fstab_rows(host, &mut rows)?;
    if is_off("fstab") {
        // Nothing reads the rows then but the GPT generator, and we leave them.
        row_stays |= !rows.is_empty();
    } else {
        sources.append(&mut rows);
    }
    swap_units(host, &mut sources)?;
    if !row_stays && !is_off("systemd.gpt_auto") {
        gpt(host, &mut sources)?;
    }
    Ok(sources)
}

/// The steps that end all these sources, each with its path and the subjects it serves; the rows of
/// fstab in one.
pub fn steps(sources: &[Source]) -> Vec<(PathBuf, Step, Vec<String>)> {
    let mut steps = Vec::new();
    let rows: Vec<_> = sources
        .iter()
        .filter_map(|source| match &source.remedy {
            Remedy::Comment { line, fstab } => Some((*line, fstab, source.subject.clone())),
            Remedy::Mask(_) | Remedy::Empty(_) | Remedy::Unlink(_) => None,
        })
        .collect();
    if let Some((_, fstab, _)) = rows.first() {
        let lines: Vec<usize> = rows.iter().map(|(line, ..)| *line).collect();
        let step = Step::write(FSTAB, fstab::comment(fstab, &lines), Owner::Shared);
        steps.push((
            FSTAB.into(),
            step,
            rows.into_iter().map(|(.., subject)| subject).collect(),
        ));
    }
    for source in sources {
        let (path, step) = match &source.remedy {
            Remedy::Comment { .. } => continue,
            Remedy::Mask(path) => (
                path,
                Step::WriteLink {
                    path: path.clone(),
                    target: "/dev/null".into(),
                },
            ),
            Remedy::Unlink(path) => (path, Step::RemoveFile { path: path.clone() }),
            Remedy::Empty(path) => {
                let content = crate::template::header("zram-generator.conf");
                (path, Step::write(path, content, Owner::Ours))
            }
        };
        if steps.iter().all(|(other, ..)| other != path) {
            steps.push((path.clone(), step, vec![source.subject.clone()]));
        }
    }
    steps
}

/// Rows of fstab that are switched on; systemd makes a unit of each, which may be masked. Tells
/// whether a swap row will stay in fstab.
fn fstab_rows(host: &Host, sources: &mut Vec<Source>) -> Result<bool> {
    let path = Path::new(FSTAB);
    let Some(fstab) = host.bytes(path)? else {
        return Ok(false);
    };
    let mut stays = false;
    for row in fstab::rows(&fstab) {
        let unit = format!("{}.swap", units::escape_path(&device(&row.what)));
        if !row.auto || masked(host, &unit)? {
            stays = true;
            continue;
        }
        sources.push(Source {
            subject: row.what,
            origin: Origin::line(path, row.line),
            remedy: Remedy::Comment {
                line: row.line,
                fstab: fstab.clone(),
            },
        });
    }
    Ok(stays)
}

/// `UUID=x` and its kin as the device systemd waits for (fstab_node_to_udev_node).
fn device(what: &str) -> String {
    let Some((tag, value)) = what.split_once('=') else {
        return what.to_owned();
    };
    format!(
        "/dev/disk/by-{}/{}",
        tag.to_lowercase(),
        value.trim_matches('"')
    )
}

fn masked(host: &Host, unit: &str) -> Result<bool> {
    for dir in ["/etc/systemd/system", "/run/systemd/system"] {
        let link = host.link(&Path::new(dir).join(unit))?;
        if link.is_some_and(|target| target == Path::new("/dev/null")) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn swap_units(host: &Host, sources: &mut Vec<Source>) -> Result<()> {
    for (unit, link) in units::wanted(host, |unit| unit.ends_with(".swap"))? {
        sources.push(unit_source(host, unit, link)?);
    }
    Ok(())
}

fn services(host: &Host, sources: &mut Vec<Source>) -> Result<()> {
    for (unit, link) in units::wanted(host, |unit| SERVICES.contains(&unit))? {
        sources.push(unit_source(host, unit, link)?);
    }
    Ok(())
}

/// A unit is masked, as `systemctl mask` does; one that somebody wrote in the mask's place keeps its
/// file and loses the link that wants it, as with `systemctl disable`.
fn unit_source(host: &Host, unit: String, link: PathBuf) -> Result<Source> {
    let mask = units::mask_path(&unit);
    let origin = Origin::file(&link);
    let remedy = match host.kind(&mask)? {
        Some(_) => Remedy::Unlink(link),
        None => Remedy::Mask(mask),
    };
    Ok(Source {
        subject: unit,
        origin,
        remedy,
    })
}

/// zram-generator makes a swap of each `[zramN]` section without a mount point or a file system
/// (zram-generator.conf(5)). An empty file of the strongest name hides the packaged one; where that
/// name is taken, or a drop-in has the section, the unit it becomes is masked.
fn zram(host: &Host, arguments: &[(String, Option<String>)]) -> Result<Vec<Source>> {
    let off = cmdline::value(arguments, "systemd.zram").is_some_and(is_no);
    if off || units::generator(host, ZRAM)?.is_none() {
        return Ok(Vec::new());
    }
    let mut sources = Vec::new();
    for top in ["/etc", "/run", "/usr/local/lib", "/usr/lib"] {
        let path = Path::new(top).join("systemd/zram-generator.conf");
        if let Some(text) = host.text(&path)? {
            add_zram(host, &path, &text, top != "/etc", &mut sources)?;
            break;
        }
    }
    for file in dropins::read(host, "systemd/zram-generator.conf.d")? {
        add_zram(host, &file.path, &file.text, false, &mut sources)?;
    }
    Ok(sources)
}

fn add_zram(
    host: &Host,
    path: &Path,
    text: &str,
    can_hide: bool,
    sources: &mut Vec<Source>,
) -> Result<()> {
    for (line, name) in zram_swaps(text) {
        let unit = format!("dev-{name}.swap");
        if masked(host, &unit)? {
            continue;
        }
        let remedy = match can_hide {
            true => Remedy::Empty(ZRAM_CONF.into()),
            false => Remedy::Mask(units::mask_path(&unit)),
        };
        sources.push(Source {
            subject: format!("/dev/{name}"),
            origin: Origin::line(path, line),
            remedy,
        });
    }
    Ok(())
}

/// The devices of a zram-generator.conf that become swap, with the lines of their sections.
fn zram_swaps(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, &str, bool)> = Vec::new();
    for (line, text) in dropins::lines(text) {
        let section = text.strip_prefix('[').and_then(|s| s.strip_suffix(']'));
        if let Some(name) = section.map(str::trim) {
            found.push((line, name, name.starts_with("zram")));
        } else if let (Some((key, value)), Some(last)) = (text.split_once('='), found.last_mut()) {
            last.2 &= match key.trim() {
                "mount-point" => false,
                "fs-type" => value.trim() == "swap",
                _ => true,
            };
        }
    }
    let swaps = found.into_iter().filter(|(.., swap)| *swap);
    swaps
        .map(|(line, name, _)| (line, name.to_owned()))
        .collect()
}

/// Swap partitions on the disk of the root file system, which systemd-gpt-auto-generator(8) switches
/// on where no swap row stays in fstab. udev has written down what the partition table says.
fn gpt(host: &Host, sources: &mut Vec<Source>) -> Result<()> {
    let Some(generator) = units::generator(host, GPT)? else {
        return Ok(());
    };
    let Some(disk) = root_disk(host)? else {
        return Ok(());
    };
    for name in host.list(&disk)?.iter() {
        let Some(number) = host.text(&disk.join(name).join("dev"))? else {
            continue;
        };
        let entry = Path::new("/run/udev/data").join(format!("b{}", number.trim()));
        let entry = host.text(&entry)?.unwrap_or_default();
        if !is_swap_partition(&entry) {
            continue;
        }
        sources.push(Source {
            subject: format!("/dev/{name}"),
            origin: Origin::Other(format!("{} (GPT swap partition)", generator.display())),
            remedy: Remedy::Mask(units::generator_mask_path(GPT)),
        });
    }
    Ok(())
}

fn is_swap_partition(udev: &str) -> bool {
    let flags = udev
        .lines()
        .find_map(|line| line.split_once("ID_PART_ENTRY_FLAGS=0x"));
    let flags = flags
        .and_then(|(_, hex)| u64::from_str_radix(hex, 16).ok())
        .unwrap_or(0);
    udev.contains("ID_PART_ENTRY_SCHEME=gpt") && udev.contains(SWAP_TYPE) && flags & NO_AUTO == 0
}

/// The sysfs directory of the disk that holds `/`; none where `/` is on no single
/// partition.
fn root_disk(host: &Host) -> Result<Option<PathBuf>> {
    // Lossy: a user's own mount may have any bytes in its path, and the root's line has none of those.
    let text = host.text(Path::new("/proc/self/mountinfo"))?;
    let MountInfos(mounts) = MountInfos::from_read(text.unwrap_or_default().as_bytes())
        .map_err(|e| trouble!("/proc/self/mountinfo: {e}"))?;
    let Some(root) = mounts
        .iter()
        .rfind(|mount| mount.mount_point == Path::new("/"))
    else {
        return Ok(None);
    };
    let Some(mut device) = sysfs(host, &root.majmin)? else {
        return Ok(None);
    };
    // An encrypted root or a logical volume on one partition: the generator goes down to that one
    // (systemd's src/shared/blockdev-util.c, `block_get_originating`).
    while let [one] = &*host.list(&device.join("slaves"))? {
        let number = host.text(&device.join("slaves").join(one).join("dev"))?;
        let Some(below) = sysfs(host, number.unwrap_or_default().trim())? else {
            return Ok(None);
        };
        device = below;
    }
    // …/block/vda/vda1: the partition's directory is in the disk's.
    let is_partition = host.kind(&device.join("partition"))?.is_some();
    Ok(device.parent().filter(|_| is_partition).map(Path::to_owned))
}

/// The directory of a block device by its number.
fn sysfs(host: &Host, number: &str) -> Result<Option<PathBuf>> {
    let by_number = Path::new("/sys/dev/block");
    let target = host.link(&by_number.join(number))?;
    Ok(target.map(|target| by_number.join(target)))
}

fn is_no(value: &str) -> bool {
    matches!(
        value.to_lowercase().as_str(),
        "0" | "no" | "n" | "false" | "f" | "off"
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn zram_devices_with_a_file_system_are_no_swap() {
        let text = "[zram0]\n# fs-type = ext4\n[zram1]\nfs-type=ext4\n[zram2]\nfs-type = swap\n\
                    [zram3]\nmount-point = /var/tmp\n[other]\n";
        let expected = [(1, "zram0".to_owned()), (5, "zram2".to_owned())];
        assert_eq!(super::zram_swaps(text), expected);
    }
}
