//! The picture: what is drawn of a status, whatever the terminal.

use std::collections::VecDeque;
use std::time::Duration;

use aqe_core::session::Status;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Gauge, Paragraph, Sparkline};

use super::document::Part;
use super::text;
use crate::report::age;
use crate::report::style::{Colors, Human};
use crate::report::text::one_line;

/// Points of the curve that are kept; the widest terminals have some hundreds of cells.
const MAX_POINTS: usize = 1024;

/// The curve's figures are whole, so rates are drawn in thousandths of a test a second.
const FINE: f64 = 1000.0;

/// Lines of the list of failures at most, with its title.
const FAILURES: u16 = 6;

/// What is known, and how it is drawn.
#[derive(Debug)]
pub(super) struct View {
    part: Part,
    colors: Colors,
    status: Option<Status>,
    /// Rates between two statuses, the newest first.
    rates: VecDeque<u64>,
}

impl View {
    pub(super) fn new(part: Part, colors: Colors) -> Self {
        Self {
            part,
            colors,
            status: None,
            rates: VecDeque::new(),
        }
    }

    /// Takes what has come.
    pub(super) fn take(&mut self, status: Status) {
        if let Some(before) = &self.status
            && let Some(rate) = rate_between(before, &status)
        {
            self.rates.truncate(MAX_POINTS - 1);
            self.rates.push_front(rate);
        }
        self.status = Some(status);
    }

    pub(super) fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    fn style(&self, color: Color) -> Style {
        match self.colors {
            Colors::On => Style::new().fg(color),
            Colors::Off => Style::new(),
        }
    }
}

/// Thousandths of a test a second. Batches take back what they spoke of, so that there may be fewer than before.
fn rate_between(before: &Status, now: &Status) -> Option<u64> {
    let time = now.elapsed.checked_sub(before.elapsed)?;
    if time < Duration::from_millis(1) {
        return None;
    }
    let tests = now.done.saturating_sub(before.done) as f64;
    Some((tests / time.as_secs_f64() * FINE) as u64)
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let Some(status) = &view.status else {
        frame.render_widget(Paragraph::new("waiting for the run"), frame.area());
        return;
    };
    let area = frame.area();
    let is_all = view.part == Part::All;
    let failures = match (is_all, status.failures.len()) {
        (false, _) | (_, 0) => 0,
        // One line for the title above them.
        (true, count) => u16::try_from(count + 1).unwrap_or(FAILURES).min(FAILURES),
    };
    let [title, progress, bars, curve, running, failed, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(if is_all { 2 } else { 0 }),
        Constraint::Length(if is_all { 4 } else { 0 }),
        Constraint::Min(2),
        Constraint::Length(failures),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_title(frame, view, status, title);
    draw_progress(frame, view, status, progress);
    if is_all {
        draw_machine(frame, view, status, bars);
        draw_curve(frame, view, status, curve);
        draw_failures(frame, view, status, failed);
    }
    draw_running(frame, view, status, running);
    let foot_text = Span::styled("q leaves", Style::new().add_modifier(Modifier::DIM));
    frame.render_widget(Paragraph::new(foot_text), foot);
}

fn draw_title(frame: &mut Frame<'_>, view: &View, status: &Status, area: Rect) {
    let what = match (status.run.is_empty(), status.stopping) {
        (true, _) => "tests are being listed".to_owned(),
        (_, true) => format!("run {} is ending", one_line(&status.run)),
        _ => format!("run {}", one_line(&status.run)),
    };
    let line = Line::from(vec![
        Span::styled(what, Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!(
            ", process {}, for {}  ",
            status.pid,
            Human(status.elapsed)
        )),
        Span::styled(
            format!("{} passed", status.passed),
            view.style(Color::Green),
        ),
        Span::raw("  "),
        Span::styled(
            format!("{} failed", status.failed),
            match status.failed {
                0 => Style::new(),
                _ => view.style(Color::Red),
            },
        ),
        Span::styled(
            match status.flaky {
                0 => String::new(),
                flaky => format!("  {flaky} flaky"),
            },
            view.style(Color::Yellow),
        ),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

fn draw_progress(frame: &mut Frame<'_>, view: &View, status: &Status, area: Rect) {
    let label = text::progress(status);
    draw_bar(
        frame,
        ratio(status.done, status.planned),
        label,
        view.style(Color::Green),
        area,
    );
}

/// Processors and memory, one bar each.
fn draw_machine(frame: &mut Frame<'_>, view: &View, status: &Status, area: Rect) {
    let [processors, memory] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    let machine = &status.machine;
    for (name, share, area) in [
        ("processors", machine.cpu_ratio, processors),
        ("memory", machine.memory_ratio, memory),
    ] {
        let label = match share {
            Some(share) => format!("{name} {}", text::percent(share)),
            None => format!("{name}: the system does not say"),
        };
        // From where the default thresholds of alerts are not far.
        let color = match share {
            Some(share) if share > 0.8 => Color::Red,
            _ => Color::Blue,
        };
        draw_bar(frame, share.unwrap_or(0.0), label, view.style(color), area);
    }
}

fn draw_bar(frame: &mut Frame<'_>, share: f64, label: String, style: Style, area: Rect) {
    // A figure that is none must not reach the widget, which insists on shares.
    let share = if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let bar = Gauge::default()
        .ratio(share)
        .label(label)
        .gauge_style(style);
    frame.render_widget(bar, area);
}

/// How the rate was, the newest on the right.
fn draw_curve(frame: &mut Frame<'_>, view: &View, status: &Status, area: Rect) {
    let newest = view.rates.front().copied().unwrap_or(0) as f64 / FINE;
    let title = match status.rate {
        Some(mean) => format!("tests a second: {newest:.1} now, {mean:.1} on average"),
        None => "tests a second".to_owned(),
    };
    let block = Block::new().borders(Borders::TOP).title(title);
    let inside = block.inner(area);
    let width = usize::from(inside.width);
    let shown = view.rates.len().min(width);
    // From the oldest that fits to the newest, up to the right edge.
    let mut points = vec![0; width - shown];
    points.extend(view.rates.iter().take(shown).rev());
    let curve = Sparkline::default()
        .data(points)
        .style(view.style(Color::Cyan));
    frame.render_widget(block, area);
    frame.render_widget(curve, inside);
}

fn draw_running(frame: &mut Frame<'_>, view: &View, status: &Status, area: Rect) {
    let block = Block::new()
        .borders(Borders::TOP)
        .title(text::queue(status));
    let room = usize::from(block.inner(area).height);
    let all = usize::try_from(status.busy).unwrap_or(usize::MAX);
    // If not all fit, the last line says how many do not.
    let named = match all > room {
        true => room.saturating_sub(1),
        false => room,
    };
    let named = status.running.len().min(named);
    let mut lines: Vec<Line<'_>> = status.running[..named]
        .iter()
        .map(|running| {
            let time = Span::styled(
                format!("{:>8}  ", age(running.age)),
                view.style(Color::Yellow),
            );
            Line::from(vec![time, Span::raw(one_line(&running.name))])
        })
        .collect();
    if all > named {
        lines.push(Line::raw(format!("{:>8}  and {} more", "", all - named)));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_failures(frame: &mut Frame<'_>, view: &View, status: &Status, area: Rect) {
    let lines: Vec<Line<'_>> = status
        .failures
        .iter()
        .map(|failed| {
            Line::from(vec![
                Span::styled("    FAIL  ", view.style(Color::Red)),
                Span::raw(one_line(&failed.name)),
                Span::raw(format!(" ({})", one_line(&failed.verdict))),
            ])
        })
        .collect();
    let block = Block::new().borders(Borders::TOP).title("last failures");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn ratio(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        whole => part as f64 / whole as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::text::samples;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;

    fn drawn(view: &View, width: u16, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn lines(buffer: &Buffer) -> Vec<String> {
        let row = |y| {
            let cells = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol());
            cells.collect::<String>().trim_end().to_owned()
        };
        (0..buffer.area.height).map(row).collect()
    }

    fn view(part: Part) -> View {
        let mut view = View::new(part, Colors::On);
        let mut before = samples::status();
        before.elapsed -= Duration::from_secs(2);
        before.done -= 3;
        view.take(before);
        view.take(samples::status());
        view
    }

    #[test]
    fn the_picture_has_bars_a_curve_and_what_runs() {
        let view = view(Part::All);
        let shown = lines(&drawn(&view, 80, 16));
        assert_eq!(
            shown[0],
            "run 0198, process 4711, for 12.00s  17 passed  3 failed  1 flaky"
        );
        assert!(
            shown[1].contains("20 of 450 tests done, 1.7/s, 4m18s left"),
            "{shown:#?}"
        );
        assert!(shown[2].contains("processors 87 %"), "{shown:#?}");
        assert!(shown[3].contains("memory 43 %"), "{shown:#?}");
        assert!(
            shown[4].starts_with("tests a second: 1.5 now, 1.7 on average"),
            "{shown:#?}"
        );
        // One rate is known, and it is the highest; it stands at the right edge.
        assert!(
            shown[5].ends_with('█') && shown[7].trim() == "█",
            "{shown:#?}"
        );
        assert!(
            shown[8].starts_with("427 pending, 3 of 4 slots busy"),
            "{shown:#?}"
        );
        assert_eq!(shown[9], "    4.2s  suite it::hangs␛[2J");
        assert_eq!(shown[10], "    0.1s  suite it::reads");
        assert_eq!(shown[11], "          and 1 more");
        assert!(shown[13].starts_with("last failures"), "{shown:#?}");
        assert_eq!(
            shown[14],
            "    FAIL  suite it::fails (failed: exit code 101)"
        );
        assert_eq!(shown[15], "q leaves");
    }

    #[test]
    fn the_queue_alone_has_all_the_room() {
        let shown = lines(&drawn(&view(Part::Queue), 60, 8));
        assert!(shown[2].starts_with("427 pending"), "{shown:#?}");
        assert_eq!(shown[3], "    4.2s  suite it::hangs␛[2J");
        assert!(!shown.join("\n").contains("processors"));
    }

    #[test]
    fn bars_are_as_long_as_their_shares() {
        let buffer = drawn(&view(Part::All), 100, 16);
        let full = |y: u16| {
            let cells = (0..100).filter(|x| buffer[(*x, y)].symbol() == "█");
            let label = (0..100).filter(|x| {
                let cell = &buffer[(*x, y)];
                cell.symbol() != "█" && cell.bg == Color::Red
            });
            cells.count() + label.count()
        };
        assert_eq!(full(2), 87);
    }

    #[test]
    fn no_terminal_is_too_small_and_no_status_too_odd() {
        let mut odd = Status::default();
        odd.machine.cpu_ratio = Some(f64::NAN);
        odd.machine.memory_ratio = Some(-7.5);
        (odd.busy, odd.done) = (u64::MAX, u64::MAX);
        odd.left = Some(Duration::MAX);
        let mut wrong = view(Part::All);
        wrong.take(odd);
        let empty = View::new(Part::All, Colors::Off);
        for view in [&wrong, &empty, &view(Part::Queue), &view(Part::All)] {
            for (width, height) in [(1, 1), (3, 40), (200, 2), (7, 7), (500, 100)] {
                drawn(view, width, height);
            }
        }
    }

    #[test]
    fn without_colours_nothing_is_coloured() {
        let mut plain = view(Part::All);
        plain.colors = Colors::Off;
        let buffer = drawn(&plain, 80, 16);
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset));
    }

    #[test]
    fn the_curve_is_bounded() {
        let mut view = View::new(Part::All, Colors::Off);
        for second in 0..3000 {
            let mut status = samples::status();
            status.elapsed = Duration::from_secs(second);
            status.done = second * 2;
            view.take(status);
        }
        assert_eq!(view.rates.len(), MAX_POINTS);
        assert!(view.rates.iter().all(|rate| *rate == 2000));
    }
}
