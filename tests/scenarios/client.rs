//! The command-line client.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::Server;

fn run(command: &mut Command) -> (i32, String, String) {
    finish(&command.output().unwrap())
}

fn finish(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn piped(command: &mut Command, input: &str) -> (i32, String, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may end before it has read everything.
            let _ = stdin.write_all(input.as_bytes());
        });
        finish(&child.wait_with_output().unwrap())
    })
}

#[test]
fn one_command_prints_its_reply_and_its_outcome_is_the_exit_code() {
    let server = Server::start();
    assert_eq!(run(server.client().arg("PING")), (0, "OK 0 PONG\n".into(), String::new()));
    assert_eq!(run(server.client().args(["CREATE", "a", "1"])).0, 0);
    assert_eq!(
        run(server.client().args(["INSERT_AT", "a", "-5", "-2.5", "room=living room"])).1,
        "OK 0 -5\n"
    );
    let (code, out, _) = run(server.client().args(["QUERY_RANGE", "a", "-9", "0"]));
    assert_eq!((code, out.lines().nth(1)), (0, Some("-5 -2.5 room=\"living room\"")));
    let (code, out, _) = run(server.client().args(["--json", "QUERY_RANGE", "a", "-9", "0"]));
    let reply: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, out.lines().count(), &reply["data"]["count"]), (0, 1, &json!(1)));
    let (code, out, _) = run(server.client().args(["--table", "QUERY_RANGE", "a", "-9", "0"]));
    assert!(code == 0 && out.contains("1969-12-31 23:59:59.999999995"), "{out}");
    let (code, out, err) = run(server.client().args(["QUERY", "none"]));
    assert!(code == 1 && out.is_empty() && err.starts_with("SERIES_NOT_FOUND: "), "{out} {err}");
    let (code, out, _) = run(server.client().args(["--json", "QUERY", "none"]));
    assert!(code == 1 && out.contains("\"ok\":false"), "{out}");
    assert_eq!(run(server.client().arg("--nonsense")).0, 2);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (code, _, err) = run(server.client().args(["--port", &free, "PING"]));
    assert!(code == 3 && err.contains(&free), "{err}");
}

#[test]
fn a_pipe_of_commands_stops_at_the_first_error_or_goes_on() {
    let server = Server::start();
    let commands = "CREATE a 1\nINSERT_AT a 1 2\n{\"type\":\"Ping\",\"id\":4}\nNONSENSE\nLIST\n";
    let (code, out, err) = piped(&mut server.client(), commands);
    assert_eq!(code, 1);
    assert_eq!(out.lines().count(), 3);
    assert!(out.contains("\"id\":4") && err.contains("UNKNOWN_COMMAND"), "{out} {err}");
    let (code, out, _) = piped(server.client().arg("--continue"), "NONSENSE\nLIST\nQUIT\nLIST");
    assert_eq!((code, out.lines().collect::<Vec<_>>()), (1, vec!["OK 1 series", "a 1 1", "OK 0 BYE"]));
    assert_eq!(piped(&mut server.client(), "LIST").0, 0);
    assert!(err.contains("line 4, NONSENSE: UNKNOWN_COMMAND"), "{err}");
    // Nothing but reads and points at times of their own may run after an error.
    let (code, _, err) = piped(&mut server.client(), "INSERT_AT a 1 1,2\nINSERT a 5\nDROP a\n");
    assert!(code == 1 && err.contains("line 1, INSERT_AT a 1 1,2: DIMENSION_MISMATCH"), "{err}");
    assert_eq!(server.connect().text("LIST").rows(), ["a 1 1"]);
}

#[test]
fn a_pipe_of_many_commands_is_answered_in_order() {
    let server = Server::start();
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("f.csv");
    std::fs::write(&file, "1,7\n2,8\n").unwrap();
    let long = format!("INSERT_AT a 9999 {}\n", vec!["1"; 20_000].join(","));
    let inserts =
        |from: i64| (from..from + 3000).map(|at| format!("INSERT_AT a {at} {at}\n")).collect::<String>();
    let commands = format!(
        "CREATE a 1\n{}\n{{\"type\":\"Ping\"}}\nimport b {} --create --time-format ns\n{long}{}INSERT none 1\nEXPORT a\nimport c -\n",
        inserts(0),
        file.display(),
        inserts(3000)
    );
    for args in [&["--continue"][..], &["--continue", "--table"], &["--continue", "--json"]] {
        let (code, out, err) = piped(server.client().args(args), &commands);
        assert!(
            err.contains("line 3005, INSERT_AT a 9999 1,1,1") && err.contains("…: DIMENSION_MISMATCH"),
            "{err}"
        );
        assert!(err.contains("line 6006, INSERT none 1: SERIES_NOT_FOUND"), "{err}");
        assert!(code == 2 && err.contains("line 6008, import c -: standard input has the commands"), "{err}");
        assert!(out.lines().count() > 6000, "{args:?}");
        assert_eq!(server.connect().text("QUERY_RANGE b 0 9").rows(), ["1 7", "2 8"]);
        assert_eq!(server.connect().text("LIST").rows(), ["a 1 6000", "b 1 2"]);
    }
    let (_, out, _) = piped(&mut server.client(), &inserts(0));
    let expected: String = (0..3000).map(|at| format!("OK 0 {at}\n")).collect();
    assert!(out == expected);
    // An answer does not wait for the next command.
    let mut client = server.client();
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut replies = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        child.stdin.as_mut().unwrap().write_all(b"PING\n").unwrap();
        assert_eq!(replies.next().unwrap().unwrap(), "OK 0 PONG");
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_token_is_presented() {
    let server = Server::start_with(|command| {
        command.args(["--auth-token", "t"]);
    });
    assert_eq!(run(server.client().arg("LIST")).0, 1);
    assert_eq!(run(server.client().args(["--token", "t", "LIST"])).0, 0);
    assert_eq!(run(server.client().env("TSDB_AUTH_TOKEN", "t").arg("LIST")).0, 0);
    let (code, _, err) = run(server.client().args(["--token", "wrong", "LIST"]));
    assert!(code == 1 && err.contains("UNAUTHORIZED"), "{err}");
}

#[test]
fn import_finds_out_what_separates_the_fields() {
    let server = Server::start();
    let expected = ["1577836800000000000 1.5 host=a", "1577923200000000000 2 host=b"];
    for (at, separator) in [",", ";", "\t"].iter().enumerate() {
        let file = format!(
            "\u{feff}time{separator}value{separator}host\r\n2020-01-01{separator}1.5{separator}a\r\n\
             2020-01-02{separator}2{separator}b\r\n"
        );
        let name = format!("s{at}");
        let mut import = server.client();
        import.args(["import", &name, "-", "--create", "--label-columns", "host"]);
        let (code, _, err) = piped(&mut import, &file);
        assert_eq!(code, 0, "{err}");
        let rows = server.connect().text(&format!("QUERY_RANGE {name} 0 {}", i64::MAX)).rows();
        assert_eq!(rows, expected, "{separator:?}");
    }
}

#[test]
fn export_and_import_are_inverse() {
    let server = Server::start();
    let temp = tempfile::tempdir().unwrap();
    let mut lines = server.connect();
    lines.text("CREATE a 2");
    for (at, (values, labels)) in [
        ("0.1,1e300", ""),
        ("-0,5e-324", "k=v"),
        ("1,2", "a=\"x, \\\"y\\\" = \\\\\",b=é"),
        ("3,4", "empty=\"\""),
    ]
    .iter()
    .enumerate()
    {
        lines.text(&format!("INSERT_AT a {} {values} {labels}", at as i64 * 7 - 9)).summary();
    }
    let before = lines.text("EXPORT a").rows();
    let mut client_before = String::new();
    for format in ["csv", "json"] {
        let file = temp.path().join(format!("a.{format}"));
        let (code, _, err) = run(server.client().args(["export", "a", "--format", format, "-o"]).arg(&file));
        assert!(code == 0 && err.contains("4 points"), "{err}");
        let name = format!("from_{format}");
        let (code, out, err) = run(server.client().args(["import", &name]).arg(&file).arg("--create"));
        assert!(code == 0 && out.contains("4 points"), "{out} {err}");
        assert_eq!(lines.text(&format!("EXPORT {name}")).rows(), before, "{format}");
        let (_, out, _) = run(server.client().args(["export", &name]));
        assert!(client_before.is_empty() || client_before == out);
        let (_, dash, _) = run(server.client().current_dir(temp.path()).args(["export", &name, "-o", "-"]));
        assert!(dash == out && !temp.path().join("-").exists());
        client_before = out;
    }
    let expected: String = before.iter().map(|row| format!("{row}\n")).collect();
    assert_eq!(client_before, expected, "the program's CSV is the server's");
    // A series without points is one, too.
    lines.text("CREATE none 3");
    let (_, header, _) = run(server.client().args(["export", "none"]));
    let (code, out, err) = piped(server.client().args(["import", "none2", "-", "--create"]), &header);
    assert!(code == 0 && out.contains("0 points"), "{out} {err}");
    assert!(lines.text("LIST").rows().contains(&"none2 3 0".to_owned()));
    assert_eq!(
        piped(server.client().args(["import", "none3", "-", "--create"]), "timestamp_ns,x,labels\n").0,
        1
    );
    // From standard input too.
    assert_eq!(piped(server.client().args(["import", "again", "-", "--create"]), &client_before).0, 0);
    assert_eq!(lines.text("EXPORT again").rows(), before);
}

#[test]
fn import_takes_files_as_they_are_and_names_bad_lines() {
    let server = Server::start();
    let import = |name: &str, text: &str, args: &[&str]| {
        piped(server.client().args(["import", name, "-"]).args(args), text)
    };
    let text = "when;\n";
    assert_eq!(import("x", text, &["--create"]).0, 1, "no data");
    assert_eq!(import("x", "", &["--create"]).0, 1, "an empty file");
    let text = "\u{feff}city,date,t,h\nOslo,2020-01-01 00:00:00,1.5,80\nRome,2020-01-01 00:00:00,11,70\n";
    let (code, out, err) = import("w", text, &["--create", "--label-columns", "city"]);
    assert!(code == 0 && out.contains("2 points"), "{out} {err}");
    assert_eq!(
        server.connect().text("QUERY_RANGE w 0 1600000000000000000").rows(),
        ["1577836800000000000 1.5,80 city=Oslo", "1577836800000000000 11,70 city=Rome"]
    );
    let (code, _, err) = import("w", text, &[]);
    assert!(code == 1 && err.contains("line 2") && err.contains("'Oslo'"), "{err}");
    let bad = "timestamp,value\n1,1\n2,2\n3,three\n4,4\n";
    let (code, _, err) = import("b", bad, &["--create", "--time-format", "s"]);
    assert!(
        code == 1 && err.contains("line 4") && err.contains("three") && err.contains("--from-line 4"),
        "{err}"
    );
    assert_eq!(server.connect().text("LIST").rows()[0], "b 1 2");
    let rest = ["--time-format", "s", "--from-line", "4", "--skip-invalid"];
    let (code, out, _) = import("b", bad, &rest);
    assert!(code == 0 && out.contains("1 points") && out.contains("skipped 1"), "{out}");
    let (code, _, err) = import("missing", "1,1\n", &[]);
    assert!(code == 1 && err.contains("--create"), "{err}");
    let (code, _, err) = import("c", "1,1\n", &["--create", "--value-columns", "nope"]);
    assert!(code == 2 && err.contains("- line 1: there is no column 'nope'"), "{err}");
    assert_eq!(import("c", "1,1\n", &["--create", "--time-column", "nope"]).0, 2);
    assert_eq!(import("c", "1,1\n", &["--create", "--label-columns", "nope"]).0, 2);
    let (code, _, err) = import("c", "", &["--time-format", "fortnights"]);
    assert!(code == 2 && err.contains("'fortnights'"), "{err}");
    assert_eq!(import("c", "1,1\n", &["--from-line", "0"]).0, 2);
    let (code, _, err) = run(server.client().args(["import", "c", "/nowhere/f.csv"]));
    assert!(code == 1 && err.contains("/nowhere/f.csv"), "{err}");
    // A comma for a decimal point must not make two fields of which the second is forgotten.
    let (code, _, err) = import("d", "time,v\n2024-03-01 00:00,1,5\n", &["--create"]);
    assert!(code == 1 && err.contains("3 fields") && err.contains("line 2"), "{err}");
    let (code, _, err) = import("d", "time;v\n2024-03-01 00:00;1,5\n", &["--create"]);
    assert!(code == 1 && err.contains("a point, not a comma"), "{err}");
    // What is wrong is told from what stands there.
    let (code, _, err) = import("d", "time,v\n2024-03-01 00:00,\"x, \"\"y\"\"\"\n", &["--create"]);
    assert!(code == 1 && err.contains("--label-columns") && !err.contains("a point"), "{err}");
    let (code, _, err) = import("d", "v,when\n7,2024-03-01 00:00\n", &["--create"]);
    assert!(code == 1 && err.contains("'when'") && err.contains("--time-column"), "{err}");
    let (code, _, err) = import("d", "city,when\nOslo,2024-03-01 00:00\n", &["--create"]);
    assert!(code == 1 && err.contains("the time in column 'city'") && err.contains("--time-column"), "{err}");
    let temp = tempfile::tempdir().unwrap();
    let packed = temp.path().join("f.csv.gz");
    std::fs::write(&packed, b"\x1f\x8b\x08\0\0\xff\n").unwrap();
    let (code, _, err) = run(server.client().args(["import", "d", "--create"]).arg(&packed));
    assert!(code == 1 && err.contains("gzip -dc") && err.contains("f.csv.gz"), "{err}");
    let (code, out, err) =
        import("d", "time|v|\n1.3.2024 0:00|1.5|\n \n", &["--create", "--value-columns", "v"]);
    assert!(code == 0 && out.contains("1 points"), "{out} {err}");
    let (code, _, err) = import("d", "time|v\n1.3.2024 0:00|1.5\n", &["--from-line", "9"]);
    assert!(code == 2 && err.contains("line 2"), "{err}");
    // Lines are those of an editor, whatever ends them and however many are blank.
    let windows = "time,v\r\n\r\n1,2\r\n\"2\",x\r\n3,4\r\n";
    let (code, _, err) = import("e", windows, &["--create", "--time-format", "s"]);
    assert!(code == 1 && err.contains("line 4:") && err.contains("--from-line 4"), "{err}");
    let (code, out, err) = import("e", windows, &["--time-format", "s", "--from-line", "5"]);
    assert!(code == 0 && out.contains("1 points"), "{out} {err}");
    assert_eq!(server.connect().text("QUERY_RANGE e 0 9000000000").rows(), ["1000000000 2", "3000000000 4"]);
    let (code, _, err) = run(server.client().args(["LIST", "--json"]));
    assert!(code == 2 && err.contains("before the command"), "{err}");
}

#[test]
fn import_names_the_line_that_the_server_refuses_or_skips_it_alone() {
    let server = Server::start();
    let import = |name: &str, text: &str, args: &[&str]| {
        piped(server.client().args(["import", name, "-", "--create"]).args(args), text)
    };
    let json: String = (1..=20)
        .map(|at| {
            format!("{{\"timestamp_ns\":{at},\"values\":{}}}\n", if at == 11 { "[1]" } else { "[1,2]" })
        })
        .collect();
    // Whether the bad row has a request of its own, is in the last, or has others behind it.
    for batch in ["5000", "1", "4"] {
        let name = format!("j{batch}");
        let (code, _, err) = import(&name, &json, &["--batch", batch]);
        assert!(code == 1 && err.contains(" line 11: DIMENSION_MISMATCH"), "{err}");
        assert!(err.contains("10 points up to line 10") && err.contains("--from-line 11"), "{err}");
        let (code, out, err) = import(&name, &json, &["--batch", batch, "--skip-invalid"]);
        assert!(code == 0 && out.contains("imported 19 points"), "{out} {err}");
        assert!(out.contains("skipped 1 lines (the first: line 11, DIMENSION_MISMATCH"), "{out}");
        assert!(server.connect().text("LIST").rows().contains(&format!("{name} 2 19")));
    }
    let many: String = (0..1000)
        .map(|at| format!("{{\"timestamp_ns\":{at},\"values\":{:?}}}\n", vec![1; 2 + at % 3]))
        .collect();
    let (code, out, err) = import("m", &many, &["--batch", "100", "--skip-invalid"]);
    assert!(
        code == 0 && out.contains("imported 334 points") && out.contains("skipped 666 lines"),
        "{out} {err}"
    );
    let floats = "time,v\n1704067199,1\n1704067200,1e39\n1704067201,2\n1704067202,x\n1704067203,-1e39\n";
    let (code, out, err) = import("f", floats, &["--value-type", "f32", "--skip-invalid"]);
    assert!(code == 0 && out.contains("imported 2 points"), "{out} {err}");
    assert!(out.contains("skipped 3 lines (the first: line 3, INVALID_ARGUMENT"), "{out}");
    let (code, _, err) = import("f", floats, &["--value-type", "f32"]);
    assert!(code == 1 && err.contains(" line 3: INVALID_ARGUMENT"), "{err}");
    // Of a point given twice the last wins, also around a row that is refused.
    let twice = "time,v\n1,1\n2,1e39\n1,3\n";
    assert_eq!(import("t", twice, &["--value-type", "f32", "--skip-invalid", "--batch", "2"]).0, 0);
    assert_eq!(server.connect().text("QUERY_RANGE t 0 9000000000").rows(), ["1000000000 3"]);
}

#[test]
fn json_is_printed_by_what_has_a_reply_and_refused_by_the_rest() {
    let server = Server::start();
    let args = ["import", "a", "-", "--create", "--json", "--skip-invalid", "--time-format", "ns"];
    let (code, out, err) = piped(server.client().args(args), "1,1\n2,x\n3,3\n");
    let reply: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e} in {out} {err}"));
    assert_eq!((code, out.lines().count(), &reply["ok"]), (0, 1, &json!(true)));
    let data = &reply["data"];
    assert_eq!((&data["series"], &data["imported"], &data["skipped"]), (&json!("a"), &json!(2), &json!(1)));
    assert_eq!(data["first_skipped"]["line"], 2);
    assert_eq!(
        serde_json::from_str::<Value>(&piped(server.client().args(args), "1,1\n").1).unwrap()["data"]["first_skipped"],
        Value::Null
    );
    for args in [["--json", "export", "a"], ["plot", "a", "--json"]] {
        let (code, out, err) = run(server.client().args(args));
        assert!(code == 2 && out.is_empty() && err.contains("has no JSON reply"), "{out} {err}");
    }
    // Where a session prints JSON, its own commands do as they can.
    let (code, out, err) = piped(server.client().arg("--json"), "PING\nexport a\n");
    assert!(code == 0 && out.ends_with("1,1,\n3,3,\n"), "{out} {err}");
}

#[test]
fn a_quote_that_is_not_closed_costs_its_own_line() {
    let server = Server::start();
    let import = |name: &str, text: &str, args: &[&str]| {
        piped(server.client().args(["import", name, "-", "--create", "--time-format", "ns"]).args(args), text)
    };
    let text = "time,v,note\n1,1,a\n2,2,\"b\n3,3,c\n4,\"4\",d\n5,5,\"e\n";
    let (code, _, err) = import("a", text, &["--value-columns", "v"]);
    assert!(code == 1 && err.contains(" line 3: a quote that opens in it is never closed"), "{err}");
    assert!(err.contains("--from-line 3"), "{err}");
    let (code, out, err) = import("a", text, &["--value-columns", "v", "--skip-invalid"]);
    assert!(
        code == 0 && out.contains("3 points") && out.contains("skipped 2 lines (the first: line 3,"),
        "{out} {err}"
    );
    assert_eq!(server.connect().text("QUERY_RANGE a 0 9").rows(), ["1 1", "3 3", "4 4"]);
    // What goes on from a line behind it begins there.
    let (code, out, _) = import("b", text, &["--value-columns", "v", "--from-line", "4", "--skip-invalid"]);
    assert!(code == 0 && out.contains("2 points") && out.contains("skipped 1 lines"), "{out}");
    let (code, _, err) = import("c", "time,\"v\n1,1\n", &["--skip-invalid"]);
    assert!(code == 1 && err.contains(" line 1: a quote that opens in it is never closed"), "{err}");
    // A quote that closes a line later is fine where its text is, and an error where a number is.
    let text = "time,v,note\n1,1,\"two\nlines\"\n2,\"2\n\",x\n3,3,\n";
    let (code, out, err) = import("d", text, &["--value-columns", "v"]);
    assert!(code == 0 && out.contains("imported 3 points"), "{out} {err}");
    let (code, _, err) = import("d", "time,v\n1,\"1\n2\"\n", &[]);
    assert!(
        code == 1 && err.contains(" line 2: a field in quotes goes on in the next line, and '1\\n2'"),
        "{err}"
    );
}

#[test]
fn an_interrupted_import_says_where_to_go_on() {
    let server = Server::start();
    let rows = |from: u64| (from..from + 100).map(|at| format!("{at},{at}\n")).collect::<String>();
    let mut import = server.client();
    import.args(["import", "a", "-", "--create", "--batch", "10", "--time-format", "ns"]);
    let mut child =
        import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut file = child.stdin.take().unwrap();
    file.write_all(rows(1).as_bytes()).unwrap();
    // What is stored shows that it is under way.
    while server.connect().text("LIST").rows().first().is_none_or(|row| row == "a 1 0") {
        std::thread::yield_now();
    }
    let status = Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
    let mut next = 101;
    while file.write_all(rows(next).as_bytes()).is_ok() {
        next += 100;
    }
    drop(file);
    let (code, out, err) = finish(&child.wait_with_output().unwrap());
    assert!(code == 130 && out.is_empty(), "{code} {out} {err}");
    let stored = server.connect().text("LIST").rows()[0].replace("a 1 ", "").parse::<u64>().unwrap();
    let told =
        format!("{stored} points up to line {stored} are stored; go on with --from-line {} ", stored + 1);
    assert!(err.contains(&told) && err.contains("interrupted"), "{told} {err}");
}

#[test]
fn plots_go_to_the_terminal_and_to_files() {
    let server = Server::start();
    let temp = tempfile::tempdir().unwrap();
    let mut lines = server.connect();
    lines.text("CREATE s 1");
    let mut values: Vec<f64> = (0..500).map(|at| (f64::from(at) / 8.0).sin()).collect();
    values[300] = 4.0;
    let times: Vec<i64> = (0..500).map(|at| at * 3_600_000_000_000).collect();
    lines.data("BatchInsert", json!({"series": "s", "timestamps_ns": times, "values": values}));
    let marks = ["plot", "s", "--window", "20", "--anomalies", "1"];
    let (code, out, _) = run(server.client().args(marks));
    assert!(code == 0 && out.contains("anomaly 1: 1970-01-1"), "{out}");
    let draw = |name: &str| -> (i32, PathBuf) {
        let file = temp.path().join(name);
        (run(server.client().args(marks).arg("-o").arg(&file)).0, file)
    };
    let (code, file) = draw("s.svg");
    let svg = std::fs::read_to_string(file).unwrap();
    assert!(code == 0 && svg.starts_with("<svg") && svg.contains("polyline"));
    let (code, file) = draw("s.png");
    assert!(code == 0 && std::fs::read(file).unwrap().starts_with(b"\x89PNG"));
    assert_eq!(draw("s.bmp").0, 2);
    assert_eq!(run(server.client().args(["plot", "s", "--dimension", "1"])).0, 2);
    assert_eq!(run(server.client().args(["plot", "none"])).0, 1);
}
