//! Whom to trust: the roots of the system, and those that a receiver adds.

use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The certificates that may vouch for a receiver.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roots(Arc<Vec<CertificateDer<'static>>>);

impl Roots {
    /// Those of the system; certificates that cannot be read are left out, as browsers do.
    pub(crate) fn of_system() -> Self {
        Self(Arc::new(rustls_native_certs::load_native_certs().certs))
    }

    /// These and those in `pem`; `None` when there is none in it, or it is not PEM.
    pub(crate) fn and_pem(&self, pem: &[u8]) -> Option<Self> {
        let mut all = self.0.to_vec();
        let before = all.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            all.push(certificate.ok()?);
        }
        (all.len() > before).then(|| Self(Arc::new(all)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.0.iter().cloned());
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// Always ours: an application may have installed another one for the process, or none.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What went wrong on the way, in words that hold nothing of ours.
///
/// Errors of libraries may quote the address, which may be a secret, so only what is known to be harmless is
/// passed on: the kind of an I/O error, and what TLS says of a certificate.
pub(crate) fn describe(error: &io::Error) -> String {
    if let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        return describe_tls(tls);
    }
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            "the receiver took too long".to_owned()
        }
        io::ErrorKind::UnexpectedEof => "the receiver closed the connection".to_owned(),
        kind => kind.to_string(),
    }
}

pub(crate) fn describe_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => {
            format!("the receiver's certificate is refused: {why}")
        }
        rustls::Error::AlertReceived(alert) => format!("TLS alert from the receiver: {alert:?}"),
        _ => "TLS failed".to_owned(),
    }
}
