//! Finds what tests left behind outside their process groups.
//!
//! A daemon (`setsid`, fork, its parent gone) is in no group that we know and may hold no pipe of ours. When this process
//! adopts orphans (`PR_SET_CHILD_SUBREAPER`), such a process becomes our child the moment its parent ends, so that it can
//! be found among our children; which launch it came from stands in its environment, in a variable that every launch sets.
//!
//! Only a process that carries the mark of a launch of ours that has finished, or is in its group, is ever killed: the
//! program that embeds the launcher has children of its own. What this cannot see: a daemon that empties its environment,
//! and one that has ended by itself before its test did, which stays a zombie (nothing tells it from the embedding
//! program's own) until this process ends.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::{sys, unix};

/// The variable that marks the processes of a launch.
pub(super) const MARK: &str = "AQE_LAUNCH_ID";

/// What marks the processes of one launcher: this, followed by the number of the launch.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// The marks of the runner that runs this one, so that it can still tell that our tests are its test's.
    inherited: String,
    own: String,
}

impl Mark {
    /// Nested runners append to one variable; past this length the outermost are no longer passed on.
    const LONGEST_INHERITED: usize = 512;

    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: the number only has to be different each time.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let inherited = std::env::var(MARK).unwrap_or_default();
        Self {
            inherited: if inherited.len() <= Self::LONGEST_INHERITED {
                inherited
            } else {
                String::new()
            },
            own: format!("{}.{number}.", std::process::id()),
        }
    }

    /// Returns the variable's value for a launch.
    pub(super) fn of(&self, id: u64) -> String {
        let comma = if self.inherited.is_empty() { "" } else { "," };
        format!("{}{comma}{}{id}", self.inherited, self.own)
    }

    /// Returns which launch of ours an environment block names.
    fn find(&self, environment: &[u8]) -> Option<u64> {
        environment
            .split(|byte| *byte == 0)
            .filter_map(|entry| entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))
            .flat_map(|value| value.split(|byte| *byte == b','))
            .find_map(|mark| {
                std::str::from_utf8(mark)
                    .ok()?
                    .strip_prefix(self.own.as_str())?
                    .parse()
                    .ok()
            })
    }
}

/// What the shards of a launcher share: an orphan's launch may be anybody's.
pub(super) type SharedOrphans = Arc<Mutex<Orphans>>;

/// Finds, kills and reaps orphans.
#[derive(Debug)]
pub(super) struct Orphans {
    mark: Mark,
    own_pid: libc::pid_t,
    /// The leaders that have not been reaped, with their launches.
    leaders: HashMap<libc::pid_t, u64>,
    search: Search,
    /// Killed, but not ended in time to be reaped at once.
    dying: Vec<(libc::pid_t, OwnedFd)>,
}

impl Orphans {
    /// Makes this process adopt orphans.
    pub(super) fn adopt(mark: Mark) -> io::Result<SharedOrphans> {
        sys::become_subreaper()?;
        let pid = std::process::id();
        let search = match File::open(format!("/proc/{pid}/task/{pid}/children")) {
            Ok(list) => Search::Children(list),
            Err(_) => Search::everywhere()?,
        };
        Ok(Arc::new(Mutex::new(Self::new(mark, search)?)))
    }

    fn new(mark: Mark, search: Search) -> io::Result<Self> {
        Ok(Self {
            mark,
            own_pid: libc::pid_t::try_from(std::process::id()).map_err(io::Error::other)?,
            leaders: HashMap::new(),
            search,
            dying: Vec::new(),
        })
    }

    pub(super) fn started(&mut self, leader: libc::pid_t, id: u64) {
        self.leaders.insert(leader, id);
    }

    /// Kills and reaps what an ended, unreaped leader has left; returns how many processes were still alive.
    pub(super) fn kill_left_by(&mut self, leader: libc::pid_t) -> u32 {
        /// Each round finds the children of those that the last one has killed; a chain this deep is an attack.
        const ROUNDS: u32 = 32;

        self.dying.retain(|(_, pidfd)| !sys::try_reap(pidfd));
        let mut alive = 0;
        for _ in 0..ROUNDS {
            let found = self.find(leader);
            if found.is_empty() {
                break;
            }
            for orphan in found {
                alive += u32::from(!orphan.zombie);
                self.end(orphan);
            }
        }
        alive
    }

    /// Forgets a leader that is about to be reaped.
    pub(super) fn reaped(&mut self, leader: libc::pid_t) {
        self.leaders.remove(&leader);
    }

    fn find(&mut self, leader: libc::pid_t) -> Vec<Orphan> {
        let Ok(candidates) = self.search.candidates() else {
            return Vec::new();
        };
        candidates
            .into_iter()
            .filter_map(|pid| self.examine(pid, leader))
            .collect()
    }

    /// Decides whether a process is what `leader`, or a launch that finished earlier, has left.
    fn examine(&self, pid: libc::pid_t, leader: libc::pid_t) -> Option<Orphan> {
        let known =
            self.leaders.contains_key(&pid) || self.dying.iter().any(|(dying, _)| *dying == pid);
        if known || Stat::read(pid)?.parent != self.own_pid {
            return None;
        }
        // From here on the number may pass to another process (the embedding program may reap any child of its own), but
        // the signal goes to the one that was opened before it was looked at again.
        let pidfd = sys::pidfd_open(pid).ok()?;
        let stat = Stat::read(pid)?;
        let ours = stat.parent == self.own_pid
            && (stat.group == leader || self.has_finished_mark(pid, leader));
        ours.then_some(Orphan {
            pid,
            pidfd,
            zombie: stat.zombie,
        })
    }

    fn has_finished_mark(&self, pid: libc::pid_t, leader: libc::pid_t) -> bool {
        /// Linux limits arguments and environment together to about 6 MiB.
        const LONGEST: u64 = 8 << 20;

        let mut environment = Vec::new();
        let read = File::open(format!("/proc/{pid}/environ"))
            .and_then(|file| file.take(LONGEST).read_to_end(&mut environment));
        read.is_ok()
            && self.mark.find(&environment).is_some_and(|id| {
                self.leaders
                    .iter()
                    .all(|(running, of)| *of != id || *running == leader)
            })
    }

    /// Kills and reaps one orphan, or remembers to.
    fn end(&mut self, Orphan { pid, pidfd, .. }: Orphan) {
        sys::signal_process(&pidfd, libc::SIGKILL);
        // A killed process is gone in microseconds unless it hangs in the kernel, and then the tests must not.
        unix::poll(pidfd.as_raw_fd(), 50);
        if !sys::try_reap(&pidfd) {
            self.dying.push((pid, pidfd));
        }
    }
}

/// Where orphans are looked for.
#[derive(Debug)]
enum Search {
    /// In the kernel's own list of the main thread's children, where it keeps one (`CONFIG_PROC_CHILDREN`): one read when
    /// there is none. It is the main thread that adopts; leaders are children of the launcher's threads.
    Children(File),
    /// Among all processes, less those that were there before us and cannot descend from a launch.
    Everywhere { before: HashSet<libc::pid_t> },
}

impl Search {
    fn everywhere() -> io::Result<Self> {
        Ok(Self::Everywhere {
            before: all_processes()?.collect(),
        })
    }

    fn candidates(&mut self) -> io::Result<Vec<libc::pid_t>> {
        match self {
            Self::Children(list) => read_list(list),
            Self::Everywhere { before } => {
                let all: HashSet<_> = all_processes()?.collect();
                // A number that is gone may come back as somebody else.
                before.retain(|pid| all.contains(pid));
                Ok(all.difference(before).copied().collect())
            }
        }
    }
}

/// Reads a list of process ids from its beginning.
fn read_list(file: &File) -> io::Result<Vec<libc::pid_t>> {
    let mut list = Vec::new();
    loop {
        let mut chunk = [0; 1_024];
        let count = file.read_at(&mut chunk, list.len() as u64)?;
        list.extend_from_slice(&chunk[..count]);
        // The kernel breaks off between two numbers when the next one does not fit.
        if count == 0 || count + "4294967295 ".len() < chunk.len() {
            break;
        }
    }
    let list = String::from_utf8_lossy(&list);
    Ok(list
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

struct Orphan {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    zombie: bool,
}

fn all_processes() -> io::Result<impl Iterator<Item = libc::pid_t>> {
    Ok(std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    zombie: bool,
    parent: libc::pid_t,
    group: libc::pid_t,
}

impl Stat {
    fn read(pid: libc::pid_t) -> Option<Self> {
        Self::parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The second field is the program's name in brackets, which may itself hold brackets, spaces and any byte.
        let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
        let mut fields = std::str::from_utf8(&text[after_name..])
            .ok()?
            .split_ascii_whitespace();
        let zombie = matches!(fields.next()?, "Z" | "X");
        Some(Self {
            zombie,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn mark(inherited: &str) -> Mark {
        Mark {
            inherited: inherited.to_owned(),
            own: "10.2.".to_owned(),
        }
    }

    #[test]
    fn a_mark_is_found_again_among_those_of_other_runners() {
        for inherited in ["", "9.1.7", "8.0.0,9.1.7"] {
            let environment = format!("A=1\0{MARK}={}\0B=2\0", mark(inherited).of(33));
            assert_eq!(
                mark("").find(environment.as_bytes()),
                Some(33),
                "{environment}"
            );
        }
        let nested = format!("{MARK}={},11.0.5\0", mark("").of(4));
        assert_eq!(mark("").find(nested.as_bytes()), Some(4));
    }

    #[test]
    fn other_launchers_and_damaged_marks_are_not_ours() {
        for value in ["10.22.3", "110.2.3", "10.2.", "10.2.x", "10.2.-1", ""] {
            assert_eq!(
                mark("").find(format!("{MARK}={value}\0").as_bytes()),
                None,
                "{value}"
            );
        }
        assert_eq!(mark("").find(format!("X{MARK}=10.2.3\0").as_bytes()), None);
        assert_eq!(mark("").find(b"\xff\xfe=\0"), None);
    }

    /// A process that does nothing, and goes with the test.
    struct Sleeper(Child);

    impl Sleeper {
        fn start(mark: Option<String>) -> Self {
            let mut command = Command::new("sleep");
            command
                .arg("1000")
                .env_remove(MARK)
                .envs(mark.map(|mark| (MARK, mark)));
            // A failing test must not leave the pipe of the harness open.
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let sleeper = Self(command.spawn().unwrap());
            // The parent of a vfork goes on when the child has left the old memory, a moment before it has an
            // environment in the new one.
            let environ = format!("/proc/{}/environ", sleeper.pid());
            while std::fs::read(&environ).unwrap().is_empty() {
                std::thread::yield_now();
            }
            sleeper
        }

        fn pid(&self) -> libc::pid_t {
            libc::pid_t::try_from(self.0.id()).unwrap()
        }

        /// Whether it runs; one that somebody else has reaped does not.
        fn is_alive(&mut self) -> bool {
            matches!(self.0.try_wait(), Ok(None))
        }

        fn wait(&mut self) {
            let _ = self.0.wait();
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            if self.is_alive() {
                let _ = self.0.kill();
                self.wait();
            }
        }
    }

    #[test]
    fn only_marked_processes_of_finished_launches_are_killed() {
        let mark = mark("");
        let search = Search::everywhere().unwrap();
        let mut orphans = Orphans::new(mark.clone(), search).unwrap();
        let mut own = Sleeper::start(None);
        let mut finished = Sleeper::start(Some(mark.of(1)));
        let mut running = Sleeper::start(Some(mark.of(2)));
        let mut leader = Sleeper::start(Some(mark.of(3)));
        let mut its_daemon = Sleeper::start(Some(mark.of(3)));
        orphans.started(running.pid(), 2);
        orphans.started(leader.pid(), 3);

        // The group of no process here, so that only marks count.
        assert_eq!(orphans.kill_left_by(libc::pid_t::MAX), 1);
        finished.wait();
        // A leader, which is still to be reaped, is not among what it has left.
        assert_eq!(orphans.kill_left_by(leader.pid()), 1);
        its_daemon.wait();
        assert!(own.is_alive() && running.is_alive() && leader.is_alive());
        assert!(!finished.is_alive() && !its_daemon.is_alive());
    }

    #[test]
    fn long_lists_are_read_to_the_end() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let pids: Vec<libc::pid_t> = (1_000_000..1_001_000).collect();
        for pid in &pids {
            write!(file, "{pid} ").unwrap();
        }
        assert_eq!(read_list(file.as_file()).unwrap(), pids);
    }

    #[test]
    fn stat_survives_hostile_program_names() {
        let stat = Stat::parse(b"12 (a) Z 1 (\xff) S 3 4 5 6").unwrap();
        assert_eq!(
            stat,
            Stat {
                zombie: false,
                parent: 3,
                group: 4
            }
        );
        assert!(Stat::parse(b"12 (a) Z 3 4").unwrap().zombie);
        for text in [
            &b""[..],
            b"12",
            b"12 (a",
            b"12 (a)",
            b"12 (a) S",
            b"12 (a) S x y",
        ] {
            assert_eq!(Stat::parse(text), None);
        }
        let own = libc::pid_t::try_from(std::process::id()).unwrap();
        assert!(!Stat::read(own).unwrap().zombie);
    }
}
