//! Writing segments anew, from the first step to the last.

use crate::clock::Millis;
use crate::disk::DiskError;
use crate::store::Core;
use crate::tiers::{Goal, NoPlace, Recompressor, Rewrite};
use crate::upkeep::Upkeep;

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rewritten {
    /// Its entries are elsewhere, and it is gone.
    Moved,
    /// It stays as it is: it is damaged, or would not become smaller.
    Left,
}

/// Why a segment's entries could not be moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stuck {
    /// There is no place for them.
    #[error("there is no room for what is moved")]
    NoRoom,
    /// The disk refuses.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl From<NoPlace> for Stuck {
    fn from(reason: NoPlace) -> Self {
        match reason {
            NoPlace::OutOfMemory | NoPlace::DiskFull => Self::NoRoom,
            NoPlace::Disk(error) => Self::Disk(error),
        }
    }
}

impl Core {
    /// Moves entries out of segments that are due. Gives how many segments that were. The caller holds the upkeep.
    pub(crate) fn compact(&self, upkeep: &Upkeep, goal: Goal, now: Millis) -> u64 {
        let mut moved = 0;
        while let Ok(Some(rewritten)) = self.rewrite(upkeep, goal, None, now) {
            moved += u64::from(rewritten == Rewritten::Moved);
        }
        moved
    }

    /// Writes one segment anew. `None` if there is none that is due. The caller holds the upkeep.
    pub(super) fn rewrite(
        &self,
        _upkeep: &Upkeep,
        goal: Goal,
        mut recompressor: Option<&mut Recompressor>,
        now: Millis,
    ) -> Result<Option<Rewritten>, Stuck> {
        let begun = self.tiers.lock().begin_rewrite(&self.shared, goal);
        let Some(mut rewrite) = begun else {
            return Ok(None);
        };
        let worth = rewrite.load(&self.shared)
            && recompressor.as_deref_mut().is_none_or(|recompressor| {
                !matches!(goal, Goal::Unjudged(..)) || rewrite.is_worth(&self.shared, recompressor)
            });
        if let Goal::Unjudged(mark, _) = goal {
            rewrite.judge(&self.shared, mark);
        }
        let moved = match worth {
            true => self.move_all(&mut rewrite, recompressor, now),
            false => Ok(()),
        };
        if !worth || moved.is_err() {
            self.tiers.lock().put_back(&self.shared, &rewrite);
            return moved.map(|()| Some(Rewritten::Left));
        }
        self.tiers.lock().end_rewrite();
        let cleared = self.shared.remove_segment(rewrite.number());
        self.tiers.lock().reuse(&cleared);
        Ok(Some(Rewritten::Moved))
    }

    fn move_all(
        &self,
        rewrite: &mut Rewrite,
        mut recompressor: Option<&mut Recompressor>,
        now: Millis,
    ) -> Result<(), Stuck> {
        loop {
            let ready = rewrite.prepare(&self.shared, recompressor.as_deref_mut());
            if ready.is_empty() && rewrite.is_prepared() {
                break;
            }
            let mut tiers = self.tiers.lock();
            tiers.move_ready(&self.shared, rewrite, ready, now)?;
        }
        // The copies must be on the disk before what they were copied from is not.
        Ok(self.flush()?)
    }
}
