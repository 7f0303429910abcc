//! Several queues, and which of them gets an operation.
//!
//! A lane is a queue of its own with a name: one for each device, browser, account or host, with its own limit and its own
//! workers. [`Lanes`] choose one for each operation, as their [`Placement`] says, and control all of them together.
//!
//! A lane that is closed, that [accepts nothing](crate::AsyncOperationQueue::pause_admission), that is full, or at which
//! somebody waits for room already, is passed over as long as another has room. One that is
//! [paused](crate::AsyncOperationQueue::pause) accepts and is not; by its load it gets less. What a lane has room for is
//! counted in operations: bytes are its own affair.
//!
//! ```
//! use aqe_queue::{AsyncOperationQueue, Lanes, Placement, QueueConfig};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lanes = Lanes::new(Placement::LeastLoaded);
//! for (browser, sessions) in [("firefox", 2), ("chromium", 4)] {
//!     lanes.add(browser, AsyncOperationQueue::new(QueueConfig::default().max_concurrent(sessions))?)?;
//! }
//!
//! // Chosen now; the operation can use what the lane stands for.
//! let login = lanes.submit(|lane| {
//!     let browser = lane.name().to_owned();
//!     lane.queue().future(async move { Ok::<_, std::convert::Infallible>(format!("logged in with {browser}")) })
//! })?;
//! assert!(login.await?.await?.starts_with("logged in with "));
//!
//! // Or first a place, wherever there is room first, and then the operation.
//! let place = lanes.place().await?;
//! let checkout = place.lane().queue().future(async { Ok::<_, std::convert::Infallible>(3) });
//! assert_eq!(place.submit(checkout).await?.await?, 3);
//!
//! assert_eq!(lanes.status().total().completed, 2);
//! # Ok(()) }
//! ```

mod control;
mod place;
mod placement;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::{Mutex, RwLock};

pub use self::control::{LaneStatus, LanesStatus, LanesTotal};
pub use self::place::{Place, Placing};
pub use self::placement::Placement;
use self::placement::{Chooser, Widths};
use crate::body::Body;
use crate::operation::{Submission, Submit};
use crate::queue::AsyncOperationQueue;
use crate::shared::Glance;

/// Several queues behind one door. Clones are handles of the same lanes.
#[derive(Clone)]
pub struct Lanes {
    inner: Arc<Inner>,
}

struct Inner {
    chooser: Chooser,
    /// Replaced as a whole, so that whoever chooses holds the lock only to take a reference.
    lanes: RwLock<Arc<Set>>,
    waiting: Mutex<Waiting>,
}

struct Set {
    lanes: Arc<[Arc<Lane>]>,
    widths: Widths,
}

impl Set {
    fn new(lanes: Arc<[Arc<Lane>]>) -> Self {
        let widths = lanes.iter().map(|lane| lane.glance().limit).collect();
        Self { lanes, widths }
    }
}

/// Those who wait for a place, to be told of lanes that come and go.
#[derive(Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// A queue and its name among [`Lanes`].
pub struct Lane {
    name: Arc<str>,
    queue: AsyncOperationQueue,
}

impl Lane {
    /// Returns the name under which it was added.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the queue.
    #[must_use]
    pub const fn queue(&self) -> &AsyncOperationQueue {
        &self.queue
    }

    fn glance(&self) -> Glance {
        self.queue.shared().glance()
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("name", &self.name)
            .field("queue", &self.queue)
            .finish()
    }
}

/// Why no lane takes an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Every lane that is open is full, or accepts nothing at the moment. Try later, or wait with [`Lanes::place`].
    #[error("no lane has room")]
    Full,
    /// There is no lane, or all of them are closed.
    #[error("there is no lane that is not closed")]
    Closed,
}

/// What comes of [`Lanes::submit`]: what comes of the submission, if there is a lane for it.
pub type SubmitInLane<S, T, E> = Result<Submit<S, T, E>, PlaceError>;

/// There is a lane of this name already. The queue is handed back.
#[derive(Debug, thiserror::Error)]
#[error("there is a lane named `{name}` already")]
pub struct DuplicateLane {
    name: Arc<str>,
    queue: Box<AsyncOperationQueue>,
}

impl DuplicateLane {
    /// Returns the queue that was not added.
    #[must_use]
    pub fn into_queue(self) -> AsyncOperationQueue {
        *self.queue
    }
}

impl Lanes {
    /// Makes lanes without any queue; [`add`](Self::add) some.
    #[must_use]
    pub fn new(placement: Placement) -> Self {
        Self::seeded(placement, fastrand::u64(..))
    }

    /// The same with a seed, so that chance repeats itself in tests.
    #[must_use]
    pub fn seeded(placement: Placement, seed: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                chooser: Chooser::new(placement, seed),
                lanes: RwLock::new(Arc::new(Set::new(Arc::from([])))),
                waiting: Mutex::default(),
            }),
        }
    }

    /// Adds a lane. It takes part from now on; who [waits](Self::place) for room may find it there.
    ///
    /// # Errors
    ///
    /// [`DuplicateLane`], with the queue in it.
    pub fn add(
        &self,
        name: impl Into<Arc<str>>,
        queue: AsyncOperationQueue,
    ) -> Result<(), DuplicateLane> {
        let name = name.into();
        // Before anybody can choose it.
        queue.shared().watch_load();
        let mut set = self.inner.lanes.write();
        if set.lanes.iter().any(|lane| lane.name == name) {
            drop(set);
            let queue = Box::new(queue);
            return Err(DuplicateLane { name, queue });
        }
        let lane = Arc::new(Lane { name, queue });
        let lanes = set.lanes.iter().cloned().chain([lane]).collect();
        *set = Arc::new(Set::new(lanes));
        drop(set);
        self.inner.tell();
        Ok(())
    }

    /// Takes a lane away: nothing is placed there from now on. The queue goes on with what it has; whoever wants it to end
    /// [drains](AsyncOperationQueue::drain) it. `None` if there is no lane of this name.
    pub fn remove(&self, name: &str) -> Option<AsyncOperationQueue> {
        let mut set = self.inner.lanes.write();
        let is_it = |lane: &&Arc<Lane>| &*lane.name == name;
        let removed = set.lanes.iter().find(is_it).cloned()?;
        let rest = set.lanes.iter().filter(|lane| !is_it(lane));
        let rest = Arc::new(Set::new(rest.cloned().collect()));
        let before = std::mem::replace(&mut *set, rest);
        drop(set);
        drop(before);
        self.inner.tell();
        Some(removed.queue.clone())
    }

    /// Returns the lanes as they are now, in the order in which they were added.
    #[must_use]
    pub fn list(&self) -> Arc<[Arc<Lane>]> {
        Arc::clone(&self.inner.lanes.read().lanes)
    }

    /// Returns how operations are placed.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.inner.chooser.placement()
    }

    /// Chooses a lane that has room, as far as can be told without its lock.
    ///
    /// This is what [`submit`](Self::submit) and [`place`](Self::place) begin with; on its own it serves those who do more
    /// with a queue than to submit one operation, such as [`run_all`](AsyncOperationQueue::run_all).
    ///
    /// # Errors
    ///
    /// [`PlaceError`].
    pub fn choose(&self) -> Result<Arc<Lane>, PlaceError> {
        let set = self.inner.set();
        match set.choose(&self.inner.chooser) {
            Some(lane) => Ok(lane),
            None if set.lanes.iter().all(|lane| lane.queue.is_closed()) => Err(PlaceError::Closed),
            None => Err(PlaceError::Full),
        }
    }

    /// Chooses a lane now and submits what `operation` makes for it. If no lane has room it is one of those that are not
    /// closed, chosen in the same way, and the submission waits there, or is refused or makes room as that queue's
    /// [`overflow`](crate::QueueConfig::overflow) says. To wait for whichever lane has room first, use
    /// [`place`](Self::place).
    ///
    /// # Errors
    ///
    /// [`PlaceError::Closed`], and then `operation` is not called. What the queue itself may say against the operation comes
    /// with the future.
    pub fn submit<B: Body>(
        &self,
        operation: impl FnOnce(&Lane) -> Submission<B>,
    ) -> SubmitInLane<B::Source, B::Value, B::Error> {
        let lane = match self.choose() {
            Err(PlaceError::Full) => self.choose_open()?,
            chosen => chosen?,
        };
        Ok(operation(&lane).submit())
    }

    /// Reserves a place in a lane that has room, if there is one.
    ///
    /// # Errors
    ///
    /// [`PlaceError`].
    pub fn try_place(&self) -> Result<Place, PlaceError> {
        loop {
            let lane = self.choose()?;
            // If that is refused, the gauge knows it now, and the next choice is another.
            if lane.queue.shared().try_reserve().is_ok() {
                return Ok(Place::new(lane));
            }
        }
    }

    /// Reserves a place in a lane that has room, or waits for one in all lanes at once: in the line of each, whatever its
    /// [`overflow`](crate::QueueConfig::overflow) policy. It goes where room comes first, and leaves the other lines.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, its places in the lines are given up, and nothing is lost.
    pub fn place(&self) -> Placing {
        Placing::new(Arc::clone(&self.inner))
    }

    /// Chooses among the lanes that are not closed, room or not.
    fn choose_open(&self) -> Result<Arc<Lane>, PlaceError> {
        let lanes = self.list();
        let open: Vec<_> = lanes.iter().filter(|it| !it.queue.is_closed()).collect();
        let widths = open.iter().map(|lane| lane.glance().limit).collect();
        let chosen = self.inner.chooser.choose(&widths, |lane| Glance {
            room: 1,
            ..open[lane].glance()
        });
        let chosen = chosen.and_then(|lane| open.get(lane));
        chosen.map_or(Err(PlaceError::Closed), |lane| Ok(Arc::clone(lane)))
    }
}

impl Set {
    fn choose(&self, chooser: &Chooser) -> Option<Arc<Lane>> {
        let look = |lane: usize| self.lanes[lane].glance();
        let chosen = chooser.choose(&self.widths, look)?;
        self.lanes.get(chosen).cloned()
    }
}

impl Inner {
    fn set(&self) -> Arc<Set> {
        Arc::clone(&self.lanes.read())
    }

    /// Has those who wait look at the lanes anew.
    fn tell(&self) {
        let wakers = std::mem::take(&mut self.waiting.lock().wakers);
        wakers.into_values().for_each(Waker::wake);
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("placement", &self.placement())
            .field("lanes", &self.list())
            .finish()
    }
}
