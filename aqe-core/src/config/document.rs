//! From a tree of YAML to assignments of known keys, in the base and in each profile.
//!
//! A top-level name that is no section is a profile when it holds sections. Telling a profile from a mistyped section
//! needs a rule that never accepts a slip silently; it stands at [`Reader::judge`].

use std::path::Path;

use granit_parser::ScalarStyle;

use super::model::Config;
use super::problem::excerpt;
use super::schema::{self, Key};
use super::setting::Raw;
use super::yaml::{self, Content, Entry, Mapping, Node};
use super::{Position, Problem, ProblemKind, Problems, Source, suggest};

/// Each profile is checked together with the base, so their number bounds the work that a file can cause.
pub(crate) const MAX_PROFILES: usize = 64;

/// A known key with the text of its value.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) key: &'static Key,
    pub(crate) text: String,
    pub(crate) quoted: bool,
    pub(crate) at: Position,
}

impl Assignment {
    pub(crate) fn raw(&self) -> Raw<'_> {
        Raw {
            text: &self.text,
            quoted: self.quoted,
        }
    }
}

/// What a file says: values that are right each by itself.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) base: Vec<Assignment>,
    pub(crate) profiles: Vec<Profile>,
}

/// A named overlay.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) assignments: Vec<Assignment>,
}

/// Reads a text, with every problem of every section and profile.
pub(crate) fn read(text: &str, file: &Path) -> (Settings, Problems) {
    let (document, problems) = yaml::parse(text, file);
    let mut reader = Reader {
        file,
        profile: None,
        scratch: Config::default(),
        problems,
    };
    let root = document.and_then(|document| document.root);
    let mut settings = root.map(|root| reader.root(&root)).unwrap_or_default();
    let mut problems = reader.problems;
    problems.sort_by_position();
    if !problems.is_empty() {
        // Values of a file with problems are never used; nothing may be tempted to.
        settings = Settings::default();
    }
    (settings, problems)
}

/// What an unknown top-level name with a mapping is.
enum Judgement {
    Profile,
    /// The name is near to this section.
    Slip(&'static str),
    Neither,
}

struct Reader<'a> {
    file: &'a Path,
    /// The profile that is being read.
    profile: Option<String>,
    /// Takes each value once, to see whether it can.
    scratch: Config,
    problems: Problems,
}

impl Reader<'_> {
    fn root(&mut self, root: &Node) -> Settings {
        let mut settings = Settings::default();
        match &root.content {
            Content::Mapping(mapping) => {
                for entry in &mapping.entries {
                    if self.problems.is_full() {
                        break;
                    }
                    self.top_level(entry, &mut settings);
                }
            }
            Content::Null | Content::Refused => {}
            Content::Scalar { .. } | Content::Sequence => self.problem(
                ProblemKind::WrongType,
                root.at,
                "",
                "holds a value where sections are expected".to_owned(),
                Some("write a section such as `queue:` with its keys below it".to_owned()),
            ),
        }
        settings
    }

    fn top_level(&mut self, entry: &Entry, settings: &mut Settings) {
        if schema::is_section(&entry.key) && !entry.key.contains('.') {
            self.named(entry, &entry.key, &mut settings.base);
            return;
        }
        let judgement = match &entry.value.content {
            _ if entry.key.is_empty() || entry.key.contains('.') => Judgement::Neither,
            Content::Mapping(mapping) => self.judge(&entry.key, mapping),
            Content::Null => self.judge(
                &entry.key,
                &Mapping {
                    flow: false,
                    entries: Vec::new(),
                },
            ),
            Content::Scalar { .. } | Content::Sequence | Content::Refused => Judgement::Neither,
        };
        match (judgement, &entry.value.content) {
            (Judgement::Profile, _) if settings.profiles.len() == MAX_PROFILES => {
                self.problem(
                    ProblemKind::TooLarge,
                    entry.key_at,
                    &entry.key,
                    format!("is one profile more than the {MAX_PROFILES} that a file may have"),
                    Some("keep unrelated settings in a file of their own".to_owned()),
                );
            }
            (Judgement::Profile, content) => {
                let mut assignments = Vec::new();
                self.profile = Some(entry.key.clone());
                if let Content::Mapping(mapping) = content {
                    self.section("", mapping, &mut assignments);
                }
                self.profile = None;
                settings.profiles.push(Profile {
                    name: entry.key.clone(),
                    assignments,
                });
            }
            (Judgement::Slip(section), _) => self.problem(
                ProblemKind::UnknownKey,
                entry.key_at,
                &entry.key,
                "no such section".to_owned(),
                Some(format!("did you mean `{section}`?")),
            ),
            // The alias that makes the value unreadable was reported where it stands.
            (Judgement::Neither, Content::Refused) => {}
            (Judgement::Neither, content) => {
                let mut help = self.help_for(&entry.key);
                if matches!(content, Content::Mapping(_)) {
                    help.push_str("; a profile holds sections, as in `production: {queue: {…}}`");
                }
                self.problem(
                    ProblemKind::UnknownKey,
                    entry.key_at,
                    &entry.key,
                    "neither a section nor a profile".to_owned(),
                    Some(help),
                );
            }
        }
    }

    /// Decides what an unknown top-level name is.
    ///
    /// 1. Something in it is a section: a profile, whatever its name.
    /// 2. The name is near to a section's: a slip.
    /// 3. Nothing in it, or something near to a section: a profile, in which the slip is then reported.
    /// 4. Otherwise neither.
    fn judge(&self, name: &str, mapping: &Mapping) -> Judgement {
        let holds =
            |test: &dyn Fn(&str) -> bool| mapping.entries.iter().any(|entry| test(&entry.key));
        if holds(&|key| !key.contains('.') && schema::is_section(key)) {
            Judgement::Profile
        } else if let Some(section) = suggest::nearest(name, schema::children("")) {
            Judgement::Slip(section)
        } else if mapping.entries.is_empty()
            || holds(&|key| suggest::nearest(key, schema::children("")).is_some())
        {
            Judgement::Profile
        } else {
            Judgement::Neither
        }
    }

    fn section(&mut self, path: &str, mapping: &Mapping, sink: &mut Vec<Assignment>) {
        for entry in &mapping.entries {
            if self.problems.is_full() {
                break;
            }
            self.named(entry, &schema::join(path, &entry.key), sink);
        }
    }

    /// Reads an entry that stands where `path` says.
    fn named(&mut self, entry: &Entry, path: &str, sink: &mut Vec<Assignment>) {
        // `queue.timeout: 5` at the top would otherwise be taken for the key of that path.
        let dotted = entry.key.contains('.');
        if !dotted && let Some(key) = schema::key(path) {
            self.value(key, entry, path, sink);
        } else if !dotted && schema::is_section(path) {
            self.subsection(entry, path, sink);
        } else if !matches!(entry.value.content, Content::Refused) {
            let help = self.help_for(path);
            self.problem(
                ProblemKind::UnknownKey,
                entry.key_at,
                path,
                "no such key".to_owned(),
                Some(help),
            );
        }
    }

    fn subsection(&mut self, entry: &Entry, path: &str, sink: &mut Vec<Assignment>) {
        match &entry.value.content {
            Content::Mapping(mapping) => self.section(path, mapping, sink),
            // A section whose keys are all commented out.
            Content::Null | Content::Refused => {}
            Content::Scalar { .. } if schema::shorthand(path).is_some() => {
                if let Some(key) = schema::shorthand(path) {
                    self.value(key, entry, path, sink);
                }
            }
            Content::Scalar { .. } | Content::Sequence => {
                let known: Vec<&str> = schema::children(path).take(1).collect();
                self.problem(
                    ProblemKind::WrongType,
                    entry.value.at,
                    path,
                    "is a section and takes no value of its own".to_owned(),
                    Some(format!(
                        "write its keys below it, such as `{}:`",
                        known.join("")
                    )),
                );
            }
        }
    }

    fn value(&mut self, key: &'static Key, entry: &Entry, path: &str, sink: &mut Vec<Assignment>) {
        let example = key.value_in(&Config::default());
        let (text, style) = match &entry.value.content {
            Content::Scalar { text, style } => (text, *style),
            Content::Refused => return,
            content => {
                let (reason, at) = match content {
                    Content::Null => ("has no value", entry.key_at),
                    Content::Sequence => ("takes a single value, found a list", entry.value.at),
                    _ => ("takes a single value, found a section", entry.value.at),
                };
                self.problem(
                    ProblemKind::WrongType,
                    at,
                    path,
                    reason.to_owned(),
                    Some(format!(
                        "write a value such as `{example}` or remove the key"
                    )),
                );
                return;
            }
        };
        let assignment = Assignment {
            key,
            text: text.clone(),
            quoted: style != ScalarStyle::Plain,
            at: entry.value.at,
        };
        match key.read_into(&mut self.scratch, assignment.raw()) {
            Ok(()) => sink.push(assignment),
            Err(refusal) => self.problem(
                refusal.kind,
                entry.value.at,
                path,
                refusal.reason,
                refusal.help,
            ),
        }
    }

    fn help_for(&self, path: &str) -> String {
        let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
        if schema::key(path).is_some() {
            format!("write `{name}:` below `{section}:`, indented")
        } else {
            schema::help_for_unknown(path)
        }
    }

    fn problem(
        &mut self,
        kind: ProblemKind,
        at: Position,
        path: &str,
        reason: String,
        help: Option<String>,
    ) {
        let path = match &self.profile {
            Some(profile) => schema::join(profile, path),
            None => path.to_owned(),
        };
        self.problems.push(Problem {
            kind,
            source: Source::File(self.file.to_owned()),
            position: Some(at),
            key: (!path.is_empty()).then(|| excerpt(&path)),
            reason,
            help,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let (_, problems) = read(text, Path::new("f"));
        problems
            .iter()
            .map(|problem| problem.to_string().trim_start_matches("f:").to_owned())
            .collect()
    }

    #[track_caller]
    fn only(text: &str, expected: &str) {
        assert_eq!(problems(text), [expected], "{text}");
    }

    #[test]
    fn each_mistake_is_answered_with_place_key_reason_and_remedy() {
        for (text, expected) in [
            (
                "queue:\n  maxConcurent: 5\n",
                "2:3: queue.maxConcurent: no such key; did you mean `queue.maxConcurrent`?",
            ),
            (
                "queue:\n  maxConcurrent: many\n",
                "2:18: queue.maxConcurrent: expected a whole number, found `many`; write a number such as 10",
            ),
            (
                "queue:\n  maxConcurrent: 0\n",
                "2:18: queue.maxConcurrent: must be at least 1, not 0; write 1 or more",
            ),
            (
                "queue:\n  maxConcurrent:\n",
                "2:3: queue.maxConcurrent: has no value; write a value such as `10` or remove the key",
            ),
            (
                "queue:\n  maxConcurrent: [1, 2]\n",
                "2:18: queue.maxConcurrent: takes a single value, found a list; write a value such as `10` or remove the key",
            ),
            (
                "queue:\n  timeout:\n    seconds: 5\n",
                "3:5: queue.timeout: takes a single value, found a section; write a value such as `30s` or remove the key",
            ),
            (
                "queue: 5\n",
                "1:8: queue: is a section and takes no value of its own; write its keys below it, such as `maxConcurrent:`",
            ),
            (
                "monitoring:\n  alerting: sometimes\n",
                "2:13: monitoring.alerting: expected true or false, found `sometimes`; write true or false",
            ),
            (
                "queue.timeout: 5\n",
                "1:1: queue.timeout: neither a section nor a profile; write `timeout:` below `queue:`, indented",
            ),
            (
                "memory: {maxSize: 1 elephant}\n",
                "1:19: memory.maxSize: `1 elephant` has the unknown unit `elephant`; write a number of bytes or units \
                 such as 64kB, 256MB, 1GB, 512MiB",
            ),
            (
                "quue:\n  timeout: 5\n",
                "1:1: quue: no such section; did you mean `queue`?",
            ),
            (
                "quue:\n",
                "1:1: quue: no such section; did you mean `queue`?",
            ),
            (
                "monitoring:\n  alerting.enabled: true\n",
                "2:3: monitoring.alerting.enabled: no such key; write `enabled:` below `monitoring.alerting:`, indented",
            ),
            (
                "queue:\n  maxConcurrent: \"10\"\n",
                "2:18: queue.maxConcurrent: expected a whole number, found the text \"10\"; remove the quotes",
            ),
            (
                "colour: red\n",
                "1:1: colour: neither a section nor a profile; known sections: queue, batch, memory, execution, \
                 monitoring, performance, run, log",
            ),
            (
                "staging:\n  colour: red\n",
                "1:1: staging: neither a section nor a profile; known sections: queue, batch, memory, execution, \
                 monitoring, performance, run, log; a profile holds sections, as in `production: {queue: {…}}`",
            ),
            (
                "staging:\n  quue:\n    timeout: 5\n",
                "2:3: staging.quue: no such key; did you mean `queue`?",
            ),
            (
                "staging:\n  queue:\n    timeout: soon\n",
                "3:14: staging.queue.timeout: `soon` is not a duration; write a number of milliseconds or units such as \
                 500ms, 30s, 5m, 1h 30m, 7days",
            ),
            (
                "just text\n",
                "1:1: holds a value where sections are expected; write a section such as `queue:` with its keys below it",
            ),
        ] {
            only(text, expected);
        }
    }

    #[test]
    fn all_problems_are_reported_in_the_order_of_the_text() {
        let text = "queue:\n  timeout: soon\n  timeout: 5\nmemory:\n  maxSize: *x\n  colour: 1\nproduction:\n  queue:\n    batchSize: 0\n";
        let places: Vec<String> = problems(text)
            .iter()
            .map(|problem| problem.split(": ").next().unwrap().to_owned())
            .collect();
        assert_eq!(places, ["2:12", "3:3", "5:12", "6:3", "9:16"]);
    }

    #[test]
    fn the_number_of_profiles_is_bounded() {
        let text: String = (0..=MAX_PROFILES)
            .map(|count| format!("stage{count}:\n"))
            .collect();
        only(
            &text,
            "65:1: stage64: is one profile more than the 64 that a file may have; keep unrelated settings in a file of their own",
        );
    }

    #[test]
    fn sections_without_keys_and_files_without_sections_are_fine() {
        for text in [
            "",
            "# nothing\n",
            "---\n",
            "queue:\nmemory: {}\n",
            "production:\n",
            "~\n",
        ] {
            assert_eq!(problems(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_truth_value_in_place_of_a_section_sets_its_enabled_key() {
        let (settings, problems) = read("monitoring:\n  alerting: false\n", Path::new("f"));
        assert!(problems.is_empty(), "{problems}");
        assert_eq!(settings.base[0].key.path(), "monitoring.alerting.enabled");
        assert_eq!(settings.base[0].text, "false");
    }

    #[test]
    fn a_profile_may_bear_a_name_near_to_a_section() {
        let (settings, problems) = read("queues:\n  queue:\n    timeout: 5s\n", Path::new("f"));
        assert!(problems.is_empty(), "{problems}");
        assert_eq!(settings.profiles[0].name, "queues");
    }
}
