//! Sequences become bytes.

use super::MIN_MATCH;

/// Both lengths of a token end here; more follows in bytes of their own.
const NIBBLE: usize = 15;

/// Literals are copied in strides of this many bytes where there is room for all of a stride.
const STRIDE: usize = 16;

/// A block being written into somebody's buffer, which also says how long the block may become.
#[derive(Debug)]
pub(super) struct BlockWriter<'a> {
    output: &'a mut [u8],
    at: usize,
}

impl<'a> BlockWriter<'a> {
    /// A block that may fill the whole of `output`.
    pub(super) fn new(output: &'a mut [u8]) -> Self {
        Self { output, at: 0 }
    }

    /// Writes the literals `input[anchor..start]` and a match; `None` when they do not fit any more.
    #[inline(always)]
    pub(super) fn sequence(
        &mut self,
        input: &[u8],
        anchor: usize,
        start: usize,
        distance: u16,
        length: usize,
    ) -> Option<()> {
        let literals = start - anchor;
        let extra = length - MIN_MATCH;
        // Token, distance, and at most one byte of length more than the division says, on either side.
        let most = literals + literals / 255 + extra / 255 + 5;
        if most > self.output.len() - self.at {
            return None;
        }
        let token = (literals.min(NIBBLE) << 4 | extra.min(NIBBLE)) as u8;
        self.output[self.at] = token;
        self.at += 1;
        if literals >= NIBBLE {
            self.length(literals - NIBBLE);
        }
        self.literals(input, anchor, literals);
        self.output[self.at..self.at + 2].copy_from_slice(&distance.to_le_bytes());
        self.at += 2;
        if extra >= NIBBLE {
            self.length(extra - NIBBLE);
        }
        Some(())
    }

    /// Ends the block with the literals from `anchor` on and says how long it became; `None` when they do not fit.
    pub(super) fn finish(mut self, input: &[u8], anchor: usize) -> Option<usize> {
        let literals = input.len() - anchor;
        let most = literals + literals / 255 + 2;
        if most > self.output.len() - self.at {
            return None;
        }
        self.output[self.at] = (literals.min(NIBBLE) << 4) as u8;
        self.at += 1;
        if literals >= NIBBLE {
            self.length(literals - NIBBLE);
        }
        self.output[self.at..self.at + literals].copy_from_slice(&input[anchor..]);
        Some(self.at + literals)
    }

    /// What a nibble cannot say: bytes of 255, and one that is less.
    #[inline(always)]
    fn length(&mut self, mut rest: usize) {
        while rest >= 255 {
            self.output[self.at] = 255;
            self.at += 1;
            rest -= 255;
        }
        self.output[self.at] = rest as u8;
        self.at += 1;
    }

    #[inline(always)]
    fn literals(&mut self, input: &[u8], from: usize, count: usize) {
        // A copy of known length is two instructions, one of unknown length a call. What is written too much is
        // overwritten by what comes next.
        if count <= STRIDE
            && let Some(source) = input.get(from..from + STRIDE)
            && let Some(target) = self.output.get_mut(self.at..self.at + STRIDE)
        {
            target.copy_from_slice(source);
        } else {
            self.output[self.at..self.at + count].copy_from_slice(&input[from..from + count]);
        }
        self.at += count;
    }
}
