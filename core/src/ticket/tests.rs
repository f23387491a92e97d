use super::*;
use crate::ring::{Consumer, Producer, ring};
use crate::semaphore::Semaphore;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

/// What a read leaves behind, with a lease that tells whether the record was freed.
struct Read {
    /// Written by the device while the operation is in flight, as cuFile writes its byte counts.
    observed: UnsafeCell<i64>,
    status: i32,
    _lease: Arc<()>,
}

fn read(lease: &Arc<()>) -> Read {
    Read { observed: UnsafeCell::new(0), status: -1, _lease: lease.clone() }
}

impl Read {
    fn observed(&self) -> i64 {
        // SAFETY: whoever has a `&Read` has it from a retired ticket or in the callback: the device is through.
        self.observed.with(|bytes| unsafe { *bytes })
    }
}

/// Parks a stream. Made after the stream, so that a test that fails opens it before it waits for the stream's end.
struct Barrier(Arc<Semaphore>);

impl Barrier {
    fn on(stream: &mut Stream) -> Self {
        let open = Arc::new(Semaphore::new(0));
        stream.submit(Work::Park(open.clone()));
        Self(open)
    }

    fn open(self) {}
}

impl Drop for Barrier {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What a stream runs, in order.
enum Work {
    Park(Arc<Semaphore>),
    Read { into: *mut i64, bytes: i64 },
    Callback(unsafe extern "C" fn(*mut c_void), *mut c_void),
}

// SAFETY: the pointers are used by the stream's thread alone once they are submitted.
unsafe impl Send for Work {}

/// A device's stream: a thread that runs what was submitted, one after the other.
struct Stream {
    queue: Option<Producer<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    fn new() -> Self {
        let (queue, work) = ring(64, Arc::new(Bell::new()), Arc::new(Bell::new()));
        Self { queue: Some(queue), thread: Some(std::thread::spawn(move || run(work))) }
    }

    fn submit(&mut self, work: Work) {
        assert!(self.queue.as_mut().unwrap().push_blocking(work).is_ok());
    }

    /// A read that observes `bytes`, and the callback behind it.
    fn read(&mut self, mut retire: Retire<Read>, bytes: i64) {
        let into = retire.payload().observed.with_mut(|bytes| bytes);
        self.submit(Work::Read { into, bytes });
        self.submit(Work::Callback(finish, retire.into_raw()));
    }

    fn synchronize(mut self) {
        drop(self.queue.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn run(mut queue: Consumer<Work>) {
    while let Ok(work) = queue.pop_blocking() {
        match work {
            Work::Park(open) => assert!(!open.acquire()),
            // SAFETY: the cell lives until the callback, which lies behind this in the stream.
            Work::Read { into, bytes } => unsafe { *into = bytes },
            // SAFETY: the pointer is the callback's, which runs once.
            Work::Callback(callback, data) => unsafe { callback(data) },
        }
    }
}

/// The callback of a read: what was observed decides the status.
unsafe extern "C" fn finish(raw: *mut c_void) {
    // SAFETY: the stream runs this once per submitted read.
    let mut retire = unsafe { Retire::<Read>::from_raw(raw) };
    let read = retire.payload();
    read.status = i32::from(read.observed() < 0);
    retire.complete();
}

fn done(answer: Option<Retired<&Read>>) -> (i64, i32) {
    match answer {
        Some(Retired::Done(read)) => (read.observed(), read.status),
        Some(Retired::Cancelled(_)) => panic!("cancelled"),
        None => panic!("in flight"),
    }
}

#[test]
fn c45_parked_behind_a_barrier_it_is_not_ready_and_released_it_is() {
    let lease = Arc::new(());
    let mut stream = Stream::new();
    let barrier = Barrier::on(&mut stream);
    let (ticket, retire) = ticket(read(&lease), Arc::new(Bell::new()));
    stream.read(retire, 4096);
    assert!(!ticket.is_ready(), "the submission says nothing");
    assert!(ticket.ask().is_none());
    assert!(ticket.wait_timeout(Duration::ZERO).is_none());
    let ticket = ticket.take().map(|_| ()).expect_err("in flight");
    barrier.open();
    assert_eq!(done(Some(ticket.wait())), (4096, 0));
}

#[test]
fn c46_a_ready_ticket_may_be_asked_again_and_again() {
    let lease = Arc::new(());
    let mut stream = Stream::new();
    let (ticket, retire) = ticket(read(&lease), Arc::new(Bell::new()));
    stream.read(retire, 1);
    assert_eq!(done(Some(ticket.wait())), (1, 0));
    stream.synchronize();
    for _ in 0..3 {
        assert!(ticket.is_ready());
        assert_eq!(done(ticket.ask()), (1, 0));
        assert_eq!(done(Some(ticket.wait())), (1, 0));
        assert_eq!(done(ticket.wait_timeout(Duration::ZERO)), (1, 0));
    }
    let Ok(Retired::Done(read)) = ticket.take() else { panic!("ready a moment ago") };
    assert_eq!(Arc::strong_count(&lease), 2);
    drop(read);
    assert_eq!(Arc::strong_count(&lease), 1);
}

#[test]
fn c46_a_ticket_that_nobody_asks_is_reclaimed() {
    let (lease, bell) = (Arc::new(()), Arc::new(Bell::new()));
    let mut stream = Stream::new();
    let barrier = Barrier::on(&mut stream);
    let (early, retire) = ticket(read(&lease), bell.clone());
    stream.read(retire, 1);
    drop(early);
    assert_eq!(Arc::strong_count(&lease), 2, "still in flight: the device writes into the record");
    barrier.open();
    stream.synchronize();
    assert_eq!(Arc::strong_count(&lease), 1, "the callback freed it");

    let mut stream = Stream::new();
    let (late, retire) = ticket(read(&lease), bell.clone());
    stream.read(retire, 1);
    stream.synchronize();
    assert_eq!(Arc::strong_count(&lease), 2, "somebody may still ask");
    drop(late);
    assert_eq!(Arc::strong_count(&lease), 1, "the asker freed it");
    assert_eq!(Arc::strong_count(&bell), 1);
}

#[test]
fn c46_waiting_is_for_this_ticket_alone() {
    let (lease, bell) = (Arc::new(()), Arc::new(Bell::new()));
    let (mut free, mut parked) = (Stream::new(), Stream::new());
    let barrier = Barrier::on(&mut parked);
    let (other, retire) = ticket(read(&lease), bell.clone());
    parked.read(retire, 2);
    let (this, retire) = ticket(read(&lease), bell.clone());
    free.read(retire, 1);
    assert_eq!(done(Some(this.wait())), (1, 0));
    assert!(!other.is_ready());
    barrier.open();
    assert_eq!(done(Some(other.wait())), (2, 0));
}

#[test]
fn c48_the_payload_says_what_the_device_observed() {
    let lease = Arc::new(());
    let mut stream = Stream::new();
    for (observed, status) in [(4096, 0), (100, 0), (0, 0), (-5011, 1)] {
        let (ticket, retire) = ticket(read(&lease), Arc::new(Bell::new()));
        stream.read(retire, observed);
        assert_eq!(done(Some(ticket.wait())), (observed, status));
    }
}

#[test]
fn c49_a_failed_submission_takes_the_record_back_and_the_next_one_works() {
    let (lease, bell) = (Arc::new(()), Arc::new(Bell::new()));
    let (refused, mut retire) = ticket(read(&lease), bell.clone());
    retire.payload().status = 7;
    let raw = retire.into_raw(); // handed to a driver, which refused it
    assert!(!refused.is_ready());
    // SAFETY: no callback was ever submitted with the pointer.
    let retire = unsafe { Retire::<Read>::from_raw(raw) };
    assert_eq!(retire.take_back(refused).status, 7);
    assert_eq!((Arc::strong_count(&lease), Arc::strong_count(&bell)), (1, 1), "every lease is back");

    let (accepted, retire) = ticket(read(&lease), bell);
    let mut stream = Stream::new();
    stream.read(retire, 5);
    assert_eq!(done(Some(accepted.wait())), (5, 0));
}

#[test]
fn c49_a_lost_callback_cancels_the_ticket_that_somebody_waits_for() {
    let (lease, open) = (Arc::new(()), Arc::new(Semaphore::new(0)));
    let (ticket, retire) = ticket(read(&lease), Arc::new(Bell::new()));
    let waiter = std::thread::spawn({
        let open = open.clone();
        move || {
            open.release(1);
            assert!(matches!(ticket.wait(), Retired::Cancelled(_)));
            assert!(matches!(ticket.ask(), Some(Retired::Cancelled(_))), "for good");
            matches!(ticket.take(), Ok(Retired::Cancelled(_)))
        }
    });
    assert!(open.acquire());
    drop(retire);
    assert!(waiter.join().unwrap());
    assert_eq!(Arc::strong_count(&lease), 1);
}

#[test]
fn c49_the_wrong_ticket_is_not_taken_back() {
    let (lease, bell) = (Arc::new(()), Arc::new(Bell::new()));
    let (one, retire_one) = ticket(read(&lease), bell.clone());
    let (two, retire_two) = ticket(read(&lease), bell);
    assert!(catch_unwind(AssertUnwindSafe(|| retire_one.take_back(two))).is_err());
    assert!(matches!(one.ask(), Some(Retired::Cancelled(_))), "nobody waits for it in vain");
    retire_two.complete();
    drop(one);
    assert_eq!(Arc::strong_count(&lease), 1);
}

/// Two streams, tickets dropped, asked and awaited in a seeded order: every lease comes back, every answer is its own.
#[test]
fn c46_c49_many_tickets_come_and_go() {
    const SEED: u64 = 0x7c3e_71c4;
    println!("seed {SEED:#x}");
    let (lease, bell) = (Arc::new(()), Arc::new(Bell::new()));
    let mut streams = [Stream::new(), Stream::new()];
    let mut kept = Vec::new();
    let mut random = SEED;
    for n in 0..if cfg!(miri) { 50 } else { 5_000_i64 } {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let dice = random >> 60;
        let (ticket, retire) = ticket(read(&lease), bell.clone());
        if dice == 0 {
            drop(retire.take_back(ticket));
            continue;
        }
        streams[n as usize % 2].read(retire, n);
        match dice {
            1..6 => drop(ticket),
            6..8 => assert_eq!(done(Some(ticket.wait())), (n, 0)),
            _ => kept.push((n, ticket)),
        }
        if kept.len() == 16 {
            kept.drain(..).for_each(|(n, ticket)| assert_eq!(done(Some(ticket.wait())), (n, 0)));
        }
    }
    streams.into_iter().for_each(Stream::synchronize);
    for (n, ticket) in kept {
        assert_eq!(done(ticket.ask()), (n, 0));
    }
    assert_eq!(Arc::strong_count(&lease), 1);
}

#[test]
fn a_callback_with_nothing_to_do_is_there_already() {
    let (ticket, retire) = ticket(3, Arc::new(Bell::new()));
    let (callback, raw): (unsafe extern "C" fn(*mut c_void), _) = (complete_raw::<i32>, retire.into_raw());
    // SAFETY: called once.
    unsafe { callback(raw) };
    assert_eq!(ticket.ask(), Some(Retired::Done(&3)));
    assert!(ticket.take().is_ok_and(|answer| answer.into_payload() == 3));
}
