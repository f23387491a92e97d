//! Values pass once and in order; nothing that was accepted is lost to a close; sleepers wake.

use longshore_core::bell::Bell;
use longshore_core::ring::{Consumer, PopError, Producer, PushError, ring};
use longshore_core::sync::Arc;
use loom_tests::{Payload, StartLine, explore};

fn new_ring(capacity: usize) -> (Producer<Payload>, Consumer<Payload>) {
    ring(capacity, Arc::new(Bell::new()), Arc::new(Bell::new()))
}

/// C22: both ends sleep on a ring of one cell, which is used twice.
#[test]
fn ring_passes_values_in_order() {
    explore(&["in order"], || {
        let (mut push, mut pop) = new_ring(1);
        let line = StartLine::new();
        let producer = line.spawn(move || {
            for n in 1..=2 {
                push.push_blocking(Payload::new(n)).unwrap();
            }
        });
        line.cross();
        for n in 1..=2 {
            assert_eq!(pop.pop_blocking().unwrap().get(), n);
        }
        assert!(matches!(pop.pop_blocking(), Err(PopError::Closed)), "the producer dropped its end");
        producer.join().unwrap();
        "in order"
    });
}

/// A push that races a close from a third thread: accepted and popped, or handed back.
#[test]
fn ring_close_loses_nothing() {
    explore(&["popped", "handed back"], || {
        let (mut push, mut pop) = new_ring(2);
        let line = StartLine::new();
        let closer = push.closer();
        let producer = line.spawn(move || {
            let accepted = push.try_push(Payload::new(1)).is_ok();
            (accepted, push) // kept: the third thread's close must do
        });
        let closing = line.spawn(move || closer.close());
        line.cross();
        let mut popped = 0;
        while let Ok(value) = pop.pop_blocking() {
            assert_eq!(value.get(), 1);
            popped += 1;
        }
        let (accepted, push) = producer.join().unwrap();
        closing.join().unwrap();
        drop(push);
        match (accepted, popped) {
            (true, 1) => "popped",
            (false, 0) => "handed back",
            _ => "lost",
        }
    });
}

/// C22: a producer that sleeps on a full ring wakes when the consumer goes.
#[test]
fn ring_consumer_gone_wakes_the_producer() {
    explore(&["closed"], || {
        let (mut push, pop) = new_ring(1);
        push.try_push(Payload::new(1)).unwrap();
        let line = StartLine::new();
        let producer = line.spawn(move || match push.push_blocking(Payload::new(2)) {
            Err(PushError::Closed(back)) => back.get(),
            _ => 0,
        });
        line.cross();
        drop(pop);
        assert_eq!(producer.join().unwrap(), 2);
        "closed"
    });
}
