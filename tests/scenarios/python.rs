//! The Python client's own tests, against this build's server.

use std::process::Command;

#[test]
fn the_python_clients_tests_pass() {
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: there is no python3, so the Python client was not tested");
        return;
    }
    let mut command = Command::new("python3");
    crate::support::clear_environment(&mut command);
    let output = command
        .args(["-W", "error::ResourceWarning", "-m", "unittest", "discover", "-s", "tests", "-t", "."])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python"))
        .env("TSDB_SERVER_BINARY", env!("CARGO_BIN_EXE_tsdb_server"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    let ran = report.lines().find(|line| line.starts_with("Ran ")).unwrap_or_default();
    println!("python: {ran}; {}", report.lines().last().unwrap_or_default());
    assert!(!ran.starts_with("Ran 0 "), "{report}");
}

#[test]
fn the_example_of_analyses_runs() {
    let server = crate::support::Server::start();
    let mut command = Command::new("python3");
    crate::support::clear_environment(&mut command);
    let output = command
        .args([
            concat!(env!("CARGO_MANIFEST_DIR"), "/examples/analytics.py"),
            &server.address.port().to_string(),
        ])
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output();
    let Ok(output) = output else {
        println!("SKIPPED: there is no python3, so the example was not run");
        return;
    };
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    for part in ["because of the temperature", "times like it", "changes of regime", "the arc curve is"] {
        assert!(out.contains(part), "{part} in {out}");
    }
}
