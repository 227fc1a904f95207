//! Which image stands for the database: noted in it, so that a file that was edited or restored is known for one.

use std::io;

use rusqlite::OptionalExtension;

use crate::state_file::SaveError;
use crate::writer::SqliteJournal;

/// The digests of the image beside the database.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    /// Of the image that is in its place.
    pub(crate) current: Option<String>,
    /// Of the one that was about to take that place.
    pub(crate) pending: Option<String>,
}

const SET_DIGEST: &str = "INSERT INTO meta (name, value) VALUES (?1, ?2)
    ON CONFLICT (name) DO UPDATE SET value = ?2";

impl SqliteJournal {
    /// The digests of the image that was last written.
    pub(crate) fn digests(&self) -> rusqlite::Result<Digests> {
        self.with_connection(|connection| {
            let value = |name| {
                let sql = "SELECT value FROM meta WHERE name = ?1";
                connection.query_row(sql, [name], |row| row.get::<_, Option<String>>(0)).optional()
            };
            Ok(Digests { current: value("image")?.flatten(), pending: value("image_pending")?.flatten() })
        })
    }

    /// Says which image stands for the database now; `None` for none.
    pub(crate) fn set_digest(&self, digest: Option<&str>) -> rusqlite::Result<()> {
        self.with_connection(|connection| {
            let transaction = connection.unchecked_transaction()?;
            transaction.prepare_cached(SET_DIGEST)?.execute(("image", digest))?;
            transaction.prepare_cached(SET_DIGEST)?.execute(("image_pending", None::<&str>))?;
            transaction.commit()
        })
    }

    /// Writes an image that is announced in the database before, so that it is known for ours whenever the process
    /// ends. One image is written at a time.
    pub(crate) fn write_image(
        &self,
        digest: &str,
        write: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), SaveError> {
        let _one_at_a_time = self.lock_image();
        let announced = self.with_connection(|connection| {
            connection.prepare_cached(SET_DIGEST)?.execute(("image_pending", digest)).map(drop)
        });
        announced.map_err(SaveError::Announce)?;
        write().map_err(SaveError::Image)?;
        self.set_digest(Some(digest)).map_err(SaveError::Announce)
    }
}
