//! A profile: stacks, each with how often it was seen and how much it stands for.

use std::collections::HashMap;
use std::time::Duration;

/// What a profile counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum Kind {
    /// Processor time, in nanoseconds.
    Cpu,
    /// Memory allocated, in bytes.
    Allocations,
}

impl Kind {
    /// What one sample is, and what it is measured in, in the words of the pprof format.
    pub(super) fn words(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Cpu => [("samples", "count"), ("cpu", "nanoseconds")],
            Self::Allocations => [("samples", "count"), ("alloc_space", "bytes")],
        }
    }
}

/// A function, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Frame {
    /// Its name, or its address in hexadecimal if the program has no symbol for it.
    pub function: String,
    /// The source file, if the program has debug information.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
}

/// One stack that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Stack {
    /// The thread's name.
    pub thread: String,
    /// Indices into [`Profile::frames`], the outermost call first. Inlined functions have entries of their own.
    pub frames: Vec<u32>,
    /// Samples.
    pub count: u64,
    /// What they stand for, in the unit of the [`Kind`].
    pub value: u64,
}

/// What was seen over a time. [`collapsed`](Self::collapsed), [`to_svg`](Self::to_svg), [`to_pprof`](Self::to_pprof) and
/// [`to_json`](Self::to_json) make files of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Profile {
    /// What it counts.
    pub kind: Kind,
    /// How long was looked.
    pub duration: Duration,
    /// What one sample stands for on average, in the unit of the [`Kind`].
    pub period: u64,
    /// Samples for which there was no room.
    pub lost: u64,
    /// Every function once.
    pub frames: Vec<Frame>,
    /// Every stack of every thread once, the one that stands for most first.
    pub stacks: Vec<Stack>,
}

impl Profile {
    /// What all samples stand for together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.stacks.iter().map(|stack| stack.value).sum()
    }

    /// The functions in which it happened, and what happened in each of them itself, not in what it calls; most first.
    #[must_use]
    pub fn hottest(&self) -> Vec<(&Frame, u64)> {
        let mut own: HashMap<u32, u64> = HashMap::new();
        for stack in &self.stacks {
            if let Some(&leaf) = stack.frames.last() {
                *own.entry(leaf).or_default() += stack.value;
            }
        }
        let mut functions: HashMap<&str, (&Frame, u64)> = HashMap::new();
        for (index, value) in own {
            let Some(frame) = self.frames.get(index as usize) else {
                continue;
            };
            // Lines of one function are one function here.
            functions.entry(&frame.function).or_insert((frame, 0)).1 += value;
        }
        let mut functions: Vec<_> = functions.into_values().collect();
        functions.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.function.cmp(&b.0.function)));
        functions
    }

    /// The format that flame graph tools read: a line for each stack, frames separated by semicolons, then the value.
    #[must_use]
    pub fn collapsed(&self) -> String {
        let mut lines: HashMap<String, u64> = HashMap::new();
        for stack in &self.stacks {
            let mut line = plain(&stack.thread);
            for frame in self.of(stack) {
                line.push(';');
                line.push_str(&plain(&frame.function));
            }
            *lines.entry(line).or_default() += stack.value;
        }
        let mut lines: Vec<_> = lines
            .into_iter()
            .map(|(line, value)| format!("{line} {value}\n"))
            .collect();
        lines.sort_unstable();
        lines.concat()
    }

    /// The whole profile as JSON, as its fields are named here.
    ///
    /// # Errors
    ///
    /// None that is known: names are text, and numbers are whole. The signature leaves room for a serializer's.
    #[cfg(feature = "serde")]
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    pub(super) fn of<'a>(&'a self, stack: &'a Stack) -> impl Iterator<Item = &'a Frame> {
        stack
            .frames
            .iter()
            .filter_map(|&index| self.frames.get(index as usize))
    }
}

/// Semicolons and line ends separate.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c == ';' {
                ':'
            } else if c.is_control() {
                ' '
            } else {
                c
            }
        })
        .collect()
}

/// Puts a profile together from addresses, each of which is looked up once.
pub(super) struct Builder {
    kind: Kind,
    indices: HashMap<Frame, u32>,
    frames: Vec<Frame>,
    /// By address and whether it is a return address: what it resolves to, outermost first.
    known: HashMap<(usize, bool), Vec<u32>>,
    stacks: HashMap<(String, Vec<u32>), (u64, u64)>,
}

impl Builder {
    pub(super) fn new(kind: Kind) -> Self {
        let (indices, frames, known) = (HashMap::new(), Vec::new(), HashMap::new());
        Self {
            kind,
            indices,
            frames,
            known,
            stacks: HashMap::new(),
        }
    }

    /// `addresses` are innermost first. The first is where the thread was if `exact`; all others are return addresses,
    /// which belong to the instruction before them.
    pub(super) fn add(
        &mut self,
        thread: String,
        addresses: &[usize],
        exact: bool,
        count: u64,
        value: u64,
    ) {
        let mut frames = Vec::with_capacity(addresses.len());
        for (at, &address) in addresses.iter().enumerate().rev() {
            frames.extend_from_slice(self.look_up(address, !(exact && at == 0)));
        }
        let entry = self.stacks.entry((thread, frames)).or_default();
        entry.0 += count;
        entry.1 = entry.1.saturating_add(value);
    }

    fn look_up(&mut self, address: usize, returned_to: bool) -> &[u32] {
        let (indices, frames) = (&mut self.indices, &mut self.frames);
        self.known.entry((address, returned_to)).or_insert_with(|| {
            let mut found =
                super::symbols::resolve(address.saturating_sub(usize::from(returned_to)));
            found.reverse();
            let index = |frame: Frame| {
                *indices.entry(frame).or_insert_with_key(|frame| {
                    frames.push(frame.clone());
                    frames.len() as u32 - 1
                })
            };
            found.into_iter().map(index).collect()
        })
    }

    pub(super) fn build(self, duration: Duration, period: u64, lost: u64) -> Profile {
        let mut stacks: Vec<Stack> = (self.stacks.into_iter())
            .map(|((thread, frames), (count, value))| Stack {
                thread,
                frames,
                count,
                value,
            })
            .collect();
        stacks.sort_by(|a, b| {
            b.value
                .cmp(&a.value)
                .then_with(|| (&a.thread, &a.frames).cmp(&(&b.thread, &b.frames)))
        });
        Profile {
            kind: self.kind,
            duration,
            period,
            lost,
            frames: self.frames,
            stacks,
        }
    }
}

#[cfg(test)]
pub(super) fn example() -> Profile {
    let frame = |function: &str, line| Frame {
        function: function.to_owned(),
        file: Some("src/a.rs".to_owned()),
        line,
    };
    Profile {
        kind: Kind::Cpu,
        duration: Duration::from_secs(1),
        period: 10_000_000,
        lost: 0,
        frames: vec![
            frame("main", Some(1)),
            frame("a<&\"b\">; c", Some(20)),
            frame("leaf", None),
        ],
        stacks: vec![
            Stack {
                thread: "one".to_owned(),
                frames: vec![0, 1],
                count: 3,
                value: 30_000_000,
            },
            Stack {
                thread: "one".to_owned(),
                frames: vec![0, 1, 2],
                count: 1,
                value: 10_000_000,
            },
            Stack {
                thread: "two".to_owned(),
                frames: vec![0],
                count: 2,
                value: 20_000_000,
            },
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collapsed_lines_have_no_more_separators_than_frames() {
        let text = example().collapsed();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "one;main;a<&\"b\">: c 30000000",
                "one;main;a<&\"b\">: c;leaf 10000000",
                "two;main 20000000",
            ]
        );
    }

    #[test]
    fn hottest_is_what_did_most_itself() {
        let profile = example();
        let named: Vec<_> = profile
            .hottest()
            .into_iter()
            .map(|(frame, value)| (frame.function.as_str(), value))
            .collect();
        assert_eq!(
            named,
            [
                ("a<&\"b\">; c", 30_000_000),
                ("main", 20_000_000),
                ("leaf", 10_000_000)
            ]
        );
        assert_eq!(profile.total(), 60_000_000);
    }

    #[test]
    fn equal_stacks_are_one() {
        let mut builder = Builder::new(Kind::Cpu);
        for _ in 0..3 {
            builder.add("t".to_owned(), &[0x10, 0x20], true, 1, 5);
        }
        builder.add("u".to_owned(), &[0x10, 0x20], true, 1, 5);
        let profile = builder.build(Duration::ZERO, 5, 0);
        assert_eq!(profile.stacks.len(), 2);
        assert_eq!((profile.stacks[0].count, profile.stacks[0].value), (3, 15));
        // Nothing lies there: the address stands for the function.
        let leaf = profile.stacks[0].frames[1] as usize;
        assert_eq!(profile.frames[leaf].function, "0x10");
    }

    /// Unwinders end some stacks with an address of 0, and nothing lies before that.
    #[test]
    fn the_address_zero_is_an_address() {
        let mut builder = Builder::new(Kind::Allocations);
        builder.add("t".to_owned(), &[0x10, 0], false, 1, 5);
        assert_eq!(
            builder.build(Duration::ZERO, 5, 0).collapsed(),
            "t;0x0;0xf 5\n"
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn json_can_be_read_back() {
        let text = example().to_json().unwrap();
        assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), example());
    }
}
