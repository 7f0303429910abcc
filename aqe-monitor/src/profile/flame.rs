//! A flame graph as SVG: one file without scripts from elsewhere, which any browser shows. Resting the pointer on a box
//! tells what it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::stacks::{Kind, Profile};

impl Profile {
    /// Draws the stacks as boxes on top of one another, as wide as what they stand for (Gregg, "The Flame Graph",
    /// Communications of the ACM 59(6), 2016). Boxes that would be narrower than a tenth of a pixel are left out.
    #[must_use]
    pub fn to_svg(&self, title: &str) -> String {
        let mut root = Node::default();
        for stack in &self.stacks {
            let thread = std::iter::once(stack.thread.as_str());
            let names = thread.chain(self.of(stack).map(|frame| frame.function.as_str()));
            root.add(names.take(DEEPEST), stack.value);
        }
        let scale = if root.value == 0 {
            0.0
        } else {
            WIDTH / root.value as f64
        };
        let height = (root.depth(scale) as f64 + 2.0) * ROW + MARGIN;
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{}\" y=\"20\" text-anchor=\"middle\" font-size=\"14\">{}</text>\n",
            WIDTH / 2.0,
            escaped(title),
        );
        let mut canvas = Canvas {
            out,
            scale,
            bottom: height - ROW,
            total: root.value,
            kind: self.kind,
        };
        canvas.draw("all", &root, 0.0, 0);
        canvas.out.push_str("</svg>\n");
        canvas.out
    }
}

/// A function called along one path.
#[derive(Default)]
struct Node<'a> {
    value: u64,
    called: BTreeMap<&'a str, Self>,
}

impl<'a> Node<'a> {
    fn add(&mut self, path: impl Iterator<Item = &'a str>, value: u64) {
        self.value += value;
        let mut node = self;
        for name in path {
            node = node.called.entry(name).or_default();
            node.value += value;
        }
    }

    /// Levels that are drawn.
    fn depth(&self, scale: f64) -> usize {
        let drawn = self
            .called
            .values()
            .filter(|node| node.value as f64 * scale >= NARROWEST);
        1 + drawn
            .map(|node| node.depth(scale))
            .max()
            .unwrap_or_default()
    }
}

struct Canvas {
    out: String,
    scale: f64,
    bottom: f64,
    total: u64,
    kind: Kind,
}

impl Canvas {
    fn draw(&mut self, name: &str, node: &Node<'_>, left: f64, level: usize) {
        let width = node.value as f64 * self.scale;
        if width < NARROWEST {
            return;
        }
        let top = self.bottom - (level + 1) as f64 * ROW;
        let share = node.value as f64 / self.total as f64 * 100.0;
        let amount = match self.kind {
            Kind::Cpu => format!("{:.1} ms", node.value as f64 / 1e6),
            Kind::Allocations => format!("{} B", node.value),
        };
        let shown = cut(name, ((width - 4.0) / LETTER).max(0.0) as usize);
        let _ = write!(
            self.out,
            "<g><title>{}: {amount}, {share:.2} %</title><rect x=\"{left:.1}\" y=\"{top:.0}\" width=\"{width:.1}\" height=\"{}\" fill=\"{}\" stroke=\"#fff\" stroke-width=\"0.5\"/>",
            escaped(name),
            ROW - 1.0,
            colour(name),
        );
        if !shown.is_empty() {
            let _ = write!(
                self.out,
                "<text x=\"{:.1}\" y=\"{:.0}\">{}</text>",
                left + 2.0,
                top + ROW - 4.0,
                escaped(&shown)
            );
        }
        self.out.push_str("</g>\n");
        let mut left = left;
        for (name, node) in &node.called {
            self.draw(name, node, left, level + 1);
            left += node.value as f64 * self.scale;
        }
    }
}

/// As much of a name as fits: fewer than three letters say nothing.
fn cut(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    if letters < 3 {
        return String::new();
    }
    name.chars().take(letters - 2).chain("..".chars()).collect()
}

/// Warm colours, the same for the same name in every graph (FNV-1a, to have one without state).
fn colour(name: &str) -> String {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [red, green, blue] = [205 + hash % 50, 60 + (hash >> 8) % 150, (hash >> 16) % 60];
    format!("rgb({red},{green},{blue})")
}

/// Text in XML: names hold `<`, `&` and what people call their threads. Control characters are no XML at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

const WIDTH: f64 = 1200.0;
const ROW: f64 = 16.0;
const MARGIN: f64 = 30.0;
/// Of a monospaced letter of eleven pixels.
const LETTER: f64 = 6.6;
const NARROWEST: f64 = 0.1;
/// Drawing recurs; deeper stacks than samplers take are cut.
const DEEPEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::super::stacks::example;
    use super::*;

    #[test]
    fn boxes_are_as_wide_as_what_they_stand_for() {
        let svg = example().to_svg("a & b");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &amp; b"), "{svg}");
        assert!(
            svg.contains("<title>all: 60.0 ms, 100.00 %</title><rect x=\"0.0\""),
            "{svg}"
        );
        // Four of six parts of 1200 pixels.
        assert!(
            svg.contains(
                "<title>a&lt;&amp;&quot;b&quot;&gt;; c: 40.0 ms, 66.67 %</title><rect x=\"0.0\""
            ),
            "{svg}"
        );
        assert!(svg.contains("width=\"800.0\""), "{svg}");
        assert!(
            svg.contains("<title>two: 20.0 ms, 33.33 %</title><rect x=\"800.0\""),
            "{svg}"
        );
        assert_eq!(svg.matches("<g>").count(), svg.matches("</g>").count());
    }

    #[test]
    fn nothing_and_nonsense_can_be_drawn() {
        let mut profile = example();
        profile.stacks[0].thread = "</svg>\u{0}<script>".to_owned();
        let svg = profile.to_svg("\u{1}");
        assert!(!svg.contains("<script>") && !svg.contains('\u{0}'), "{svg}");
        profile.stacks.clear();
        assert!(profile.to_svg("").ends_with("</svg>\n"));
    }

    #[test]
    fn names_are_cut_to_their_box() {
        assert_eq!(
            (cut("function", 8), cut("function", 5), cut("function", 2)),
            ("function".into(), "fun..".into(), String::new())
        );
    }
}
