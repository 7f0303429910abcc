//! How much memory there is for all, and how much of it is taken: the machine's, and that of the control groups that the
//! process is in.

use std::fmt;
use std::sync::Arc;

/// Memory that several share, of which there is so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MemoryReading {
    /// Bytes that may be taken: the machine's memory, or the limit of a control group.
    pub limit_bytes: u64,
    /// Bytes that are taken, without what the system gives back at once, such as cached files.
    pub used_bytes: u64,
}

impl MemoryReading {
    /// The share that is taken, 0–1, or more.
    #[must_use]
    pub fn used_share(&self) -> f64 {
        self.used_bytes as f64 / self.limit_bytes.max(1) as f64
    }

    /// Bytes that are taken beyond this share of the limit, in percent.
    pub(crate) fn beyond(&self, percent: u8) -> u64 {
        self.used_bytes.saturating_sub(self.part(percent))
    }

    /// Bytes that are left up to this share of the limit, in percent.
    pub(crate) fn left_to(&self, percent: u8) -> u64 {
        self.part(percent).saturating_sub(self.used_bytes)
    }

    fn part(&self, percent: u8) -> u64 {
        // Wide, since a limit of a control group can be any number.
        (u128::from(self.limit_bytes) * u128::from(percent) / 100) as u64
    }
}

/// What gives a reading; `None` where there is nothing to read.
pub(crate) type Read = dyn Fn() -> Option<MemoryReading> + Send + Sync;

/// Where readings come from.
#[derive(Clone)]
pub(crate) struct Gauge(Arc<Read>);

impl Gauge {
    /// A reading: of all that there are, the one of which the greatest share is taken.
    pub(crate) fn read(&self) -> Option<MemoryReading> {
        (self.0)().filter(|reading| reading.limit_bytes > 0)
    }

    pub(crate) fn new(read: impl Fn() -> Option<MemoryReading> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl Default for Gauge {
    /// The system's.
    #[cfg(target_os = "linux")]
    fn default() -> Self {
        let system = linux::System::below(std::path::Path::new("/"));
        Self::new(move || system.read())
    }

    /// The system's. What it says of memory is not known.
    #[cfg(not(target_os = "linux"))]
    fn default() -> Self {
        Self::new(|| None)
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gauge").finish_non_exhaustive()
    }
}

/// The files are those of Linux: `/proc/meminfo`, and below `/sys/fs/cgroup` those of the groups that `/proc/self/cgroup` names,
/// of version 2 and 1.
#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::path::{Component, Path, PathBuf};

    use super::MemoryReading;

    /// Where the numbers are.
    #[derive(Debug)]
    pub(super) struct System {
        meminfo: PathBuf,
        groups: Vec<Group>,
    }

    /// A control group: its folder, and what the numbers are called there.
    #[derive(Debug)]
    struct Group {
        folder: PathBuf,
        names: &'static Names,
    }

    #[derive(Debug)]
    struct Names {
        /// Below `/sys/fs/cgroup`.
        mount: &'static str,
        limits: &'static [&'static str],
        used: &'static str,
        /// The line of `memory.stat` that counts cached files which nobody uses.
        cached: &'static str,
    }

    const SECOND: Names = Names {
        mount: "",
        limits: &["memory.max", "memory.high"],
        used: "memory.current",
        cached: "inactive_file ",
    };
    const FIRST: Names = Names {
        mount: "memory",
        limits: &["memory.limit_in_bytes"],
        used: "memory.usage_in_bytes",
        cached: "total_inactive_file ",
    };
    /// Of longer paths, the end is not looked at.
    const MOST_LEVELS: usize = 32;

    impl System {
        /// The system whose files are below `root`.
        pub(super) fn below(root: &Path) -> Self {
            let cgroup = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
            let mut groups = Vec::new();
            for line in cgroup.lines() {
                // As `0::/system.slice/some.service`, or `7:cpu,memory:/some`.
                let mut parts = line.splitn(3, ':').skip(1);
                let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
                    continue;
                };
                let names = match controllers {
                    "" => &SECOND,
                    _ if controllers.split(',').any(|it| it == "memory") => &FIRST,
                    _ => continue,
                };
                let mut folder = root.join("sys/fs/cgroup").join(names.mount);
                // The group, and those that it is in. In a container, the path may be that of the host, of which there is only the
                // beginning here; its files are those of the container then.
                groups.push(folder.clone());
                for part in Path::new(path).components().take(MOST_LEVELS) {
                    match part {
                        Component::Normal(name) => folder.push(name),
                        Component::RootDir => continue,
                        _ => break,
                    }
                    groups.push(folder.clone());
                }
                let found = groups.drain(..).map(|folder| Group { folder, names });
                return Self::with(root, found.collect());
            }
            Self::with(root, Vec::new())
        }

        fn with(root: &Path, groups: Vec<Group>) -> Self {
            Self {
                meminfo: root.join("proc/meminfo"),
                groups,
            }
        }

        pub(super) fn read(&self) -> Option<MemoryReading> {
            let groups = self.groups.iter().filter_map(Group::read);
            let share = |one: &MemoryReading, other: &MemoryReading| {
                one.used_share().total_cmp(&other.used_share())
            };
            groups.chain(self.machine()).max_by(share)
        }

        fn machine(&self) -> Option<MemoryReading> {
            let meminfo = fs::read_to_string(&self.meminfo).ok()?;
            let bytes = |name: &str| {
                let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
                let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
                kib.checked_mul(1024)
            };
            let limit_bytes = bytes("MemTotal:")?;
            Some(MemoryReading {
                limit_bytes,
                used_bytes: limit_bytes.saturating_sub(bytes("MemAvailable:")?),
            })
        }
    }

    impl Group {
        /// `None` if there is no such group, or no limit to it.
        fn read(&self) -> Option<MemoryReading> {
            let limits = self.names.limits.iter();
            let limit_bytes = limits.filter_map(|name| self.number(name)).min()?;
            let stat = fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
            let cached = stat
                .lines()
                .find_map(|line| line.strip_prefix(self.names.cached)?.trim().parse().ok());
            let used = self.number(self.names.used)?;
            Some(MemoryReading {
                limit_bytes,
                used_bytes: used.saturating_sub(cached.unwrap_or(0)),
            })
        }

        /// The number that a file has; `None` for `max`.
        fn number(&self, name: &str) -> Option<u64> {
            let text = fs::read_to_string(self.folder.join(name)).ok()?;
            text.trim().parse().ok()
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, Option<MemoryReading>) {
            let root = tempfile::tempdir().unwrap();
            for (name, content) in files {
                let path = root.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            let reading = System::below(root.path()).read();
            (root, reading)
        }

        fn reading(limit_bytes: u64, used_bytes: u64) -> Option<MemoryReading> {
            Some(MemoryReading {
                limit_bytes,
                used_bytes,
            })
        }

        const MEMINFO: (&str, &str) = (
            "proc/meminfo",
            "MemTotal:     1000 kB\nMemFree:  10 kB\nMemAvailable:   400 kB\n",
        );

        #[test]
        fn without_groups_it_is_the_machine() {
            assert_eq!(system(&[MEMINFO]).1, reading(1_024_000, 614_400));
            assert_eq!(system(&[]).1, None);
            let odd = ("proc/meminfo", "MemTotal: many kB\n");
            assert_eq!(system(&[odd]).1, None);
        }

        #[test]
        fn the_tightest_of_all_groups_counts_without_cached_files() {
            let files = [
                MEMINFO,
                ("proc/self/cgroup", "0::/outer/inner\n"),
                ("sys/fs/cgroup/outer/memory.max", "1000000\n"),
                ("sys/fs/cgroup/outer/memory.high", "500000\n"),
                ("sys/fs/cgroup/outer/memory.current", "450000\n"),
                (
                    "sys/fs/cgroup/outer/memory.stat",
                    "anon 1\ninactive_file 50000\n",
                ),
                ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
                ("sys/fs/cgroup/outer/inner/memory.current", "400000\n"),
            ];
            assert_eq!(system(&files).1, reading(500_000, 400_000));
        }

        #[test]
        fn the_first_version_is_read_too_and_in_a_container_from_where_it_is_mounted() {
            let files = [
                MEMINFO,
                ("proc/self/cgroup", "9:cpuset:/\n4:cpu,memory:/docker/abc\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "990\n"),
                (
                    "sys/fs/cgroup/memory/memory.stat",
                    "total_inactive_file 90\n",
                ),
            ];
            assert_eq!(system(&files).1, reading(1_000, 900));
            let mut no_limit = files;
            no_limit[2].1 = "9223372036854771712\n";
            assert_eq!(system(&no_limit).1, reading(1_024_000, 614_400));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_and_what_is_left_are_of_the_limit() {
        let reading = |used_bytes| MemoryReading {
            limit_bytes: u64::MAX / 2,
            used_bytes,
        };
        let tenth = u64::MAX / 2 / 10;
        assert!(reading(9 * tenth).beyond(90) < 10);
        assert!((tenth - 10..tenth + 10).contains(&reading(9 * tenth + tenth).beyond(90)));
        assert_eq!(reading(1).beyond(90), 0);
        assert_eq!(reading(u64::MAX / 2).left_to(90), 0);
    }
}
