//! A step in words, as plans and histories show it.

use std::fmt;

use super::{Owner, Step};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteFile {
                path,
                owner,
                access,
                ..
            } => {
                let verb = match owner {
                    Owner::Ours => "write",
                    Owner::Shared => "edit",
                };
                write!(f, "{verb} {}", path.display())?;
                access.map_or(Ok(()), |access| write!(f, " ({access})"))
            }
            Self::WriteLink { path, target } => {
                write!(f, "link {} to {}", path.display(), target.display())
            }
            Self::RestoreFile { path, .. } => write!(f, "restore {}", path.display()),
            Self::RemoveFile { path } | Self::RemoveDirectory { path } => {
                write!(f, "remove {}", path.display())
            }
            Self::MakeDirectory { path } => write!(f, "make directory {}", path.display()),
            Self::WriteKernel { path, value } => {
                write!(f, "write \"{value}\" to {}", path.display())
            }
            Self::SetAccess { path, access } => write!(f, "give {} {access}", path.display()),
            Self::LoadModule { name } => write!(f, "load module {name}"),
            Self::UnloadModule { name } => write!(f, "unload module {name}"),
            Self::SwapOff { area } => write!(f, "swap off {}", area.display()),
            Self::SwapOn { area, .. } => write!(f, "swap on {}", area.display()),
            Self::StartUnit { unit } => write!(f, "start {unit}"),
            Self::StopUnit { unit } => write!(f, "stop {unit}"),
            Self::Firewall { tool, change, .. } => tool.show(change, f),
            Self::RemoveRules { tool, rules } => tool.show(rules, f),
            Self::PullImage { image, .. } => write!(f, "pull {image}"),
            Self::ImportImages {
                archive, images, ..
            } => {
                write!(f, "import {} from {}", images.join(", "), archive.display())
            }
            Self::RemoveImage { image, .. } => write!(f, "remove image {image}"),
            Self::FinishPackages { names, .. } => {
                write!(f, "finish installing {}", names.join(", "))
            }
            Self::RefreshPackages(_) => f.write_str("read the repositories' lists, if too old"),
            Self::Packages(transaction) => write!(f, "{transaction}"),
            Self::Extract(extraction) => write!(f, "{extraction}"),
            Self::RemoveExtracted { path, .. } => write!(f, "remove {}", path.display()),
        }
    }
}
