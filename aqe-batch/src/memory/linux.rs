//! Linux: `/proc/meminfo` and the control groups, version 2 and 1.
//!
//! Which folders are the process's control groups follows from `/proc/self/cgroup` and `/proc/self/mountinfo` and is found
//! once; the numbers in them are read at each look.

use std::fs;
use std::path::{Path, PathBuf};

/// Deeper hierarchies are not walked to the end.
const MAX_LEVELS: usize = 64;

/// Where the numbers are.
#[derive(Debug)]
pub(super) struct System {
    meminfo: PathBuf,
    groups: Vec<Group>,
}

/// A control group's folder and the names of its files.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    limits: &'static [&'static str],
    usage: &'static str,
    /// The line of `memory.stat` with the page cache that can be given back at once.
    cache: &'static str,
}

impl System {
    pub(super) fn find() -> Self {
        Self::below(Path::new("/"))
    }

    /// The machine below `root`, which is `/` except in tests.
    fn below(root: &Path) -> Self {
        let read =
            |name: &str| fs::read_to_string(root.join("proc").join(name)).unwrap_or_default();
        let mounts = read("self/mountinfo");
        let mut groups = Vec::new();
        for line in read("self/cgroup").lines() {
            // `0::/path` is version 2; `4:cpu,memory:/path` is version 1.
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            if controllers.is_empty() {
                groups.extend(folders(root, &mounts, "cgroup2", path).map(|folder| Group {
                    folder,
                    limits: &["memory.max", "memory.high"],
                    usage: "memory.current",
                    cache: "inactive_file",
                }));
            } else if controllers.split(',').any(|it| it == "memory") {
                groups.extend(folders(root, &mounts, "cgroup", path).map(|folder| Group {
                    folder,
                    limits: &["memory.limit_in_bytes"],
                    usage: "memory.usage_in_bytes",
                    cache: "total_inactive_file",
                }));
            }
        }
        Self {
            meminfo: root.join("proc/meminfo"),
            groups,
        }
    }

    /// The largest share in use, of the machine and of each control group that has a limit.
    pub(super) fn used(&mut self) -> Option<f64> {
        let meminfo = fs::read_to_string(&self.meminfo).unwrap_or_default();
        let total = kib(&meminfo, "MemTotal:");
        let available = kib(&meminfo, "MemAvailable:");
        let machine = total
            .zip(available)
            .filter(|(total, _)| *total > 0)
            .map(|(total, available)| 1.0 - available as f64 / total as f64);
        let groups = self.groups.iter().filter_map(|group| group.used(total));
        groups.chain(machine).reduce(f64::max)
    }
}

impl Group {
    fn used(&self, machine: Option<u64>) -> Option<f64> {
        let limits = self.limits.iter();
        let limit = limits.filter_map(|name| number(&self.folder, name)).min()?;
        // Without a limit, version 1 has a number beyond all memory.
        if limit == 0 || machine.is_some_and(|machine| limit >= machine) {
            return None;
        }
        let usage = number(&self.folder, self.usage)?;
        let stat = fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
        let cache = stat
            .lines()
            .find_map(|line| line.strip_prefix(self.cache)?.trim().parse::<u64>().ok());
        Some(usage.saturating_sub(cache.unwrap_or(0)) as f64 / limit as f64)
    }
}

/// The folders of a control group and of those above it, as far as they are mounted.
fn folders(root: &Path, mounts: &str, kind: &str, path: &str) -> impl Iterator<Item = PathBuf> {
    let mount = mounts.lines().find_map(|line| mounted(line, kind));
    let mut found = Vec::new();
    if let Some((part, point)) = mount {
        let mut folder = root.join(point.trim_start_matches('/'));
        found.push(folder.clone());
        // Inside a container the path may lead out of what is mounted; then the mount itself is the group.
        let inside = Path::new(path).strip_prefix(&part).ok();
        let inside = inside.filter(|it| {
            it.components()
                .all(|name| matches!(name, std::path::Component::Normal(_)))
        });
        for name in inside
            .into_iter()
            .flat_map(Path::components)
            .take(MAX_LEVELS)
        {
            folder.push(name);
            found.push(folder.clone());
        }
    }
    found.into_iter()
}

/// The mounted part of the hierarchy and the mount point of a line of `mountinfo`, if it is one of this kind that counts
/// memory.
fn mounted(line: &str, kind: &str) -> Option<(String, String)> {
    let (front, back) = line.split_once(" - ")?;
    let mut back = back.split(' ');
    if back.next()? != kind {
        return None;
    }
    let options = back.nth(1)?;
    if kind == "cgroup" && !options.split(',').any(|option| option == "memory") {
        return None;
    }
    let mut front = front.split(' ').skip(3);
    Some((unescape(front.next()?), unescape(front.next()?)))
}

/// Undoes `\040` and its kind, by which `mountinfo` writes blanks in paths.
fn unescape(path: &str) -> String {
    let pairs = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    pairs.iter().fold(path.to_owned(), |path, (code, symbol)| {
        path.replace(code, symbol)
    })
}

/// The number in a line like `MemTotal:  16384256 kB`, whose kB are KiB, in bytes.
fn kib(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

/// A file with one number; `max` and nonsense are none.
fn number(folder: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(folder.join(name))
        .ok()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(files: &[(&str, &str)]) -> Option<f64> {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        System::below(root.path()).used()
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    750 kB\n",
    );
    const V2: (&str, &str) = (
        "proc/self/mountinfo",
        "31 22 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
    );

    #[test]
    fn without_a_limit_the_machine_counts() {
        assert_eq!(used(&[MEMINFO]), Some(0.25));
        let group = ("proc/self/cgroup", "0::/app\n");
        let max = ("sys/fs/cgroup/app/memory.max", "max\n");
        let current = ("sys/fs/cgroup/app/memory.current", "999\n");
        assert_eq!(used(&[MEMINFO, V2, group, max, current]), Some(0.25));
    }

    #[test]
    fn the_tightest_group_counts_without_its_cache() {
        let files = [
            MEMINFO,
            V2,
            ("proc/self/cgroup", "0::/top/app\n"),
            ("sys/fs/cgroup/top/memory.max", "100000\n"),
            ("sys/fs/cgroup/top/memory.current", "60000\n"),
            ("sys/fs/cgroup/top/app/memory.max", "50000\n"),
            ("sys/fs/cgroup/top/app/memory.high", "40000\n"),
            ("sys/fs/cgroup/top/app/memory.current", "45000\n"),
            (
                "sys/fs/cgroup/top/app/memory.stat",
                "anon 1\ninactive_file 11000\n",
            ),
        ];
        assert_eq!(used(&files), Some(0.85));
    }

    #[test]
    fn version_1_has_other_names() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "4:cpu:/x\n3:memory:/docker/abc\n"),
            (
                "proc/self/mountinfo",
                "30 22 0:26 / /c/cpu rw - cgroup cgroup rw,cpu\n\
                 31 22 0:27 /docker/abc /c/memory\\040one rw - cgroup cgroup rw,memory\n",
            ),
            ("c/memory one/memory.limit_in_bytes", "100000\n"),
            ("c/memory one/memory.usage_in_bytes", "90000\n"),
            ("c/memory one/memory.stat", "total_inactive_file 40000\n"),
        ];
        assert_eq!(used(&files), Some(0.5));
        let unlimited = [
            MEMINFO,
            files[1],
            files[2],
            (
                "c/memory one/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            files[4],
        ];
        assert_eq!(used(&unlimited), Some(0.25));
    }

    #[test]
    fn nonsense_is_not_known() {
        let nonsense = [
            ("proc/meminfo", "MemTotal: lots\n"),
            ("proc/self/cgroup", "x\n0::\n0::/../..\n1:memory\n"),
            (
                "proc/self/mountinfo",
                "1 2\n - cgroup2\n31 22 0:27 / /c rw - cgroup2 c rw\n",
            ),
            ("c/memory.max", "0\n"),
        ];
        assert_eq!(used(&nonsense), None);
    }
}
