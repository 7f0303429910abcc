//! Linux: affinity from `/proc/self/status`, memory from `/proc/meminfo`, limits from the cgroup.
//!
//! A limit holds for everything below it, so the smallest one between the process's own cgroup and the root counts. Which
//! folder that is follows from `/proc/self/cgroup` (the path inside the hierarchy) and `/proc/self/mountinfo` (where a
//! part of the hierarchy is mounted). Inside a container the path may lie outside of what is mounted; then the mount
//! itself is the container's cgroup.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use super::{Machine, available_cores};

/// Deeper hierarchies are not walked to the end; the kernel's own default limit is far below.
const MAX_LEVELS: usize = 64;

/// What limits a process, where anything does.
#[derive(Debug, Default, PartialEq)]
struct Limits {
    cores: Option<NonZeroUsize>,
    memory: Option<u64>,
}

/// Reads the machine below `root`, which is `/` except in tests.
pub(super) fn detect(root: &Path) -> Machine {
    let proc = root.join("proc");
    let read = |name: &str| fs::read_to_string(proc.join(name)).unwrap_or_default();
    let limits = cgroup_limits(root, &read("self/cgroup"), &read("self/mountinfo"));
    let cores = affinity(&read("self/status")).unwrap_or_else(available_cores);
    let memory = total_memory(&read("meminfo"));
    Machine {
        cores: limits.cores.map_or(cores, |limit| limit.min(cores)),
        memory: [memory, limits.memory]
            .into_iter()
            .flatten()
            .min()
            .map(ByteSize::b),
    }
}

/// The number of CPUs in `Cpus_allowed_list: 0-3,8`.
fn affinity(status: &str) -> Option<NonZeroUsize> {
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut count: usize = 0;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    NonZeroUsize::new(count)
}

/// The bytes in `MemTotal:  16384256 kB`, whose kB are KiB.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn cgroup_limits(root: &Path, cgroup: &str, mountinfo: &str) -> Limits {
    let mut limits = Limits::default();
    for line in cgroup.lines() {
        // `0::/path` is version 2; `4:cpu,cpuacct:/path` is version 1.
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let has = |name: &str| controllers.split(',').any(|controller| controller == name);
        if controllers.is_empty() {
            for folder in folders(root, mountinfo, "cgroup2", None, path) {
                limits.lower_cores(quota_v2(&folder));
                limits.lower_memory(number(&folder, "memory.max"));
                // Above `memory.high` a process is slowed down until it is of no use, so it is a limit as well.
                limits.lower_memory(number(&folder, "memory.high"));
            }
        }
        if has("cpu") {
            for folder in folders(root, mountinfo, "cgroup", Some("cpu"), path) {
                limits.lower_cores(quota_v1(&folder));
            }
        }
        if has("memory") {
            for folder in folders(root, mountinfo, "cgroup", Some("memory"), path) {
                // Without a limit this holds a number larger than any memory, which the minimum ignores.
                limits.lower_memory(number(&folder, "memory.limit_in_bytes"));
            }
        }
    }
    limits
}

impl Limits {
    fn lower_cores(&mut self, limit: Option<NonZeroUsize>) {
        self.cores = [self.cores, limit].into_iter().flatten().min();
    }

    fn lower_memory(&mut self, limit: Option<u64>) {
        self.memory = [self.memory, limit].into_iter().flatten().min();
    }
}

/// The folders of a cgroup and of those above it, as far as they are mounted.
fn folders(
    root: &Path,
    mountinfo: &str,
    kind: &str,
    controller: Option<&str>,
    path: &str,
) -> Vec<PathBuf> {
    let Some((mounted, point)) = mountinfo
        .lines()
        .find_map(|line| mount(line, kind, controller))
    else {
        return Vec::new();
    };
    let top = root.join(point.trim_start_matches('/'));
    let path = Path::new(path);
    // `..` appears where the cgroup namespace starts below the process's own cgroup.
    let inside = path.strip_prefix(&mounted).ok().filter(|rest| {
        rest.components()
            .all(|part| matches!(part, std::path::Component::Normal(_)))
    });
    let mut folder = top.clone();
    let mut folders = vec![top];
    for part in inside
        .into_iter()
        .flat_map(Path::components)
        .take(MAX_LEVELS)
    {
        folder.push(part);
        folders.push(folder.clone());
    }
    folders
}

/// The mounted part of the hierarchy and the mount point of a line of `mountinfo`, if it is of this kind.
fn mount(line: &str, kind: &str, controller: Option<&str>) -> Option<(String, String)> {
    let (front, back) = line.split_once(" - ")?;
    let mut back = back.split(' ');
    if back.next()? != kind {
        return None;
    }
    let options = back.nth(1)?;
    if !controller.is_none_or(|name| options.split(',').any(|option| option == name)) {
        return None;
    }
    let mut front = front.split(' ').skip(3);
    Some((unescape(front.next()?), unescape(front.next()?)))
}

/// Undoes `\040` and its kind, by which `mountinfo` writes blanks in paths.
fn unescape(path: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .into_iter()
    .fold(path.to_owned(), |path, (escape, symbol)| {
        path.replace(escape, symbol)
    })
}

/// `cpu.max` holds `quota period`, or `max period` without a limit.
fn quota_v2(folder: &Path) -> Option<NonZeroUsize> {
    let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    cores_of(quota.parse().ok()?, period.parse().ok()?)
}

/// A quota of -1 means no limit.
fn quota_v1(folder: &Path) -> Option<NonZeroUsize> {
    cores_of(
        number(folder, "cpu.cfs_quota_us")?,
        number(folder, "cpu.cfs_period_us")?,
    )
}

/// Rounds up: half a core of headroom is better used than left.
fn cores_of(quota: u64, period: u64) -> Option<NonZeroUsize> {
    let cores = quota.checked_add(period.checked_sub(1)?)? / period;
    NonZeroUsize::new(usize::try_from(cores).ok()?)
}

/// A file with one number; `max`, `-1` and nonsense are none.
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

    /// A root folder with the given files.
    fn machine(files: &[(&str, &str)]) -> Machine {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        detect(root.path())
    }

    const STATUS: (&str, &str) = (
        "proc/self/status",
        "Name:\tx\nCpus_allowed_list:\t0-7,16-23\n",
    );
    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       33554432 kB\nMemFree:        1 kB\n",
    );
    const MOUNT_V2: (&str, &str) = (
        "proc/self/mountinfo",
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 22 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
    );

    fn expect(files: &[(&str, &str)], cores: usize, memory: u64) {
        let found = machine(files);
        assert_eq!(
            (found.cores.get(), found.memory),
            (cores, Some(ByteSize::b(memory))),
            "{files:?}"
        );
    }

    #[test]
    fn without_a_cgroup_affinity_and_memory_count() {
        expect(&[STATUS, MEMINFO], 16, 32 << 30);
    }

    #[test]
    fn the_tightest_limit_above_the_process_counts() {
        expect(
            &[
                STATUS,
                MEMINFO,
                MOUNT_V2,
                ("proc/self/cgroup", "0::/user.slice/app.scope\n"),
                ("sys/fs/cgroup/user.slice/cpu.max", "250000 100000\n"),
                ("sys/fs/cgroup/user.slice/memory.max", "4294967296\n"),
                ("sys/fs/cgroup/user.slice/app.scope/cpu.max", "max 100000\n"),
                ("sys/fs/cgroup/user.slice/app.scope/memory.max", "max\n"),
                (
                    "sys/fs/cgroup/user.slice/app.scope/memory.high",
                    "3221225472\n",
                ),
            ],
            3,
            3 << 30,
        );
    }

    #[test]
    fn in_a_container_the_mount_itself_is_the_cgroup() {
        for path in ["/", "/docker/abc", "/../../other"] {
            let cgroup = format!("0::{path}\n");
            expect(
                &[
                    STATUS,
                    MEMINFO,
                    MOUNT_V2,
                    ("proc/self/cgroup", &cgroup),
                    ("sys/fs/cgroup/cpu.max", "400000 100000\n"),
                    // Not a cgroup, but what the path would lead to if it were followed upwards.
                    ("sys/other/cpu.max", "100000 100000\n"),
                    ("sys/fs/cgroup/memory.max", "4294967296\n"),
                ],
                4,
                4 << 30,
            );
        }
    }

    #[test]
    fn version_1_has_a_hierarchy_per_controller() {
        expect(
            &[
                STATUS,
                MEMINFO,
                (
                    "proc/self/mountinfo",
                    "30 22 0:26 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
                     31 22 0:27 /docker/abc /sys/fs/cgroup/memory\\040one ro - cgroup cgroup rw,memory\n",
                ),
                (
                    "proc/self/cgroup",
                    "4:cpu,cpuacct:/docker/abc/inner\n3:memory:/docker/abc\n1:name=systemd:/docker/abc\n",
                ),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
                (
                    "sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us",
                    "50000\n",
                ),
                (
                    "sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us",
                    "100000\n",
                ),
                (
                    "sys/fs/cgroup/memory one/memory.limit_in_bytes",
                    "2147483648\n",
                ),
            ],
            1,
            2 << 30,
        );
    }

    #[test]
    fn an_unlimited_version_1_group_changes_nothing() {
        expect(
            &[
                STATUS,
                MEMINFO,
                (
                    "proc/self/mountinfo",
                    "31 22 0:27 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
                ),
                ("proc/self/cgroup", "3:memory:/\n"),
                (
                    "sys/fs/cgroup/memory/memory.limit_in_bytes",
                    "9223372036854771712\n",
                ),
            ],
            16,
            32 << 30,
        );
    }

    #[test]
    fn nonsense_counts_as_absent() {
        let found = machine(&[
            ("proc/self/status", "Cpus_allowed_list:\t7-3,x\n"),
            ("proc/meminfo", "MemTotal: lots\n"),
            (
                "proc/self/mountinfo",
                "1 2 3\n - cgroup2\n31 22 0:27 / /c rw - cgroup2 c rw\n",
            ),
            ("proc/self/cgroup", "x\n0::\n1:cpu\n0::/\n"),
            ("c/cpu.max", "1000 0\n"),
            ("c/memory.max", "-5\n"),
        ]);
        assert_eq!(found.memory, None);
        assert_eq!(found.cores, available_cores());
    }
}
