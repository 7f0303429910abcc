//! What happens when an operation comes and there is no room.

use std::sync::atomic::Ordering;

use super::inbox::Terms;
use super::{Core, Shared, clock};
use crate::body::Ending;
use crate::cell::{Owned, Stop};
use crate::config::Overflow;
use crate::state::Refusal;

impl Shared {
    /// Says whether an operation of this level and these terms may come in, and makes room for it if that is the policy.
    /// What had to go is added to `shed`: give it to [`end_shed`](Self::end_shed) without the lock.
    pub(super) fn admission(
        &self,
        core: &mut Core,
        level: u8,
        terms: &Terms,
        shed: &mut Vec<Owned>,
    ) -> Result<(), Refusal> {
        let admissible = core.admissible(terms.weight);
        if admissible != Err(Refusal::Full) || self.config.overflow != Overflow::ShedLowest {
            return admissible;
        }
        let now = self.epoch.tick(clock());
        if let Some(key) = &terms.key {
            // Nothing is to go for one that will be refused.
            core.state.may_enter_key(key, now)?;
        }
        let before = shed.len();
        core.state
            .shed(level, terms.weight, now, |owned| shed.push(owned));
        // Raised under the lock under which they are accounted for: nobody finds the queue quiet before they are out.
        self.publishing
            .fetch_add(shed.len() - before, Ordering::AcqRel);
        if shed.len() == before {
            return admissible;
        }
        // The room was made for this one: those who wait for room of their own have not lost any.
        core.state.admissible(terms.weight)
    }

    /// Makes the outcome of what was shed visible.
    pub(super) fn end_shed(&self, shed: Vec<Owned>) {
        let count = shed.len();
        for mut owned in shed {
            owned.conclude(Stop::Shed);
            self.publish(owned, Ending::Shed);
        }
        self.published(count);
    }
}
