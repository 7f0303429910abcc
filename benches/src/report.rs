//! The result of a comparison: for people as aligned tables, for programs as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// The name under which aqe's own samples run.
pub const AQE: &str = "aqe";

/// What one contender reached in one metric, over all rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Whose it is.
    pub contender: String,
    /// The middle of the rounds.
    pub median: f64,
    /// The best round.
    pub min: f64,
    /// The worst round.
    pub max: f64,
}

/// One metric of one workload, for everyone who took part.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was done.
    pub workload: String,
    /// What was measured; lower is better.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// The scores, in the order in which the contenders are listed.
    pub scores: Vec<Score>,
}

impl Row {
    /// The median of aqe, if it took part.
    #[must_use]
    pub fn aqe(&self) -> Option<f64> {
        self.median_of(AQE)
    }

    /// The median of one contender, if it took part.
    #[must_use]
    pub fn median_of(&self, contender: &str) -> Option<f64> {
        self.scores
            .iter()
            .find(|score| score.contender == contender)
            .map(|score| score.median)
    }

    fn to_json(&self) -> Value {
        let peers: Map<String, Value> = self
            .scores
            .iter()
            .filter(|score| score.contender != AQE)
            .map(|score| (score.contender.clone(), json!(rounded(score.median))))
            .collect();
        json!({
            "workload": self.workload,
            "metric": self.metric,
            "unit": self.unit,
            "aqe": self.aqe().map(rounded),
            "peers": peers,
        })
    }
}

/// The rows as a JSON list, one object a line.
#[must_use]
pub fn to_json(rows: &[Row]) -> String {
    let lines: Vec<String> = rows.iter().map(|row| row.to_json().to_string()).collect();
    format!("[{}]", lines.join(",\n "))
}

/// The rows as aligned tables, one for each metric of each workload; `aqe ÷` below 1 means aqe is better.
#[must_use]
pub fn to_text(rows: &[Row]) -> String {
    let width = rows
        .iter()
        .flat_map(|row| &row.scores)
        .map(|score| score.contender.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        push_table(&mut text, row, width);
    }
    text
}

fn push_table(text: &mut String, row: &Row, width: usize) {
    // Writing to a string cannot fail.
    let title = format!("{} / {} ({})", row.workload, row.metric, row.unit);
    let _ = writeln!(text, "{title}");
    let _ = writeln!(
        text,
        "  {:width$} {:>12} {:>12} {:>12} {:>8}",
        "", "median", "min", "max", "aqe ÷"
    );
    for score in &row.scores {
        let ratio = match row.aqe() {
            Some(aqe) if score.contender != AQE && score.median > 0.0 => {
                format!("{:.3}", aqe / score.median)
            }
            _ => String::new(),
        };
        let line = format!(
            "  {:width$} {:>12} {:>12} {:>12} {ratio:>8}",
            score.contender,
            shown(score.median),
            shown(score.min),
            shown(score.max),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
}

/// As many decimals as a number of this size deserves.
fn shown(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// Six decimals: fine enough for seconds, and no noise of binary fractions in the output.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(contender: &str, median: f64) -> Score {
        Score {
            contender: contender.to_owned(),
            median,
            min: median,
            max: median,
        }
    }

    fn row(scores: Vec<Score>) -> Row {
        Row {
            workload: "noop".to_owned(),
            metric: "wall".to_owned(),
            unit: "ns/op".to_owned(),
            scores,
        }
    }

    #[test]
    fn json_keeps_aqe_apart_from_its_peers() {
        let json = to_json(&[row(vec![score("aqe", 1.5), score("pool", 3.0)])]);
        let list: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            list,
            json!([{"workload": "noop", "metric": "wall", "unit": "ns/op", "aqe": 1.5, "peers": {"pool": 3.0}}])
        );
    }

    #[test]
    fn the_table_shows_how_aqe_compares() {
        let text = to_text(&[row(vec![score("aqe", 1.5), score("pool", 3.0)])]);
        assert!(text.starts_with("noop / wall (ns/op)\n"), "{text}");
        assert!(text.contains("pool") && text.contains("0.500"), "{text}");
    }
}
