//! Which processes have the database open: one row in `meta` for each, checked against the processes that live.

use rusqlite::{Connection, TransactionBehavior};

/// Enters this process and gives the others that live. Rows of those that ended without leaving are removed.
pub(crate) fn enter(connection: &mut Connection) -> rusqlite::Result<Vec<u32>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut others = Vec::new();
    {
        let mut rows = transaction.prepare("SELECT name, value FROM meta WHERE name LIKE 'holder:%'")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (name, started): (String, String) = (row.get(0)?, row.get(1)?);
            let pid = name.trim_start_matches("holder:").parse().unwrap_or(0);
            // A number that is ours now was another's: that process has ended.
            if pid != std::process::id() && start_of(pid).is_some_and(|now| now == started) {
                others.push(pid);
            } else {
                transaction.execute("DELETE FROM meta WHERE name = ?1", [&name])?;
            }
        }
    }
    let started = start_of(std::process::id()).unwrap_or_default();
    transaction.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", (name(), started))?;
    transaction.commit()?;
    Ok(others)
}

/// Takes this process out.
pub(crate) fn leave(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM meta WHERE name = ?1", [name()]).map(drop)
}

fn name() -> String {
    format!("holder:{}", std::process::id())
}

/// What tells a live process from an earlier one with its number: when it was started. `None` when there is none.
#[cfg(target_os = "linux")]
fn start_of(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything; the start is the 20th after it.
    Some(stat.rsplit_once(") ")?.1.split(' ').nth(19)?.to_owned())
}

#[cfg(not(target_os = "linux"))]
fn start_of(pid: u32) -> Option<String> {
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0)?;
    #[expect(unsafe_code, reason = "signal 0 is sent to nobody; it only asks whether the process lives")]
    let answer = unsafe { libc::kill(pid, 0) };
    let refused = std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM);
    (answer == 0 || refused).then(String::new)
}
