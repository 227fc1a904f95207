//! Keeps a child running.

use std::{sync::Arc, time::Duration};

use tokio::{
    process::Child,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    Exit,
    calls::Calls,
    pipes::{read_messages, read_stderr, write_messages},
    process,
};

/// How long a child that has closed a pipe may take to end by itself, so that its exit code is
/// known; and how long what it started may hold on to its pipes.
const PATIENCE: Duration = Duration::from_millis(500);

/// Serves one child after another until told to stop, or until nobody is left to tell.
pub(super) async fn supervise(
    calls: Arc<Calls>,
    mut child: Child,
    mut generation: u64,
    mut stop: watch::Receiver<bool>,
) {
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let exit = serve(&calls, child, generation, &mut stop).await;
        if started.elapsed() >= calls.config.restart.healthy_after {
            failures = 0;
        }
        calls.inbound.exited(exit);
        if stopping(&stop) {
            tracing::debug!(target: "backend", "{}{exit}", calls.config.log_prefix);
            return;
        }
        tracing::warn!(target: "backend", "{}{exit}, starting it again", calls.config.log_prefix);
        child = tokio::select! {
            child = start_again(&calls, &mut failures) => child,
            () = told_to_stop(&mut stop) => return,
        };
        generation = calls.child_started(child.id());
        calls.inbound.started();
    }
}

/// Runs one child to its end and fails the requests it leaves unanswered.
async fn serve(
    calls: &Arc<Calls>,
    mut child: Child,
    generation: u64,
    stop: &mut watch::Receiver<bool>,
) -> Exit {
    let group = child.id();
    let grace = calls.config.stop_grace;
    let (stdin, stdout, stderr) = pipes(&mut child);
    let mut writer = tokio::spawn(write_messages(calls.clone(), stdin, generation));
    let mut reader = tokio::spawn(read_messages(calls.clone(), stdout, generation));
    let mut logger = tokio::spawn(read_stderr(calls.clone(), stderr));

    let exit = tokio::select! {
        exit = process::wait(&mut child) => Some(exit),
        () = told_to_stop(stop) => None,
        // Without its pipes it is of no use.
        _ = &mut writer => timeout(PATIENCE, process::wait(&mut child)).await.ok(),
        _ = &mut reader => {
            writer.abort();
            timeout(PATIENCE, process::wait(&mut child)).await.ok()
        }
    };
    // Also when it has ended: a wrapper may end before the server it started.
    process::signal_group(group, libc::SIGTERM);
    writer.abort();
    let exit = match exit {
        Some(exit) => exit,
        None => process::wait_or_kill(&mut child, grace).await,
    };
    // What it said before it ended still counts.
    let patience = if stopping(stop) { grace } else { PATIENCE };
    finish(&mut reader, patience).await;
    process::signal_group(group, libc::SIGKILL);
    finish(&mut logger, PATIENCE).await;
    calls.child_ended(exit);
    exit
}

/// Waits for a task that ends when its pipe closes, but not for ever: a process that left the
/// group may hold the pipe open.
async fn finish(task: &mut JoinHandle<()>, patience: Duration) {
    if !task.is_finished() {
        let _ = timeout(patience, &mut *task).await;
        task.abort();
    }
}

/// Starts a child, after a pause that grows with every failure. Until a child runs, requests
/// wait during the first attempt, which comes at once, and fail after that.
async fn start_again(calls: &Calls, failures: &mut u32) -> Child {
    loop {
        *failures += 1;
        let pause = calls.config.restart.pause(*failures);
        if !pause.is_zero() {
            calls.down_for(pause);
            sleep(pause).await;
            calls.starting();
        }
        match process::spawn(&calls.config).await {
            Ok(child) => return child,
            Err(error) => {
                tracing::warn!(target: "backend", "{}cannot be started: {error}", calls.config.log_prefix)
            }
        }
    }
}

fn pipes(
    child: &mut Child,
) -> (tokio::process::ChildStdin, tokio::process::ChildStdout, tokio::process::ChildStderr) {
    let piped = "the child was started with three pipes";
    (child.stdin.take().expect(piped), child.stdout.take().expect(piped), child.stderr.take().expect(piped))
}

fn stopping(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// Resolves when the backend is to stop, or its owner is gone.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error says that the owner is gone, which means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}
