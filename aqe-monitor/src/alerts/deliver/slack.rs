//! Block Kit for Slack.

use serde_json::json;

use crate::alerts::notification::Notification;

/// Slack's bounds: characters of a header, and of a section after escaping.
const MAX_HEADER: usize = 150;
const MAX_SECTION: usize = 3000;
/// The longest escape is that of `&`, so this many characters of ours always fit.
const MAX_LINE: usize = MAX_SECTION / "&amp;".len();

/// The body of a message. `text` is what notifications show; each alert is a section.
pub(crate) fn body(notification: &Notification) -> Vec<u8> {
    let title = notification.title();
    let header: String = title.chars().take(MAX_HEADER).collect();
    let mut blocks = vec![json!({
        "type": "header",
        "text": { "type": "plain_text", "text": header },
    })];
    for line in notification.lines() {
        blocks.push(json!({
            "type": "section",
            "text": { "type": "mrkdwn", "text": escape(&line) },
        }));
    }
    json!({ "text": escape(&title), "blocks": blocks })
        .to_string()
        .into_bytes()
}

/// Text as Slack wants it: what is in labels must not call `<!channel>` or make links.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars().take(MAX_LINE) {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn hostile_text_stays_text_and_within_bounds() {
        let mut note = Notification::drill(1, SystemTime::UNIX_EPOCH);
        note.alerts[0].rule = "<!channel> & ".to_owned() + &"&".repeat(5000);
        let body: serde_json::Value = serde_json::from_slice(&body(&note)).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(text.contains("&lt;!channel&gt; &amp; "), "{text}");
        let header = body["blocks"][0]["text"]["text"].as_str().unwrap();
        let section = body["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(header.chars().count() <= MAX_HEADER);
        assert!(section.chars().count() <= MAX_SECTION);
        assert!(!section.contains('<'));
    }
}
