//! What is answered without a server, and what is refused.

use std::process::Output;

use crate::program::Place;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    text(&output.stderr)
}

#[test]
fn the_version_is_told_in_every_spelling() {
    for spelling in ["version", "--version", "-v"] {
        let output = Place::new().run(&[spelling]);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "paygate-mcp v2.9.0\n"));
    }
}

#[test]
fn help_names_every_command_and_flag() {
    for args in [&["help"][..], &["--help"], &["-h"], &[]] {
        let output = Place::new().run(args);
        let help = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        assert!(help.starts_with("\n  paygate-mcp — "), "{help}");
        for word in [
            "USAGE:",
            "OPTIONS:",
            "EXAMPLES:",
            "wrap",
            "validate",
            "version",
            "--server",
            "--remote-url",
            "--config",
            "--port",
            "--price",
            "--rate-limit",
            "--name",
            "--shadow",
            "--admin-key",
            "--tool-price",
            "--import-key",
            "--state-file",
            "--stripe-secret",
            "--webhook-url",
            "--webhook-secret",
            "--webhook-retries",
            "--refund-on-failure",
            "--redis-url",
            "--dry-run",
            "--host",
            "--reimport",
            "--state-recover",
            "--durability",
            "--log-level",
        ] {
            assert!(help.contains(word), "{word}");
        }
    }
}

#[test]
fn unknown_commands_are_refused() {
    for (args, command) in [(&["launch", "--x"][..], "launch"), (&["--server", "x"], "--server")] {
        let output = Place::new().run(args);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stderr), format!("Unknown command: {command}\n\n"));
        assert!(text(&output.stdout).contains("USAGE:"));
    }
}

#[test]
fn flags_that_cannot_be_meant_are_refused() {
    let place = Place::new();
    for (args, problem) in [
        (&["wrap", "--server", "x", "--prot", "1"][..], "Unknown flag: --prot. Did you mean --port?"),
        (&["wrap", "--server", "x", "--admin-key", ""], "--admin-key must not be empty"),
        (&["wrap", "--server", "x", "--state-file="], "--state-file must not be empty"),
        (&["wrap", "--server"], "--server needs a value"),
        (&["wrap", "--server", "x", "--shadow=maybe"], "--shadow is true or false, not \"maybe\""),
        (&["wrap", "--server", "x 'y"], "--server: missing closing quote in \"x 'y\""),
        (
            &["wrap", "--server", "x", "--durability", "forever"],
            "--durability is process or power, not \"forever\"",
        ),
        (
            &["wrap", "--server", "x", "--log-level", "loud"],
            "--log-level is error, warn, info, debug or trace, not \"loud\"",
        ),
    ] {
        assert_eq!(refused(&place.run(args)), format!("Error: {problem}\n"), "{args:?}");
    }
    let empty = place.run_with(&["wrap", "--server", "x"], &[("PAYGATE_ADMIN_KEY", "")]);
    assert_eq!(refused(&empty), "Error: PAYGATE_ADMIN_KEY must not be empty\n");
}

#[test]
fn what_this_build_cannot_do_is_never_passed_over() {
    let place = Place::new();
    for (args, what) in [
        (&["wrap", "--server", "x", "--redis-url", "redis://h"][..], "--redis-url"),
        (&["wrap", "--server", "x", "--dry-run"], "--dry-run"),
    ] {
        let problem = format!("Error: {what} is not available yet in this build\n");
        assert_eq!(refused(&place.run(args)), problem, "{args:?}");
    }
}

#[test]
fn an_invalid_configuration_stops_the_start_and_names_every_problem() {
    let place = Place::new();
    place.write("bad.json", "{");
    place.write("shadow.json", r#"{"serverCommand":"node","shadowMode":true,"port":"80"}"#);
    for (args, told) in [
        (
            &["wrap"][..],
            "✗ 1 error(s):\n  ERROR  [serverCommand | remoteUrl | servers] No backend configured. Provide serverCommand, remoteUrl, or servers[].\n",
        ),
        (
            &["wrap", "--server", "node x", "--price", "abc", "--port=99999"],
            "✗ 2 error(s):\n  ERROR  [port] Invalid port 99999. Must be 0–65535.\n  ERROR  [defaultCreditsPerCall] Invalid defaultCreditsPerCall: NaN. Must be >= 0.\n",
        ),
        (
            &["wrap", "--server", "node x", "--price", "-1"],
            "✗ 1 error(s):\n  ERROR  [defaultCreditsPerCall] Invalid defaultCreditsPerCall: -1. Must be >= 0.\n",
        ),
        (
            &["wrap", "--server", "node x", "--price", "2.5"],
            "✗ 1 error(s):\n  ERROR  [defaultCreditsPerCall] Invalid defaultCreditsPerCall: 2.5. Must be a whole number.\n",
        ),
        (
            &["wrap", "--server", "node x", "--tool-price", "search:x"],
            "✗ 1 error(s):\n  ERROR  [toolPricing.search.creditsPerCall] Invalid creditsPerCall for \"search\": x. Must be >= 0.\n",
        ),
        (
            &["wrap", "--config", "shadow.json"],
            "✗ 1 error(s):\n  ERROR  [port] Invalid port 80. Must be 0–65535.\n⚠ 1 warning(s):\n  WARN   [shadowMode] Shadow mode is enabled. Payment will not be enforced.\n",
        ),
    ] {
        assert_eq!(refused(&place.run(args)), told, "{args:?}");
    }
    let missing = refused(&place.run(&["wrap", "--config", "missing.json"]));
    assert_eq!(
        missing,
        "Error loading config file: ENOENT: no such file or directory, open 'missing.json'\n"
    );
    assert!(
        refused(&place.run(&["wrap", "--config", "bad.json"])).starts_with("Error loading config file: ")
    );
}

#[test]
fn a_file_is_checked_without_a_start() {
    let place = Place::new();
    place.write("good.json", r#"{"serverCommand":"x"}"#);
    place.write("warned.json", r#"{"serverCommand":"x","prot":1}"#);
    place.write("bad.json", r#"{"port":1.5}"#);
    let validate = |name: &str| {
        let output = place.run(&["validate", "--config", name]);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(validate("good.json"), (Some(0), "✓ Config is valid.\n".to_owned(), String::new()));
    let (code, told, _) = validate("warned.json");
    assert_eq!(
        (code, told.as_str()),
        (Some(0), "⚠ 1 warning(s):\n  WARN   [prot] Unknown field, not used. Did you mean \"port\"?\n")
    );
    assert_eq!(validate("bad.json").0, Some(1));
    let output = place.run(&["validate"]);
    assert!(text(&output.stderr).starts_with("Error: --config <path> is required for validate command.\n"));
}

#[test]
fn a_server_that_cannot_be_started_stops_the_start() {
    let told = refused(&Place::new().run(&["wrap", "--server", "/no/such/program", "--port", "0"]));
    assert!(
        told.contains("Failed to start server: Error: \"/no/such/program\" could not be started"),
        "{told}"
    );
}
