//! References to operations, counted.
//!
//! As `Arc`, with three differences: the count is in the operation's own header, there are no weak references, and the
//! operation lies in a [`Block`] with others, which knows the queue that they all belong to.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::block::Block;
use super::{Header, Home, Join, OpCell, OpRef, is_to_schedule};
use crate::body::Body;
use crate::sync::atomic::{Ordering, fence};

/// A reference that keeps an operation alive: an [`OpCell`], or one whose types have been forgotten.
pub(crate) struct Counted<T: ?Sized>(NonNull<T>, PhantomData<T>);

/// Where an operation lies. From here its block can be reached, which a reference to the operation alone does not allow.
#[derive(Clone, Copy)]
pub(crate) struct At(NonNull<Header>);

// SAFETY: as for `Arc`; the header may be used from everywhere.
unsafe impl<T: ?Sized + Send + Sync> Send for Counted<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Counted<T> {}

/// Moving a reference moves nothing else.
impl<T: ?Sized> Unpin for Counted<T> {}

/// More references than this are a mistake that would overflow the count if it went on.
const MOST: u32 = u32::MAX / 2;

impl<T: ?Sized> Counted<T> {
    /// Takes over one reference.
    ///
    /// # Safety
    ///
    /// `op` is an [`OpCell`] in a [`Block`], whose place its header knows, and `op` may be used to reach all of the block.
    /// The reference is counted and nobody else's.
    pub(super) const unsafe fn from_raw(op: NonNull<T>) -> Self {
        Self(op, PhantomData)
    }

    /// Gives up the reference without counting it out.
    pub(super) fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).0
    }

    pub(super) const fn at(&self) -> At {
        // Every operation begins with its header.
        At(self.0.cast())
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the operation is alive while this reference is.
        unsafe { self.at().header() }
    }

    pub(crate) fn home(&self) -> &dyn Home {
        // SAFETY: as above.
        unsafe { self.at().home() }
    }

    /// Whether nobody else has a reference. Then nobody can get one.
    pub(super) fn is_unique(&self) -> bool {
        // Acquire: those who gave theirs up have finished with the operation.
        self.header().references.load(Ordering::Acquire) == 1
    }

    /// Makes another reference of one that is the only one, for less than [`clone`](Clone::clone) costs.
    pub(super) fn double(&mut self) -> Self {
        if !self.is_unique() {
            return self.clone();
        }
        // Nobody else can see the count change: that takes a reference, and the only one is borrowed by this call alone.
        self.header().references.store(2, Ordering::Relaxed);
        Self(self.0, PhantomData)
    }

    pub(crate) fn ptr_eq(one: &Self, other: &Self) -> bool {
        one.at().0 == other.at().0
    }
}

impl<B: Body> Counted<OpCell<B>> {
    /// Forgets the types.
    pub(super) fn erase(self) -> OpRef {
        Counted(self.into_raw(), PhantomData)
    }
}

impl<T: 'static, E: 'static> Counted<dyn Join<T, E>> {
    /// Makes another reference, without the types.
    pub(super) fn erased(&self) -> OpRef {
        Counted(self.clone_inner().into_raw(), PhantomData)
    }
}

impl At {
    /// # Safety
    ///
    /// The operation is alive for `'a`.
    pub(super) const unsafe fn header<'a>(self) -> &'a Header {
        // SAFETY: passed on to the caller.
        unsafe { self.0.as_ref() }
    }

    const fn block(self, header: &Header) -> NonNull<Block> {
        // SAFETY: the block begins so many bytes before; see `Counted::from_raw`.
        unsafe { self.0.cast::<u8>().sub(header.offset as usize) }.cast()
    }

    /// # Safety
    ///
    /// The operation is alive for `'a`.
    pub(super) unsafe fn home<'a>(self) -> &'a dyn Home {
        // SAFETY: passed on to the caller; the operation keeps its block.
        unsafe { self.block(self.header()).as_ref() }.home()
    }

    /// Makes another reference.
    ///
    /// # Safety
    ///
    /// The operation is alive, and an `OpCell<B>`.
    pub(super) unsafe fn reference<B: Body>(self) -> Counted<OpCell<B>> {
        // SAFETY: passed on to the caller. What is forgotten is the caller's own reference, which has been made into
        // no other.
        unsafe { ManuallyDrop::new(Counted::from_raw(self.0.cast::<OpCell<B>>())).clone_inner() }
    }

    /// Returns a waker that holds no reference.
    ///
    /// # Safety
    ///
    /// The operation is an `OpCell<B>` and outlives the waker. Clones of it hold references of their own.
    pub(super) unsafe fn waker<B: Body>(self) -> ManuallyDrop<Waker> {
        // SAFETY: the table is for a pointer to an `OpCell<B>` and does what `RawWaker` asks for.
        ManuallyDrop::new(unsafe { Waker::from_raw(self.raw_waker::<B>()) })
    }

    const fn raw_waker<B: Body>(self) -> RawWaker {
        RawWaker::new(self.0.as_ptr().cast_const().cast(), wakers::<B>())
    }
}

impl<T: ?Sized> Counted<T> {
    fn clone_inner(&self) -> Self {
        // Relaxed: a new reference is made from one that is there, and needs nothing else to be seen.
        let before = self.header().references.fetch_add(1, Ordering::Relaxed);
        if before > MOST {
            // As `Arc` does: so many references can only be leaked ones, and no destructor may run.
            std::process::abort();
        }
        Self(self.0, PhantomData)
    }
}

impl<T: ?Sized> Clone for Counted<T> {
    fn clone(&self) -> Self {
        self.clone_inner()
    }
}

impl<T: ?Sized> Deref for Counted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the operation is alive while this reference is.
        unsafe { self.0.as_ref() }
    }
}

impl<T: ?Sized> Drop for Counted<T> {
    fn drop(&mut self) {
        struct Release(NonNull<Block>);

        /// Also when a destructor of the user's panics.
        impl Drop for Release {
            fn drop(&mut self) {
                // SAFETY: the operation is over and is counted out here alone.
                unsafe { Block::release(self.0, 1) }
            }
        }

        if self.header().references.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // What others did with the operation happens before it goes.
        fence(Ordering::Acquire);
        let _release = Release(self.at().block(self.header()));
        // SAFETY: this was the last reference.
        unsafe { ptr::drop_in_place(self.0.as_ptr()) }
    }
}

fn schedule<B: Body>(op: &Counted<OpCell<B>>) {
    if is_to_schedule(op.header()) {
        op.home().schedule(op.clone_inner().erase());
    }
}

/// What a waker of an `OpCell<B>` does. Its data is a pointer to the operation, with the right to reach its block.
const fn wakers<B: Body>() -> &'static RawWakerVTable {
    /// # Safety
    ///
    /// As for the functions of a [`RawWakerVTable`].
    unsafe fn borrow<B: Body>(op: *const ()) -> ManuallyDrop<Counted<OpCell<B>>> {
        // SAFETY: a waker's data is never null, and the waker holds a reference, which stays its own here.
        ManuallyDrop::new(unsafe {
            Counted::from_raw(NonNull::new_unchecked(op.cast_mut()).cast::<OpCell<B>>())
        })
    }

    /// # Safety
    ///
    /// As above.
    unsafe fn clone<B: Body>(op: *const ()) -> RawWaker {
        // SAFETY: passed on to the caller.
        let op = unsafe { borrow::<B>(op) };
        ManuallyDrop::new(op.clone_inner()).at().raw_waker::<B>()
    }

    /// # Safety
    ///
    /// As above.
    unsafe fn wake<B: Body>(op: *const ()) {
        // SAFETY: passed on to the caller; the waker gives its reference up.
        let op = ManuallyDrop::into_inner(unsafe { borrow::<B>(op) });
        // The reference is kept until the call is over: it keeps the home.
        schedule(&op);
    }

    /// # Safety
    ///
    /// As above.
    unsafe fn wake_by_ref<B: Body>(op: *const ()) {
        // SAFETY: passed on to the caller.
        let op = unsafe { borrow::<B>(op) };
        schedule(&op);
    }

    /// # Safety
    ///
    /// As above.
    unsafe fn drop<B: Body>(op: *const ()) {
        // SAFETY: passed on to the caller; the waker gives its reference up.
        std::mem::drop(ManuallyDrop::into_inner(unsafe { borrow::<B>(op) }));
    }

    const { &RawWakerVTable::new(clone::<B>, wake::<B>, wake_by_ref::<B>, drop::<B>) }
}
