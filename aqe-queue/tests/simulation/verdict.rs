//! Whether what a handle says agrees with what the body did.

use aqe_queue::config::Overflow;
use aqe_queue::{CancelReason, EndedAs, OperationError, QueueConfig, QueueStatus};
use std::sync::atomic::Ordering;

use crate::body::{ON_PURPOSE, error_of, is_fatal};
use crate::world::{Did, Record, World};

/// How many operations ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) timed_out: u64,
    pub(crate) deadline_exceeded: u64,
    pub(crate) cancelled: u64,
    pub(crate) panicked: u64,
    pub(crate) shed: u64,
}

impl Ends {
    pub(crate) fn count(&mut self, how: EndedAs) {
        *match how {
            EndedAs::Completed => &mut self.completed,
            EndedAs::Failed => &mut self.failed,
            EndedAs::TimedOut => &mut self.timed_out,
            EndedAs::DeadlineExceeded => &mut self.deadline_exceeded,
            EndedAs::Cancelled(_) => &mut self.cancelled,
            EndedAs::Panicked => &mut self.panicked,
            EndedAs::Shed => &mut self.shed,
            other => panic!("{other:?} is new"),
        } += 1;
    }

    pub(crate) fn of(status: &QueueStatus) -> Self {
        Self {
            completed: status.completed,
            failed: status.failed,
            timed_out: status.timed_out,
            deadline_exceeded: status.deadline_exceeded,
            cancelled: status.cancelled,
            panicked: status.panicked,
            shed: status.shed,
        }
    }

    pub(crate) const fn as_array(&self) -> [u64; 7] {
        [
            self.completed,
            self.failed,
            self.timed_out,
            self.deadline_exceeded,
            self.cancelled,
            self.panicked,
            self.shed,
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.timed_out += other.timed_out;
        self.deadline_exceeded += other.deadline_exceeded;
        self.cancelled += other.cancelled;
        self.panicked += other.panicked;
        self.shed += other.shed;
    }

    pub(crate) fn sum(&self) -> u64 {
        self.as_array().iter().sum()
    }
}

/// Judges one outcome, and returns how the operation ended.
pub(crate) fn judge(
    world: &World,
    config: &QueueConfig,
    record: &Record,
    result: &Result<u64, OperationError<u64>>,
) -> EndedAs {
    let how = ended_as(result);
    if let Err(why) = agrees(world, config, record, result) {
        world.fault(format_args!(
            "operation {} {:?} in attempt {} and its handle says {result:?}: {why}",
            record.number,
            record.did(),
            record.attempts()
        ));
    }
    how
}

fn ended_as(result: &Result<u64, OperationError<u64>>) -> EndedAs {
    match result {
        Ok(_) => EndedAs::Completed,
        Err(OperationError::Failed { .. }) => EndedAs::Failed,
        Err(OperationError::TimedOut { .. }) => EndedAs::TimedOut,
        Err(OperationError::DeadlineExceeded { .. }) => EndedAs::DeadlineExceeded,
        Err(OperationError::Cancelled { reason, .. }) => EndedAs::Cancelled(*reason),
        Err(OperationError::Panicked { .. }) => EndedAs::Panicked,
        Err(OperationError::Shed { .. }) => EndedAs::Shed,
        Err(other) => panic!("{other:?} is no end of an accepted operation"),
    }
}

fn agrees(
    world: &World,
    config: &QueueConfig,
    record: &Record,
    result: &Result<u64, OperationError<u64>>,
) -> Result<(), &'static str> {
    let (did, attempts) = (record.did(), record.attempts());
    let check = |holds: bool, why| if holds { Ok(()) } else { Err(why) };
    if let Err(error) = result {
        check(error.attempts() == attempts, "attempts are counted wrongly")?;
        check(did != Did::Succeeded, "it has succeeded")?;
        let has_panicked = matches!(error, OperationError::Panicked { .. });
        check(did != Did::Panicked || has_panicked, "it has panicked")?;
    }
    // What ends of itself must not have been left running.
    check(did != Did::Runs, "its body is still there")?;
    match result {
        Ok(value) => {
            check(*value == record.number, "the value is another's")?;
            check(did == Did::Succeeded, "it has not")
        }
        Err(OperationError::Failed { error, .. }) => {
            check(did == Did::Failed, "it has not")?;
            check(
                *error == error_of(record, attempts),
                "the error is another's",
            )?;
            let is_worth_it = !(record.is_picky && error % 2 == 1);
            let has_more = attempts <= record.retries;
            let is_refused = config.retry_budget.is_some();
            check(
                !(is_worth_it && has_more) || is_refused,
                "it should have been tried again",
            )
        }
        Err(OperationError::TimedOut { timeout, .. }) => {
            check(did == Did::Dropped, "it was not dropped")?;
            check(Some(*timeout) == record.timeout, "the timeout is another's")?;
            check(
                !world.is_exact || record.lasted(world) >= *timeout,
                "it had more time",
            )?;
            let is_refused = config.retry_budget.is_some();
            check(
                attempts > record.retries || is_refused,
                "it should have been tried again",
            )
        }
        Err(OperationError::DeadlineExceeded { .. }) => check(
            record
                .deadline
                .is_some_and(|deadline| deadline <= world.now()),
            "it had more time",
        ),
        Err(OperationError::Panicked { message, .. }) => {
            check(message.starts_with(ON_PURPOSE), "the message is another's")?;
            check(
                match did {
                    Did::Panicked => true,
                    // Dropping an attempt that is over its time panicked.
                    Did::Dropped => message.ends_with("when dropped"),
                    Did::Failed => record.is_defective && is_fatal(error_of(record, attempts)),
                    _ => false,
                },
                "nothing has panicked",
            )
        }
        Err(OperationError::Shed { .. }) => {
            check(config.overflow == Overflow::ShedLowest, "nobody asked")
        }
        Err(OperationError::Cancelled { reason, .. }) => check(
            match reason {
                CancelReason::Asked => record.was_asked.load(Ordering::SeqCst),
                CancelReason::Cleared => world.was_cleared.load(Ordering::SeqCst),
                CancelReason::Shutdown => world.is_closing.load(Ordering::SeqCst),
                CancelReason::Threshold => config.error_threshold.is_some(),
                // The handle is here.
                _ => false,
            },
            "nobody asked",
        ),
        Err(_) => Err("that is new"),
    }
}
