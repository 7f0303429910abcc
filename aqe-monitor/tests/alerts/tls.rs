//! Certificates: only those that somebody trusted vouches for, for this host, today.

use std::sync::Arc;

use aqe_monitor::alerts::{Alerter, Receiver, Retry, Secret, Webhook};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::hook::Hook;
use crate::support::{Hand, attempts, config, deliver_all, set};

/// An authority and a server that it vouches for.
pub(crate) struct Identity {
    pub(crate) root_pem: String,
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Identity {
    pub(crate) fn of(host: &str, year: i32) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(authority, authority_key).unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.signed_by(&key, &issuer).unwrap(),
            root_pem: issuer.pem(),
            key,
        }
    }

    fn server(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap()
    }
}

/// Delivers to a server with `identity`, trusting `root`, and returns what the history says.
fn deliver(identity: &Identity, root: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::tls(identity.server());
    let url = Secret::new(format!("https://{}/in", hook.address()));
    let second = std::time::Duration::from_secs(1);
    let receiver = Receiver::new("hook", Webhook::new(url))
        .roots_pem(root)
        .retry(Retry::new(1, second, second));
    let clock = Hand::default();
    let alerter = Alerter::manual(config(folder.path()).receiver(receiver), clock.clone()).unwrap();
    set(&alerter, true);
    deliver_all(&alerter, &clock);
    let attempt = attempts(&alerter).remove(0);
    assert_eq!(
        hook.requests().len(),
        usize::from(attempt.outcome == "delivered")
    );
    (attempt.outcome, attempt.detail)
}

#[test]
fn a_certificate_that_is_vouched_for_is_taken() {
    let identity = Identity::of("127.0.0.1", 2090);
    let (outcome, detail) = deliver(&identity, &identity.root_pem);
    assert_eq!(
        (outcome.as_str(), detail.as_str()),
        ("delivered", "status 200")
    );
}

#[test]
fn other_certificates_are_refused_and_named() {
    let stranger = Identity::of("127.0.0.1", 2090).root_pem;
    let good = Identity::of("127.0.0.1", 2090);
    let old = Identity::of("127.0.0.1", 2021);
    let other = Identity::of("example.org", 2090);
    let cases = [
        // An authority that calls itself the same.
        (&good, &stranger, "BadSignature"),
        (&old, &old.root_pem, "expired"),
        (&other, &other.root_pem, "not valid for name"),
    ];
    for (identity, root, what) in cases {
        let (outcome, detail) = deliver(identity, root);
        assert_eq!(outcome, "given up");
        assert!(detail.contains("certificate is refused"), "{detail}");
        assert!(detail.contains(what), "{what}: {detail}");
    }
}

#[test]
fn certificates_that_are_none_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for pem in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    ] {
        let url = Secret::new("https://example.org/in");
        let receiver = Receiver::new("hook", Webhook::new(url)).roots_pem(pem);
        assert!(
            Alerter::manual(config(folder.path()).receiver(receiver), Hand::default()).is_err()
        );
    }
}
