//! Start, crash, restart, stop.

use std::{
    env, fs,
    io::Read,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use paygate_mcp_wire::stdio::{BackendState, CallError, DropInbound, Exit, StdioBackend, StdioConfig};
use serde_json::json;
use tokio::sync::oneshot;

use crate::child::{call, call_with, config, config_behind, result, soon, start};

#[tokio::test]
async fn a_command_that_does_not_exist_fails_the_start() {
    let config = StdioConfig::new("/no/such/command", Vec::new());
    let error = StdioBackend::start(config, Arc::new(DropInbound)).await.unwrap_err();
    assert!(
        error.to_string().starts_with("\"/no/such/command\" could not be started: No such file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_child_runs_in_its_folder_without_our_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("plain");
    config.working_folder = Some(folder.path().to_owned());
    config.env_removed = vec!["CARGO_*".to_owned()];
    let backend = start(config).await;
    let ask = async |tool, name: &str| {
        result(&soon(backend.request(call_with(tool, &json!({ "name": name })))).await.unwrap())
    };
    assert_eq!(ask("cwd", "").await, json!(folder.path().canonicalize().unwrap()));
    assert_eq!(ask("env", "CARGO_MANIFEST_DIR").await, json!(false));
    assert_eq!(ask("env", "PATH").await, json!(true));
    backend.stop().await;
}

#[tokio::test]
async fn a_crash_fails_what_is_under_way_and_the_next_request_has_a_new_child() {
    let backend = start(config("plain")).await;
    let first = result(&soon(backend.request(call("pid"))).await.unwrap());
    assert_eq!(backend.status().pid.map(u64::from), first.as_u64());
    assert_eq!(backend.status().state, BackendState::Running);
    soon(backend.request(call_with("stderr", &json!({ "text": "so long" })))).await.unwrap();

    let held = backend.begin(call("hold")).unwrap();
    let error = soon(backend.request(call("crash"))).await.unwrap_err();
    let exit = Exit { code: Some(3), signal: None };
    assert_eq!(error, CallError::Exited { exit, reached: true });
    assert_eq!(error.to_string(), "Server exited with code 3");
    assert_eq!(soon(held.answer()).await.unwrap_err(), CallError::Exited { exit, reached: true });

    let second = result(&soon(backend.request(call("pid"))).await.unwrap());
    assert_ne!(first, second);
    let status = backend.status();
    assert_eq!((status.restarts, status.last_exit), (1, Some(exit)));
    assert_eq!(status.stderr_tail, "so long\n");
    backend.stop().await;
}

#[tokio::test]
async fn a_child_ended_by_a_signal_is_replaced_too() {
    let backend = start(config("plain")).await;
    let error = soon(backend.request(call("abort"))).await.unwrap_err();
    assert_eq!(error, CallError::Exited { exit: Exit { code: None, signal: Some(6) }, reached: true });
    assert!(soon(backend.request(call("echo"))).await.is_ok());
    backend.stop().await;
}

#[tokio::test]
async fn a_child_that_closes_its_pipe_is_replaced_too() {
    let backend = start(config("plain")).await;
    let error = soon(backend.request(call("close stdout"))).await.unwrap_err();
    assert!(matches!(error, CallError::Exited { .. }), "{error}");
    assert!(soon(backend.request(call("echo"))).await.is_ok());
    backend.stop().await;
}

#[tokio::test]
async fn what_a_child_said_before_it_ended_counts() {
    let backend = start(config("plain")).await;
    let unanswered = backend.begin(call("silent")).unwrap();
    assert_eq!(result(&soon(backend.request(call("last words"))).await.unwrap()), "bye");
    let exit = Exit { code: Some(0), signal: None };
    assert_eq!(soon(unanswered.answer()).await.unwrap_err(), CallError::Exited { exit, reached: true });
    assert!(soon(backend.request(call("echo"))).await.is_ok());
    backend.stop().await;
}

#[tokio::test]
async fn requests_that_a_crash_found_in_the_queue_were_never_reached() {
    let mut config = config("mute");
    config.initialize_timeout = Duration::from_secs(3600);
    let backend = start(config).await;
    let waiting = backend.begin(call("echo")).unwrap();
    let pid = backend.status().pid.unwrap();
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    let exit = Exit { code: None, signal: Some(9) };
    assert_eq!(soon(waiting.answer()).await.unwrap_err(), CallError::Exited { exit, reached: false });
    backend.stop().await;
}

#[tokio::test]
async fn while_a_child_that_keeps_dying_is_down_requests_fail_at_once() {
    let mut config = config("dying");
    config.restart.pause_min = Duration::from_secs(3600);
    config.restart.pause_max = Duration::from_secs(3600);
    let backend = start(config).await;
    // Whether a request waits for the first restart or meets the pause is a matter of luck.
    let error = soon(async {
        loop {
            match backend.request(call("echo")).await.unwrap_err() {
                CallError::Exited { exit, .. } => assert_eq!(exit, Exit { code: Some(5), signal: None }),
                error => break error,
            }
        }
    })
    .await;
    let CallError::Down { next_attempt_in } = error else { panic!("{error}") };
    assert!(!error.reached());
    assert!(next_attempt_in > Duration::from_secs(3500) && next_attempt_in <= Duration::from_secs(3600));
    let status = backend.status();
    assert_eq!((status.state, status.pid, status.restarts), (BackendState::Restarting, None, 1));
    // And the pause does not hold up the end.
    soon(backend.stop()).await;
    assert_eq!(backend.status().state, BackendState::Stopped);
}

#[tokio::test]
async fn a_child_that_cannot_be_started_again_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("server");
    let mut config = config("plain");
    std::os::unix::fs::symlink(&config.command, &link).unwrap();
    let target = std::mem::replace(&mut config.command, link.to_str().unwrap().to_owned());
    config.restart.pause_min = Duration::from_millis(1);
    let backend = start(config).await;
    soon(backend.request(call("echo"))).await.unwrap();

    fs::remove_file(&link).unwrap();
    soon(backend.request(call("crash"))).await.unwrap_err();
    let error = soon(backend.request(call("echo"))).await.unwrap_err();
    assert!(matches!(error, CallError::Down { .. }) && !error.reached(), "{error}");

    std::os::unix::fs::symlink(target, &link).unwrap();
    soon(async {
        while backend.request(call("echo")).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    backend.stop().await;
}

#[tokio::test]
async fn a_stop_ends_the_child_and_what_it_had_to_do() {
    let backend = start(config("plain")).await;
    let held = backend.begin(call("hold")).unwrap();
    soon(backend.request(call("echo"))).await.unwrap();
    soon(backend.stop()).await;
    assert_eq!(soon(held.answer()).await.unwrap_err(), CallError::Stopped { reached: true });
    let error = soon(backend.request(call("echo"))).await.unwrap_err();
    assert_eq!(
        (&error, error.to_string().as_str()),
        (&CallError::Stopped { reached: false }, "Server not started")
    );
    let status = backend.status();
    assert_eq!((status.state, status.pid), (BackendState::Stopped, None));
    assert_eq!(status.last_exit, Some(Exit { code: None, signal: Some(15) }));
    soon(backend.stop()).await;
}

#[tokio::test]
async fn a_child_that_ignores_the_request_to_end_is_killed() {
    let mut config = config_behind("trap '' TERM");
    config.stop_grace = Duration::from_millis(100);
    // It would end by itself when its input does, so it must not come to read that.
    config.args.splice(1..2, ["trap '' TERM; echo ready >&2; while :; do sleep 1000; done".to_owned()]);
    config.initialize = None;
    let backend = start(config).await;
    soon(async {
        while backend.status().stderr_tail != "ready\n" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(backend.stop()).await;
    assert_eq!(backend.status().last_exit, Some(Exit { code: None, signal: Some(9) }));
}

#[tokio::test]
async fn a_stop_also_ends_what_the_child_started() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = make_pipe(folder.path());
    let backend = start(config_behind(&format!("(exec 3>'{pipe}'; exec sleep 1000) &"))).await;
    let pipe = Pipe::watch(pipe);
    soon(backend.request(call("echo"))).await.unwrap();
    soon(backend.stop()).await;
    soon(pipe.released).await.unwrap();
}

#[tokio::test]
async fn a_backend_that_is_dropped_ends_its_child() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = make_pipe(folder.path());
    let backend = start(config_behind(&format!("exec 3>'{pipe}'"))).await;
    let pipe = Pipe::watch(pipe);
    soon(backend.request(call("echo"))).await.unwrap();
    drop(backend);
    soon(pipe.released).await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_does_not_outlive_us() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = make_pipe(folder.path());
    let mut gateway = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child::abandoned_gateway", &pipe])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = Pipe::watch(pipe);
    soon(&mut pipe.opened).await.unwrap();
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    soon(pipe.released).await.unwrap();
}

fn make_pipe(folder: &std::path::Path) -> String {
    let pipe = folder.join("pipe").to_str().unwrap().to_owned();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    pipe
}

/// Tells when a pipe is opened, and when every process that has opened it has ended.
struct Pipe {
    opened: oneshot::Receiver<()>,
    released: oneshot::Receiver<()>,
}

impl Pipe {
    fn watch(path: String) -> Self {
        let (opened_sender, opened) = oneshot::channel();
        let (released_sender, released) = oneshot::channel();
        // A thread of its own, which a test that fails does not wait for.
        std::thread::spawn(move || {
            let mut pipe = fs::File::open(path).unwrap();
            opened_sender.send(()).unwrap();
            pipe.read_to_end(&mut Vec::new()).unwrap();
            released_sender.send(()).unwrap();
        });
        Self { opened, released }
    }
}
