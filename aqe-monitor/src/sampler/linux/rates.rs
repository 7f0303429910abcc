//! From two readings of what only grows to what happened in between.

use super::Totals;
use super::parse::CpuTimes;
use crate::sampler::sample::{Cpu, Disks, Network};

/// The time since the sample before, and what had been counted by then.
pub(super) struct Since<'t> {
    /// More than nothing.
    pub(super) seconds: f64,
    pub(super) before: &'t Totals,
}

/// How much a count grew a second; `None` if it fell, as when a disk was taken out.
pub(super) fn per_second(before: u64, now: u64, seconds: f64) -> Option<f64> {
    Some(now.checked_sub(before)? as f64 / seconds)
}

/// Where the processors' time went between two readings; `None` if none passed.
///
/// Idle time and that of waiting for I/O may fall a little, because the kernel estimates them: a fall counts as nothing.
pub(super) fn cpu(before: Option<CpuTimes>, now: Option<CpuTimes>) -> Option<Cpu> {
    let (before, now) = (before?, now?);
    let grown = |total: fn(&CpuTimes) -> u64| total(&now).saturating_sub(total(&before)) as f64;
    let (user, system) = (grown(|times| times.user), grown(|times| times.system));
    let (idle, io_wait) = (grown(|times| times.idle), grown(|times| times.io_wait));
    let stolen = grown(|times| times.stolen);
    let all = user + system + idle + io_wait + stolen;
    (all > 0.0).then(|| Cpu {
        busy_ratio: (user + system + stolen) / all,
        user_ratio: user / all,
        system_ratio: system / all,
        io_wait_ratio: io_wait / all,
        stolen_ratio: stolen / all,
    })
}

impl Since<'_> {
    pub(super) fn disks(&self, now: &Totals) -> Option<Disks> {
        let ((before, busy_before), (now, busy)) = (self.before.disks?, now.disks?);
        let rate = |before, now| per_second(before, now, self.seconds);
        // Disks that came or went meanwhile stand in another's place, and may seem to have been busy for years.
        let busy = busy
            .iter()
            .zip(&busy_before)
            .filter_map(|(&now, &before)| rate(before, now));
        Some(Disks {
            read_bytes_per_second: rate(before.read_bytes, now.read_bytes)?,
            written_bytes_per_second: rate(before.written_bytes, now.written_bytes)?,
            operations_per_second: rate(before.operations, now.operations)?,
            busiest_ratio: (busy.fold(0.0, f64::max) / 1_000.0).min(1.0),
        })
    }

    pub(super) fn network(&self, now: &Totals) -> Option<Network> {
        let (before, now) = (self.before.network?, now.network?);
        let rate = |before, now| per_second(before, now, self.seconds);
        Some(Network {
            received_bytes_per_second: rate(before.received_bytes, now.received_bytes)?,
            sent_bytes_per_second: rate(before.sent_bytes, now.sent_bytes)?,
            errors_per_second: rate(before.errors, now.errors)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_a_fall_counts_as_nothing() {
        let before = CpuTimes {
            user: 10,
            system: 10,
            idle: 100,
            io_wait: 50,
            stolen: 0,
        };
        let now = CpuTimes {
            user: 40,
            system: 20,
            idle: 150,
            io_wait: 49,
            stolen: 10,
        };
        let cpu = cpu(Some(before), Some(now)).unwrap();
        assert_eq!(
            (cpu.busy_ratio, cpu.user_ratio, cpu.io_wait_ratio),
            (0.5, 0.3, 0.0)
        );
    }

    #[test]
    fn no_time_and_a_count_that_fell_have_no_rate() {
        let times = Some(CpuTimes::default());
        assert_eq!(
            (cpu(times, times), cpu(None, times), per_second(2, 1, 1.0)),
            (None, None, None)
        );
        assert_eq!(per_second(1, 11, 5.0), Some(2.0));
    }
}
