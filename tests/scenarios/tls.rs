//! TLS on the same port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

use crate::support::{Server, get};

#[test]
fn every_dialect_works_inside_tls_and_outside() {
    let temp = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (temp.path().join("cert.pem"), temp.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = Server::start_with(|command| {
        command.arg("--tls-cert").arg(&cert).arg("--tls-key").arg(&key);
    });
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let connect = || {
        let tcp = TcpStream::connect(server.address).unwrap();
        let connection = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
        StreamOwned::new(connection, tcp)
    };
    let mut stream = BufReader::new(connect());
    stream.get_mut().write_all(b"CREATE a 1\n{\"type\":\"Ping\"}\n").unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("OK 0") && line.contains("PONG"), "{line}");
    let mut stream = connect();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.connect().text("LIST").rows(), ["a 1 0"]);
    // The program's own client.
    let listed =
        server.client().args(["--host", "localhost", "--tls-ca"]).arg(&cert).arg("LIST").output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "OK 1 series\na 1 0\n");
    // Without the certificate it says what is missing.
    let refused = server.client().args(["--host", "localhost", "--tls", "LIST"]).output().unwrap();
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && message.contains("--tls-ca"), "{message}");
}

#[test]
fn a_tls_greeting_to_a_server_without_tls_is_refused_at_once() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(&[0x16, 3, 1, 2, 0]).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[..1], [0x15], "an alert");
}

/// A certificate authority, and a certificate that it signed.
fn signed(dir: &Path, name: &str) -> [PathBuf; 3] {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("{name} authority"));
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let cert =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let files = ["ca", "cert", "key"].map(|what| dir.join(format!("{name}-{what}.pem")));
    for (path, text) in files.iter().zip([ca.pem(), cert.pem(), key.serialize_pem()]) {
        std::fs::write(path, text).unwrap();
    }
    files
}

/// What the Python client makes of a server that wants a certificate; `None` without Python.
fn python_lists(port: u16, dir: &Path, name: &str) -> Option<Output> {
    let mut command = Command::new("python3");
    crate::support::clear_environment(&mut command);
    let output = command
        .arg("-c")
        .arg(format!(
            "import tsdb_client as t\n\
             with t.TSDBClient(port={port}, retries=0, tls=True, tls_ca='server-ca.pem', tls_cert='{name}-cert.pem', \
             tls_key='{name}-key.pem') as client: assert client.list_series() == []"
        ))
        .current_dir(dir)
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output();
    output.inspect_err(|_| println!("SKIPPED: there is no python3, so its client was not tested")).ok()
}

#[test]
fn a_client_shows_its_certificate_where_one_is_wanted() {
    let temp = tempfile::tempdir().unwrap();
    let [ca, cert, key] = signed(temp.path(), "server");
    let [client_ca, client_cert, client_key] = signed(temp.path(), "client");
    let [_, other_cert, other_key] = signed(temp.path(), "other");
    let server = Server::start_with(|command| {
        command.arg("--tls-cert").arg(&cert).arg("--tls-key").arg(&key);
        command.arg("--tls-client-ca").arg(&client_ca);
    });
    let list = |shown: Option<(&Path, &Path)>, ca: &Path| {
        let mut client = server.client();
        client.args(["--host", "localhost", "--tls-ca"]).arg(ca);
        if let Some((cert, key)) = shown {
            client.arg("--tls-cert").arg(cert).arg("--tls-key").arg(key);
        }
        client.arg("LIST").output().unwrap().status.success()
    };
    assert!(list(Some((&client_cert, &client_key)), &ca));
    assert!(!list(None, &ca));
    assert!(!list(Some((&other_cert, &other_key)), &ca));
    for (name, succeeds) in [("client", true), ("other", false)] {
        if let Some(output) = python_lists(server.address.port(), temp.path(), name) {
            let err = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), succeeds, "{name}: {err}");
            assert!(succeeds || err.contains("CONNECTION_"), "{name}: {err}");
        }
    }
    assert_eq!(server.connect().text("LIST").code(), "UNAUTHORIZED");
    let (status, _, body) = get(server.address, "/health", "");
    assert!(status == 401 && body.contains("UNAUTHORIZED"), "{status} {body}");

    // Another certificate, without a restart.
    let [new_ca, new_cert, new_key] = signed(temp.path(), "renewed");
    std::fs::copy(new_cert, &cert).unwrap();
    std::fs::copy(new_key, &key).unwrap();
    assert!(list(Some((&client_cert, &client_key)), &ca));
    server.signal("HUP");
    while !list(Some((&client_cert, &client_key)), &new_ca) {}
    assert!(!list(Some((&client_cert, &client_key)), &ca));
}
