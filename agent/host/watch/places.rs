//! Where in which directories a change of a path would be seen: inotify watches directories, a path
//! may lead through links, and what is not there yet will come into the nearest one that is.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use crate::host::Source;

/// As many links as the kernel follows on a path (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// What stands at a path, links not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A symbolic link with its target.
    Link(PathBuf),
    Something,
    Nothing,
}

/// A name in a directory, or all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub dir: PathBuf,
    /// None is every name.
    pub name: Option<OsString>,
    /// Whether also the bytes and the mode count of what has the name.
    pub content: bool,
}

/// The places of a source; none of one that is no path.
pub(super) fn places(source: &Source, look: &mut dyn FnMut(&Path) -> Found) -> Vec<Place> {
    let (path, content) = match source {
        Source::File(path) => (path, true),
        Source::Path(path) | Source::Names(path) => (path, false),
        _ => return Vec::new(),
    };
    let (mut places, end) = on_the_way(path, look);
    if let Some(last) = places.last_mut() {
        last.content = content && end.is_some();
    }
    if let (Source::Names(_), Some(dir)) = (source, end) {
        places.push(Place {
            dir,
            name: None,
            content: false,
        });
    }
    places
}

/// Each name that leads to a path, and where it ends; none where it leads to nothing.
fn on_the_way(path: &Path, look: &mut dyn FnMut(&Path) -> Found) -> (Vec<Place>, Option<PathBuf>) {
    let mut places = Vec::new();
    let mut here = PathBuf::from("/");
    let mut ahead: VecDeque<OsString> = names(path).collect();
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        places.push(Place {
            dir: here.clone(),
            name: Some(name.clone()),
            content: false,
        });
        let next = here.join(&name);
        match look(&next) {
            Found::Nothing => return (places, None),
            Found::Something => here = next,
            Found::Link(_) if links == MAX_LINKS => return (places, None),
            Found::Link(target) => {
                links += 1;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                    ahead.push_front(name);
                }
            }
        }
    }
    (places, Some(here))
}

fn names(path: &Path) -> impl Iterator<Item = OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        _ => None,
    };
    path.components().filter_map(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directories end in a slash, links have a target.
    fn at(source: Source, tree: &[&str]) -> Vec<String> {
        let mut look = |path: &Path| {
            let path = path.to_str().unwrap();
            let mut lines = tree.iter().copied();
            match lines.find_map(|line| line.strip_prefix(path)?.strip_prefix(" -> ")) {
                Some(target) => Found::Link(target.into()),
                None if tree.contains(&path) => Found::Something,
                None => Found::Nothing,
            }
        };
        let shown = |place: Place| {
            let name = place
                .name
                .map_or("*".into(), |name| name.into_string().unwrap());
            let mark = if place.content { "+" } else { "" };
            format!("{} {name}{mark}", place.dir.display())
        };
        places(&source, &mut look).into_iter().map(shown).collect()
    }

    #[test]
    fn of_files_links_and_what_is_not_there() {
        let tree = ["/etc", "/etc/sysctl.conf", "/etc/sysctl.d"];
        let file = |path: &str| Source::File(path.into());
        assert_eq!(
            at(file("/etc/sysctl.conf"), &tree),
            ["/ etc", "/etc sysctl.conf+"]
        );
        assert_eq!(at(file("/etc/a/b"), &tree), ["/ etc", "/etc a"]);
        let names = Source::Names("/etc/sysctl.d".into());
        assert_eq!(
            at(names, &tree),
            ["/ etc", "/etc sysctl.d", "/etc/sysctl.d *"]
        );
        assert_eq!(at(Source::Names("/run/x".into()), &tree), ["/ run"]);
        assert_eq!(at(Source::Swaps, &tree), [""; 0]);

        let link = "/etc/sysctl.d/99 -> ../sysctl.conf";
        let tree = [&tree[..], &[link]].concat();
        let through = [
            "/ etc",
            "/etc sysctl.d",
            "/etc/sysctl.d 99",
            "/etc sysctl.conf+",
        ];
        assert_eq!(at(file("/etc/sysctl.d/99"), &tree), through);
    }

    #[test]
    fn a_link_to_itself_ends() {
        let places = at(Source::Path("/a/x".into()), &["/a -> /b", "/b -> a"]);
        assert_eq!(places.len(), MAX_LINKS + 1);
    }
}
