//! TLS from files.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::base::{Error, Result};

use super::Settings;

/// The acceptor, where TLS is configured.
///
/// # Errors
/// `INVALID_ARGUMENT` naming the file.
pub(super) fn acceptor(settings: &Settings) -> Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) else { return Ok(None) };
    let bad = |setting: &str, path: &Path, e: &dyn std::fmt::Display| {
        Error::invalid(format!("{setting} {}: {e}; give a PEM file", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|e| bad("TSDB_TLS_CERT", cert, &e))?;
    if chain.is_empty() {
        return Err(bad("TSDB_TLS_CERT", cert, &"it holds no certificate"));
    }
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| bad("TSDB_TLS_KEY", key, &e))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal(format!("TLS: {e}")))?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .map_err(|e| bad("TSDB_TLS_KEY", key, &e))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
