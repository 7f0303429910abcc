//! The control group of this process, in either version, and the groups above it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::held::Held;
use super::parse;
use crate::sampler::sample::CgroupVersion;

/// The most groups above one another that are looked at.
const MAX_DEPTH: usize = 32;

/// Limits of version 1 at or above this are none: it is the largest multiple of a page.
const UNLIMITED: u64 = 1 << 62;

/// The files of the group that has a controller, and of those above it.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) version: CgroupVersion,
    memory: Vec<MemoryFiles>,
    cpu_limits: Vec<CpuLimit>,
    cpu_used: Held,
    cpu_stat: Held,
}

#[derive(Debug)]
struct MemoryFiles {
    limit: Held,
    used: Held,
    stat: Held,
}

#[derive(Debug)]
enum CpuLimit {
    Max(Held),
    QuotaAndPeriod(Held, Held),
}

/// What a group used since it exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuTotals {
    pub(super) used_ns: Option<u64>,
    pub(super) throttled_ns: Option<u64>,
}

impl Group {
    /// Finds this process's group below `root`, where control groups are mounted, from what `/proc/self/cgroup` says.
    pub(super) fn find(root: &Path, own: &[u8]) -> Option<Self> {
        Self::v1(root, own).or_else(|| Self::v2(root, own))
    }

    fn v2(root: &Path, own: &[u8]) -> Option<Self> {
        let path = parse::cgroup_path(own, b"")?;
        // Where both versions are mounted, this one has its own folder.
        let roots = [root.to_owned(), root.join("unified")];
        let root = roots
            .iter()
            .find(|root| root.join("cgroup.controllers").exists())?;
        let levels = levels(root, path);
        let own = levels.first()?;
        Some(Self {
            version: CgroupVersion::V2,
            memory: memory(&levels, "memory.max", "memory.current"),
            cpu_limits: levels
                .iter()
                .map(|level| Held::open(true, level.join("cpu.max")))
                .filter(Held::is_open)
                .map(CpuLimit::Max)
                .collect(),
            cpu_used: Held::default(),
            cpu_stat: Held::open(true, own.join("cpu.stat")),
        })
    }

    /// Only where the memory controller is of version 1: with the other, an empty tree of version 1 may be left over.
    fn v1(root: &Path, own: &[u8]) -> Option<Self> {
        let memory_levels = levels(&root.join("memory"), parse::cgroup_path(own, b"memory")?);
        let memory = memory(
            &memory_levels,
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        );
        if memory.is_empty() {
            return None;
        }
        let of = |controller: &str| {
            let path = parse::cgroup_path(own, controller.as_bytes());
            path.map(|path| levels(&root.join(controller), path))
                .unwrap_or_default()
        };
        let (cpu, cpuacct) = (of("cpu"), of("cpuacct"));
        let file = |levels: &[PathBuf], name: &str| {
            levels
                .first()
                .map(|own| Held::open(true, own.join(name)))
                .unwrap_or_default()
        };
        Some(Self {
            version: CgroupVersion::V1,
            memory,
            cpu_limits: cpu
                .iter()
                .map(|level| {
                    let quota = Held::open(true, level.join("cpu.cfs_quota_us"));
                    CpuLimit::QuotaAndPeriod(
                        quota,
                        Held::open(true, level.join("cpu.cfs_period_us")),
                    )
                })
                .collect(),
            cpu_used: file(&cpuacct, "cpuacct.usage"),
            cpu_stat: file(&cpu, "cpu.stat"),
        })
    }

    /// The tightest limit of memory, and what the group that has it uses; without a limit, what the own group uses.
    pub(super) fn memory(&self, buffer: &mut Vec<u8>) -> (Option<u64>, Option<u64>) {
        let mut tightest: Option<(u64, &MemoryFiles)> = None;
        for files in &self.memory {
            let limit = files.limit.read(buffer).and_then(parse::limit);
            if let Some(limit) = limit.filter(|&limit| limit < UNLIMITED)
                && tightest.is_none_or(|(known, _)| limit < known)
            {
                tightest = Some((limit, files));
            }
        }
        let limit = tightest.map(|(limit, _)| limit);
        let Some(files) = tightest
            .map(|(_, files)| files)
            .or_else(|| self.memory.first())
        else {
            return (limit, None);
        };
        let used = files.used.read(buffer).and_then(parse::number);
        // Pages of files that nobody used lately go at once when memory is wanted. Version 1 has two counts: the one with
        // `total_` covers the groups below too.
        let stat = files.stat.read(buffer);
        let field = |key: &[u8]| stat.and_then(|stat| parse::field(stat, key));
        let inactive = field(b"total_inactive_file ").or_else(|| field(b"inactive_file "));
        (
            limit,
            used.map(|used| used.saturating_sub(inactive.unwrap_or(0))),
        )
    }

    /// The tightest limit of processors.
    pub(super) fn cpu_limit(&self, buffer: &mut Vec<u8>) -> Option<f64> {
        let limits = self.cpu_limits.iter().filter_map(|limit| match limit {
            CpuLimit::Max(max) => max.read(buffer).and_then(parse::cpu_max),
            CpuLimit::QuotaAndPeriod(quota, period) => {
                // A quota of -1 is none, and no number here.
                let quota = quota.read(buffer).and_then(parse::number)?;
                let period = period.read(buffer).and_then(parse::number)?;
                (period > 0).then(|| quota as f64 / period as f64)
            }
        });
        limits.min_by(f64::total_cmp)
    }

    pub(super) fn cpu_totals(&self, buffer: &mut Vec<u8>) -> CpuTotals {
        match self.version {
            CgroupVersion::V2 => {
                let Some(stat) = self.cpu_stat.read(buffer) else {
                    return CpuTotals::default();
                };
                let ns = |key: &[u8]| parse::field(stat, key).map(|us| us.saturating_mul(1_000));
                CpuTotals {
                    used_ns: ns(b"usage_usec "),
                    throttled_ns: ns(b"throttled_usec "),
                }
            }
            CgroupVersion::V1 => {
                let used_ns = self.cpu_used.read(buffer).and_then(parse::number);
                let stat = self.cpu_stat.read(buffer);
                let throttled_ns = stat.and_then(|stat| parse::field(stat, b"throttled_time "));
                CpuTotals {
                    used_ns,
                    throttled_ns,
                }
            }
        }
    }
}

fn memory(levels: &[PathBuf], limit: &str, used: &str) -> Vec<MemoryFiles> {
    let files = levels.iter().map(|level| MemoryFiles {
        limit: Held::open(true, level.join(limit)),
        used: Held::open(true, level.join(used)),
        stat: Held::open(true, level.join("memory.stat")),
    });
    // The root of version 2 has none of them.
    files.filter(|files| files.used.is_open()).collect()
}

/// The folders of a group and of those above it, own first. In a container the path is that of the host, and not there:
/// then the root is the own group.
fn levels(root: &Path, path: &[u8]) -> Vec<PathBuf> {
    let path = Path::new(OsStr::from_bytes(path.trim_ascii_end()));
    let relative = path.strip_prefix("/").unwrap_or(path);
    let climbs = relative
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    let own = root.join(relative);
    let exists = !climbs && fs::metadata(&own).is_ok_and(|own| own.is_dir());
    let own = if exists { own } else { root.to_owned() };
    let above = own.ancestors().take_while(|level| level.starts_with(root));
    above.take(MAX_DEPTH).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn the_tightest_limit_of_all_levels_counts() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("cgroup.controllers", "cpu memory"),
                ("a/memory.max", "1000\n"),
                ("a/memory.current", "900\n"),
                ("a/memory.stat", "anon 1\ninactive_file 100\n"),
                ("a/cpu.max", "50000 100000\n"),
                ("a/b/memory.max", "max\n"),
                ("a/b/memory.current", "10\n"),
                ("a/b/cpu.max", "max 100000\n"),
                (
                    "a/b/cpu.stat",
                    "usage_usec 7\nuser_usec 5\nthrottled_usec 3\n",
                ),
            ],
        );
        let group = Group::find(root.path(), b"0::/a/b\n").unwrap();
        let mut buffer = Vec::new();
        assert_eq!(group.version, CgroupVersion::V2);
        assert_eq!(group.memory(&mut buffer), (Some(1_000), Some(800)));
        assert_eq!(group.cpu_limit(&mut buffer), Some(0.5));
        let totals = CpuTotals {
            used_ns: Some(7_000),
            throttled_ns: Some(3_000),
        };
        assert_eq!(group.cpu_totals(&mut buffer), totals);
    }

    #[test]
    fn version_one_has_a_tree_for_each_controller() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("memory/x/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/x/memory.usage_in_bytes", "500\n"),
                (
                    "memory/x/memory.stat",
                    "inactive_file 1\ntotal_inactive_file 50\n",
                ),
                ("cpu/y/cpu.cfs_quota_us", "-1\n"),
                ("cpu/y/cpu.cfs_period_us", "100000\n"),
                ("cpu/cpu.cfs_quota_us", "250000\n"),
                ("cpu/cpu.cfs_period_us", "100000\n"),
                ("cpu/y/cpu.stat", "nr_throttled 1\nthrottled_time 42\n"),
                ("cpuacct/y/cpuacct.usage", "99\n"),
            ],
        );
        let group = Group::find(root.path(), b"2:cpu,cpuacct:/y\n1:memory:/x\n0::/\n").unwrap();
        let mut buffer = Vec::new();
        assert_eq!(group.version, CgroupVersion::V1);
        assert_eq!(group.memory(&mut buffer), (None, Some(450)));
        assert_eq!(group.cpu_limit(&mut buffer), Some(2.5));
        let totals = CpuTotals {
            used_ns: Some(99),
            throttled_ns: Some(42),
        };
        assert_eq!(group.cpu_totals(&mut buffer), totals);
    }

    #[test]
    fn in_a_container_the_root_is_the_own_group() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("cgroup.controllers", "memory"),
                ("memory.max", "64\n"),
                ("memory.current", "32\n"),
            ],
        );
        for path in ["/docker/0123", "/../../elsewhere", ""] {
            let group = Group::find(root.path(), format!("0::{path}\n").as_bytes()).unwrap();
            assert_eq!(
                group.memory(&mut Vec::new()),
                (Some(64), Some(32)),
                "{path}"
            );
        }
        assert!(Group::find(root.path(), b"nonsense").is_none());
    }
}
