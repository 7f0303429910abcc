//! From listings to the tests of a run, in the order in which they start.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::TestFilter;
use super::history::{History, Past};
use crate::cargo::TestBinary;
use crate::launcher::{Environment, Program, ProgramError};
use crate::list::{Listing, is_libtest_binary};
use crate::model::{BinaryId, TestId, TestName};

/// A binary, ready to be started.
#[derive(Debug)]
pub(super) struct Runnable {
    pub(super) id: BinaryId,
    pub(super) program: Arc<Program>,
    pub(super) path: PathBuf,
}

/// A test that runs.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) binary: Arc<Runnable>,
    pub(super) name: TestName,
    /// Its author marked it as ignored, and it was asked for all the same.
    pub(super) ignored: bool,
    /// Whether its harness takes `--test-threads=1`.
    pub(super) accepts_test_threads: bool,
    pub(super) past: Option<Past>,
}

impl Case {
    pub(super) fn id(&self) -> TestId {
        TestId {
            binary: self.binary.id.clone(),
            name: self.name.clone(),
        }
    }
}

/// What a run does.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In the order in which they start: the longest first, as far as that is known, then as they were listed.
    pub(super) cases: Vec<Arc<Case>>,
    /// Tests that match and are left out because of their mark.
    pub(super) ignored: Vec<TestId>,
    pub(super) filtered_out: u64,
    /// Names that a binary lists more than once.
    pub(super) duplicates: Vec<TestId>,
}

impl Plan {
    /// Takes the tests that the filter lets through.
    pub(super) fn new(
        listings: impl IntoIterator<Item = (Arc<Runnable>, Listing)>,
        filter: &TestFilter,
        history: &History,
    ) -> Self {
        let mut plan = Self::default();
        for (binary, listing) in listings {
            for test in listing.tests {
                let id = TestId {
                    binary: binary.id.clone(),
                    name: test.name,
                };
                if !filter.takes_name(id.name.as_str()) {
                    plan.filtered_out += 1;
                } else if !filter.runs_mark(test.ignored) {
                    if test.ignored {
                        plan.ignored.push(id);
                    } else {
                        plan.filtered_out += 1;
                    }
                } else {
                    plan.cases.push(Arc::new(Case {
                        past: history.of(&id),
                        binary: Arc::clone(&binary),
                        name: id.name,
                        ignored: test.ignored,
                        accepts_test_threads: listing.accepts_test_threads,
                    }));
                }
            }
            let duplicates = listing.duplicates.into_iter().map(|name| TestId {
                binary: binary.id.clone(),
                name,
            });
            plan.duplicates.extend(duplicates);
        }
        // Longest processing time first (Graham, "Bounds on Multiprocessing Timing Anomalies", 1969): no schedule is
        // more than a third shorter. The sort is stable, so tests of unknown length keep the order of their listing.
        plan.cases.sort_by_key(|case| {
            std::cmp::Reverse(case.past.map_or(Duration::ZERO, |past| past.duration))
        });
        plan
    }

    /// How many binaries have a test that runs.
    pub(super) fn binaries(&self) -> u64 {
        let mut ids: Vec<&BinaryId> = self.cases.iter().map(|case| &case.binary.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.len() as u64
    }

    /// Parts the tests into those whose binaries run any number of tests by name in one process, grouped by binary,
    /// and the others.
    pub(super) fn by_batches(&self) -> (Vec<Vec<Arc<Case>>>, Vec<Arc<Case>>) {
        let mut groups: Vec<(bool, Vec<Arc<Case>>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for case in &self.cases {
            let place = *places.entry(&case.binary.id).or_insert_with(|| {
                let takes_many =
                    case.accepts_test_threads && is_libtest_binary(&case.binary.path) == Some(true);
                groups.push((takes_many, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(Arc::clone(case));
        }
        let (mut batches, mut singles) = (Vec::new(), Vec::new());
        for (takes_many, cases) in groups {
            if takes_many {
                batches.push(cases);
            } else {
                singles.extend(cases);
            }
        }
        (batches, singles)
    }
}

impl Runnable {
    /// Prepares a binary; `shared` are the variables of this process.
    pub(super) fn new(binary: &TestBinary, shared: &Environment) -> Result<Self, ProgramError> {
        let mut words = binary.command();
        let first = words.next().unwrap_or_else(|| binary.path.as_os_str());
        let mut program = Program::builder(found(first))
            .args(words.map(OsString::from))
            .environment(shared)
            .directory(&binary.cwd);
        for (name, value) in binary.env() {
            program = program.env(name, value);
        }
        for name in binary.env_remove() {
            program = program.env_remove(name);
        }
        Ok(Self {
            id: binary.id.clone(),
            program: program.build()?,
            path: binary.path.clone(),
        })
    }
}

/// Looks a configured runner up in `PATH`, as cargo does when its name has no separator.
fn found(program: &OsStr) -> PathBuf {
    let path = Path::new(program);
    if path.components().count() > 1 {
        return path.to_owned();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .map(|folder| folder.join(path))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| path.to_owned())
}
