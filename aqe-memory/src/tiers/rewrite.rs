//! Segments whose entries are written anew elsewhere, because much of them is dead or could be smaller.
//!
//! Whoever holds the upkeep takes such a segment out of its queue, so that it is his alone, reads it, and moves its entries
//! a slice at a time. What takes long, reading, opening and compressing, is done without the lock of the tiers, which is
//! held for moving a slice only.

use super::{NoPlace, Tiers, Victim};
use crate::clock::Millis;
use crate::codec::{Decoder, Encoder, Method};
use crate::dictionaries::MOST_VALUE;
use crate::disk::file;
use crate::segment::packed::{self, Form, Packed};
use crate::segment::{Kind, Segment};
use crate::shared::Shared;

/// Which segments are to be written anew.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// Those most of which is dead, and those that an older key sealed.
    MostlyDead,
    /// Those of which anything is dead, of all that were there at some moment.
    AnyDead(Mark),
    /// Those that were not judged since the newest dictionary was made, of all that were there at some moment and have no more
    /// bytes than this.
    Unjudged(Mark, u32),
    /// All that were there at some moment.
    All(Mark),
}

/// A moment, by what was made before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(super) born: u64,
    file: u64,
    /// How many dictionaries were made.
    dictionaries: u32,
}

/// A segment whose entries are being moved.
#[derive(Debug)]
pub(crate) struct Rewrite {
    pub(super) victim: Victim,
    /// The queue that it is from, and the place there.
    from: (Kind, usize),
    /// Its records' bytes.
    bytes: Vec<u8>,
    /// Where each record is, the last one first.
    records: Vec<(u32, u32)>,
    pub(super) end: Millis,
    /// No record in another file has a lower version: what is gone and has a lower one itself need not be told any more.
    pub(super) lowest_elsewhere: u64,
}

/// A record that is ready to be moved, opened if it was sealed.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(super) offset: u32,
    pub(super) record: Vec<u8>,
}

/// What makes values smaller than they were made on their way in.
#[derive(Debug)]
pub(crate) struct Recompressor {
    encoder: Encoder,
    decoder: Decoder,
    method: Method,
    /// Whether what needs an older dictionary is made anew too if that is no gain.
    replaces_dictionaries: bool,
    value: Vec<u8>,
    /// Bytes of what was stored and is now.
    pub(crate) before: u64,
    pub(crate) after: u64,
    /// Values that were made smaller.
    pub(crate) values: u64,
}

/// How many bytes of records are moved at a time, which is for how long the lock is held.
const SLICE: usize = 64 << 10;
/// How many records of a segment are looked at to judge whether it is worth the work.
const PROBES: usize = 16;
/// It is if a tenth is saved.
const WORTH: f64 = 0.9;

impl Tiers {
    /// What there is now.
    pub(crate) fn mark(&self, shared: &Shared) -> Mark {
        Mark {
            born: self.born,
            file: self.disk.as_ref().map_or(0, |disk| disk.next_file()),
            dictionaries: shared.dictionaries.made(),
        }
    }

    /// Ends the filling of all compressed segments, so that each can be written anew.
    pub(crate) fn close_packed(&mut self) {
        self.packed.close_all();
    }

    /// Takes out a segment that is to be written anew; `None` if there is none.
    pub(crate) fn begin_rewrite(&mut self, shared: &Shared, goal: Goal) -> Option<Rewrite> {
        // SAFETY: a segment that is in a queue is not removed.
        let segment = |number| unsafe { shared.directory.get(number) };
        let room = self.sizes.total.saturating_sub(self.held(shared));
        let is_due = |number: u32| {
            let segment = segment(number);
            // What is moved is in memory twice for a while.
            let fits = segment.on_disk.is_some() || u64::from(segment.used()) <= room;
            fits && is_due(shared, segment, goal) && !self.packed.is_open(number)
        };
        let number = self.packed.waiting().find(|number| is_due(*number));
        let number = number.or_else(|| self.cold.waiting().find(|number| is_due(*number)))?;
        let victim = segment(number);
        // The order of files says nothing of that: one is filled for as long as its bucket lasts, while others are begun.
        let others = self.cold.numbers().chain(self.packed.numbers());
        let others = others.filter(|other| *other != number);
        let others = others.map(|number| segment(number).lowest_version());
        let left = self.disk.iter().flat_map(|disk| &disk.left);
        let lowest = others.chain(left.map(|left| left.lowest_version)).min();
        let kind = victim.kind;
        let queue = match kind {
            Kind::Cold => &mut self.cold,
            _ => &mut self.packed,
        };
        let at = queue.position(number);
        let taken = queue.take(|other| other == number).pop()?;
        queue.bytes -= victim.resident();
        self.rewriting = Some(number);
        Some(Rewrite {
            victim: taken,
            from: (kind, at),
            bytes: Vec::new(),
            records: Vec::new(),
            end: victim.end,
            lowest_elsewhere: lowest.unwrap_or(u64::MAX),
        })
    }

    /// Puts a segment back that is not to be written anew, or not to its end. What was moved is there twice then, which does no
    /// harm, since both copies say the same.
    pub(crate) fn put_back(&mut self, shared: &Shared, rewrite: &Rewrite) {
        // SAFETY: the segment was taken out of its queue for the rewriting alone.
        let segment = unsafe { shared.directory.get(rewrite.victim.number) };
        let queue = match rewrite.from.0 {
            Kind::Cold => &mut self.cold,
            _ => &mut self.packed,
        };
        self.rewriting = None;
        queue.bytes += segment.resident();
        queue.restore(rewrite.victim.number, rewrite.from.1);
    }

    /// Says that all of a segment was moved. The caller removes it.
    pub(crate) fn end_rewrite(&mut self) {
        self.rewriting = None;
    }

    /// Moves records that are ready.
    pub(crate) fn move_ready(
        &mut self,
        shared: &Shared,
        rewrite: &Rewrite,
        ready: Vec<Ready>,
        now: Millis,
    ) -> Result<(), NoPlace> {
        for ready in ready {
            self.move_record(shared, rewrite, &ready, now)?;
        }
        Ok(())
    }
}

fn is_due(shared: &Shared, segment: &Segment, goal: Goal) -> bool {
    if !segment.is_settled() || segment.is_spared() || segment.used() == 0 {
        return false;
    }
    match goal {
        Goal::MostlyDead => {
            // What is sealed with an older key is sealed anew in the same way, however alive it is.
            let vault = shared.vault.as_ref().filter(|_| segment.on_disk.is_some());
            let is_outdated = vault.is_some_and(|vault| vault.is_outdated(segment.opener.as_ref()));
            is_outdated || u64::from(segment.dead()) * 2 > u64::from(segment.used())
        }
        Goal::AnyDead(mark) => mark.has(segment) && segment.dead() > 0,
        Goal::Unjudged(mark, most) => {
            let is_judged = segment.judged() > mark.dictionaries;
            mark.has(segment) && segment.used() <= most && !is_judged
        }
        Goal::All(mark) => mark.has(segment),
    }
}

impl Mark {
    fn has(self, segment: &Segment) -> bool {
        match segment.on_disk {
            Some(on_disk) => on_disk.file < self.file,
            None => segment.born <= self.born,
        }
    }
}

impl Rewrite {
    /// The number of the segment.
    pub(crate) fn number(&self) -> u32 {
        self.victim.number
    }

    /// Reads the segment's records. Says whether all can be read; a segment that is damaged is kept as it is for whoever wants
    /// to look at it, until all of it is over.
    pub(crate) fn load(&mut self, shared: &Shared) -> bool {
        // SAFETY: the segment was taken out of its queue for the rewriting alone.
        let segment = unsafe { shared.directory.get(self.victim.number) };
        let seed = segment.on_disk.map_or(0, |on_disk| on_disk.seed);
        let bytes = match segment.kind {
            // SAFETY: as above, and all records that were reserved are written: the segment is settled.
            Kind::Packed => Some(unsafe { segment.all_packed() }.to_vec()),
            _ => shared.read_records(segment),
        };
        let Some(bytes) = bytes else {
            shared.counts.unreadable();
            segment.spare();
            return false;
        };
        let mut records = Vec::new();
        let scanned = file::scan(&bytes, seed, 0, |found| {
            records.push((found.offset, found.record.len() as u32));
        });
        if scanned.end != segment.used() || !scanned.damaged.is_empty() {
            segment.spare();
            return false;
        }
        records.reverse();
        (self.bytes, self.records) = (bytes, records);
        true
    }

    /// Says that the segment is as small as it gets with the dictionaries that there were.
    pub(crate) fn judge(&self, shared: &Shared, mark: Mark) {
        // SAFETY: the segment was taken out of its queue for the rewriting alone.
        let segment = unsafe { shared.directory.get(self.victim.number) };
        segment.judge(mark.dictionaries.saturating_add(1));
    }

    /// Whether all records were made ready.
    pub(crate) fn is_prepared(&self) -> bool {
        self.records.is_empty()
    }

    /// Makes the next records ready: as they are, or smaller. None are left if there are none.
    pub(crate) fn prepare(
        &mut self,
        shared: &Shared,
        mut recompressor: Option<&mut Recompressor>,
    ) -> Vec<Ready> {
        let mut ready = Vec::new();
        let mut left = SLICE;
        while left > 0
            && let Some((offset, len)) = self.records.pop()
        {
            left = left.saturating_sub(len as usize);
            let Some(mut record) = self.open(shared, offset, len) else {
                continue;
            };
            if let Some(recompressor) = &mut recompressor {
                recompressor.recompress(shared, &mut record);
            }
            ready.push(Ready { offset, record });
        }
        ready
    }

    /// Whether the segment would become a tenth smaller.
    pub(crate) fn is_worth(&self, shared: &Shared, recompressor: &mut Recompressor) -> bool {
        let step = self.records.len().div_ceil(PROBES).max(1);
        let (mut before, mut after) = (0, 0);
        for (offset, len) in self.records.iter().step_by(step) {
            let Some(record) = self.open(shared, *offset, *len) else {
                continue;
            };
            let Some(record) = Packed::read(&record) else {
                continue;
            };
            before += record.stored.len();
            let small = recompressor.encode(shared, &record, |_, stored| stored.len());
            after += small
                .unwrap_or(record.stored.len())
                .min(record.stored.len());
        }
        (after as f64) < WORTH * before as f64
    }

    /// A record, opened. `None` if it is sealed with another key than the file says: it is as if it were not there.
    fn open(&self, shared: &Shared, offset: u32, len: u32) -> Option<Vec<u8>> {
        // SAFETY: the segment was taken out of its queue for the rewriting alone.
        let segment = unsafe { shared.directory.get(self.victim.number) };
        let range = offset as usize..(offset + len) as usize;
        let mut record = self.bytes[range].to_vec();
        packed::unseal(&mut record, segment.opener.as_ref(), offset)?;
        Some(record)
    }
}

impl Recompressor {
    pub(crate) fn new(method: Method, replaces_dictionaries: bool) -> Self {
        Self {
            encoder: Encoder::new(),
            decoder: Decoder::new(),
            method,
            replaces_dictionaries,
            value: Vec::new(),
            before: 0,
            after: 0,
            values: 0,
        }
    }

    /// Makes a record smaller, if that is possible.
    fn recompress(&mut self, shared: &Shared, bytes: &mut Vec<u8>) {
        let Some(record) = Packed::read(bytes) else {
            return;
        };
        let was = record.stored.len();
        let is_outdated = self.replaces_dictionaries && is_outdated(shared, &record);
        let mut smaller = Vec::new();
        self.encode(shared, &record, |form, stored| {
            if stored.len() < was || is_outdated {
                Packed {
                    form,
                    stored,
                    ..record
                }
                .write(&mut smaller);
            }
            stored.len()
        });
        self.before += bytes.len() as u64;
        if !smaller.is_empty() {
            self.values += 1;
            *bytes = smaller;
        }
        self.after += bytes.len() as u64;
    }

    /// Encodes a record's value anew. `None` if it has none, or it cannot be read.
    fn encode(
        &mut self,
        shared: &Shared,
        record: &Packed<'_>,
        use_it: impl FnOnce(Form, &[u8]) -> usize,
    ) -> Option<usize> {
        self.value.clear();
        match record.form {
            Form::Gone | Form::Mark => return None,
            Form::Plain => self.value.extend_from_slice(record.stored),
            Form::Encoded(form) => {
                let dictionary = match form.dictionary() {
                    0 => None,
                    id => Some(shared.dictionaries.get(id)?),
                };
                self.value.resize(form.raw_len(), 0);
                let decoded = self.decoder.decode(
                    form,
                    record.stored,
                    dictionary.as_deref(),
                    &mut self.value,
                );
                decoded.ok()?;
            }
        }
        let dictionary = match self.value.len() > MOST_VALUE {
            true => None,
            false => shared.dictionaries.newest(record.namespace),
        };
        let encoded = self
            .encoder
            .encode(&self.value, self.method, dictionary.as_deref())
            .ok()?;
        let form = match encoded.form.codec() {
            crate::codec::Codec::Stored => Form::Plain,
            _ => Form::Encoded(encoded.form),
        };
        Some(use_it(form, encoded.bytes))
    }
}

/// Whether a record needs a dictionary that is not the newest of its namespace.
fn is_outdated(shared: &Shared, record: &Packed<'_>) -> bool {
    let Form::Encoded(form) = record.form else {
        return false;
    };
    let newest = shared.dictionaries.newest(record.namespace);
    let newest = newest.map_or(0, |newest| newest.id().get());
    form.dictionary() != 0 && form.dictionary() != newest
}
