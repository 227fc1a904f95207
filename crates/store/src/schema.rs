//! The tables, and how a database of an earlier version becomes one of this.

use std::path::Path;
use std::time::Duration;

use paygate_core::journal::Durability;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// Marks a database as ours, so that no other program's is ever written to: the letters `payg`.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"payg");

/// Versions of the tables: the n-th text takes a database from version n to n + 1. Only ever appended to.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

    -- The accounts: the fold of `entries`, kept so that a start does not read them all.
    CREATE TABLE keys (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id INTEGER NOT NULL UNIQUE,
        key TEXT NOT NULL UNIQUE,
        record TEXT NOT NULL,
        successor TEXT,
        credits INTEGER NOT NULL,
        granted INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        daily_calls REAL,
        monthly_calls REAL,
        daily_credits REAL,
        monthly_credits REAL,
        day TEXT NOT NULL,
        month TEXT NOT NULL,
        last_used_at INTEGER
    ) STRICT;

    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        account INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        amount INTEGER NOT NULL,
        granted INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        balance INTEGER NOT NULL,
        tool TEXT,
        charge INTEGER,
        open INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX open_charges ON entries (seq) WHERE open = 1;

    -- Sequence numbers that no entry has to have.
    CREATE TABLE gaps (first INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;

    CREATE TABLE teams (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        record TEXT NOT NULL
    ) STRICT;
",
    "
    -- Payments for credits: granted by an entry, or parked while there is no key for them.
    CREATE TABLE payments (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        event TEXT NOT NULL,
        key TEXT NOT NULL,
        credits INTEGER NOT NULL,
        entry INTEGER
    ) STRICT;
    CREATE INDEX parked_payments ON payments (number) WHERE entry IS NULL;

    -- What payments are known by. An id names one payment, for ever.
    CREATE TABLE payment_ids (id TEXT PRIMARY KEY, payment INTEGER NOT NULL) STRICT, WITHOUT ROWID;
",
    "
    -- Decisions and refunds, numbered from 0 without gaps. `line` is a key with a tool, `tenant` 0 without a known key;
    -- `last` is a number after which no event has it, as far as events are in blocks.
    CREATE TABLE usage (
        number INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        line INTEGER NOT NULL,
        tenant INTEGER NOT NULL,
        credits INTEGER NOT NULL,
        denied INTEGER NOT NULL,
        reason INTEGER
    ) STRICT;
    CREATE TABLE usage_lines (
        id INTEGER PRIMARY KEY,
        tool TEXT NOT NULL,
        key TEXT NOT NULL,
        name TEXT NOT NULL,
        tenant INTEGER NOT NULL,
        last INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX usage_line ON usage_lines (tool, key, name, tenant);
    CREATE INDEX usage_line_of_tenant ON usage_lines (tenant);
    CREATE TABLE usage_reasons (
        id INTEGER PRIMARY KEY,
        reason TEXT NOT NULL,
        tenant INTEGER NOT NULL,
        last INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX usage_reason ON usage_reasons (reason, tenant);
    CREATE INDEX usage_reason_of_tenant ON usage_reasons (tenant);
    CREATE TABLE usage_tenants (id INTEGER PRIMARY KEY, namespace TEXT NOT NULL UNIQUE) STRICT;

    -- What runs of usage events come to.
    CREATE TABLE usage_blocks (
        level INTEGER NOT NULL,
        block INTEGER NOT NULL,
        first_at INTEGER NOT NULL,
        last_at INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        denied INTEGER NOT NULL,
        credits INTEGER NOT NULL,
        tenants BLOB NOT NULL,
        sums BLOB,
        times BLOB,
        course BLOB,
        PRIMARY KEY (level, block)
    ) STRICT;

    CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id INTEGER NOT NULL,
        at INTEGER NOT NULL,
        sort INTEGER NOT NULL,
        type TEXT NOT NULL,
        actor TEXT NOT NULL,
        message TEXT NOT NULL,
        metadata TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_sort ON audit (sort);
    CREATE INDEX audit_time ON audit (at);
    CREATE TABLE audit_types (
        type TEXT PRIMARY KEY,
        sort INTEGER NOT NULL,
        events INTEGER NOT NULL,
        first INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
];

/// The version of the tables that this program writes.
pub const KNOWN_VERSION: usize = MIGRATIONS.len();

/// Why a file cannot serve as the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A later program wrote it; it is left as it is.
    #[error("it is of version {found}, and this program knows versions up to {known}")]
    Newer {
        /// The version it has.
        found: usize,
        /// The latest version known here.
        known: usize,
    },
    /// It belongs to another program; it is left as it is.
    #[error("it is a database of another program")]
    Foreign,
    /// The database engine could not read or write it.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl SchemaError {
    /// Whether the file is no readable database at all, so that nothing is lost by setting it aside.
    pub(crate) fn corrupt(&self) -> bool {
        let Self::Sqlite(error) = self else { return false };
        matches!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt)
        )
    }
}

/// Opens a connection that writes, bringing the tables up to date.
pub(crate) fn open(path: &Path, durability: Durability) -> Result<Connection, SchemaError> {
    let mut connection = connect(path)?;
    // Checked before the first write, so that a foreign file does not even change its journal mode.
    version(&connection, MIGRATIONS)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // Checkpoints sync the disk; the writer's thread makes them, never a commit.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    set_durability(&connection, durability)?;
    migrate(&mut connection, MIGRATIONS)?;
    Ok(connection)
}

/// Opens a further connection to a database that [`open`] has prepared.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Without SQLITE_OPEN_URI a path that begins with `file:` is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Makes commits survive what they have to: the end of the process, or a power cut too.
pub(crate) fn set_durability(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let synchronous = if durability == Durability::Power { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", synchronous)
}

fn version(connection: &Connection, migrations: &[&str]) -> Result<usize, SchemaError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (version != 0 || tables != 0) {
        return Err(SchemaError::Foreign);
    }
    let version = usize::try_from(version).map_err(|_| SchemaError::Foreign)?;
    if version > migrations.len() {
        return Err(SchemaError::Newer { found: version, known: migrations.len() });
    }
    Ok(version)
}

fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), SchemaError> {
    if version(connection, migrations)? == migrations.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have been first.
    for migration in &migrations[version(&transaction, migrations)?..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", migrations.len())?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("books.db");
        std::fs::File::create(&path).unwrap();
        (folder, path)
    }

    #[test]
    fn a_database_of_an_earlier_version_is_brought_up_to_date_and_keeps_its_rows() {
        let (_folder, path) = file();
        let mut connection = connect(&path).unwrap();
        migrate(&mut connection, &["CREATE TABLE a (x); INSERT INTO a VALUES (7);"]).unwrap();
        let later =
            ["CREATE TABLE a (x);", "ALTER TABLE a ADD y; UPDATE a SET y = x + 1;", "CREATE TABLE b (z);"];
        migrate(&mut connection, &later).unwrap();
        let y: i64 = connection.query_row("SELECT y FROM a", [], |row| row.get(0)).unwrap();
        assert_eq!((y, version(&connection, &later).unwrap()), (8, 3));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_database_as_it_was() {
        let (_folder, path) = file();
        let mut connection = connect(&path).unwrap();
        migrate(&mut connection, &["CREATE TABLE a (x);"]).unwrap();
        migrate(&mut connection, &["", "CREATE TABLE b (x);", "no sql"]).unwrap_err();
        assert_eq!(version(&connection, MIGRATIONS).unwrap(), 1);
        connection.query_row("SELECT count(*) FROM b", [], |_| Ok(())).unwrap_err();
    }

    #[test]
    fn a_database_of_a_later_version_is_refused_untouched() {
        let (_folder, path) = file();
        let connection = open(&path, Durability::Process).unwrap();
        connection.pragma_update(None, "user_version", KNOWN_VERSION + 1).unwrap();
        drop(connection);
        let before = std::fs::read(&path).unwrap();
        let refused = open(&path, Durability::Process).unwrap_err();
        assert!(matches!(refused, SchemaError::Newer { found, known } if found == known + 1), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_database_of_another_program_is_refused_untouched() {
        let (_folder, path) = file();
        connect(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(open(&path, Durability::Process), Err(SchemaError::Foreign)));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn power_durability_syncs_every_commit_and_process_durability_none() {
        let (_folder, path) = file();
        let synchronous = |durability| {
            let connection = open(&path, durability).unwrap();
            connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!((synchronous(Durability::Process), synchronous(Durability::Power)), (1, 2));
    }
}
