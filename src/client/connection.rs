//! A connection to a server, for requests and replies line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::failure::{Failure, Result};
use super::options::Connect;

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// A text reply.
#[derive(Debug)]
pub(super) enum TextReply {
    /// The head line and the rows.
    Ok(String, Vec<String>),
    /// `CODE message`.
    Err(String),
}

/// An open connection.
pub(super) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    address: String,
}

impl Connection {
    /// Connects and presents the token.
    ///
    /// # Errors
    /// `Unreachable`; `Refused` where the token is.
    pub fn open(options: &Connect) -> Result<Self> {
        let address = format!("{}:{}", options.host, options.port);
        let failed = |e: &dyn std::fmt::Display| {
            Failure::Unreachable(format!(
                "can't connect to {address}: {e}; is tsdb_server running there? (--host, --port)"
            ))
        };
        let timeout = Duration::from_secs(options.timeout.max(1));
        let mut tcp = Err(std::io::Error::other("the name has no address"));
        for address in (options.host.as_str(), options.port).to_socket_addrs().map_err(|e| failed(&e))? {
            tcp = TcpStream::connect_timeout(&address, timeout.min(Duration::from_secs(10)));
            if tcp.is_ok() {
                break;
            }
        }
        let tcp = tcp.map_err(|e| failed(&e))?;
        let set = || {
            tcp.set_nodelay(true)?;
            tcp.set_read_timeout(Some(timeout))?;
            tcp.set_write_timeout(Some(timeout))
        };
        set().map_err(|e| failed(&e))?;
        let stream: Box<dyn Stream> = match tls(options)? {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::try_from(options.host.clone()).map_err(|e| failed(&e))?;
                let session = ClientConnection::new(Arc::new(config), name).map_err(|e| failed(&e))?;
                let mut stream = StreamOwned::new(session, tcp);
                // The handshake happens here, so that a bad certificate is told as one.
                stream.flush().map_err(|e| {
                    Failure::Unreachable(format!(
                        "can't speak TLS with {address}: {e}; {}",
                        tls_advice(options)
                    ))
                })?;
                Box::new(stream)
            }
        };
        let mut connection = Self { stream: BufReader::with_capacity(256 << 10, stream), address };
        if let Some(token) = &options.token {
            let request = serde_json::json!({ "type": "Auth", "data": { "token": token } });
            connection.json(&request.to_string())?;
        }
        Ok(connection)
    }

    fn broken(&self, e: &dyn std::fmt::Display) -> Failure {
        let e = e.to_string();
        // What rustls calls a certificate that the other end does not like.
        let advice =
            if ["CertificateRequired", "UnknownCA", "BadCertificate"].iter().any(|alert| e.contains(alert)) {
                "; the server wants a certificate of its own clients' authority: --tls-cert and --tls-key"
            } else {
                ""
            };
        Failure::Unreachable(format!("the connection to {} broke: {e}{advice}", self.address))
    }

    /// Sends one line, or several with what separates them.
    pub fn send(&mut self, line: &str) -> Result<()> {
        let stream = self.stream.get_mut();
        let sent = stream
            .write_all(line.as_bytes())
            .and_then(|()| stream.write_all(b"\n"))
            .and_then(|()| stream.flush());
        sent.map_err(|e| {
            // A server that refuses the client's certificate says so, and hangs up.
            match self.stream.fill_buf() {
                Err(said) if said.kind() == std::io::ErrorKind::InvalidData => self.broken(&said),
                _ => self.broken(&e),
            }
        })
    }

    /// The next line, as it was sent.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err(self.broken(&"the server closed it")),
            Ok(_) if !line.ends_with('\n') => Err(self.cut()),
            Ok(_) => {
                line.truncate(line.trim_end_matches(['\r', '\n']).len());
                Ok(line)
            }
            Err(e) => Err(self.broken(&e)),
        }
    }

    /// The next row of a reply.
    pub fn row(&mut self) -> Result<String> {
        match self.stream.fill_buf() {
            Ok([]) => Err(self.cut()),
            _ => self.line(),
        }
    }

    /// Why a reply is not whole.
    fn cut(&self) -> Failure {
        self.broken(
            &"the server ended it in the middle of a reply, which is not whole: it found damaged data, was stopped, or \
              waited too long for the reply to be read; its log says which",
        )
    }

    /// The reply to a text command.
    pub fn text_reply(&mut self) -> Result<TextReply> {
        let head = self.line()?;
        if let Some(error) = head.strip_prefix("ERR ") {
            return Ok(TextReply::Err(error.to_owned()));
        }
        let rows = head.strip_prefix("OK ").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        let Some(rows) = rows else {
            return Err(self.broken(&format!("'{head}' is no reply; is this a tsdb_server?")));
        };
        let rows = (0..rows).map(|_| self.row()).collect::<Result<_>>()?;
        Ok(TextReply::Ok(head, rows))
    }

    /// The reply to a JSON request, as it was sent and as it is understood.
    pub fn json_reply(&mut self) -> Result<(String, Value)> {
        let line = self.line()?;
        match serde_json::from_str(&line) {
            Ok(value) => Ok((line, value)),
            Err(e) => Err(self.broken(&format!("a reply is no JSON ({e}); is this a tsdb_server?"))),
        }
    }

    /// Sends a JSON request and takes the `data` of its reply.
    ///
    /// # Errors
    /// `Refused` with code and message where the reply is an error.
    pub fn json(&mut self, request: &str) -> Result<Value> {
        self.send(request)?;
        self.json_data()
    }

    /// Takes the `data` of the next JSON reply.
    ///
    /// # Errors
    /// `Refused` with code and message where the reply is an error.
    pub fn json_data(&mut self) -> Result<Value> {
        let (_, mut reply) = self.json_reply()?;
        if reply["ok"] == true {
            return Ok(reply["data"].take());
        }
        Err(Failure::Refused(error_text(&reply)))
    }
}

/// `CODE: message` of an error reply.
pub(super) fn error_text(reply: &Value) -> String {
    let part = |name: &str| reply["error"][name].as_str().unwrap_or("?").to_owned();
    format!("{}: {}", part("code"), part("message"))
}

/// What to do where there is no TLS.
fn tls_advice(options: &Connect) -> String {
    let trust = match &options.tls_ca {
        Some(path) => format!(
            "does {} hold the certificate that signed the server's, and is that made for the name {}? (--tls-ca, --host)",
            path.display(),
            options.host
        ),
        None => "name the certificate that signed the server's with --tls-ca, unless this machine trusts it anyway".into(),
    };
    match &options.tls_cert {
        Some(_) => trust,
        None => {
            format!("{trust}; a server that wants its clients' certificates needs --tls-cert and --tls-key")
        }
    }
}

fn tls(options: &Connect) -> Result<Option<ClientConfig>> {
    if !options.tls && options.tls_ca.is_none() && options.tls_cert.is_none() {
        return Ok(None);
    }
    let bad =
        |what: &dyn std::fmt::Display, e: &dyn std::fmt::Display| Failure::Usage(format!("{what}: {e}"));
    let pem = |path: &std::path::Path| {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|e| bad(&path.display(), &e))
    };
    let mut roots = RootCertStore::empty();
    let trusted = match &options.tls_ca {
        Some(path) => pem(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let (usable, _) = roots.add_parsable_certificates(trusted);
    if usable == 0 {
        return Err(bad(&"TLS", &"there is no certificate to trust; name one with --tls-ca"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(&"TLS", &e))?
        .with_root_certificates(roots);
    match (&options.tls_cert, &options.tls_key) {
        (Some(cert), Some(key)) => {
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(&key.display(), &e))?;
            builder.with_client_auth_cert(pem(cert)?, key_der).map(Some).map_err(|e| bad(&cert.display(), &e))
        }
        _ => Ok(Some(builder.with_no_client_auth())),
    }
}
