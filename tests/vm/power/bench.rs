//! Where the power is cut: disks are made, looked at, booted and finished here.

use std::path::Path;

use super::PROFILE;
use super::figures::Figures;
use super::judge::{Before, Found, Undisturbed};
use super::record::Recording;
use super::replay::{Cut, Random, copy};
use crate::image::Image;
use crate::machine::{Hardware, Machine};

/// So many of a machine's disks are booted.
const BOOTS: usize = 5;

/// Moments spread over the run and what is written for it after its return, in order.
pub fn spread(recording: &Recording, moments: usize, random: &mut Random) -> Vec<usize> {
    let first = recording.began + 1;
    // A run that finds nothing left to do writes nothing.
    let span = recording.synced - recording.began;
    if span == 0 {
        return Vec::new();
    }
    let begin = |index: usize| first + index * span / moments;
    let moment = |index| begin(index) + random.below((begin(index + 1) - begin(index)).max(1));
    (0..moments).map(moment).collect()
}

/// The run of `command` as it is when the power does not fail.
pub fn undisturbed(
    command: &'static str,
    endings: &'static [&'static str],
    recording: &Recording,
    dir: &Path,
) -> Undisturbed {
    let path = dir.join("whole");
    recording.disk(&path).play(&recording.log, recording.began);
    let before = Before::new(endings[0], recording.mount(&path).unwrap().path());
    // What the mount wrote is not in the log: from the beginning again.
    recording.disk(&path).play(&recording.log, recording.synced);
    let mount = recording.mount(&path).unwrap();
    let undisturbed = Undisturbed::new(command, endings, before, mount.path());
    drop(mount);
    std::fs::remove_file(&path).unwrap();
    undisturbed
}

/// Where disks are made and looked at.
#[derive(Debug)]
pub struct Bench<'a> {
    /// What is cut off.
    pub recording: &'a Recording,
    /// What it has to come to.
    pub undisturbed: &'a Undisturbed,
    /// What boots with them, if anything does.
    pub image: Option<&'a Image>,
    /// Where there is room for disks.
    pub dir: &'a Path,
}

impl Bench<'_> {
    /// The power fails at so many moments of the recording.
    pub fn fails(&self, moments: usize, random: &mut Random, figures: &mut Figures) {
        figures.record(self.recording);
        let mut disk = self.recording.disk(&self.dir.join("flushed"));
        let moments = spread(self.recording, moments, random);
        let mut booted = Vec::new();
        for (index, at) in moments.iter().enumerate() {
            let cut = Cut::new(&self.recording.log, *at, random);
            let path = self.dir.join("cut");
            disk.cut(&self.recording.log, &cut, &path);
            let mut found = Found {
                returned: cut.at >= self.recording.returned,
                ..Found::default()
            };
            if self.image.is_some() && (index + 1) % (moments.len() / BOOTS).max(1) == 0 {
                let kept = self.dir.join(format!("boot-{index}"));
                copy(&path, &kept);
                booted.push(kept);
            }
            self.look(&path, &mut found);
            figures.add(cut, found);
        }
        // What takes minutes comes last, and what is known is said before.
        if let Some(image) = self.image {
            eprintln!("{figures}booting {} of the disks", booted.len());
            for disk in booted {
                boots(image, &disk);
                std::fs::remove_file(&disk).unwrap();
                figures.booted += 1;
                eprintln!("booted: {}", figures.booted);
            }
        }
    }

    /// Looks at a disk and finishes the run.
    fn look(&self, disk: &Path, found: &mut Found) {
        match self.recording.mount(disk) {
            Err(error) => found.faults.push(format!("mount: {error}")),
            Ok(mount) => {
                found.repaired = mount.repaired;
                self.undisturbed.look(mount.path(), found);
                self.undisturbed.finish(mount.path(), found);
            }
        }
    }
}

/// A machine comes up with the disk, and is as it has to be after one apply.
fn boots(image: &Image, disk: &Path) {
    let mut machine = Machine::boot_from(image, disk, Hardware::DEFAULT);
    let apply = machine.run(&format!("nodeprep apply {PROFILE}"));
    match apply.code {
        0 => {}
        3 => machine.reboot(),
        _ => panic!("apply: {apply:?}"),
    }
    let check = machine.run(&format!("nodeprep check {PROFILE}"));
    assert_eq!(check.code, 0, "check: {check:?}");
    assert_eq!(machine.ok("systemctl --failed --no-legend"), "");
}
