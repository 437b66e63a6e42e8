//! TLS from files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::base::{Error, Result};

use super::Settings;

/// The files, and what they held when they were last read.
pub(super) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    config: RwLock<Arc<ServerConfig>>,
}

fn bad(setting: &str, path: &Path, e: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("{setting} {}: {e}; give PEM files, of a certificate and its key", path.display()))
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|e| bad(setting, path, &e))?;
    if chain.is_empty() {
        return Err(bad(setting, path, &"it holds no certificate"));
    }
    Ok(chain)
}

fn read(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Arc<ServerConfig>> {
    let chain = certificates("TSDB_TLS_CERT", cert)?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| bad("TSDB_TLS_KEY", key, &e))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal(format!("TLS: {e}")))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let wrong = |e: &dyn std::fmt::Display| bad("TSDB_TLS_CLIENT_CA", path, e);
            let mut roots = RootCertStore::empty();
            for ca in certificates("TSDB_TLS_CLIENT_CA", path)? {
                roots.add(ca).map_err(|e| wrong(&e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| wrong(&e))?)
        }
    };
    let config = builder.with_single_cert(chain, key_der).map_err(|e| bad("TSDB_TLS_KEY", key, &e))?;
    Ok(Arc::new(config))
}

impl Tls {
    /// Reads the files, where TLS is configured.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the file.
    pub fn open(settings: &Settings) -> Result<Option<Self>> {
        let (Some(cert), Some(key)) = (settings.tls_cert.clone(), settings.tls_key.clone()) else {
            return Ok(None);
        };
        let client_ca = settings.tls_client_ca.clone();
        let config = RwLock::new(read(&cert, &key, client_ca.as_deref())?);
        Ok(Some(Self { cert, key, client_ca, config }))
    }

    /// Reads the files again; connections that are open stay.
    ///
    /// # Errors
    /// As [`open`](Self::open); new connections then see the old certificate.
    pub fn reload(&self) -> Result<()> {
        let config = read(&self.cert, &self.key, self.client_ca.as_deref())?;
        *self.config.write() = config;
        Ok(())
    }

    /// What greets a new connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.config.read().clone().into()
    }

    /// Whether clients must show a certificate, so that nobody may do without TLS.
    pub fn is_mutual(&self) -> bool {
        self.client_ca.is_some()
    }
}
