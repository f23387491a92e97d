//! Values pass once and in order; nothing that was accepted is lost to a close; sleepers wake.

use longshore_core::bell::Bell;
use longshore_core::ring::{Consumer, PopError, Producer, PushError, ring};
use longshore_core::sync::Arc;
use loom_tests::{Payload, StartLine, explore};

fn new_ring(capacity: usize) -> (Producer<Payload>, Consumer<Payload>) {
    ring(capacity, Arc::new(Bell::new()), Arc::new(Bell::new()))
}

/// C22. Threads: a producer of two values, the consumer; both sleep on a ring of one cell, which is used twice.
/// Asserted: the values come in order, whole, then the close.
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

/// C22. Threads: a producer, one that closes, the consumer, which pops until the end. Asserted: the value is accepted
/// and popped, or handed back.
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

/// C22. Threads: a producer that sleeps on a full ring, the consumer, which goes. Asserted: the producer wakes and
/// has its value back.
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

/// C22. Threads: one that closes, the consumer, which sleeps on the empty ring. Asserted: it is told, and sees what was done
/// before the close.
#[test]
fn ring_close_publishes() {
    explore(&["closed"], || {
        let (push, mut pop) = new_ring(1);
        let reason = Arc::new(Payload::new(0));
        let line = StartLine::new();
        let closing = line.spawn({
            let (closer, reason) = (push.closer(), reason.clone());
            move || {
                reason.set(7);
                closer.close();
            }
        });
        line.cross();
        assert!(matches!(pop.pop_blocking(), Err(PopError::Closed)));
        assert_eq!(reason.get(), 7);
        closing.join().unwrap();
        drop(push);
        "closed"
    });
}
