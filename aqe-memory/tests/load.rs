//! One loader for each key, whatever becomes of those who wait for it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use aqe_memory::{LoadError, ManualClock, MemoryConfig, Namespace, Store, Value};

type Loaded = Result<Value, LoadError<String>>;

fn store() -> Store {
    Store::new(MemoryConfig::default()).unwrap()
}

/// Counts how often it wakes.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// A call whose every poll is made by hand.
struct Call<'a> {
    future: Pin<Box<dyn Future<Output = Loaded> + Send + 'a>>,
    woken: Arc<Woken>,
}

impl<'a> Call<'a> {
    fn new(future: impl Future<Output = Loaded> + Send + 'a) -> Self {
        Self {
            future: Box::pin(future),
            woken: Arc::default(),
        }
    }

    fn poll(&mut self) -> Poll<Loaded> {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn value(&mut self) -> Vec<u8> {
        match self.poll() {
            Poll::Ready(Ok(value)) => value.to_vec(),
            other => panic!("expected a value, found {other:?}"),
        }
    }
}

/// What loaders wait for: a gate that is opened by hand, and that says how often loaders came to it.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    outcome: Option<Result<&'static str, &'static str>>,
    wakers: Vec<Waker>,
    started: usize,
    polled: usize,
}

impl Gate {
    fn open(&self, outcome: Result<&'static str, &'static str>) {
        let mut inside = self.0.lock().unwrap();
        inside.outcome = Some(outcome);
        let wakers = std::mem::take(&mut inside.wakers);
        drop(inside);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes without opening.
    fn knock(&self) {
        let wakers = std::mem::take(&mut self.0.lock().unwrap().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn started(&self) -> usize {
        self.0.lock().unwrap().started
    }

    fn polled(&self) -> usize {
        self.0.lock().unwrap().polled
    }

    fn load(&self) -> impl Future<Output = Result<Vec<u8>, String>> + Send + 'static {
        let gate = self.clone();
        gate.0.lock().unwrap().started += 1;
        poll_fn(move |cx| {
            let mut inside = gate.0.lock().unwrap();
            inside.polled += 1;
            match inside.outcome {
                Some(Ok(value)) => Poll::Ready(Ok(value.as_bytes().to_vec())),
                Some(Err("panic")) => {
                    drop(inside);
                    panic!("as the gate said")
                }
                Some(Err(error)) => Poll::Ready(Err(error.to_owned())),
                None => {
                    inside.wakers.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    fn call<'a>(&'a self, namespace: &'a Namespace) -> Call<'a> {
        Call::new(namespace.get_or_load(b"key", || self.load()))
    }
}

#[test]
fn one_loader_runs_and_all_get_its_value() {
    let (store, gate) = (store(), Gate::default());
    let mut calls: Vec<_> = (0..3).map(|_| gate.call(&store)).collect();
    assert!(calls.iter_mut().all(|call| call.poll().is_pending()));
    gate.open(Ok("value"));
    assert!(calls.iter().all(|call| call.woken.take() > 0));
    assert!(calls.iter_mut().all(|call| call.value() == b"value"));
    assert_eq!(gate.started(), 1);
    assert_eq!(gate.call(&store).value(), b"value", "from the store");
    let stats = store.stats();
    assert_eq!(
        (stats.loads, stats.failed_loads, stats.unkept_loads),
        (1, 0, 0)
    );
    assert_eq!((stats.hits, stats.misses), (1, 3));
}

/// In caches whose leader drives its own loader, a leader that is polled once and then left lying, as in a `select!` or a
/// buffer of futures, stops everybody else for good.
#[test]
fn a_leader_that_is_not_polled_any_more_holds_up_nobody() {
    let (store, gate) = (store(), Gate::default());
    let (mut leader, mut other) = (gate.call(&store), gate.call(&store));
    assert!(leader.poll().is_pending() && other.poll().is_pending());
    gate.open(Ok("value"));
    assert!(other.woken.take() > 0);
    assert_eq!(other.value(), b"value", "though the leader is not polled");
    assert_eq!(gate.started(), 1);
    assert_eq!(leader.value(), b"value");
}

#[test]
fn a_loader_goes_on_when_the_leader_is_dropped() {
    let (store, gate) = (store(), Gate::default());
    let (mut leader, mut other) = (gate.call(&store), gate.call(&store));
    assert!(leader.poll().is_pending() && other.poll().is_pending());
    drop(leader);
    gate.open(Ok("value"));
    assert!(other.woken.take() > 0);
    assert_eq!(other.value(), b"value");
    assert_eq!(
        (gate.started(), gate.polled()),
        (1, 2),
        "what was done is not lost"
    );
}

#[test]
fn a_wake_that_a_dropped_call_got_is_not_lost() {
    let (store, gate) = (store(), Gate::default());
    let (mut leader, mut other) = (gate.call(&store), gate.call(&store));
    assert!(leader.poll().is_pending() && other.poll().is_pending());
    gate.open(Ok("value"));
    drop(leader);
    let mut late = gate.call(&store);
    assert_eq!(late.value(), b"value", "who comes now drives at once");
    assert_eq!(other.value(), b"value");
}

#[test]
fn a_loader_is_polled_only_when_it_wants_to_be() {
    let (store, gate) = (store(), Gate::default());
    let mut calls: Vec<_> = (0..4).map(|_| gate.call(&store)).collect();
    for _ in 0..3 {
        assert!(calls.iter_mut().all(|call| call.poll().is_pending()));
    }
    assert_eq!(gate.polled(), 1);
    gate.knock();
    assert!(calls.iter_mut().all(|call| call.poll().is_pending()));
    assert_eq!(gate.polled(), 2);
}

#[test]
fn with_the_last_call_the_loader_is_dropped() {
    let (store, gate) = (store(), Gate::default());
    let (mut leader, mut other) = (gate.call(&store), gate.call(&store));
    assert!(leader.poll().is_pending() && other.poll().is_pending());
    assert!(Arc::strong_count(&gate.0) > 1);
    drop(leader);
    drop(other);
    gate.knock();
    assert_eq!(Arc::strong_count(&gate.0), 1, "the loader is gone");
    assert_eq!(store.stats().failed_loads, 0);
    let mut again = gate.call(&store);
    assert!(again.poll().is_pending());
    assert_eq!(gate.started(), 2, "and who comes next loads anew");
}

#[test]
fn an_error_goes_to_all_who_waited_and_is_not_kept() {
    let (store, gate) = (store(), Gate::default());
    let (mut leader, mut other) = (gate.call(&store), gate.call(&store));
    assert!(leader.poll().is_pending() && other.poll().is_pending());
    gate.open(Err("no such run"));
    for call in [&mut leader, &mut other] {
        match call.poll() {
            Poll::Ready(Err(error)) => assert_eq!(error.to_string(), "no such run"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gate.started(), 1);
    gate.open(Ok("value"));
    assert_eq!(gate.call(&store).value(), b"value");
    let stats = store.stats();
    assert_eq!((stats.loads, stats.failed_loads), (2, 1));
}

#[test]
fn who_waits_with_another_type_of_error_loads_itself() {
    let (store, gate) = (store(), Gate::default());
    let mut leader = gate.call(&store);
    assert!(leader.poll().is_pending());
    let mut other = pin!(store.get_or_load(b"key", || async { Err::<Vec<u8>, u32>(7) }));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(other.as_mut().poll(&mut cx).is_pending());
    gate.open(Err("no such run"));
    assert!(matches!(leader.poll(), Poll::Ready(Err(_))));
    match other.as_mut().poll(&mut cx) {
        Poll::Ready(Err(error)) => assert_eq!(error.into_inner().unwrap(), 7),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_panic_is_the_leaders_and_another_takes_over() {
    let (store, gate) = (store(), Gate::default());
    let (mut leader, mut other) = (gate.call(&store), gate.call(&store));
    assert!(leader.poll().is_pending() && other.poll().is_pending());
    gate.open(Err("panic"));
    // The other drives the loader, is not hurt, and starts its own, which the gate lets through by now.
    let second = gate.clone();
    let polled = catch_unwind(AssertUnwindSafe(|| other.poll()));
    let panicked = polled.is_err();
    assert!(
        panicked,
        "its own loader panics as well, and that is its own affair"
    );
    assert_eq!(gate.started(), 2);
    second.open(Ok("value"));
    let mut third = gate.call(&store);
    assert_eq!(third.value(), b"value");
    let leaders = catch_unwind(AssertUnwindSafe(|| leader.poll()));
    let message = *leaders.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(
        message, "as the gate said",
        "though it did not poll when it happened"
    );
    assert_eq!(store.stats().failed_loads, 2);
}

#[test]
fn a_panic_in_one_loader_is_followed_by_the_next() {
    let store = store();
    let gate = Gate::default();
    let mut leader = gate.call(&store);
    assert!(leader.poll().is_pending());
    let mut other = Call::new(store.get_or_load(b"key", || async { Ok::<_, String>("mine") }));
    assert!(other.poll().is_pending());
    gate.open(Err("panic"));
    assert_eq!(other.value(), b"mine");
    assert!(catch_unwind(AssertUnwindSafe(|| leader.poll())).is_err());
    // A closure that panics before there is a future leaves nothing behind either.
    let panics = catch_unwind(AssertUnwindSafe(|| {
        let load = || -> std::future::Ready<Result<Vec<u8>, String>> { panic!("at once") };
        Call::new(store.get_or_load(b"other", load)).poll()
    }));
    assert!(panics.is_err());
    let mut again = Call::new(store.get_or_load(b"other", || async { Ok::<_, String>("2") }));
    assert_eq!(again.value(), b"2");
}

#[test]
fn what_is_put_while_it_is_loaded_stays() {
    let (store, gate) = (store(), Gate::default());
    let mut call = gate.call(&store);
    assert!(call.poll().is_pending());
    store.put(b"key", b"newer").unwrap();
    gate.open(Ok("older"));
    assert_eq!(call.value(), b"newer");
    assert_eq!(store.get(b"key").as_deref(), Some(&b"newer"[..]));
    assert_eq!(store.stats().unkept_loads, 1);
}

#[test]
fn what_is_removed_while_it_is_loaded_stays_removed() {
    let (store, gate) = (store(), Gate::default());
    let mut call = gate.call(&store);
    assert!(call.poll().is_pending());
    store.remove(b"key").unwrap();
    gate.open(Ok("older"));
    assert_eq!(call.value(), b"older", "who asked before is told");
    assert!(!store.contains(b"key"), "but it is not kept");
    let mut again = gate.call(&store);
    assert_eq!(again.value(), b"older");
    assert_eq!((gate.started(), store.contains(b"key")), (2, true));
    // Another namespace's key is another key.
    let other = store.namespace("other").unwrap();
    let gate = Gate::default();
    let mut call = gate.call(&other);
    assert!(call.poll().is_pending());
    store.remove(b"key").unwrap();
    gate.open(Ok("value"));
    assert_eq!(call.value(), b"value");
    assert!(other.contains(b"key"));
}

#[test]
fn what_cannot_be_put_is_given_nevertheless() {
    let config = MemoryConfig::default()
        .max_size(2 << 20)
        .cache_size(1 << 20);
    let store = Store::new(config).unwrap();
    let large = || async { Ok::<_, Infallible>(vec![7; 1 << 20]) };
    let value = wait(store.get_or_load(b"key", large)).unwrap();
    assert_eq!(value.len(), 1 << 20);
    assert!(!store.contains(b"key"));
    let long = vec![0; 1 << 17];
    let value = store.get_or_insert_with(&long, || Ok::<_, Infallible>("short"));
    assert_eq!(*value.unwrap(), *b"short");
    assert_eq!(store.stats().unkept_loads, 2);
}

#[test]
fn a_loader_that_asks_for_its_own_key_does_not_wait_for_itself() {
    let store = store();
    let inner = store.clone();
    let load = || async move {
        let own = inner.get_or_load(b"key", || async { Ok::<_, String>("inner") });
        let own = own.await.map_err(|error| error.to_string())?;
        Ok::<_, String>([&own, &b" and outer"[..]].concat())
    };
    let value = wait(store.get_or_load(b"key", load)).unwrap();
    assert_eq!(*value, *b"inner", "what the inner one put stays");
    let value = store.get_or_insert_with(b"other", || {
        store.get_or_insert_with(b"other", || Ok::<_, Infallible>("inner"))
    });
    assert_eq!(*value.unwrap(), *b"inner");
}

#[test]
fn a_loaded_value_lives_from_when_it_is_there() {
    let clock = ManualClock::new();
    let store = Store::with_clock(MemoryConfig::default(), &clock).unwrap();
    let gate = Gate::default();
    let (second, load) = (Duration::from_secs(1), || gate.load());
    let mut call = Call::new(store.get_or_load_for(b"key", second, load));
    assert!(call.poll().is_pending());
    clock.advance(second * 10);
    gate.open(Ok("value"));
    assert_eq!(call.value(), b"value");
    clock.advance(second - Duration::from_millis(1));
    assert!(store.contains(b"key"));
    clock.advance(Duration::from_millis(1));
    assert!(!store.contains(b"key"));
    let value = store.get_or_insert_with_for(b"key", second, || Ok::<_, Infallible>("new"));
    assert_eq!(*value.unwrap(), *b"new");
    clock.advance(second);
    assert!(!store.contains(b"key"));
}

#[test]
fn threads_wait_for_the_one_that_loads() {
    const THREADS: usize = 8;
    let store = store();
    let (loads, start) = (AtomicUsize::new(0), Barrier::new(THREADS));
    for round in 0..200u32 {
        loads.store(0, Ordering::Relaxed);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    let value = store.get_or_insert_with(&round.to_le_bytes(), || {
                        loads.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                        Ok::<_, Infallible>(round.to_le_bytes())
                    });
                    assert_eq!(*value.unwrap(), round.to_le_bytes());
                });
            }
        });
        assert_eq!(loads.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn threads_and_tasks_wait_for_one_another() {
    let (store, gate) = (store(), Gate::default());
    let mut leader = gate.call(&store);
    assert!(leader.poll().is_pending());
    let (waits, loads) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            waits.store(true, Ordering::Release);
            store.get_or_insert_with(b"key", || {
                loads.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>("the thread's")
            })
        });
        while !waits.load(Ordering::Acquire) || store.stats().misses < 2 {
            std::thread::yield_now();
        }
        // The thread does not drive the task's loader: with the task it ends, and the thread loads itself.
        drop(leader);
        assert_eq!(*thread.join().unwrap().unwrap(), *b"the thread's");
    });
    assert_eq!((gate.started(), loads.into_inner()), (1, 1));

    let gate = Gate::default();
    let inside = Barrier::new(2);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            store.get_or_insert_with(b"2", || {
                inside.wait();
                inside.wait();
                Ok::<_, String>("the thread's")
            })
        });
        inside.wait();
        let mut call = Call::new(store.get_or_load(b"2", || gate.load()));
        assert!(call.poll().is_pending());
        inside.wait();
        assert_eq!(*thread.join().unwrap().unwrap(), *b"the thread's");
        assert!(call.woken.take() > 0);
        assert_eq!(call.value(), b"the thread's");
    });
    assert_eq!(gate.started(), 0);
}

/// Calls that are dropped, that panic and that fail, on several threads, for a few keys: everybody who stays gets an answer,
/// and there are never two loaders for one key.
#[test]
fn nobody_hangs_whatever_the_others_do() {
    const KEYS: u64 = 4;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    let store = store();
    let running: Arc<[AtomicU64; KEYS as usize]> = Arc::default();
    let answers = Arc::new(AtomicU64::new(0));
    std::panic::set_hook(Box::new(|_| {}));
    runtime.block_on(async {
        for round in 0..300u64 {
            let mut tasks = Vec::new();
            for number in 0..24u64 {
                let (store, running) = (store.clone(), Arc::clone(&running));
                let answers = Arc::clone(&answers);
                let task = tokio::spawn(async move {
                    let key = (number % KEYS) as usize;
                    let name = [round, key as u64].map(u64::to_le_bytes).concat();
                    let loader = || async move {
                        let _one = One::enter(&running[key]);
                        for _ in 0..number % 5 {
                            tokio::task::yield_now().await;
                        }
                        match number % 7 {
                            0 => panic!("one of the loaders"),
                            1 => Err(number),
                            _ => Ok(vec![key as u8]),
                        }
                    };
                    let result = store.get_or_load(&name, loader).await;
                    if let Ok(value) = result {
                        assert_eq!(*value, [key as u8]);
                    }
                    answers.fetch_add(1, Ordering::Relaxed);
                });
                tasks.push((number, task));
            }
            for (number, task) in &tasks {
                if number % 3 == 0 {
                    task.abort();
                }
            }
            for (number, task) in tasks {
                let ended = task.await;
                let may_be_gone = number % 3 == 0 || number % 7 == 0;
                assert!(ended.is_ok() || may_be_gone, "{number}: {ended:?}");
            }
        }
    });
    let _ = std::panic::take_hook();
    assert!(answers.load(Ordering::Relaxed) > 300 * 12);
    assert!(
        running
            .iter()
            .all(|count| count.load(Ordering::Relaxed) == 0)
    );
}

/// A loader that is under way: there is no other.
struct One<'a>(&'a AtomicU64);

impl<'a> One<'a> {
    fn enter(count: &'a AtomicU64) -> Self {
        assert_eq!(
            count.fetch_add(1, Ordering::SeqCst),
            0,
            "two loaders at once"
        );
        Self(count)
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(future)
}

#[test]
fn the_futures_can_be_sent() {
    fn is_send<T: Send>(_: &T) {}
    let store = store();
    let call = store.get_or_load(b"key", || async { Ok::<_, Infallible>("value") });
    is_send(&call);
}
