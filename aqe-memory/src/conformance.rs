//! Checks that any [`MemoryStore`] must pass (feature `conformance`).
//!
//! Each function takes a store that nobody has used yet and panics, saying what was expected, if the contract of the trait does
//! not hold. [`all`] runs every one of them. Some of them let time pass: `pass` is called with how much of it, and moves the
//! store's clock, or waits that long by it; what it answers is awaited. What is put is small, and little of it: a store that
//! evicts has room for it.
//!
//! ```
//! use aqe_memory::{ManualClock, MemoryConfig, Store};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let clock = ManualClock::new();
//! let store = || Store::with_clock(MemoryConfig::default(), &clock).unwrap();
//! aqe_memory::conformance::all(store, async |time| clock.advance(time)).await;
//! # }
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Durability, MemoryStore, MemoryStoreExt, PutOptions, StoreError, TimeToLive};
use crate::store::Version;

/// How long entries live that are to be over.
const SHORT: Duration = Duration::from_millis(200);

/// Runs every check, each on a new store.
///
/// # Panics
///
/// If the store breaks the contract.
///
/// # Cancel safety
///
/// Dropping the future ends the check; the store is of no use for another one.
pub async fn all<S: MemoryStore>(make: impl Fn() -> S, pass: impl AsyncFn(Duration)) {
    what_is_put_is_there(&make()).await;
    keys_and_values_are_any_bytes(&make()).await;
    namespaces_have_keys_of_their_own(&make()).await;
    every_value_has_its_version(&make()).await;
    only_what_is_expected_is_replaced(&make()).await;
    only_what_is_expected_is_removed(&make()).await;
    one_of_many_who_exchange_wins(Arc::new(make())).await;
    keys_come_in_order_and_in_pages(&make()).await;
    a_receipt_says_no_less_than_was_asked_for(&make()).await;
    an_entry_lives_as_long_as_it_should(&make(), &pass).await;
    what_is_over_is_not_there_in_any_way(&make(), &pass).await;
    what_is_not_there_is_loaded_once(Arc::new(make())).await;
}

/// A value that was put is read, replaced and removed.
///
/// # Panics
///
/// If not.
pub async fn what_is_put_is_there(store: &dyn MemoryStore) {
    assert_eq!(read(store, "n", b"key").await, None, "a new store is empty");
    assert!(!removed(store, "n", b"key", None).await, "there is nothing");
    put(store, "n", b"key", b"1").await;
    assert_eq!(read(store, "n", b"key").await.as_deref(), Some(&b"1"[..]));
    put(store, "n", b"key", b"22").await;
    assert_eq!(read(store, "n", b"key").await.as_deref(), Some(&b"22"[..]));
    assert!(
        removed(store, "n", b"key", None).await,
        "there was an entry"
    );
    assert_eq!(read(store, "n", b"key").await, None, "it was removed");
    assert!(!removed(store, "n", b"key", None).await, "it is gone");
    if let Err(error) = store.flush().await {
        panic!("an undisturbed store can be flushed: {error}");
    }
}

/// Empty ones, all bytes, and prefixes of one another.
///
/// # Panics
///
/// If they are not.
pub async fn keys_and_values_are_any_bytes(store: &dyn MemoryStore) {
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    let keys: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"a\0b", b"\xFF\xFE", &all_bytes];
    for key in keys {
        let value = [key, b"/", key].concat();
        put(store, "n", key, &value).await;
    }
    put(store, "n", b"empty", b"").await;
    for key in keys {
        let value = [key, b"/", key].concat();
        assert_eq!(
            read(store, "n", key).await,
            Some(value),
            "{}",
            key.escape_ascii()
        );
    }
    assert_eq!(read(store, "n", b"empty").await, Some(Vec::new()));
}

/// The same key in two namespaces is two keys. Reading makes no namespace.
///
/// # Panics
///
/// If not.
pub async fn namespaces_have_keys_of_their_own(store: &dyn MemoryStore) {
    let names = ["", "a", "b", "a/b", "ä"];
    for name in names {
        put(store, name, b"key", name.as_bytes()).await;
    }
    assert!(removed(store, "a", b"key", None).await);
    for name in names {
        let expected = (name != "a").then(|| name.as_bytes().to_vec());
        assert_eq!(read(store, name, b"key").await, expected, "in `{name}`");
    }
    assert_eq!(read(store, "other", b"key").await, None);
    match store.namespaces().await {
        Ok(found) => {
            assert!(found.is_sorted(), "{found:?}");
            let there = |name: &&str| found.iter().any(|found| **found == **name);
            assert!(names.iter().all(there), "{names:?} in {found:?}");
        }
        Err(error) => panic!("the namespaces: {error}"),
    }
}

/// Two values of a key never have the same version, also when they are the same bytes, or the entry was removed between
/// them. Reading changes nothing.
///
/// # Panics
///
/// If they have.
pub async fn every_value_has_its_version(store: &dyn MemoryStore) {
    let mut versions = Vec::new();
    for round in 0..6 {
        let version = put(store, "n", b"key", b"the same").await;
        assert_eq!(
            version_of(store, b"key").await,
            Some(version),
            "the receipt's"
        );
        assert_eq!(
            version_of(store, b"key").await,
            Some(version),
            "and it stays"
        );
        assert!(
            !versions.contains(&version),
            "{version:?} among {versions:?}"
        );
        versions.push(version);
        if round % 2 == 0 {
            removed(store, "n", b"key", None).await;
        }
    }
}

/// A value is exchanged against the version that was seen, and only then.
///
/// # Panics
///
/// If not.
pub async fn only_what_is_expected_is_replaced(store: &dyn MemoryStore) {
    let first = exchange(store, None, b"1").await;
    let Ok(first) = first else {
        panic!("there was no entry, and none was expected: {first:?}")
    };
    let refused = exchange(store, None, b"2").await;
    assert_eq!(refused, Err(Some(first)), "there is an entry");
    let Ok(second) = exchange(store, Some(first), b"3").await else {
        panic!("the version was that of the entry")
    };
    let refused = exchange(store, Some(first), b"4").await;
    assert_eq!(refused, Err(Some(second)), "the entry has changed");
    assert_eq!(read(store, "n", b"key").await.as_deref(), Some(&b"3"[..]));
    removed(store, "n", b"key", None).await;
    let refused = exchange(store, Some(second), b"5").await;
    assert_eq!(refused, Err(None), "the entry is gone");
    assert_eq!(read(store, "n", b"key").await, None, "and stays so");
}

/// An entry is removed by its version, and only then.
///
/// # Panics
///
/// If not.
pub async fn only_what_is_expected_is_removed(store: &dyn MemoryStore) {
    let first = put(store, "n", b"key", b"1").await;
    let second = put(store, "n", b"key", b"2").await;
    assert!(
        !removed(store, "n", b"key", Some(first)).await,
        "it has changed"
    );
    assert_eq!(read(store, "n", b"key").await.as_deref(), Some(&b"2"[..]));
    assert!(removed(store, "n", b"key", Some(second)).await);
    assert!(
        !removed(store, "n", b"key", Some(second)).await,
        "it is gone"
    );
}

/// Threads that add to a number by exchanging it lose nothing.
///
/// # Panics
///
/// If something is lost.
pub async fn one_of_many_who_exchange_wins<S: MemoryStore>(store: Arc<S>) {
    const TASKS: u32 = 4;
    const ROUNDS: u32 = 25;
    let mut tasks: Vec<_> = (0..TASKS).map(|_| Box::pin(add(&*store, ROUNDS))).collect();
    // All at once, as far as the store lets others go on while one waits.
    std::future::poll_fn(|cx| {
        tasks.retain_mut(|task| task.as_mut().poll(cx).is_pending());
        match tasks.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    let sum = read(&*store, "n", b"key").await;
    assert_eq!(sum.as_deref(), Some(&(TASKS * ROUNDS).to_le_bytes()[..]));
}

async fn add(store: &dyn MemoryStore, rounds: u32) {
    for _ in 0..rounds {
        loop {
            let (number, version) = match store.get("n", b"key").await {
                Ok(Some(entry)) => {
                    let bytes = entry.value.first_chunk().copied();
                    (
                        u32::from_le_bytes(bytes.unwrap_or_default()),
                        Some(entry.version),
                    )
                }
                Ok(None) => (0, None),
                Err(error) => panic!("reading: {error}"),
            };
            let next = (number + 1).to_le_bytes();
            if exchange(store, version, &next).await.is_ok() {
                break;
            }
        }
    }
}

/// Pages of keys, by prefix, each after the last of the one before.
///
/// # Panics
///
/// If keys are missing, twice there, or not in order.
pub async fn keys_come_in_order_and_in_pages(store: &dyn MemoryStore) {
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for number in 0..40u8 {
        // Not in order.
        let key = [b"run/", &[number.wrapping_mul(77)][..]].concat();
        put(store, "n", &key, b"").await;
        expected.push(key);
    }
    expected.sort_unstable();
    put(store, "n", b"ru", b"").await;
    put(store, "n", b"rum", b"").await;
    put(store, "other", b"run/other", b"").await;
    for most in [1, 7, 40, 100] {
        let mut found: Vec<Vec<u8>> = Vec::new();
        loop {
            let last = found.last().map(Vec::as_slice);
            let page = keys(store, b"run/", last, most).await;
            assert!(page.len() <= most, "{} of {most}", page.len());
            let is_last = page.len() < most;
            found.extend(page.into_iter().map(Vec::from));
            if is_last {
                break;
            }
        }
        assert_eq!(found, expected, "in pages of {most}");
    }
    assert!(keys(store, b"run/", None, 0).await.is_empty());
    assert_eq!(keys(store, b"", None, 100).await.len(), 42);
}

/// A value is as durable as was asked for, or is not put.
///
/// # Panics
///
/// If it is less, or the refusal leaves something behind.
pub async fn a_receipt_says_no_less_than_was_asked_for(store: &dyn MemoryStore) {
    for asked in [Durability::Memory, Durability::Written, Durability::Synced] {
        let key = [asked as u8];
        let options = PutOptions::default().durability(asked);
        match store.put("n", &key, b"value", options).await {
            Ok(receipt) => assert!(receipt.durability >= asked, "{receipt:?} for {asked}"),
            Err(StoreError::NotDurable { offered, .. }) => {
                assert!(offered < asked, "{offered} is as much as {asked}");
                assert_eq!(read(store, "n", &key).await, None, "refused, and put");
            }
            Err(error) => panic!("asked for {asked}: {error}"),
        }
    }
}

/// Not shorter than it should, and not longer; each value with a lifetime of its own.
///
/// # Panics
///
/// If not.
pub async fn an_entry_lives_as_long_as_it_should(
    store: &dyn MemoryStore,
    pass: &impl AsyncFn(Duration),
) {
    let put_for = async |key: &[u8], time_to_live: TimeToLive| {
        let options = PutOptions::default().time_to_live(time_to_live);
        if let Err(error) = store.put("n", key, b"value", options).await {
            panic!("a value for {time_to_live:?}: {error}");
        }
    };
    put_for(b"short", SHORT.into()).await;
    put_for(b"long", (SHORT * 1000).into()).await;
    put_for(b"forever", TimeToLive::Forever).await;
    put_for(b"longer", SHORT.into()).await;
    put_for(b"longer", (SHORT * 1000).into()).await;
    put_for(b"shorter", (SHORT * 1000).into()).await;
    put_for(b"shorter", SHORT.into()).await;
    // Half of it: a store whose time is the machine's may be late by as much.
    pass(SHORT / 2).await;
    for key in [&b"short"[..], b"long", b"forever", b"longer", b"shorter"] {
        assert!(
            read(store, "n", key).await.is_some(),
            "{} is over early",
            key.escape_ascii()
        );
    }
    pass(SHORT).await;
    for key in [&b"short"[..], b"shorter"] {
        assert_eq!(
            read(store, "n", key).await,
            None,
            "{} is over",
            key.escape_ascii()
        );
    }
    for key in [&b"long"[..], b"forever", b"longer"] {
        assert!(
            read(store, "n", key).await.is_some(),
            "{} is over early",
            key.escape_ascii()
        );
    }
}

/// What is over cannot be removed, is no key, and is nothing to be exchanged.
///
/// # Panics
///
/// If it is.
pub async fn what_is_over_is_not_there_in_any_way(
    store: &dyn MemoryStore,
    pass: &impl AsyncFn(Duration),
) {
    let options = PutOptions::default().time_to_live(SHORT);
    let Ok(receipt) = store.put("n", b"key", b"value", options).await else {
        panic!("a small value is put")
    };
    pass(SHORT * 2).await;
    assert!(keys(store, b"", None, 10).await.is_empty(), "no key");
    assert!(!removed(store, "n", b"key", Some(receipt.version)).await);
    assert!(
        !removed(store, "n", b"key", None).await,
        "nothing to remove"
    );
    let exchanged = exchange(store, Some(receipt.version), b"new").await;
    assert_eq!(exchanged, Err(None), "nothing to exchange");
    assert!(exchange(store, None, b"new").await.is_ok(), "there is none");
    assert_eq!(read(store, "n", b"key").await.as_deref(), Some(&b"new"[..]));
}

/// What is loaded by [`get_or_load`](crate::backend::NamespaceOf::get_or_load) is there for all.
///
/// # Panics
///
/// If not.
pub async fn what_is_not_there_is_loaded_once<S: MemoryStore>(store: Arc<S>) {
    let namespace = store.in_namespace("n");
    let load =
        |value: &'static str| move || async move { Ok::<_, std::convert::Infallible>(value) };
    for value in ["first", "second"] {
        match namespace.get_or_load(b"key", load(value)).await {
            Ok(value) => assert_eq!(*value, *b"first", "loaded once"),
            Err(error) => match *error {},
        }
    }
    assert_eq!(
        read(&*store, "n", b"key").await.as_deref(),
        Some(&b"first"[..])
    );
}

async fn read(store: &dyn MemoryStore, namespace: &str, key: &[u8]) -> Option<Vec<u8>> {
    match store.get(namespace, key).await {
        Ok(entry) => entry.map(|entry| entry.value.to_vec()),
        Err(error) => panic!("reading `{}`: {error}", key.escape_ascii()),
    }
}

async fn version_of(store: &dyn MemoryStore, key: &[u8]) -> Option<Version> {
    match store.get("n", key).await {
        Ok(entry) => entry.map(|entry| entry.version),
        Err(error) => panic!("reading `{}`: {error}", key.escape_ascii()),
    }
}

async fn put(store: &dyn MemoryStore, namespace: &str, key: &[u8], value: &[u8]) -> Version {
    match store
        .put(namespace, key, value, PutOptions::default())
        .await
    {
        Ok(receipt) => receipt.version,
        Err(error) => panic!("putting `{}`: {error}", key.escape_ascii()),
    }
}

async fn removed(
    store: &dyn MemoryStore,
    namespace: &str,
    key: &[u8],
    expected: Option<Version>,
) -> bool {
    match store.remove(namespace, key, expected).await {
        Ok(removed) => removed,
        Err(error) => panic!("removing `{}`: {error}", key.escape_ascii()),
    }
}

/// Exchanges the value of `key`, or says what is there.
async fn exchange(
    store: &dyn MemoryStore,
    expected: Option<Version>,
    value: &[u8],
) -> Result<Version, Option<Version>> {
    let options = PutOptions::default();
    match store
        .compare_and_set("n", b"key", expected, value, options)
        .await
    {
        Ok(receipt) => Ok(receipt.version),
        Err(StoreError::Changed { current }) => Err(current),
        Err(error) => panic!("exchanging: {error}"),
    }
}

async fn keys(
    store: &dyn MemoryStore,
    prefix: &[u8],
    after: Option<&[u8]>,
    most: usize,
) -> Vec<Box<[u8]>> {
    match store.keys("n", prefix, after, most).await {
        Ok(keys) => keys,
        Err(error) => panic!("the keys: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ManualClock, MemoryConfig, Store};

    #[tokio::test]
    async fn the_store_conforms_in_memory() {
        let clock = ManualClock::new();
        let make = || Store::with_clock(MemoryConfig::default(), &clock).unwrap();
        all(make, async |time| clock.advance(time)).await;
    }

    #[tokio::test]
    async fn the_store_conforms_in_a_folder() {
        let clock = ManualClock::new();
        let folder = tempfile::tempdir().unwrap();
        let count = std::cell::Cell::new(0);
        let make = || {
            count.set(count.get() + 1);
            let folder = folder.path().join(count.get().to_string());
            Store::open_with_clock(folder, MemoryConfig::default(), &clock).unwrap()
        };
        all(make, async |time| clock.advance(time)).await;
    }

    #[tokio::test]
    async fn pointers_to_stores_conform() {
        let clock = ManualClock::new();
        let pass = async |time| clock.advance(time);
        let store = || Store::with_clock(MemoryConfig::default(), &clock).unwrap();
        all(|| Arc::new(store()) as Arc<dyn MemoryStore>, pass).await;
        all(|| Box::new(store()) as Box<dyn MemoryStore>, pass).await;
    }
}
