//! Files: done once for each content, and again when they change.
//!
//! [`Job::process_files`] applies an [operation](FileOperation) to files, on threads. With
//! [`cache_results`](FileOptions::cache_results) the result of each file is kept under the hash of its content and the
//! operation's name and version; where the same content comes again, under whatever name and in whatever run, it is taken
//! from there. With [`skip_existing`](FileOptions::skip_existing) such a file is passed over. Either makes a run that was
//! ended resume by itself: what it had done is there.

mod cache;
mod find;
mod operation;

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use serde_json::Value;

pub use self::find::{FindError, MOST_FILES, find_files};
pub use self::operation::{
    FileError, FileOperation, FileOperations, RegisterError, UnknownOperation,
};

use self::cache::{Cache, Cached, Key};
use crate::config::{BatchConfig, Sizing};
use crate::error::{ItemError, Stopped};
use crate::policy::Policy;
use crate::processor::Job;
use crate::progress::Progress;

/// How files are processed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileOptions {
    /// Whether several files are processed at once, as many as the configuration's
    /// [concurrency](crate::BatchConfig::concurrency). They are, by default.
    pub parallel: bool,
    /// Whether results are kept, and taken from where they are kept. Not by default. Files of one content that are processed
    /// at the same moment are each done.
    pub cache_results: bool,
    /// Whether a file is passed over whose content has been done. Not by default. It is told as
    /// [`Skipped`](FileOutcome::Skipped), without its result.
    pub skip_existing: bool,
    /// Where results, and what has been done, are kept. `.aqe/batch-cache` by default.
    pub cache_folder: PathBuf,
    /// How many bytes of files the folder may have; beyond that, those go that were not used for longest. 256 MiB by
    /// default. For moments it can be an eighth more.
    pub max_cache_bytes: u64,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            parallel: true,
            cache_results: false,
            skip_existing: false,
            cache_folder: PathBuf::from(".aqe/batch-cache"),
            max_cache_bytes: 256 << 20,
        }
    }
}

impl FileOptions {
    /// Sets [`parallel`](Self::parallel).
    #[must_use]
    pub fn parallel(mut self, parallel: bool) -> Self {
        self.parallel = parallel;
        self
    }

    /// Sets [`cache_results`](Self::cache_results).
    #[must_use]
    pub fn cache_results(mut self, cache: bool) -> Self {
        self.cache_results = cache;
        self
    }

    /// Sets [`skip_existing`](Self::skip_existing).
    #[must_use]
    pub fn skip_existing(mut self, skip: bool) -> Self {
        self.skip_existing = skip;
        self
    }

    /// Sets [`cache_folder`](Self::cache_folder).
    #[must_use]
    pub fn cache_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_folder = folder.into();
        self
    }

    /// Sets [`max_cache_bytes`](Self::max_cache_bytes).
    #[must_use]
    pub fn max_cache_bytes(mut self, bytes: u64) -> Self {
        self.max_cache_bytes = bytes;
        self
    }

    fn uses_cache(&self) -> bool {
        self.cache_results || self.skip_existing
    }
}

/// What became of the files, in the order in which they were given.
#[derive(Debug)]
#[non_exhaustive]
pub struct FilesReport {
    /// Each file.
    pub files: Vec<FileReport>,
    /// The last progress. Its bytes are those of the files that were read.
    pub progress: Progress,
    /// Results that were to be kept and are not, because they are larger than an eighth of
    /// [`max_cache_bytes`](FileOptions::max_cache_bytes) or the system refused. Another run does those files again.
    pub not_kept: u64,
}

/// What became of one file.
#[derive(Debug)]
#[non_exhaustive]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// What became of it.
    pub outcome: FileOutcome,
}

/// What became of a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileOutcome {
    /// The operation was applied to it, with this result.
    Done(Value),
    /// The same content was done before, with this result.
    Cached(Value),
    /// The same content was done before.
    Skipped,
    /// It could not be read, or the operation failed.
    Failed(ItemError<FileError>),
    /// The run ended before its turn, or a [policy](Job::on_error) left it out.
    NotRun,
}

impl FileOutcome {
    /// The result, new or kept.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Done(value) | Self::Cached(value) => Some(value),
            Self::Skipped | Self::Failed(_) | Self::NotRun => None,
        }
    }
}

/// Why files were not all processed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// The run ended before its last file. The report has everything that was done.
    #[error("{stopped}")]
    Stopped {
        /// Why.
        stopped: Stopped,
        /// What was done until then.
        report: Box<FilesReport>,
    },
    /// The folder for results cannot be used.
    #[error("cannot keep results in {}", .folder.display())]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl<P> Job<P> {
    /// Applies `operation` to every file, on threads.
    ///
    /// A failing file is an outcome like others, up to the
    /// [error threshold](crate::BatchConfig::error_threshold). [`find_files`] makes a list of files of patterns.
    ///
    /// ```
    /// use aqe_batch::{BatchConfig, BatchProcessor, FileOperation, FileOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("a.txt"), "one\ntwo\n")?;
    /// # let (file, cache) = (folder.path().join("a.txt"), folder.path().join("cache"));
    /// let lines = FileOperation::new("count-lines", "1", |path| {
    ///     std::fs::read_to_string(path).map(|text| text.lines().count())
    /// });
    /// let options = FileOptions::default().cache_results(true).cache_folder(cache);
    /// let processor = BatchProcessor::new(BatchConfig::default())?;
    /// let report = processor.job("lines").process_files(&[file], &lines, &options)?;
    /// assert_eq!(report.files[0].outcome.value(), Some(&2.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`FilesError`], with everything that was done when the run began.
    ///
    /// # Panics
    ///
    /// If a progress callback panics. An operation that panics fails its file alone.
    pub fn process_files<F>(
        self,
        files: &[F],
        operation: &FileOperation,
        options: &FileOptions,
    ) -> Result<FilesReport, FilesError>
    where
        F: AsRef<Path> + Sync,
        P: Policy<FileError> + Sync,
    {
        self.process(files, operation, options, &|_, value| Ok(value))
    }

    /// As [`process_files`](Self::process_files), but hands each result to `take`, new or kept, as soon as it is there, with
    /// the place of its file in `files`. In the report, `null` stands for every result, so that results need not fit into
    /// memory together.
    ///
    /// `take` is called on the threads that process the files. When it fails, so does the file.
    ///
    /// # Errors
    ///
    /// As [`process_files`](Self::process_files).
    ///
    /// # Panics
    ///
    /// If a progress callback panics. An operation or a `take` that panics fails its file alone.
    pub fn process_files_each<F>(
        self,
        files: &[F],
        operation: &FileOperation,
        options: &FileOptions,
        take: impl Fn(usize, Value) -> Result<(), FileError> + Sync,
    ) -> Result<FilesReport, FilesError>
    where
        F: AsRef<Path> + Sync,
        P: Policy<FileError> + Sync,
    {
        self.process(files, operation, options, &|place, value| {
            take(place, value).map(|()| Value::Null)
        })
    }

    fn process<F>(
        mut self,
        files: &[F],
        operation: &FileOperation,
        options: &FileOptions,
        take: &Take<'_>,
    ) -> Result<FilesReport, FilesError>
    where
        F: AsRef<Path> + Sync,
        P: Policy<FileError> + Sync,
    {
        let cache = match options.uses_cache() {
            true => Some(Cache::open(&options.cache_folder, options.max_cache_bytes)),
            false => None,
        };
        let cache = cache.transpose().map_err(|source| FilesError::Cache {
            folder: options.cache_folder.clone(),
            source,
        })?;
        self.config = for_files(&self.config, files.len(), options).into();
        let bytes = self.audience.bytes();
        let not_kept = AtomicU64::new(0);
        let one = OneFile {
            operation,
            options,
            cache: cache.as_ref(),
            count: &|read| bytes.add(read),
            not_kept: &not_kept,
        };
        // Chunk by chunk: a slice would be claimed in large shares, of which one may have all the large files.
        let result = self.map(files.iter().enumerate(), |&(place, file)| {
            let take = |value| take(place, value);
            Ok(match one.process(file.as_ref())? {
                FileOutcome::Done(value) => FileOutcome::Done(take(value)?),
                FileOutcome::Cached(value) => FileOutcome::Cached(take(value)?),
                without_result => without_result,
            })
        });
        if let Some(cache) = &cache {
            cache.trim();
        }
        let (stopped, report) = match result {
            Ok(report) => (None, report),
            Err(error) => {
                let (stopped, report) = error.into_parts();
                (Some(stopped), report)
            }
        };
        let mut all: Vec<FileReport> = files
            .iter()
            .map(|file| FileReport {
                path: file.as_ref().to_owned(),
                outcome: FileOutcome::NotRun,
            })
            .collect();
        let progress = report.progress;
        let items: Vec<u64> = report.results.iter().map(|(item, _)| item).collect();
        let done = items.into_iter().zip(report.results.into_vec());
        let failed = report.failed.into_iter();
        let failed = failed.map(|it| (it.item, FileOutcome::Failed(it.error)));
        for (item, outcome) in done.chain(failed) {
            // Items are numbered in the order of the files.
            all[item as usize].outcome = outcome;
        }
        let report = FilesReport {
            files: all,
            progress,
            not_kept: not_kept.into_inner(),
        };
        match stopped {
            None => Ok(report),
            Some(stopped) => Err(FilesError::Stopped {
                stopped,
                report: Box::new(report),
            }),
        }
    }
}

/// Every worker gets so many chunks, if there are enough files.
const CHUNKS_PER_WORKER: usize = 4;

/// The settings for so many files. A file is much more work than the items that a chunk size is usually meant for, so a
/// chunk has no more of them than leave some for every worker.
fn for_files(config: &BatchConfig, files: usize, options: &FileOptions) -> BatchConfig {
    let mut config = config.clone();
    if !options.parallel {
        config.concurrency = 1;
    }
    if config.sizing == Sizing::Fixed {
        let share = files / config.concurrency.saturating_mul(CHUNKS_PER_WORKER);
        config.chunk_size = config.chunk_size.min(share.max(1));
    }
    config
}

/// What is done with the result for the file in this place; what it returns is in the report.
type Take<'a> = dyn Fn(usize, Value) -> Result<Value, FileError> + Sync + 'a;

/// How one file is processed.
struct OneFile<'a> {
    operation: &'a FileOperation,
    options: &'a FileOptions,
    cache: Option<&'a Cache>,
    count: &'a (dyn Fn(u64) + Sync),
    /// How many results were to be kept, and were not.
    not_kept: &'a AtomicU64,
}

impl OneFile<'_> {
    fn process(&self, path: &Path) -> Result<FileOutcome, FileError> {
        let Some(cache) = self.cache else {
            (self.count)(std::fs::metadata(path).map_or(0, |it| it.len()));
            return self.operation.run(path).map(FileOutcome::Done);
        };
        let (key, state) = self.key(path)?;
        if self.options.skip_existing && cache.has(&key) {
            return Ok(FileOutcome::Skipped);
        }
        if self.options.cache_results
            && let Some(Cached::Result(bytes)) = cache.take(&key)
            && let Ok(value) = serde_json::from_slice(&bytes)
        {
            return Ok(FileOutcome::Cached(value));
        }
        let value = self.operation.run(path)?;
        // A file that was written to meanwhile may have given any result; that of its present content is found next time.
        let is_the_same = std::fs::metadata(path).is_ok_and(|it| State::of(&it) == state);
        if is_the_same {
            let entry = if self.options.cache_results {
                Cached::Result(serde_json::to_vec(&value)?)
            } else {
                Cached::Done
            };
            // A result that cannot be kept is a result all the same.
            if !cache.put(&key, &entry).unwrap_or(false) {
                // Relaxed: it orders nothing.
                self.not_kept.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(FileOutcome::Done(value))
    }

    /// The hash of everything that the result depends on.
    fn key(&self, path: &Path) -> Result<(Key, State), FileError> {
        let reading =
            |source| -> FileError { format!("cannot read {}: {source}", path.display()).into() };
        let mut file = File::open(path).map_err(reading)?;
        let state = State::of(&file.metadata().map_err(reading)?);
        let mut hasher = blake3::Hasher::new();
        for part in [self.operation.name(), self.operation.version()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    hasher.update(&buffer[..read]);
                    (self.count)(read as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(reading(error)),
            }
        }
        Ok((Key(hasher.finalize()), state))
    }
}

/// What changes when a file is written to.
#[derive(PartialEq, Eq)]
struct State {
    len: u64,
    modified: Option<SystemTime>,
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Once, ten files were one chunk, which one thread had to itself.
    #[test]
    fn every_worker_gets_some_of_the_files() {
        let default = BatchConfig::default();
        for (config, files, chunk) in [
            (default.clone(), 0, 1),
            (default.clone(), 10, 1),
            (default.clone(), 100, 5),
            (default.clone(), 100_000, 20),
            (default.clone().concurrency(usize::MAX), 100_000, 1),
            (default.clone().adaptive(10, 50), 10, 20),
        ] {
            let settings = for_files(&config, files, &FileOptions::default());
            assert_eq!(settings.chunk_size, chunk, "{config:?} {files}");
        }
        let serial = FileOptions::default().parallel(false);
        let settings = for_files(&default, 40, &serial);
        assert_eq!((settings.concurrency, settings.chunk_size), (1, 10));
    }
}
