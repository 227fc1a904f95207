//! Starts and ends processes, each in a group of its own.

use std::{
    ffi::OsStr,
    io,
    process::Stdio,
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
    time::timeout,
};

use super::{Exit, StdioConfig};

type Job = Box<dyn FnOnce() + Send>;

/// Starts the child with pipes for its three streams, in a process group of its own.
pub(super) async fn spawn(config: &StdioConfig) -> io::Result<Child> {
    let mut command = command(config);
    let runtime = Handle::current();
    let (sender, receiver) = oneshot::channel();
    let job: Job = Box::new(move || {
        let _guard = runtime.enter();
        // If nobody waits any more, the child is dropped, and with it killed.
        let _ = sender.send(command.spawn());
    });
    let spawner_gone = || io::Error::other("the thread that starts processes has ended");
    spawner()?.send(job).map_err(|_| spawner_gone())?;
    receiver.await.map_err(|_| spawner_gone())?
}

/// The thread that forks. The signal that a child gets when we die is bound to the thread that
/// started it, not to the process, so that thread has to live as long as the process does;
/// threads of a runtime come and go.
fn spawner() -> io::Result<&'static mpsc::Sender<Job>> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    if let Some(spawner) = SPAWNER.get() {
        return Ok(spawner);
    }
    let (sender, jobs) = mpsc::channel::<Job>();
    thread::Builder::new()
        .name("spawner".to_owned())
        .spawn(move || jobs.into_iter().for_each(|job| job()))?;
    // Of two that race here one thread sees its channel closed and ends.
    Ok(SPAWNER.get_or_init(|| sender))
}

fn command(config: &StdioConfig) -> Command {
    let mut command = Command::new(&config.command);
    command
        .args(&config.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if config.env_removed.iter().any(|pattern| withheld(&name, pattern)) {
            command.env_remove(name);
        }
    }
    if let Some(folder) = &config.working_folder {
        command.current_dir(folder);
    }
    #[cfg(target_os = "linux")]
    end_with_parent(&mut command);
    command
}

fn withheld(name: &OsStr, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.as_encoded_bytes().starts_with(prefix.as_bytes()),
        None => name == pattern,
    }
}

/// Has the child sent SIGTERM when we end without having stopped it.
#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let prepare = move || {
        #[expect(unsafe_code, reason = "the standard library does not offer prctl and getppid")]
        // SAFETY: both calls take plain numbers and touch no memory of ours.
        let (set, parent_now) = unsafe {
            (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong), libc::getppid() as u32)
        };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
        // We may have ended before the signal was asked for; then nobody would send it.
        if parent_now == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    };
    #[expect(unsafe_code, reason = "what runs between fork and exec has to be declared safe to do so")]
    // SAFETY: the closure only makes system calls; it takes no lock and allocates nothing.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Waits for a child that was asked to end, and kills its group after `grace`.
pub(super) async fn wait_or_kill(child: &mut Child, grace: Duration) -> Exit {
    if let Ok(exit) = timeout(grace, wait(child)).await {
        return exit;
    }
    signal_group(child.id(), libc::SIGKILL);
    wait(child).await
}

/// Waits for a child to end.
pub(super) async fn wait(child: &mut Child) -> Exit {
    child.wait().await.map_or(Exit { code: None, signal: None }, Exit::from)
}

/// Signals a child and all that it started, as long as they stayed in its group. It is no error
/// if there are none left.
pub(super) fn signal_group(group: Option<u32>, signal: i32) {
    let Some(group) = group.and_then(|group| i32::try_from(group).ok()) else { return };
    #[expect(unsafe_code, reason = "the standard library cannot signal a group")]
    // SAFETY: kill takes plain numbers and touches no memory of ours.
    unsafe {
        libc::kill(-group, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_withheld_by_name_or_by_prefix() {
        let name = OsStr::new("PAYGATE_ADMIN_KEY");
        assert!(withheld(name, "PAYGATE_*"));
        assert!(withheld(name, "PAYGATE_ADMIN_KEY"));
        assert!(!withheld(name, "PAYGATE_"));
        assert!(!withheld(OsStr::new("PATH"), "PAYGATE_*"));
    }
}
