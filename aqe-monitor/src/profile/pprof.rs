//! The pprof format: protocol buffers (`profile.proto` of the pprof project), written by hand. Seven message types with
//! whole numbers and text need no generated code.

use std::collections::HashMap;

use super::stacks::Profile;

impl Profile {
    /// The profile for `pprof` and everything that reads its files. Uncompressed, which readers accept.
    #[must_use]
    pub fn to_pprof(&self) -> Vec<u8> {
        let mut strings = Strings::default();
        let mut out = Vec::new();
        let kinds = self.kind.words();
        for (what, unit) in kinds {
            message(&mut out, 1, &value_type(&mut strings, what, unit));
        }
        let thread_key = strings.index("thread");
        for stack in &self.stacks {
            let mut sample = Vec::new();
            // Innermost first, unlike here. Numbers of locations begin with 1: 0 is none.
            packed(
                &mut sample,
                1,
                stack.frames.iter().rev().map(|&index| u64::from(index) + 1),
            );
            packed(&mut sample, 2, [stack.count, stack.value].into_iter());
            let mut label = Vec::new();
            number(&mut label, 1, thread_key);
            number(&mut label, 2, strings.index(&stack.thread));
            message(&mut sample, 3, &label);
            message(&mut out, 2, &sample);
        }
        for (id, frame) in (1..).zip(&self.frames) {
            let mut line = Vec::new();
            number(&mut line, 1, id);
            number(&mut line, 2, u64::from(frame.line.unwrap_or_default()));
            let mut location = Vec::new();
            number(&mut location, 1, id);
            message(&mut location, 4, &line);
            message(&mut out, 4, &location);

            let mut function = Vec::new();
            number(&mut function, 1, id);
            let name = strings.index(&frame.function);
            number(&mut function, 2, name);
            number(&mut function, 3, name);
            number(
                &mut function,
                4,
                strings.index(frame.file.as_deref().unwrap_or_default()),
            );
            message(&mut out, 5, &function);
        }
        number(
            &mut out,
            10,
            u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX),
        );
        let [_, (what, unit)] = kinds;
        message(&mut out, 11, &value_type(&mut strings, what, unit));
        number(&mut out, 12, self.period);
        // Last, when all are known: the order of fields is free.
        for text in &strings.all {
            message(&mut out, 6, text.as_bytes());
        }
        out
    }
}

/// Each text once; the first is empty, as the format demands.
struct Strings {
    all: Vec<String>,
    indices: HashMap<String, u64>,
}

impl Default for Strings {
    fn default() -> Self {
        Self {
            all: vec![String::new()],
            indices: HashMap::from([(String::new(), 0)]),
        }
    }
}

impl Strings {
    fn index(&mut self, text: &str) -> u64 {
        if let Some(&index) = self.indices.get(text) {
            return index;
        }
        let index = self.all.len() as u64;
        self.all.push(text.to_owned());
        self.indices.insert(text.to_owned(), index);
        index
    }
}

fn value_type(strings: &mut Strings, what: &str, unit: &str) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, 1, strings.index(what));
    number(&mut out, 2, strings.index(unit));
    out
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn message(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn packed(out: &mut Vec<u8>, field: u64, values: impl Iterator<Item = u64>) {
    let mut bytes = Vec::new();
    values.for_each(|value| varint(&mut bytes, value));
    message(out, field, &bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::super::stacks::example;
    use super::*;

    /// Fields of a message: number, then the value or the bytes.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let key = read(&mut bytes);
            let value = read(&mut bytes);
            let (field, length) = (key >> 3, if key & 7 == 2 { value as usize } else { 0 });
            assert!(matches!(key & 7, 0 | 2), "{key}");
            found.push((field, value, &bytes[..length]));
            bytes = &bytes[length..];
        }
        found
    }

    fn read(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (&byte, rest) = bytes.split_first().expect("a number ends");
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn numbers(mut bytes: &[u8]) -> Vec<u64> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            found.push(read(&mut bytes));
        }
        found
    }

    #[test]
    fn a_reader_of_the_format_finds_every_stack() {
        let (profile, mut stacks) = (example(), Vec::new());
        let bytes = profile.to_pprof();
        let all = fields(&bytes);
        let of = |wanted: u64| {
            all.iter()
                .filter(move |(field, ..)| *field == wanted)
                .map(|&(_, _, bytes)| bytes)
        };
        let strings: Vec<&str> = of(6)
            .map(|bytes| std::str::from_utf8(bytes).unwrap())
            .collect();
        assert_eq!(strings[0], "");
        let functions: HashMap<u64, &str> = of(5)
            .map(fields)
            .map(|f| (f[0].1, strings[f[1].1 as usize]))
            .collect();
        let locations: HashMap<u64, &str> = of(4)
            .map(fields)
            .map(|f| (f[0].1, functions[&fields(f[1].2)[0].1]))
            .collect();
        for sample in of(2).map(fields) {
            let names: Vec<&str> = numbers(sample[0].2)
                .into_iter()
                .rev()
                .map(|id| locations[&id])
                .collect();
            let thread = strings[fields(sample[2].2)[1].1 as usize];
            stacks.push((thread, names.join(" > "), numbers(sample[1].2)));
        }
        assert_eq!(
            stacks,
            [
                ("one", "main > a<&\"b\">; c".to_owned(), vec![3, 30_000_000]),
                (
                    "one",
                    "main > a<&\"b\">; c > leaf".to_owned(),
                    vec![1, 10_000_000]
                ),
                ("two", "main".to_owned(), vec![2, 20_000_000]),
            ]
        );
        let kinds: Vec<_> = of(1)
            .map(fields)
            .map(|f| (strings[f[0].1 as usize], strings[f[1].1 as usize]))
            .collect();
        assert_eq!(kinds, [("samples", "count"), ("cpu", "nanoseconds")]);
        assert_eq!(
            all.iter().find(|(field, ..)| *field == 12).map(|f| f.1),
            Some(10_000_000)
        );
    }
}
