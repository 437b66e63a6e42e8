//! The pages say what is so: their sessions are played against a server, and nothing
//! that a user can ask or set is missing from them.

use tsdb_vector::base::ErrorCode;
use tsdb_vector::protocol::COMMANDS;

use crate::support::{Server, server_command};

fn page(name: &str) -> String {
    std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Whether `line` is what `pattern` shows; `…` stands for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut open = false;
    for part in parts {
        open = true;
        if part.is_empty() {
            rest = "";
            continue;
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || open && pattern.ends_with('…')
}

#[test]
fn the_sessions_of_the_protocols_page_happen_so() {
    let page = page("docs/protocol.md");
    let server = Server::start();
    let mut lines = server.connect();
    let (mut inside, mut sent, mut shown) = (false, 0, 0);
    for line in page.lines() {
        match (inside, line) {
            (false, "```session") => inside = true,
            (true, "```") => inside = false,
            (true, line) => {
                if let Some(request) = line.strip_prefix("> ") {
                    lines.send(format!("{request}\n"));
                    sent += 1;
                } else if let Some(expected) = line.strip_prefix("< ") {
                    let found = lines.line().unwrap_or_default();
                    assert!(fits(expected, &found), "the page says\n{expected}\nthe server says\n{found}");
                    shown += 1;
                }
            }
            _ => {}
        }
    }
    assert!(sent > 30 && shown >= sent, "{sent} requests, {shown} lines");
    lines.send("PING\n");
    assert_eq!(lines.reply().summary(), "PONG", "the page shows every line of each reply");
}

#[test]
fn the_pages_name_everything_that_can_be_asked_and_set() {
    let protocol = page("docs/protocol.md");
    for command in COMMANDS {
        for word in [command.name, command.json_type] {
            assert!(protocol.contains(&format!("`{word}")) || protocol.contains(word), "{word}");
        }
    }
    for code in ErrorCode::ALL {
        assert!(protocol.contains(code.as_str()), "{code}");
    }
    let readme = page("README.md");
    let temp = tempfile::tempdir().unwrap();
    let help = server_command(temp.path()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut settings = 0;
    for word in help.split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
        if word.starts_with("TSDB_") {
            assert!(readme.contains(word), "{word} is not in README.md");
            settings += 1;
        }
    }
    assert!(settings > 15, "{settings}");
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/protocol.md",
        "docs/analytics.md",
        "docs/format/README.md",
        "docs/decisions/README.md",
    ] {
        let text = page(name);
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let path = dir.parent().unwrap().join(target.split('#').next().unwrap_or_default());
            assert!(path.exists(), "{name} links to {target}");
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked}");
}
