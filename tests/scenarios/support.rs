//! Starts servers in directories of their own, and speaks with them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub data_dir: PathBuf,
    /// Removed at the end, where the test did not bring a directory.
    temp: Option<TempDir>,
}

/// The server program with no settings from this process's environment, on a free port.
pub fn server_command(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsdb_server"));
    clear_environment(&mut command);
    command.env("TSDB_METRICS_PORT", "0").arg("--data-dir").arg(data_dir).args(["--port", "0"]);
    command
}

pub fn clear_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TSDB_") {
            command.env_remove(name);
        }
    }
    command.env("RUST_LOG", "warn");
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut Command)) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut server = Self::start_in(&temp.path().join("data"), change);
        server.temp = Some(temp);
        server
    }

    pub fn start_in(data_dir: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = server_command(data_dir);
        change(&mut command);
        Self::start_by(command, data_dir)
    }

    pub fn start_by(mut command: Command, data_dir: &Path) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").and_then(|at| at.parse().ok());
        let address = address.unwrap_or_else(|| panic!("the server said '{line}'"));
        Self { child, address, data_dir: data_dir.to_owned(), temp: None }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it logs, where that was made a pipe.
    pub fn take_stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    pub fn connect(&self) -> Lines {
        Lines::new(TcpStream::connect(self.address).unwrap())
    }

    /// SIGTERM, and the exit status.
    pub fn stop(self) -> ExitStatus {
        self.stop_by("TERM")
    }

    pub fn stop_by(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.unwrap().success());
    }

    /// SIGKILL; the directory stays.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn client(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tsdb_client"));
        clear_environment(&mut command);
        command.args(["--host", "127.0.0.1", "--port", &self.address.port().to_string()]);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that speaks lines.
pub struct Lines {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

/// A text reply.
#[derive(Debug, PartialEq)]
pub enum Text {
    Ok { summary: String, rows: Vec<String> },
    Err { code: String, message: String },
}

impl Text {
    pub fn rows(self) -> Vec<String> {
        match self {
            Self::Ok { rows, .. } => rows,
            Self::Err { code, message } => panic!("{code}: {message}"),
        }
    }

    pub fn summary(self) -> String {
        match self {
            Self::Ok { summary, .. } => summary,
            Self::Err { code, message } => panic!("{code}: {message}"),
        }
    }

    pub fn code(self) -> String {
        match self {
            Self::Ok { summary, rows } => panic!("OK {summary} {rows:?}"),
            Self::Err { code, message } => {
                assert!(message.len() > 10, "{code} says only '{message}'");
                code
            }
        }
    }
}

impl Lines {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// The next line; `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.strip_suffix('\n').expect("a whole line").to_owned()),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(e) => panic!("{e}"),
        }
    }

    pub fn reply(&mut self) -> Text {
        let head = self.line().expect("a reply");
        let mut words = head.splitn(3, ' ');
        let (status, second) = (words.next().unwrap(), words.next().unwrap());
        let rest = words.next().unwrap_or_default().to_owned();
        match status {
            "OK" => {
                let rows = (0..second.parse::<usize>().unwrap()).map(|_| self.line().unwrap()).collect();
                Text::Ok { summary: rest, rows }
            }
            "ERR" => Text::Err { code: second.to_owned(), message: rest },
            _ => panic!("'{head}' is no reply"),
        }
    }

    pub fn text(&mut self, command: &str) -> Text {
        self.send(format!("{command}\n"));
        self.reply()
    }

    pub fn json_reply(&mut self) -> Value {
        let line = self.line().expect("a reply");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line}"))
    }

    pub fn json(&mut self, kind: &str, data: Value) -> Value {
        self.send(format!("{}\n", json!({"type": kind, "data": data})));
        self.json_reply()
    }

    /// The `data` of a reply that must be ok.
    pub fn data(&mut self, kind: &str, data: Value) -> Value {
        let mut reply = self.json(kind, data);
        assert_eq!(reply["ok"], true, "{kind}: {reply}");
        reply["data"].take()
    }

    /// The code of a reply that must be an error.
    pub fn code(&mut self, kind: &str, data: Value) -> String {
        let reply = self.json(kind, data);
        assert_eq!(reply["ok"], false, "{kind}: {reply}");
        assert!(reply["error"]["message"].as_str().unwrap().len() > 10, "{reply}");
        reply["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// An HTTP exchange on a connection of its own: status, head and body.
pub fn http(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// `POST /` of JSON, with headers of one's own.
pub fn post(address: SocketAddr, headers: &str, body: &str) -> (u16, Value) {
    post_as(address, &format!("Content-Type: application/json\r\n{headers}"), body)
}

/// `POST /` with these headers alone.
pub fn post_as(address: SocketAddr, headers: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let (status, _, body) = http(
        address,
        &format!(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ),
    );
    (status, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e} in {body}")))
}

/// `GET` of a path.
pub fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String, String) {
    http(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"))
}
