//! From the command line and the configuration to what the batch processor is told.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use aqe_core::batch::FileOptions;
use aqe_core::batch::coverage::{AnalyzeOptions, Format, Limits, PathRules};
use aqe_core::config::{Config, Loaded};
use aqe_core::state::StateFolder;

use crate::args::{BatchArgs, ReportFormatArg};
use crate::config::{loader, refused};
use crate::exit::Exit;
use crate::failure::Failure;

/// What cargo puts into its target folder, and nobody else into a folder of that name beside a manifest.
const CARGO_MARK: &str = "CACHEDIR.TAG";

/// Where results are kept in a target folder; what `aqe run` leaves is in `aqe` as well.
const IN_TARGET: &str = "aqe/batch-cache";

/// Where they are kept without a target folder.
const ELSEWHERE: &str = ".aqe/batch-cache";

/// Loads the configuration with the flag on top, so that it is checked and explained like a line of the file.
pub(super) fn load(arguments: &BatchArgs, folder: &Path) -> Result<Config, Failure> {
    let loader = loader(&arguments.config, folder.to_owned());
    let loader = match &arguments.concurrency {
        Some(concurrency) => loader.flag("batch.concurrency", concurrency),
        None => loader,
    };
    loader
        .load()
        .map(Loaded::into_config)
        .map_err(|error| refused(&error))
}

/// Where results are kept, if they are.
pub(super) fn files(arguments: &BatchArgs, folder: &Path) -> Result<FileOptions, Failure> {
    let options = FileOptions::default();
    if arguments.no_cache {
        return Ok(options);
    }
    let cache = match &arguments.cache_dir {
        Some(given) => folder.join(given),
        None => cache_folder(folder, std::env::var_os("CARGO_TARGET_DIR")),
    };
    make(&cache).map_err(|error| {
        let what = format!("cannot keep results in {}: {error}", cache.display());
        Failure::new(Exit::Environment, what)
            .hint("--cache-dir names another folder, and --no-cache needs none")
    })?;
    Ok(options
        .cache_results(true)
        .cache_folder(cache)
        .max_cache_bytes(arguments.cache_size.as_u64()))
}

/// The folder for results: cargo's target folder if there is one, as with `aqe run`, which asks cargo. Here no manifest
/// is read, because a coverage report may be of a project of any language.
fn cache_folder(folder: &Path, target: Option<OsString>) -> PathBuf {
    let of_variable = target
        .filter(|target| !target.is_empty())
        .map(|target| folder.join(target))
        .filter(|target| target.is_dir());
    let beside_manifest = || {
        let mut above = folder.ancestors();
        above.find_map(|folder| {
            let target = folder.join("target");
            let is_cargos =
                folder.join("Cargo.toml").is_file() && target.join(CARGO_MARK).is_file();
            is_cargos.then_some(target)
        })
    };
    match of_variable.or_else(beside_manifest) {
        Some(target) => target.join(IN_TARGET),
        None => folder.join(ELSEWHERE),
    }
}

/// Makes the folder, with a file by which git passes it over wherever it is. One that is there already may be anybody's,
/// and gets none.
fn make(cache: &Path) -> std::io::Result<()> {
    if cache.is_dir() {
        return Ok(());
    }
    // The project's state folder is made for its user alone, or `aqe run` would not use it.
    if let Some(state) = cache.parent().filter(|_| cache.ends_with(ELSEWHERE))
        && !state.exists()
    {
        StateFolder::at(state)
            .create()
            .map_err(std::io::Error::other)?;
    }
    std::fs::create_dir_all(cache)?;
    std::fs::write(cache.join(".gitignore"), "*\n")
}

/// How reports are read.
pub(super) fn analysis(arguments: &BatchArgs, folder: &Path) -> AnalyzeOptions {
    // Tools write absolute paths, people want those that they see. A folder that is no text is in no report as it is.
    let prefixes = arguments.strip_prefix.iter().map(String::as_str);
    let prefixes = prefixes.chain(folder.to_str());
    let rules = prefixes.fold(PathRules::new(), PathRules::strip_prefix);
    let options = AnalyzeOptions::default()
        .paths(rules)
        .limits(Limits::default().memory(arguments.max_memory));
    match arguments.report_format {
        None => options,
        Some(ReportFormatArg::Lcov) => options.format(Format::Lcov),
        Some(ReportFormatArg::Cobertura) => options.format(Format::Cobertura),
        Some(ReportFormatArg::LlvmJson) => options.format(Format::LlvmJson),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn results_are_kept_where_cargo_keeps_its_own() {
        let place = tempfile::tempdir().unwrap();
        let package = place.path().join("package");
        let inner = package.join("src/deep");
        fs::create_dir_all(&inner).unwrap();
        let found = || cache_folder(&inner, None);
        assert_eq!(found(), inner.join(".aqe/batch-cache"));
        // A folder of that name alone may be anything.
        fs::create_dir(package.join("target")).unwrap();
        fs::write(package.join("target/CACHEDIR.TAG"), "").unwrap();
        assert_eq!(found(), inner.join(".aqe/batch-cache"));
        fs::write(package.join("Cargo.toml"), "").unwrap();
        assert_eq!(found(), package.join("target/aqe/batch-cache"));
        fs::remove_file(package.join("target/CACHEDIR.TAG")).unwrap();
        assert_eq!(found(), inner.join(".aqe/batch-cache"));
    }

    #[test]
    fn a_folder_that_was_there_is_left_as_it_is() {
        let place = tempfile::tempdir().unwrap();
        make(place.path()).unwrap();
        assert!(!place.path().join(".gitignore").exists());
        let new = place.path().join("a/b");
        make(&new).unwrap();
        assert_eq!(fs::read_to_string(new.join(".gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn the_state_folder_is_made_as_a_run_wants_it() {
        let place = tempfile::tempdir().unwrap();
        let cache = place.path().join(ELSEWHERE);
        make(&cache).unwrap();
        assert!(cache.join(".gitignore").is_file());
        let state = StateFolder::at(place.path().join(".aqe"));
        assert!(state.path().join(".gitignore").is_file());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(state.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }

    #[test]
    fn the_variable_of_cargo_decides_where_there_is_such_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let found = |target: &str| cache_folder(place.path(), Some(target.into()));
        let here = place.path().join(".aqe/batch-cache");
        assert_eq!((found("built"), found("")), (here.clone(), here));
        fs::create_dir(place.path().join("built")).unwrap();
        assert_eq!(found("built"), place.path().join("built/aqe/batch-cache"));
    }
}
