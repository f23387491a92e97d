//! From a completion to its woken owner: one thread fetches, the other sleeps until it is told. Half a round trip, in
//! wall-clock time, since both sides sleep the same way.

use crate::bench::{Group, at_most};
use crate::ours::{BATCH, NOBODY, Ours};
use longshore_core::bell::Bell;
use longshore_core::cache::{Completion, Request};
use longshore_core::inbox::Mailbox;
use longshore_core::ordinal::BatchId;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// The group.
#[must_use]
pub fn groups() -> Vec<Group> {
    let mut group = Group::new("wake", "work to a sleeping worker, completion to the sleeping owner: half a round trip", 2_000);
    group.row("ours: mailbox, completion, bell", || ours);
    group.row("mutex + condvar", || condvar);
    group.row("crossbeam channel", || channel);
    group.aim("no slower than a condvar (<= 1.1 x)", at_most("ours: mailbox, completion, bell", 1.1, "mutex + condvar"));
    group.aim("no slower than a channel (<= 1.1 x)", at_most("ours: mailbox, completion, bell", 1.1, "crossbeam channel"));
    vec![group]
}

fn half_round_trip(trips: usize, mut trip: impl FnMut(u64)) -> f64 {
    let begun = Instant::now();
    (0..trips as u64).for_each(&mut trip);
    begun.elapsed().as_nanos() as f64 / trips as f64 / 2.0
}

fn ours(trips: usize) -> f64 {
    let mut ours: Ours<u64> = Ours::new(BATCH);
    let work = Arc::new(Mailbox::<Completion<_, _>>::new(Arc::new(Bell::new())));
    std::thread::scope(|scope| {
        let inbox = work.clone();
        scope.spawn(move || {
            loop {
                let ticket = inbox.bell().listen();
                let mut any = false;
                for completion in inbox.take_all() {
                    any = true;
                    completion.complete(1);
                }
                if inbox.is_closed() {
                    return;
                }
                if !any {
                    inbox.bell().wait(ticket);
                }
            }
        });
        let time = half_round_trip(trips, |key| {
            ours.next_batch();
            match ours.owner.request(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), &key, BatchId::new(ours.batch), NOBODY) {
                Request::Fetch(_, completion) => assert!(work.push(completion).is_ok()),
                other => panic!("{other:?}"),
            }
            loop {
                let ticket = ours.bell.listen();
                let mut told = false;
                ours.owner.drain_completed(|_, _| told = true);
                if told {
                    break;
                }
                ours.bell.wait(ticket);
            }
        });
        drop(work.close());
        time
    })
}

#[derive(Default)]
struct Queue {
    messages: Mutex<VecDeque<u64>>,
    any: Condvar,
}

impl Queue {
    fn push(&self, message: u64) {
        self.messages.lock().expect("poisoned").push_back(message);
        self.any.notify_one();
    }

    fn pop(&self) -> u64 {
        let mut messages = self.messages.lock().expect("poisoned");
        loop {
            match messages.pop_front() {
                Some(message) => return message,
                None => messages = self.any.wait(messages).expect("poisoned"),
            }
        }
    }
}

fn condvar(trips: usize) -> f64 {
    let (work, done) = (Queue::default(), Queue::default());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                match work.pop() {
                    u64::MAX => return,
                    message => done.push(message),
                }
            }
        });
        let time = half_round_trip(trips, |n| {
            work.push(n);
            assert_eq!(done.pop(), n);
        });
        work.push(u64::MAX);
        time
    })
}

fn channel(trips: usize) -> f64 {
    let (work, inbox) = crossbeam_channel::unbounded();
    let (outbox, done) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| {
        scope.spawn(move || inbox.iter().for_each(|message: u64| outbox.send(message).expect("the owner waits")));
        let time = half_round_trip(trips, |n| {
            work.send(n).expect("the worker waits");
            assert_eq!(done.recv(), Ok(n));
        });
        drop(work);
        time
    })
}
