//! The ticket: one operation in flight on a device. One end asks whether it is over; the other is carried by a callback
//! that runs on a foreign thread, once, or never if the submission failed.
//!
//! ```text
//! word = [unasked:1 | cancelled:1 | retired:1]
//!
//!                  complete: |= retired
//!                  Retire dropped: |= retired, cancelled                 Ticket dropped, take: the asker frees
//!   [ in flight ] -----------------------------------> [ retired ] ------------------------------------------> gone
//!     |      |                                                                                                   ^
//!     |      |   Ticket dropped: |= unasked                         complete, Retire dropped: the callback frees |
//!     |      '---------------------------------------> [ unasked ] ----------------------------------------------'
//!     |                                                                                                          |
//!     '--- take_back: the submission failed, and both ends are in one hand --------------------------------------'
//! ```
//!
//! Who may touch what of the record, which both ends share:
//!
//! 1. While it is in flight the payload belongs to the [`Retire`] end: to whoever fills it in before the submission, to the
//!    device after it, to the callback at last. The asker touches the word and the bell alone.
//! 2. Once it is retired the payload belongs to the [`Ticket`], and the `Retire` end is gone: its last step on the record
//!    is the one that sets the bit. The bell is rung after that step, by a reference of the callback's own, because the
//!    asker may have freed the record meanwhile.
//! 3. Each end says once that it goes, by a read-modify-write of the word. Whoever finds that the other went before
//!    frees the record: never both, never neither.
//!
//! So a ticket is ready only once the callback ran, and a callback that is ordered behind the operation on its stream
//! makes that "once the device said so" (C45). Being ready is a bit that nothing clears: asking again is safe (C46). A
//! ticket that nobody asks is freed by its callback (C46). A submission that failed takes the record back, payload and
//! all (C49); if its ticket is elsewhere already, dropping the `Retire` end cancels it, so that nobody waits in vain.
//!
//! | operation | ordering | pairs with |
//! |---|---|---|
//! | retire: fetch_or | Release | `ask`: the payload is as the callback left it |
//! | retire: fetch_or that finds unasked | Acquire | the asker's drop: its last look at the record lies before the free |
//! | `ask`: load | Acquire | retire |
//! | asker's drop: fetch_or | Release | the retire that finds unasked |
//! | asker's drop: fetch_or that finds retired | Acquire | retire: the callback's last look lies before the free |
//!
//! The payload's `Drop` runs wherever the record is freed, the callback's thread included. It must do nothing that is
//! forbidden there: a CUDA host function, for one, may not call CUDA.

use crate::bell::Bell;
use crate::sync::{Arc, AtomicU32, Deadline, Ordering, UnsafeCell, destroy_box, mutant, weaken, weaken_to};
use std::ffi::c_void;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::time::Duration;

const RETIRED: u32 = 1;
const CANCELLED: u32 = 2;
const UNASKED: u32 = 4;

/// What both ends share.
struct Record<T> {
    word: AtomicU32,
    /// `None` only while the record is being freed.
    payload: UnsafeCell<Option<T>>,
    /// The same.
    bell: UnsafeCell<Option<Arc<Bell>>>,
}

const FREED: &str = "a record is emptied by whoever frees it, and nobody comes after that";

impl<T> Record<T> {
    fn bell(&self) -> &Arc<Bell> {
        // SAFETY: nobody writes the bell before the record is freed, and the caller's end, which is not gone, prevents
        // that.
        self.bell.with(|bell| unsafe { (*bell).as_ref() }).expect(FREED)
    }

    fn payload_ptr(&self) -> *mut T {
        // SAFETY: the caller is the end that the payload belongs to (rules 1 and 2), so no reference to it exists elsewhere.
        self.payload.with_mut(|payload| unsafe { (*payload).as_mut() }.map(std::ptr::from_mut)).expect(FREED)
    }

    fn payload(&self) -> &T {
        // SAFETY: the caller is the asker of a retired record, to whom the payload belongs (rule 2) as long as the
        // borrow of its end lasts.
        self.payload.with(|payload| unsafe { (*payload).as_ref() }).expect(FREED)
    }

    /// Frees the record and hands its payload out.
    ///
    /// # Safety
    /// The other end is gone, its going is acquired, and the caller's end is not used again.
    unsafe fn free(record: NonNull<Self>) -> T {
        let shared = {
            // SAFETY: the record is alive until `destroy_box` below.
            unsafe { record.as_ref() }
        };
        // SAFETY: nobody else is left.
        let bell = shared.bell.with_mut(|bell| unsafe { (*bell).take() });
        // SAFETY: nobody else is left.
        let payload = shared.payload.with_mut(|payload| unsafe { (*payload).take() });
        // SAFETY: the record came from `Box::leak`, and this end is the last.
        unsafe { destroy_box(record.as_ptr()) };
        drop(bell);
        payload.expect(FREED)
    }
}

/// How an operation ended, with its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired<P> {
    /// The callback said so; the payload is as it left it.
    Done(P),
    /// Nobody will ever say so: the [`Retire`] end was dropped. The payload says nothing about the operation.
    Cancelled(P),
}

impl<P> Retired<P> {
    /// The payload, whatever happened.
    #[must_use]
    pub fn into_payload(self) -> P {
        match self {
            Self::Done(payload) | Self::Cancelled(payload) => payload,
        }
    }

    fn new(word: u32, payload: P) -> Self {
        if word & CANCELLED == 0 { Self::Done(payload) } else { Self::Cancelled(payload) }
    }
}

/// A ticket for an operation that is about to be submitted, and what its callback will need.
///
/// `payload` is what the operation leaves behind, lengths and status for instance, and whatever must live as long as it
/// is in flight: parameters that the driver reads late, leases on buffers and files. It does not move until it is taken
/// out. `bell` is rung when the operation is over; it may be rung for other reasons too.
pub fn ticket<T: Send + 'static>(payload: T, bell: Arc<Bell>) -> (Ticket<T>, Retire<T>) {
    let (payload, bell) = (UnsafeCell::new(Some(payload)), UnsafeCell::new(Some(bell)));
    let record = NonNull::from(Box::leak(Box::new(Record { word: AtomicU32::new(0), payload, bell })));
    (Ticket { record }, Retire { record })
}

/// The end that asks. Dropping it early is fine: the callback frees what is left.
#[must_use = "a ticket that is dropped cannot be asked when its operation is over"]
pub struct Ticket<T> {
    record: NonNull<Record<T>>,
}

const _: () = assert!(size_of::<Ticket<[u64; 4]>>() == size_of::<usize>());

// SAFETY: the ticket reaches the payload only once the other end is gone, so `T` moves to the asker's thread at most:
// `T: Send` is enough.
unsafe impl<T: Send> Send for Ticket<T> {}
// SAFETY: threads that share a ticket share `&T`.
unsafe impl<T: Send + Sync> Sync for Ticket<T> {}

impl<T> Ticket<T> {
    fn shared(&self) -> &Record<T> {
        // SAFETY: the record lives at least as long as the end that was not dropped (rule 3).
        unsafe { self.record.as_ref() }
    }

    /// The word, if it says retired.
    fn retired(&self) -> Option<u32> {
        // Acquire: pairs with the Release of the step that retired the operation.
        let word = self.shared().word.load(weaken("ticket-ask-relaxed", Ordering::Acquire));
        (word & RETIRED != 0).then_some(word)
    }

    /// Whether the operation is over. Never blocks, and may be asked again.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.retired().is_some()
    }

    /// How the operation ended, or `None` while it is in flight. Never blocks, and may be asked again.
    #[must_use]
    pub fn ask(&self) -> Option<Retired<&T>> {
        self.retired().map(|word| Retired::new(word, self.shared().payload()))
    }

    /// Sleeps until this operation is over, whatever else is in flight. The caller is the bell's one sleeper.
    #[must_use]
    pub fn wait(&self) -> Retired<&T> {
        loop {
            let heard = self.shared().bell().listen();
            if let Some(answer) = self.ask() {
                return answer;
            }
            self.shared().bell().wait(heard);
        }
    }

    /// The same for at most `patience`: for whoever suspects that the device died and the callback will never run.
    #[must_use]
    pub fn wait_timeout(&self, patience: Duration) -> Option<Retired<&T>> {
        let deadline = Deadline::after(patience);
        loop {
            let heard = self.shared().bell().listen();
            if let Some(answer) = self.ask() {
                return Some(answer);
            }
            match deadline.left() {
                Some(Duration::ZERO) => return None,
                Some(left) => _ = self.shared().bell().wait_timeout(heard, left),
                None => self.shared().bell().wait(heard),
            }
        }
    }

    /// Takes the payload of an operation that is over.
    ///
    /// # Errors
    /// Hands the ticket back while the operation is in flight.
    pub fn take(self) -> Result<Retired<T>, Self> {
        let Some(word) = self.retired() else { return Err(self) };
        let record = ManuallyDrop::new(self).record;
        // SAFETY: the other end went when it retired the operation, which `retired` acquired; this one ends here.
        Ok(Retired::new(word, unsafe { Record::free(record) }))
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        if mutant("ticket-drop-forgets") {
            return;
        }
        // Release: pairs with the Acquire of a retire that comes later and frees. Acquire: pairs with the Release of one
        // that came before, since then this end frees.
        let order = weaken_to("ticket-drop-no-release", Ordering::AcqRel, Ordering::Acquire);
        let before = self.shared().word.fetch_or(UNASKED, weaken_to("ticket-drop-no-acquire", order, Ordering::Release));
        if before & RETIRED != 0 {
            // SAFETY: the other end is gone, which was acquired; this one ends here.
            drop(unsafe { Record::free(self.record) });
        }
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

/// The end that says that the operation is over: the right and the duty to do so once.
#[must_use = "dropping it cancels the ticket"]
pub struct Retire<T> {
    record: NonNull<Record<T>>,
}

// SAFETY: the payload moves to whichever thread has this end, and on to the asker's: `T: Send` is enough.
unsafe impl<T: Send> Send for Retire<T> {}

impl<T> Retire<T> {
    fn shared(&self) -> &Record<T> {
        // SAFETY: the record lives at least as long as the end that was not dropped (rule 3).
        unsafe { self.record.as_ref() }
    }

    /// The payload: to fill in before the submission, to finish when the device is through.
    pub fn payload(&mut self) -> &mut T {
        // SAFETY: the operation is in flight as long as this end exists, so the payload belongs to it (rule 1); the borrow
        // of this end keeps the reference unique.
        unsafe { &mut *self.shared().payload_ptr() }
    }

    /// Where the payload lies, for the addresses that a driver is given. They stay good until the payload is next
    /// touched by [`payload`](Self::payload), which is for the callback to do.
    #[must_use]
    pub fn payload_ptr(&mut self) -> *mut T {
        self.shared().payload_ptr()
    }

    /// The operation is over: the ticket is ready, and its bell rung.
    pub fn complete(self) {
        let record = ManuallyDrop::new(self).record;
        // SAFETY: the record of an end that was not dropped, which ends here.
        unsafe { retire(record, RETIRED) };
    }

    /// The submission failed and the callback will never run: takes the payload back from both ends.
    ///
    /// # Panics
    /// If `ticket` is another operation's; this one is cancelled then.
    #[track_caller]
    pub fn take_back(self, ticket: Ticket<T>) -> T {
        assert!(self.record == ticket.record, "the ticket is another operation's");
        let (record, _) = (ManuallyDrop::new(self).record, ManuallyDrop::new(ticket));
        // SAFETY: both ends are in this hand, and both end here.
        unsafe { Record::free(record) }
    }

    /// This end as the pointer that a C callback is given. It is a leak until [`from_raw`](Self::from_raw).
    #[must_use = "whoever drops the pointer leaks the record, and its ticket is never ready"]
    pub fn into_raw(self) -> *mut c_void {
        ManuallyDrop::new(self).record.as_ptr().cast()
    }

    /// The end back from its pointer: in the callback, or, if that will never run, by whoever submitted it.
    ///
    /// # Safety
    /// `raw` came from [`into_raw`](Self::into_raw) of the same `T`, and comes back once: either the callback takes it, or
    /// the submitter, who then knows that the callback has not run and will not (the submission was refused, the
    /// device's context died).
    pub unsafe fn from_raw(raw: *mut c_void) -> Self {
        // SAFETY: the caller promises that this is an end's pointer, which is never null.
        Self { record: unsafe { NonNull::new_unchecked(raw.cast()) } }
    }
}

impl<T> Drop for Retire<T> {
    fn drop(&mut self) {
        if !mutant("ticket-cancel-silent") {
            // SAFETY: the record of an end that was not dropped, which ends here.
            unsafe { retire(self.record, RETIRED | CANCELLED) };
        }
    }
}

impl<T> fmt::Debug for Retire<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retire").finish_non_exhaustive()
    }
}

/// [`Retire::complete`] as a C function of one pointer, to be handed to a driver as it is.
///
/// # Safety
/// As [`Retire::from_raw`].
pub unsafe extern "C" fn complete_raw<T: Send + 'static>(raw: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { Retire::<T>::from_raw(raw) }.complete();
}

/// The last step of the retiring end: says so, then rings, or frees what nobody asks any more.
///
/// # Safety
/// `record` is that of a [`Retire`] that is not used again.
unsafe fn retire<T>(record: NonNull<Record<T>>, marks: u32) {
    let shared = {
        // SAFETY: the record lives until this end has said that it goes, below; nothing of it is touched after that.
        unsafe { record.as_ref() }
    };
    let bell = shared.bell().clone();
    if mutant("ticket-rings-first") {
        bell.ring();
    }
    // Release: pairs with the Acquire of `ask`. Acquire: pairs with the Release of an asker that went before, since then
    // this end frees.
    let order = weaken_to("ticket-retire-no-release", Ordering::AcqRel, Ordering::Acquire);
    let before = if mutant("ticket-retire-store") {
        // Release, as below; the mutant forgets what the asker said in between.
        let before = shared.word.load(Ordering::Acquire);
        shared.word.store(marks, Ordering::Release);
        before
    } else {
        shared.word.fetch_or(marks, weaken_to("ticket-retire-no-acquire", order, Ordering::Release))
    };
    debug_assert_eq!(before & RETIRED, 0, "an operation is retired once");
    if before & UNASKED != 0 {
        // SAFETY: the asker is gone, which was acquired; this end ends here.
        drop(unsafe { Record::free(record) });
    } else if mutant("ticket-touched-after") {
        shared.bell().ring();
    } else if !mutant("ticket-no-ring") && !mutant("ticket-rings-first") {
        bell.ring();
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
