//! A ticket is ready once its callback said so, wakes its asker, and is freed by whoever is last.
//!
//! The threads of each model: the submitter, whose end is the model's beginning; the callback, as a driver would run it,
//! with a raw pointer; the asker.

use longshore_core::bell::Bell;
use longshore_core::sync::Arc;
use longshore_core::ticket::{Retire, Retired, Ticket, ticket};
use loom_tests::{Payload, StartLine, Watch, explore};
use std::ffi::c_void;
use std::time::Duration;

struct Submitted {
    ticket: Ticket<Payload>,
    /// What the driver was given.
    raw: *mut c_void,
    watch: Watch,
}

fn submit(bell: &Arc<Bell>) -> Submitted {
    let (payload, watch) = Payload::watched(0);
    let (ticket, retire) = ticket(payload, bell.clone());
    Submitted { ticket, raw: retire.into_raw(), watch }
}

/// The callback: writes what was observed, then says so.
fn callback(raw: *mut c_void, observed: u32) {
    // SAFETY: each model runs it once per pointer.
    let mut retire = unsafe { Retire::<Payload>::from_raw(raw) };
    retire.payload().set(observed);
    retire.complete();
}

fn observed(answer: Retired<&Payload>) -> u32 {
    match answer {
        Retired::Done(payload) => payload.get(),
        Retired::Cancelled(_) => panic!("cancelled"),
    }
}

/// C45, C46. Threads: the callback, the asker. It looks, waits, asks again and drops the ticket at once. Asserted: it is
/// woken, sees what the callback wrote, each time, and the callback touches nothing of the record that is gone by then.
#[test]
fn ticket_ready_publishes_and_wakes() {
    explore(&["at first sight", "later"], || {
        let Submitted { ticket, raw, watch } = submit(&Arc::new(Bell::new()));
        let line = StartLine::new();
        let host = line.spawn(move || callback(raw, 7));
        line.cross();
        let early = ticket.is_ready();
        assert_eq!(observed(ticket.wait()), 7);
        assert_eq!(ticket.ask().map(observed), Some(7), "asked again");
        drop(ticket);
        assert_eq!(watch.destroyed_by(), Some(loom::thread::current().id()));
        host.join().unwrap();
        if early { "at first sight" } else { "later" }
    });
}

/// C45, C46. Threads: the submitter, the callback, a late asker that asks once and takes what is there, else drops the
/// ticket. Asserted: what is taken is whole; the payload is destroyed once, by the asker or the callback.
#[test]
fn ticket_late_asker_meets_the_callback() {
    explore(&["taken", "dropped, freed by the asker", "dropped, freed by the callback"], || {
        let Submitted { ticket, raw, watch } = submit(&Arc::new(Bell::new()));
        let line = StartLine::new();
        let host = line.spawn(move || callback(raw, 7));
        let asker = line.spawn(move || match ticket.take() {
            Ok(Retired::Done(payload)) => {
                assert_eq!(payload.get(), 7);
                true
            }
            Ok(Retired::Cancelled(_)) => panic!("cancelled"),
            Err(early) => {
                drop(early);
                false
            }
        });
        line.cross();
        let host_id = host.thread().id();
        host.join().unwrap();
        let taken = asker.join().unwrap();
        let by = watch.destroyed_by().expect("reclaimed");
        match (taken, by == host_id) {
            (true, false) => "taken",
            (false, false) => "dropped, freed by the asker",
            (false, true) => "dropped, freed by the callback",
            (true, true) => "taken from the callback's hands",
        }
    });
}

/// C46. Threads: the callback, the asker, which drops the ticket unasked. Asserted: the payload is destroyed once, after
/// whatever either end did with the record.
#[test]
fn ticket_dropped_meets_the_callback() {
    explore(&["freed by the asker", "freed by the callback"], || {
        let bell = Arc::new(Bell::new());
        let Submitted { ticket, raw, watch } = submit(&bell);
        let line = StartLine::new();
        let host = line.spawn(move || callback(raw, 7));
        line.cross();
        drop(ticket);
        host.join().unwrap();
        let by = watch.destroyed_by().expect("reclaimed");
        if by == loom::thread::current().id() { "freed by the asker" } else { "freed by the callback" }
    });
}

/// C46. Threads: the callback, the asker. A timed wait, which is over at once, then the drop. Asserted: the callback that
/// frees does so after the asker's last use of the bell.
#[test]
fn ticket_given_up_meets_the_callback() {
    explore(&["in time", "given up"], || {
        let Submitted { ticket, raw, watch } = submit(&Arc::new(Bell::new()));
        let line = StartLine::new();
        let host = line.spawn(move || callback(raw, 7));
        line.cross();
        let in_time = ticket.wait_timeout(Duration::ZERO).map(observed);
        drop(ticket);
        host.join().unwrap();
        assert!(watch.destroyed_by().is_some());
        match in_time {
            Some(7) => "in time",
            None => "given up",
            Some(_) => "wrong",
        }
    });
}

/// C49. Threads: a submitter whose submission fails after the ticket was handed on, the asker, which waits. Asserted: the
/// asker wakes, is told that it was cancelled, and the payload is destroyed once.
#[test]
fn ticket_failed_submission_wakes_the_asker() {
    explore(&["cancelled"], || {
        let Submitted { ticket, raw, watch } = submit(&Arc::new(Bell::new()));
        let line = StartLine::new();
        let submitter = line.spawn(move || {
            // SAFETY: the submission failed, so no callback has the pointer.
            drop(unsafe { Retire::<Payload>::from_raw(raw) });
        });
        line.cross();
        assert!(matches!(ticket.wait(), Retired::Cancelled(_)));
        drop(ticket);
        submitter.join().unwrap();
        assert!(watch.destroyed_by().is_some());
        "cancelled"
    });
}

/// C49. Threads: a submitter that takes the record back, the callback of the submission before, on the same bell. Asserted:
/// the payload comes back as it was, and the other ticket is answered as if nothing had happened.
#[test]
fn ticket_taken_back_beside_another() {
    explore(&["the other first", "the other later"], || {
        let bell = Arc::new(Bell::new());
        let before = submit(&bell);
        let failed = submit(&bell);
        let line = StartLine::new();
        let raw = before.raw;
        let host = line.spawn(move || callback(raw, 7));
        line.cross();
        let first = before.ticket.is_ready();
        // SAFETY: the submission failed, so no callback has the pointer.
        let payload = unsafe { Retire::<Payload>::from_raw(failed.raw) }.take_back(failed.ticket);
        assert_eq!((payload.get(), failed.watch.destroyed_by()), (0, None));
        assert_eq!(observed(before.ticket.wait()), 7);
        host.join().unwrap();
        if first { "the other first" } else { "the other later" }
    });
}

/// C46. Threads: two callbacks, the asker of both, on one bell. Asserted: a wait for one ends when that one is ready,
/// whatever the other does, and the other's ring is not lost by it.
#[test]
fn ticket_wait_is_for_this_one() {
    explore(&["the other too", "this one alone"], || {
        let bell = Arc::new(Bell::new());
        let (this, other) = (submit(&bell), submit(&bell));
        let line = StartLine::new();
        let hosts = [(this.raw, 1), (other.raw, 2)].map(|(raw, n)| line.spawn(move || callback(raw, n)));
        line.cross();
        assert_eq!(observed(this.ticket.wait()), 1);
        let both = other.ticket.is_ready();
        assert_eq!(observed(other.ticket.wait()), 2);
        hosts.into_iter().for_each(|host| host.join().unwrap());
        if both { "the other too" } else { "this one alone" }
    });
}
