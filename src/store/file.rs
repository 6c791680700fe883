//! The state file: a redb database with the rows of all endpoints, and what says whose they are.
//!
//! | table | key | value |
//! |---|---|---|
//! | `endpoint` | endpoint name | a row of `record.rs` |
//! | `meta` | `schema`, `service`, `alive` | number of the schema; service id of the owner; when it last wrote, ms since 1970 |
//!
//! A commit is atomic and on disk when it returns (redb copies pages and syncs), so a crash costs no row that was
//! committed before. redb locks the file against other processes.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};

/// An open state file.
pub(super) struct File {
    database: Database,
}

/// Rows to write by endpoint name; `None` removes one.
pub(super) type Rows = HashMap<String, Option<Vec<u8>>>;

impl File {
    /// Opens the file of `owner` in `folder`; makes both when they are missing. A file that is damaged beyond reading is
    /// moved aside, named after `now` (ms since 1970), and a new one takes its place.
    ///
    /// # Errors
    /// [`OpenError`]
    pub(super) fn open(
        folder: &Path,
        cache_bytes: usize,
        owner: &str,
        now: i64,
    ) -> Result<Self, OpenError> {
        let path = folder.join(FILE_NAME);
        let io = |source| OpenError::Io {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(folder).map_err(io)?;
        let create = || {
            Builder::new()
                .set_cache_size(cache_bytes)
                .create(&path)
                .map_err(|error| failure(error, &path))
        };
        let database = match create() {
            Err(OpenError::Damaged { .. }) => {
                let aside = folder.join(format!("{FILE_NAME}.damaged-{now}"));
                fs::rename(&path, &aside).map_err(io)?;
                tracing::error!(
                    event = "state_damaged",
                    "the state file is damaged and was moved to {}: what it alone held is lost, and a new one is begun",
                    aside.display()
                );
                create()?
            }
            opened => opened?,
        };
        let file = Self { database };
        file.take_possession(owner)
            .map_err(|error| failure(error, &path))?
            .map_err(|wrong| match wrong {
                Wrong::Schema(found) => OpenError::Schema {
                    path: path.clone(),
                    found,
                },
                Wrong::Owner(found) => OpenError::Owner {
                    path: path.clone(),
                    found,
                    expected: owner.to_owned(),
                },
            })?;
        Ok(file)
    }

    /// Checks whose file it is and in which form; an empty one is `owner`'s from here on.
    fn take_possession(&self, owner: &str) -> Result<Result<(), Wrong>, redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            let schema = meta.get("schema")?.map(|value| value.value().to_vec());
            match schema.map(|bytes| number(&bytes)) {
                None => {
                    meta.insert("schema", &SCHEMA.to_be_bytes()[..])?;
                    meta.insert("service", owner.as_bytes())?;
                }
                Some(SCHEMA) => {}
                Some(other) => return Ok(Err(Wrong::Schema(other))),
            }
            let service = meta.get("service")?.map(|value| value.value().to_vec());
            let service = service.unwrap_or_default();
            if service != owner.as_bytes() {
                let found = String::from_utf8_lossy(&service).into_owned();
                return Ok(Err(Wrong::Owner(found)));
            }
            transaction.open_table(ENDPOINT)?;
        }
        transaction.commit()?;
        Ok(Ok(()))
    }

    /// Writes rows in one transaction, and that the owner was alive at `now`, ms since 1970.
    pub(super) fn commit(&self, rows: &Rows, now: i64) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut endpoints = transaction.open_table(ENDPOINT)?;
            for (name, row) in rows {
                match row {
                    Some(row) => endpoints.insert(name.as_str(), row.as_slice())?,
                    None => endpoints.remove(name.as_str())?,
                };
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert("alive", &now.to_be_bytes()[..])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// When the owner was last known to be alive, ms since 1970; `None`: it never wrote.
    pub(super) fn alive(&self) -> Result<Option<i64>, redb::Error> {
        let meta = self.database.begin_read()?.open_table(META)?;
        Ok(meta.get("alive")?.map(|value| number(value.value())))
    }

    /// Hands over every row, by name.
    pub(super) fn load(&self, mut each: impl FnMut(&str, &[u8])) -> Result<(), redb::Error> {
        let endpoints = self.database.begin_read()?.open_table(ENDPOINT)?;
        for entry in endpoints.iter()? {
            let (name, row) = entry?;
            each(name.value(), row.value());
        }
        Ok(())
    }

    /// The row of an endpoint.
    pub(super) fn get(&self, name: &str) -> Result<Option<Vec<u8>>, redb::Error> {
        let endpoints = self.database.begin_read()?.open_table(ENDPOINT)?;
        Ok(endpoints.get(name)?.map(|row| row.value().to_vec()))
    }
}

/// What keeps a file from being used.
enum Wrong {
    Schema(i64),
    Owner(String),
}

/// A number of up to eight bytes, the first the most significant one.
fn number(bytes: &[u8]) -> i64 {
    let all = bytes.iter().take(8);
    all.fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

/// Tells what an operator can do about an error.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of the database's many errors these are the ones that mean something to an operator"
)]
fn failure(error: impl Into<redb::Error>, path: &Path) -> OpenError {
    let path = path.to_owned();
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse { path },
        redb::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
            OpenError::Damaged { path }
        }
        redb::Error::Io(source) => OpenError::Io { path, source },
        redb::Error::Corrupted(_) => OpenError::Damaged { path },
        error => OpenError::Database {
            path,
            source: Box::new(error),
        },
    }
}

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is damaged, and a new one could not take its place.
    #[error("the state file {path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The database cannot use it.
    #[error("the state file {path} cannot be used")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<redb::Error>,
    },
    /// Another process uses it.
    #[error(
        "another process uses the state file {path}: no two instances may have the same folder (state.dir)"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("the state file {path} cannot be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is another instance's.
    #[error(
        "the state file {path} belongs to the instance `{found}`, and this one is `{expected}` (service.id): name another \
         folder (state.dir), or remove the file if that instance is gone for good"
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wanted it.
        expected: String,
    },
    /// Another release wrote it in a form that this one does not know.
    #[error(
        "the state file {path} has form {found}, and this release knows form {SCHEMA} only: run the release that wrote it, \
         or remove the file (devices will register again)"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its form.
        found: i64,
    },
    /// A thread cannot be started.
    #[error("the thread that writes the state file cannot be started")]
    Thread(#[source] io::Error),
}

/// Name of the file in its folder.
pub(super) const FILE_NAME: &str = "state.redb";
/// The form of the file that this release reads and writes.
const SCHEMA: i64 = 1;
const ENDPOINT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("endpoint");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, owner: &str) -> Result<File, OpenError> {
        File::open(folder, 1 << 20, owner, 7)
    }

    fn rows(rows: &[(&str, Option<&[u8]>)]) -> Rows {
        let row =
            |(name, row): &(&str, Option<&[u8]>)| ((*name).to_owned(), row.map(<[u8]>::to_vec));
        rows.iter().map(row).collect()
    }

    fn content(file: &File) -> Vec<(String, Vec<u8>)> {
        let mut content = Vec::new();
        file.load(|name, row| content.push((name.to_owned(), row.to_vec())))
            .unwrap();
        content
    }

    #[test]
    fn what_was_committed_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made/when/missing");
        let file = open(&folder, "ls-0").unwrap();
        assert_eq!(file.alive().unwrap(), None);
        file.commit(&rows(&[("b", Some(b"2")), ("a", Some(b"1"))]), 5)
            .unwrap();
        file.commit(&rows(&[("b", None), ("c", Some(b"3"))]), 1_700_000_000_000)
            .unwrap();
        drop(file);
        let file = open(&folder, "ls-0").unwrap();
        let expected =
            [("a", b"1"), ("c", b"3")].map(|(name, row)| (name.to_owned(), row.to_vec()));
        assert_eq!(content(&file), expected);
        assert_eq!(file.get("a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(file.get("b").unwrap(), None);
        assert_eq!(file.alive().unwrap(), Some(1_700_000_000_000));
    }

    #[test]
    fn a_file_is_one_instances_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = open(folder.path(), "ls-0").unwrap();
        let second = open(folder.path(), "ls-0").err().unwrap();
        assert!(matches!(second, OpenError::InUse { .. }), "{second:?}");
        drop(file);
        let other = open(folder.path(), "ls-1").err().unwrap().to_string();
        assert!(
            other.contains("`ls-0`") && other.contains("`ls-1`"),
            "{other}"
        );
    }

    #[test]
    fn a71_a_file_of_a_later_release_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = open(folder.path(), "ls-0").unwrap();
        file.commit(&rows(&[("a", Some(b"1"))]), 5).unwrap();
        let write = |schema: i64| {
            let database = Database::open(folder.path().join(FILE_NAME)).unwrap();
            let transaction = database.begin_write().unwrap();
            let mut meta = transaction.open_table(META).unwrap();
            meta.insert("schema", &schema.to_be_bytes()[..]).unwrap();
            drop(meta);
            transaction.commit().unwrap();
        };
        drop(file);
        write(2);
        for _ in 0..2 {
            let error = open(folder.path(), "ls-0").err().unwrap();
            assert!(
                matches!(error, OpenError::Schema { found: 2, .. }),
                "{error:?}"
            );
        }
        write(1);
        let file = open(folder.path(), "ls-0").unwrap();
        assert_eq!(content(&file), [("a".to_owned(), b"1".to_vec())]);
    }

    #[test]
    fn a65_a_file_that_is_no_database_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        for content in [&b"no database"[..], &[0xa5; 10_000]] {
            fs::write(&path, content).unwrap();
            drop(open(folder.path(), "ls-0").unwrap());
            let aside = folder.path().join("state.redb.damaged-7");
            assert_eq!(fs::read(aside).unwrap(), content);
        }
    }

    #[test]
    fn a65_a_folder_that_cannot_be_made_is_an_error_that_names_it() {
        let error = open(Path::new("/proc/none"), "ls-0").err().unwrap();
        assert!(error.to_string().contains("/proc/none"), "{error}");
    }
}
