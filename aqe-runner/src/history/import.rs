//! Runs that could not add themselves: one that was killed, or at whose end somebody else had the archive. What they
//! have acknowledged is in their journals.

use std::collections::HashMap;
use std::fs::File;
use std::time::Duration;

use super::{Archive, HistoryError, Tally};
use crate::journal::{Entry, JournalReader, Record, RunFolder, RunsFolder};
use crate::model::UnixMillis;

impl Archive {
    /// Adds the runs in this folder that are over and not known yet. Says how many these were.
    pub(crate) fn import(&self, runs: &RunsFolder) -> Result<usize, HistoryError> {
        let (mut added, mut left) = (0, MAX_BYTES);
        // A folder that cannot be read has nothing to add.
        for id in runs.list().unwrap_or_default() {
            let age = UnixMillis::now().0.saturating_sub(id.started().0);
            let age = Duration::from_millis(age);
            if age < YOUNG || age >= self.retention() || self.knows(id) {
                continue;
            }
            if left == 0 {
                break;
            }
            if let Some((tally, finished)) = read(&runs.run(id), &mut left) {
                // Which builds these were of is not known any more.
                self.add(id, tally.executions(id, &HashMap::new()), finished)?;
                added += 1;
            }
        }
        Ok(added)
    }
}

/// What a journal says, and whether it has an end; `None` for one that is being written, or cannot be read.
/// Takes its size off `left`.
fn read(run: &RunFolder, left: &mut u64) -> Option<(Tally, bool)> {
    let file = File::open(run.journal_path()).ok()?;
    // Held while it is read, so that nobody continues the run meanwhile.
    file.try_lock().ok()?;
    *left = left.saturating_sub(file.metadata().ok()?.len());
    let (mut tally, mut begun, mut finished) = (Tally::default(), false, false);
    for entry in JournalReader::new(&file) {
        let Entry::Record(record) = entry.ok()? else {
            continue;
        };
        begun |= matches!(record, Record::RunStarted { .. });
        finished |= matches!(record, Record::RunFinished { .. });
        tally.add(&record);
    }
    begun.then_some((tally, finished))
}

/// Journals of more bytes are not read at once, since a run waits for it: some tenths of a second. The next run goes on.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// A run creates its journal a moment before it locks it, and must find it unlocked then.
const YOUNG: Duration = Duration::from_secs(2);
