//! From section `monitoring.alerting` and a project's own rules to the settings of an alerter.

use std::path::PathBuf;
use std::time::Duration;

use aqe_monitor::alerts::{
    AlerterConfig, Condition, Email, Encryption, Receiver, ReceiverError, Rule, Secret,
    SecretError, Slack, Webhook,
};

use super::metric::AlertMetric;
use super::own_rules::{AlertAction, OwnRule, OwnRules, OwnRulesError};
use crate::config::{
    AlertThresholds, AlertingSettings, Config, EmailSettings, HookAddress, MailEncryption,
    SecretPlace, SlackSettings, WebhookSettings,
};

/// How long one attempt to deliver may take: whoever ends a program waits for the one under way.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a project wants to be told, how, and where it is noted.
///
/// # Examples
///
/// ```
/// use aqe_core::alerts::Alerter;
/// use aqe_core::{AlertAction, AlertSecrets, AlertSetup, Config};
///
/// let text = "monitoring:\n  alerting:\n    thresholds: {cpuUsage: 70}\n    webhook: {url: \"http://127.0.0.1:1/\"}\n";
/// let config = Config::parse(text, "qe.config.yaml")?;
/// let state = tempfile::tempdir()?;
/// let setup = AlertSetup::new(&config, state.path())?;
/// assert_eq!(setup.actions(), [AlertAction::Webhook]);
///
/// let alerter = Alerter::open(setup.alerter(AlertSecrets::All)?)?;
/// assert_eq!(alerter.rules()[0].condition.threshold(), Some(70.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct AlertSetup {
    settings: AlertingSettings,
    own: Vec<OwnRule>,
    state: PathBuf,
    base: PathBuf,
}

/// Which secrets are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlertSecrets<'a> {
    /// Those of all receivers: for whoever delivers.
    All,
    /// Those of these receivers. The others are there by name, so that messages wait for them, and must not be delivered
    /// to: for [`Alerter::manual`](aqe_monitor::alerts::Alerter::manual) only.
    Of(&'a [AlertAction]),
}

/// Why messages cannot be delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlertSetupError {
    /// A secret is not where the configuration says.
    #[error("{action} cannot be used: {key} names a secret that cannot be had")]
    Secret {
        /// The way that is closed.
        action: AlertAction,
        /// The key.
        key: &'static str,
        /// What is wrong with the place.
        source: SecretError,
    },
    /// A receiver is refused.
    #[error("{action} cannot be used as monitoring.alerting.{action} says")]
    Receiver {
        /// The way that is closed.
        action: AlertAction,
        /// Why.
        source: ReceiverError,
    },
}

impl AlertSetup {
    /// Reads the own rules of a state folder, which need not exist, and puts them with those of a configuration.
    ///
    /// # Errors
    ///
    /// When the own rules cannot be read.
    pub fn new(config: &Config, state: impl Into<PathBuf>) -> Result<Self, OwnRulesError> {
        let state = state.into();
        Ok(Self {
            settings: config.monitoring.alerting.clone(),
            own: OwnRules::read(&state)?.list().to_vec(),
            state,
            base: PathBuf::new(),
        })
    }

    /// Sets where relative paths of secrets begin: at the folder of the configuration file, usually. Without it they
    /// begin at the working folder.
    #[must_use]
    pub fn secrets_below(mut self, folder: impl Into<PathBuf>) -> Self {
        self.base = folder.into();
        self
    }

    /// Whether alerts are wanted at all.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.settings.enabled
    }

    /// The file with the state of alerts, their messages and their history.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.state.join("alerts.db")
    }

    /// The rules that the project added.
    #[must_use]
    pub fn own_rules(&self) -> &[OwnRule] {
        &self.own
    }

    /// All rules: the default ones with the thresholds of the configuration, then the project's own.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules = Rule::defaults();
        for rule in &mut rules {
            let Some(metric) = AlertMetric::of_name(&rule.name) else {
                continue;
            };
            let threshold = default_threshold(metric, &self.settings.thresholds);
            let resolve = metric.way_back(threshold);
            rule.condition = Condition::Above { threshold, resolve };
        }
        rules.extend(self.own.iter().map(OwnRule::rule));
        rules
    }

    /// The ways that are configured.
    #[must_use]
    pub fn actions(&self) -> Vec<AlertAction> {
        let AlertingSettings {
            email,
            slack,
            webhook,
            ..
        } = &self.settings;
        let is_set = |action: &AlertAction| match action {
            AlertAction::Email => email.server.is_some(),
            AlertAction::Slack => slack.webhook.is_some(),
            AlertAction::Webhook => webhook.url.is_some(),
        };
        AlertAction::ALL.into_iter().filter(is_set).collect()
    }

    /// The settings of an alerter.
    ///
    /// # Errors
    ///
    /// When a secret cannot be had, or what it says cannot be used.
    pub fn alerter(&self, secrets: AlertSecrets<'_>) -> Result<AlerterConfig, AlertSetupError> {
        let mut config = self.without_receivers();
        for action in self.actions() {
            let is_wanted = match secrets {
                AlertSecrets::All => true,
                AlertSecrets::Of(wanted) => wanted.contains(&action),
            };
            let receiver = match is_wanted {
                true => self.receiver(action)?,
                false => by_name_only(action),
            };
            config = config.receiver(receiver);
        }
        Ok(config)
    }

    /// The settings of an alerter that does what it can, with what it cannot: receivers that cannot be used are left out.
    #[must_use]
    pub fn alerter_as_far_as_possible(&self) -> (AlerterConfig, Vec<AlertSetupError>) {
        let mut config = self.without_receivers();
        let mut problems = Vec::new();
        for action in self.actions() {
            match self.receiver(action) {
                Ok(receiver) => config = config.receiver(receiver),
                Err(problem) => problems.push(problem),
            }
        }
        (config, problems)
    }

    fn without_receivers(&self) -> AlerterConfig {
        AlerterConfig::new(self.store()).rules(self.rules())
    }

    fn receiver(&self, action: AlertAction) -> Result<Receiver, AlertSetupError> {
        let AlertingSettings {
            email,
            slack,
            webhook,
            ..
        } = &self.settings;
        let fetch = |key, place: &SecretPlace| {
            fetch(place.clone().below(&self.base)).map_err(|source| AlertSetupError::Secret {
                action,
                key,
                source,
            })
        };
        let receiver = match action {
            AlertAction::Email => Receiver::new(action.as_str(), mail(email, fetch)?),
            AlertAction::Slack => Receiver::new(action.as_str(), in_slack(slack, fetch)?),
            AlertAction::Webhook => Receiver::new(action.as_str(), hook(webhook, fetch)?),
        };
        let receiver = receiver.timeout(TIMEOUT);
        let refused = |source| AlertSetupError::Receiver { action, source };
        receiver.check().map_err(refused)?;
        Ok(receiver)
    }
}

fn default_threshold(metric: AlertMetric, thresholds: &AlertThresholds) -> f64 {
    // Taken apart by name, so that a threshold added to the section cannot be forgotten here.
    let AlertThresholds {
        cpu_usage,
        memory_usage,
        execution_time,
        error_rate,
    } = thresholds;
    let percent = |percent: crate::config::Percent| f64::from(percent.as_hundredths()) / 100.0;
    match metric {
        AlertMetric::CpuUsage => percent(*cpu_usage),
        AlertMetric::MemoryUsage => percent(*memory_usage),
        AlertMetric::ExecutionTime => execution_time.as_secs_f64(),
        AlertMetric::ErrorRate => percent(*error_rate),
    }
}

fn mail(
    settings: &EmailSettings,
    fetch: impl Fn(&'static str, &SecretPlace) -> Result<Secret, AlertSetupError>,
) -> Result<Email, AlertSetupError> {
    let EmailSettings {
        server,
        port,
        encryption,
        from,
        to,
        user,
        password,
    } = settings;
    // What is missing is refused by the receiver's check; the configuration's own says it better and earlier.
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let mut email = Email::new(
        text(server.as_ref().map(|server| server.as_str())),
        text(from.as_ref().map(|from| from.as_str())),
        to.iter(),
    )
    .encryption(match encryption {
        MailEncryption::StartTls => Encryption::StartTls,
        MailEncryption::Tls => Encryption::Tls,
        MailEncryption::None => Encryption::Plain,
    });
    if let Some(port) = port {
        email = email.port(port.get());
    }
    if let (Some(user), Some(place)) = (user, password) {
        let password = fetch("monitoring.alerting.email.password", place)?;
        email = email.login(user.as_str(), password);
    }
    Ok(email)
}

fn in_slack(
    settings: &SlackSettings,
    fetch: impl Fn(&'static str, &SecretPlace) -> Result<Secret, AlertSetupError>,
) -> Result<Slack, AlertSetupError> {
    let SlackSettings { webhook } = settings;
    let address = match webhook {
        Some(place) => fetch("monitoring.alerting.slack.webhook", place)?,
        None => Secret::new(""),
    };
    Ok(Slack::new(address))
}

fn hook(
    settings: &WebhookSettings,
    fetch: impl Fn(&'static str, &SecretPlace) -> Result<Secret, AlertSetupError>,
) -> Result<Webhook, AlertSetupError> {
    let WebhookSettings { url, key } = settings;
    let address = match url {
        Some(HookAddress::Url(url)) => Secret::new(url.as_str()),
        Some(HookAddress::Secret(place)) => fetch("monitoring.alerting.webhook.url", place)?,
        None => Secret::new(""),
    };
    let hook = Webhook::new(address);
    Ok(match key {
        Some(place) => hook.key(fetch("monitoring.alerting.webhook.key", place)?),
        None => hook,
    })
}

fn fetch(place: SecretPlace) -> Result<Secret, SecretError> {
    match place {
        SecretPlace::Env(name) => Secret::from_env(&name),
        SecretPlace::File(path) => Secret::from_file(path),
    }
}

/// A receiver for whom messages can wait, and to whom nothing is sent.
fn by_name_only(action: AlertAction) -> Receiver {
    // Port 9 is that of the discard protocol: should anything be sent against the rule, it is lost.
    Receiver::new(
        action.as_str(),
        Webhook::new(Secret::new("http://localhost:9/")),
    )
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::fs;
    use std::path::Path;

    use aqe_monitor::alerts::{Alerter, Channel, SystemClock};

    use super::*;
    use crate::NewRule;

    fn setup(text: &str, state: &Path) -> AlertSetup {
        let text = format!("monitoring: {{alerting: {{{text}}}}}\n");
        let config = Config::parse(text, "qe.config.yaml").unwrap();
        AlertSetup::new(&config, state)
            .unwrap()
            .secrets_below(state)
    }

    #[test]
    fn without_a_configuration_the_rules_are_the_default_ones() {
        let state = tempfile::tempdir().unwrap();
        let setup = setup("", state.path());
        assert_eq!(setup.rules(), Rule::defaults());
        assert_eq!(setup.actions(), []);
        assert!(setup.is_enabled());
    }

    #[test]
    fn thresholds_and_own_rules_arrive() {
        let state = tempfile::tempdir().unwrap();
        let own = NewRule::above(AlertMetric::ErrorRate, 50.0).actions([AlertAction::Email]);
        OwnRules::add(state.path(), own).unwrap();
        let text = "enabled: false, thresholds: {cpuUsage: 70, memoryUsage: 60.5, executionTime: 2s, errorRate: 1}";
        let setup = setup(text, state.path());
        assert!(!setup.is_enabled());
        let rules = setup.rules();
        Rule::check_all(&rules).unwrap();
        let levels: Vec<_> = rules
            .iter()
            .map(|rule| (&*rule.name, rule.condition))
            .collect();
        let above = |threshold, resolve| Condition::Above { threshold, resolve };
        let expected = [
            ("cpuUsage", above(70.0, 65.0)),
            ("memoryUsage", above(60.5, 55.5)),
            ("executionTime", above(2.0, 1.8)),
            ("errorRate", above(1.0, 0.8)),
            ("error-rate-1", above(50.0, 40.0)),
        ];
        assert_eq!(levels, expected);
        assert_eq!(
            (rules[4].min_events, &*rules[4].receivers),
            (20, &["email".to_owned()][..])
        );
    }

    #[test]
    fn every_key_of_a_receiver_arrives() {
        let state = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("word", "hunter2\n"),
            ("slack", "https://hooks.example.org/T/B\n"),
        ] {
            fs::write(state.path().join(name), text).unwrap();
        }
        let text = "email: {server: mail.example.org, port: 2525, encryption: tls, from: a@example.org, \
                    to: \"b@example.org, c@example.org\", user: aqe, password: \"file:word\"}, \
                    slack: {webhook: \"file:slack\"}, \
                    webhook: {url: \"https://example.org/hook\", key: \"file:word\"}";
        let setup = setup(text, state.path());
        assert_eq!(setup.actions(), AlertAction::ALL);
        let config = setup.alerter(AlertSecrets::All).unwrap();
        let names: Vec<_> = config.receivers.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["email", "slack", "webhook"]);
        let Channel::Email(email) = &config.receivers[0].channel else {
            panic!("{config:?}");
        };
        assert_eq!((&*email.host, email.port), ("mail.example.org", Some(2525)));
        assert_eq!(email.encryption, Encryption::Tls);
        assert_eq!((&*email.from, email.to.len()), ("a@example.org", 2));
        assert_eq!(email.login.as_ref().unwrap().0, "aqe");
        let Channel::Webhook(hook) = &config.receivers[2].channel else {
            panic!("{config:?}");
        };
        assert!(hook.key.is_some());
        assert!(!format!("{setup:?} {config:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_that_is_not_there_closes_one_way_only() {
        let state = tempfile::tempdir().unwrap();
        let text = "slack: {webhook: \"file:nowhere\"}, webhook: {url: \"http://127.0.0.1:1/\"}";
        let setup = setup(text, state.path());
        let error = setup.alerter(AlertSecrets::All).unwrap_err();
        let why = error.source().unwrap().to_string();
        assert!(
            error
                .to_string()
                .contains("monitoring.alerting.slack.webhook"),
            "{error}"
        );
        assert!(why.contains("nowhere"), "{why}");
        let (config, problems) = setup.alerter_as_far_as_possible();
        assert_eq!((config.receivers.len(), problems.len()), (1, 1));
        // Whoever sends nothing needs no secret, and messages wait for all.
        let named = setup.alerter(AlertSecrets::Of(&[])).unwrap();
        let alerter = Alerter::manual(named, SystemClock::default()).unwrap();
        assert_eq!(alerter.receivers(), ["slack", "webhook"]);
    }

    #[test]
    fn what_a_receiver_refuses_is_told_by_the_way_and_not_by_its_secret() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("hook"), "hunter2").unwrap();
        let setup = setup("slack: {webhook: \"file:hook\"}", state.path());
        let error = setup.alerter(AlertSecrets::All).unwrap_err();
        let text = format!("{error} {error:?} {}", error.source().unwrap());
        assert!(text.contains("monitoring.alerting.slack"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
