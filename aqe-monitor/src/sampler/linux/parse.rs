//! Parsers of what `/proc` and `/sys` say: bytes in, numbers out, and no input that makes them panic or allocate.
//!
//! A file that does not look as it should gives `None`, or leaves out the line that does not.

/// The number at the beginning of `bytes`, after blanks; `None` without a digit there, or beyond 2^64.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.trim_ascii_start();
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    let mut value = None;
    for digit in digits {
        let before: u64 = value.unwrap_or(0);
        value = Some(
            before
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))?,
        );
    }
    value
}

/// The words of a line.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
}

/// The number after `key` and blanks, in the line that begins with it.
pub(super) fn field(text: &[u8], key: &[u8]) -> Option<u64> {
    lines(text).find_map(|line| number(line.strip_prefix(key)?))
}

/// A fraction without sign and exponent, such as `0.52`.
fn fraction(word: &[u8]) -> Option<f64> {
    let plain = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    if word.len() > 30 || !word.iter().all(plain) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Ticks since the start of the machine, all processors together, from `/proc/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuTimes {
    pub(super) user: u64,
    pub(super) system: u64,
    pub(super) idle: u64,
    pub(super) io_wait: u64,
    pub(super) stolen: u64,
}

pub(super) fn cpu_times(text: &[u8]) -> Option<CpuTimes> {
    let line = lines(text).next()?.strip_prefix(b"cpu ")?;
    let mut times = [0_u64; 8];
    let mut known = 0;
    for (time, word) in times.iter_mut().zip(words(line)) {
        *time = number(word)?;
        known += 1;
    }
    // User, nice, system and idle have always been there. Time of guests is part of that of users.
    let [
        user,
        nice,
        system,
        idle,
        io_wait,
        interrupts,
        soft_interrupts,
        stolen,
    ] = times;
    (known >= 4).then(|| CpuTimes {
        user: user.saturating_add(nice),
        system: system
            .saturating_add(interrupts)
            .saturating_add(soft_interrupts),
        idle,
        io_wait,
        stolen,
    })
}

/// The three means of `/proc/loadavg`.
pub(super) fn load(text: &[u8]) -> Option<[f64; 3]> {
    let mut words = words(text).map(fraction);
    Some([words.next()??, words.next()??, words.next()??])
}

/// `/proc/meminfo`, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) total: Option<u64>,
    pub(super) available: Option<u64>,
    pub(super) swap_total: Option<u64>,
    pub(super) swap_free: Option<u64>,
}

pub(super) fn memory(text: &[u8]) -> Memory {
    let mut memory = Memory::default();
    for line in lines(text) {
        // Their order has been the same for ever, and swap comes last of these.
        let (place, rest) = if let Some(rest) = line.strip_prefix(b"MemTotal:") {
            (&mut memory.total, rest)
        } else if let Some(rest) = line.strip_prefix(b"MemAvailable:") {
            (&mut memory.available, rest)
        } else if let Some(rest) = line.strip_prefix(b"SwapTotal:") {
            (&mut memory.swap_total, rest)
        } else if let Some(rest) = line.strip_prefix(b"SwapFree:") {
            (&mut memory.swap_free, rest)
        } else {
            continue;
        };
        *place = number(rest).map(|kib| kib.saturating_mul(1_024));
        if memory.swap_free.is_some() {
            break;
        }
    }
    memory
}

/// What all disks have done since the start of the machine, from `/proc/diskstats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DiskTotals {
    pub(super) operations: u64,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
}

/// How many disks are told apart for finding the busiest one.
pub(super) const MAX_DISKS: usize = 64;

/// Milliseconds in which each disk had something to do, in the order of the file.
pub(super) type BusyTimes = [u64; MAX_DISKS];

pub(super) fn disks(text: &[u8]) -> Option<(DiskTotals, BusyTimes)> {
    /// The kernel counts in these, whatever the disk's own sectors are.
    const SECTOR: u64 = 512;
    let mut totals = DiskTotals::default();
    let mut busy = [0; MAX_DISKS];
    let mut found = 0;
    let mut last: &[u8] = b"";
    for line in lines(text) {
        let mut words = words(line).skip(2);
        let Some(name) = words.next() else { continue };
        if lies_upon_another(name) || is_partition(name, last) {
            continue;
        }
        let mut fields = [0; 10];
        let mut known = 0;
        for (field, word) in fields.iter_mut().zip(words) {
            let Some(value) = number(word) else { break };
            *field = value;
            known += 1;
        }
        if known < fields.len() {
            continue;
        }
        last = name;
        let [reads, _, read, _, writes, _, written, _, _, milliseconds] = fields;
        totals.operations = totals
            .operations
            .saturating_add(reads)
            .saturating_add(writes);
        totals.read_bytes = totals
            .read_bytes
            .saturating_add(read.saturating_mul(SECTOR));
        totals.written_bytes = totals
            .written_bytes
            .saturating_add(written.saturating_mul(SECTOR));
        if let Some(place) = busy.get_mut(found) {
            *place = milliseconds;
        }
        found += 1;
    }
    (found > 0).then_some((totals, busy))
}

/// Loops, RAM disks, mapped and striped devices: what they do, a disk below them does, or none.
fn lies_upon_another(name: &[u8]) -> bool {
    let kinds: [&[u8]; 7] = [b"loop", b"ram", b"zram", b"dm-", b"md", b"sr", b"fd"];
    kinds.iter().any(|kind| name.starts_with(kind))
}

/// Whether `name` is that of a partition of `disk`, which the file lists before its partitions: `sda1`, `nvme0n1p1`.
fn is_partition(name: &[u8], disk: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(disk) else {
        return false;
    };
    let rest = rest.strip_prefix(b"p").unwrap_or(rest);
    !disk.is_empty() && !rest.is_empty() && rest.iter().all(u8::is_ascii_digit)
}

/// What all network interfaces have done since the start of the machine, from `/proc/net/dev`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NetworkTotals {
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) errors: u64,
}

pub(super) fn network(text: &[u8]) -> Option<NetworkTotals> {
    let mut totals = NetworkTotals::default();
    let mut found = false;
    // Two lines of headings, which have no colon where a name would end.
    for line in lines(text) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let (name, rest) = (line[..colon].trim_ascii(), &line[colon + 1..]);
        if stays_within(name) {
            continue;
        }
        let mut fields = [0; 12];
        let mut known = 0;
        for (field, word) in fields.iter_mut().zip(words(rest)) {
            let Some(value) = number(word) else { break };
            *field = value;
            known += 1;
        }
        if known < fields.len() {
            continue;
        }
        found = true;
        let [
            received,
            _,
            bad_in,
            lost_in,
            _,
            _,
            _,
            _,
            sent,
            _,
            bad_out,
            lost_out,
        ] = fields;
        totals.received_bytes = totals.received_bytes.saturating_add(received);
        totals.sent_bytes = totals.sent_bytes.saturating_add(sent);
        let errors = [bad_in, lost_in, bad_out, lost_out];
        totals.errors = errors.into_iter().fold(totals.errors, u64::saturating_add);
    }
    found.then_some(totals)
}

/// Loopback, and what connects containers and virtual machines: what leaves the machine goes through another one too.
fn stays_within(name: &[u8]) -> bool {
    let kinds: [&[u8]; 6] = [b"veth", b"docker", b"br-", b"virbr", b"cni", b"vnet"];
    name == b"lo" || kinds.iter().any(|kind| name.starts_with(kind))
}

/// The share of the last ten seconds in which some task waited, from a file in `/proc/pressure`.
pub(super) fn pressure(text: &[u8]) -> Option<f64> {
    let line = lines(text).find_map(|line| line.strip_prefix(b"some "))?;
    let percent = words(line).find_map(|word| word.strip_prefix(b"avg10="))?;
    Some(fraction(percent)? / 100.0)
}

/// `/proc/self/stat`, in ticks, bytes and pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessStat {
    pub(super) major_faults: u64,
    pub(super) cpu_ticks: u64,
    pub(super) threads: u64,
    pub(super) virtual_bytes: u64,
    pub(super) resident_pages: u64,
}

pub(super) fn process(text: &[u8]) -> Option<ProcessStat> {
    // The name of the program stands in parentheses and may hold any of them, and blanks too.
    let after_name = text.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = [0_u64; 22];
    let mut known = 0;
    for (field, word) in fields.iter_mut().zip(words(&text[after_name..])) {
        // The first is a letter, and some may be negative; neither is asked for.
        *field = number(word).unwrap_or(0);
        known += 1;
    }
    // `fields[0]` is the third field of proc(5).
    (known == fields.len()).then(|| ProcessStat {
        major_faults: fields[9],
        cpu_ticks: fields[11].saturating_add(fields[12]),
        threads: fields[17],
        virtual_bytes: fields[20],
        resident_pages: fields[21],
    })
}

/// The path of this process's group for a controller, from `/proc/self/cgroup`; the empty controller is version 2.
pub(super) fn cgroup_path<'t>(text: &'t [u8], controller: &[u8]) -> Option<&'t [u8]> {
    lines(text).find_map(|line| {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let mut each = controllers.split(|&byte| byte == b',');
        each.any(|known| known == controller).then_some(path)
    })
}

/// A limit of version 2: `max` is none.
pub(super) fn limit(text: &[u8]) -> Option<u64> {
    number(text)
}

/// How many processors `cpu.max` of version 2 allows: a quota for each period, in microseconds.
pub(super) fn cpu_max(text: &[u8]) -> Option<f64> {
    let mut words = words(text);
    let (quota, period) = (number(words.next()?)?, number(words.next()?)?);
    (period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn processors() {
        let text = b"cpu  10 5 20 100 7 1 2 3 4 5\ncpu0 1 2 3 4\n";
        let expected = CpuTimes {
            user: 15,
            system: 23,
            idle: 100,
            io_wait: 7,
            stolen: 3,
        };
        assert_eq!(cpu_times(text), Some(expected));
        // Linux 2.4 had four fields.
        let old = CpuTimes {
            user: 3,
            system: 3,
            idle: 4,
            ..CpuTimes::default()
        };
        assert_eq!(cpu_times(b"cpu  1 2 3 4"), Some(old));
        assert_eq!(cpu_times(b"cpu  1 2 x 4"), None);
        assert_eq!(cpu_times(b"cpu0 1 2 3 4"), None);
    }

    #[test]
    fn memory_of_the_machine() {
        let text = b"MemTotal:  100 kB\nMemFree: 5 kB\nMemAvailable:   40 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n";
        let found = memory(text);
        assert_eq!(
            (found.total, found.available),
            (Some(102_400), Some(40_960))
        );
        assert_eq!((found.swap_total, found.swap_free), (Some(0), Some(0)));
        assert_eq!(memory(b"MemTotal: 99999999999999999999 kB").total, None);
    }

    #[test]
    fn disks_without_partitions_and_what_lies_upon_them() {
        let text = b"   8 0 sda 10 0 100 0 20 0 200 0 0 500 0\n\
                     8 1 sda1 9 0 99 0 19 0 199 0 0 499 0\n\
                     259 0 nvme0n1 1 0 1 0 1 0 1 0 0 900 0\n\
                     259 1 nvme0n1p1 1 0 1 0 1 0 1 0 0 1 0\n\
                     7 0 loop0 1 0 1 0 1 0 1 0 0 1 0\n\
                     253 0 dm-0 1 0 1 0 1 0 1 0 0 1 0\n\
                     8 16 sdb 1 0 x\n";
        let (totals, busy) = disks(text).unwrap();
        let expected = DiskTotals {
            operations: 32,
            read_bytes: 101 * 512,
            written_bytes: 201 * 512,
        };
        assert_eq!((totals, &busy[..3]), (expected, &[500, 900, 0][..]));
        assert_eq!(disks(b""), None);
    }

    #[test]
    fn network_without_what_stays_within() {
        let text = b"Inter-|   Receive    |  Transmit\n face |bytes packets errs drop\n\
                     lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n\
                     eth0:100 1 2 3 0 0 0 0 200 1 4 5 0 0 0 0\n\
                     veth1: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n";
        let expected = NetworkTotals {
            received_bytes: 100,
            sent_bytes: 200,
            errors: 14,
        };
        assert_eq!(network(text), Some(expected));
        assert_eq!(network(b"eth0: 1 2 3"), None);
    }

    #[test]
    fn a_program_may_be_called_anything() {
        let mut text = b"1 (a) R 9 ) (b) S".to_vec();
        (4..=52).for_each(|field| text.extend(format!(" {field}").bytes()));
        let expected = ProcessStat {
            major_faults: 12,
            cpu_ticks: 14 + 15,
            threads: 20,
            virtual_bytes: 23,
            resident_pages: 24,
        };
        assert_eq!(process(&text), Some(expected));
        assert_eq!(process(b"1 (a) R 1 2 3"), None);
    }

    #[test]
    fn shares_and_limits() {
        let text = b"some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=99.00\n";
        assert_eq!(pressure(text), Some(0.125));
        assert_eq!(pressure(b"some avg10=x"), None);
        assert_eq!(load(b"0.50 1.25 2 1/100 5\n"), Some([0.5, 1.25, 2.0]));
        assert_eq!(load(b"0.50 nan"), None);
        assert_eq!(
            (cpu_max(b"150000 100000\n"), cpu_max(b"max 100000\n")),
            (Some(1.5), None)
        );
        assert_eq!(
            (cpu_max(b"1 0"), limit(b"max\n"), limit(b"4096\n")),
            (None, None, Some(4_096))
        );
    }

    #[test]
    fn groups_of_both_versions() {
        let text = b"5:cpu,cpuacct:/a:b\n4:memory:/m\n0::/v2\n";
        assert_eq!(cgroup_path(text, b"cpuacct"), Some(&b"/a:b"[..]));
        assert_eq!(cgroup_path(text, b"memory"), Some(&b"/m"[..]));
        assert_eq!(cgroup_path(text, b""), Some(&b"/v2"[..]));
        assert_eq!(cgroup_path(text, b"pids"), None);
    }

    /// Real files with a few bytes changed, cut off or doubled.
    fn damaged() -> impl Strategy<Value = Vec<u8>> {
        let files = [
            "/proc/stat",
            "/proc/meminfo",
            "/proc/diskstats",
            "/proc/net/dev",
            "/proc/self/stat",
            "/proc/self/cgroup",
        ];
        let file = proptest::sample::select(files.to_vec())
            .prop_map(|file| std::fs::read(file).unwrap_or_default());
        let changes =
            proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8);
        (file, changes, any::<proptest::sample::Index>()).prop_map(|(mut file, changes, end)| {
            for (at, byte) in changes {
                if !file.is_empty() {
                    let at = at.index(file.len());
                    file[at] = byte;
                }
            }
            file.truncate(end.index(file.len() + 1).max(file.len() / 2));
            file
        })
    }

    proptest! {
        #[test]
        fn garbage_breaks_no_parser(garbage in proptest::collection::vec(any::<u8>(), 0..400)) {
            super::super::parse_anything(&garbage);
        }

        #[test]
        fn damage_breaks_no_parser(text in damaged()) {
            super::super::parse_anything(&text);
        }

        #[test]
        fn any_number_is_read_or_refused(value in any::<u128>(), blanks in " {0,3}") {
            let text = format!("{blanks}{value} kB");
            prop_assert_eq!(number(text.as_bytes()), u64::try_from(value).ok());
        }
    }
}
