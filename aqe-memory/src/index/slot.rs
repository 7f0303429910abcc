//! Eight bytes that say where an entry lies.

/// Where an entry lies, what tells it from others at a glance, and how often it was read of late.
///
/// Twenty bits each for a tag of its key's hash and for its place in its segment, in steps of [`UNIT`] bytes; two for the
/// frequency; twenty-two for the segment's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u64);

/// Entries begin at multiples of this many bytes.
pub(crate) const UNIT: u32 = 4;
/// The largest segment whose every place a slot can name.
pub(crate) const MOST_BYTES_IN_SEGMENT: u32 = UNIT << OFFSET_BITS;
/// Numbers of segments are below this.
pub(crate) const MOST_SEGMENTS: u32 = 1 << (64 - SEGMENT_SHIFT);
/// The highest frequency that a slot can hold.
pub(crate) const MOST_FREQUENT: u8 = 3;

/// How many bits of a hash a slot keeps.
pub(crate) const TAG_BITS: u32 = 20;
const OFFSET_BITS: u32 = 20;
const FREQUENCY_SHIFT: u32 = TAG_BITS;
const OFFSET_SHIFT: u32 = FREQUENCY_SHIFT + 2;
const SEGMENT_SHIFT: u32 = OFFSET_SHIFT + OFFSET_BITS;

/// A place: the segment's number, and the offset of the entry's first byte in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl Slot {
    pub(crate) fn new(tag: u32, place: Place, frequency: u8) -> Self {
        debug_assert!(tag < 1 << TAG_BITS && frequency <= MOST_FREQUENT);
        debug_assert!(place.segment < MOST_SEGMENTS && place.offset < MOST_BYTES_IN_SEGMENT);
        debug_assert!(place.offset.is_multiple_of(UNIT));
        Self(
            u64::from(tag)
                | u64::from(frequency) << FREQUENCY_SHIFT
                | u64::from(place.offset / UNIT) << OFFSET_SHIFT
                | u64::from(place.segment) << SEGMENT_SHIFT,
        )
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn tag(self) -> u32 {
        (self.0 & ((1 << TAG_BITS) - 1)) as u32
    }

    #[inline]
    pub(crate) const fn frequency(self) -> u8 {
        (self.0 >> FREQUENCY_SHIFT) as u8 & MOST_FREQUENT
    }

    #[inline]
    pub(crate) fn place(self) -> Place {
        Place {
            segment: (self.0 >> SEGMENT_SHIFT) as u32,
            offset: ((self.0 >> OFFSET_SHIFT) as u32 & ((1 << OFFSET_BITS) - 1)) * UNIT,
        }
    }

    #[inline]
    pub(crate) fn with_frequency(self, frequency: u8) -> Self {
        let cleared = self.0 & !(u64::from(MOST_FREQUENT) << FREQUENCY_SHIFT);
        Self(cleared | u64::from(frequency.min(MOST_FREQUENT)) << FREQUENCY_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_part_comes_back(
            tag in 0u32..1 << TAG_BITS,
            segment in 0..MOST_SEGMENTS,
            offset in 0..MOST_BYTES_IN_SEGMENT / UNIT,
            frequencies in (0..=MOST_FREQUENT, 0..=u8::MAX),
        ) {
            let place = Place { segment, offset: offset * UNIT };
            let slot = Slot::new(tag, place, frequencies.0);
            prop_assert_eq!((slot.tag(), slot.place(), slot.frequency()), (tag, place, frequencies.0));
            let slot = Slot::from_bits(slot.bits()).with_frequency(frequencies.1);
            prop_assert_eq!((slot.tag(), slot.place()), (tag, place));
            prop_assert_eq!(slot.frequency(), frequencies.1.min(MOST_FREQUENT));
        }
    }
}
