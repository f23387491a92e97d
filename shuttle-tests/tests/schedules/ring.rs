//! Rings and the lookahead: a producer and a consumer that sleep, and a close from a third thread.

use longshore_core::bell::Bell;
use longshore_core::lookahead::lookahead;
use longshore_core::ring::{PopError, PushError, ring};
use shuttle::thread;
use shuttle_tests::{Ledger, explore, mark, pick, toss};
use std::sync::Arc;

const VALUES: u64 = 8;

fn bells() -> (Arc<Bell>, Arc<Bell>) {
    (Arc::new(Bell::new()), Arc::new(Bell::new()))
}

/// C22: what is pushed is popped, in order, once; what a close refuses comes back; nobody sleeps on.
#[test]
fn ring_with_a_close_at_any_moment() {
    explore(&["all through", "closed on the producer", "closed on the consumer", "the consumer went"], || {
        let (consumer_bell, producer_bell) = bells();
        let (mut producer, mut consumer) = ring(1 + pick(3), consumer_bell, producer_bell);
        let ledger = Ledger::default();
        let closer = toss(2).then(|| {
            let closer = producer.closer();
            thread::spawn(move || {
                (0..pick(12)).for_each(|_| thread::yield_now());
                closer.close();
            })
        });
        let values = ledger.clone();
        let pushing = thread::spawn(move || {
            for number in 0..VALUES {
                if let Err(refused) = producer.push_blocking(values.value(number)) {
                    let PushError::Closed(back) = refused else { panic!("full, though it waits") };
                    assert_eq!(back.number(), number);
                    mark("closed on the producer");
                    return number;
                }
            }
            VALUES
        });
        let goes_after = if toss(4) { pick(VALUES as usize) as u64 } else { u64::MAX };
        let mut popped = 0;
        while popped != goes_after {
            match consumer.pop_blocking() {
                Ok(value) => assert_eq!(value.number(), popped, "out of order"),
                Err(PopError::Closed) => break,
                Err(PopError::Empty) => panic!("empty, though it waits"),
            }
            popped += 1;
        }
        let went = popped == goes_after;
        drop(consumer);
        let pushed = pushing.join().unwrap();
        closer.into_iter().for_each(|closer| closer.join().unwrap());
        if went {
            mark("the consumer went");
            assert!(popped <= pushed);
        } else {
            assert_eq!(popped, pushed, "accepted, and popped");
            mark(if pushed == VALUES { "all through" } else { "closed on the consumer" });
        }
        assert_eq!(ledger.alive(), 0, "what was left in the ring is destroyed with it");
    });
}

/// The stamps of a lookahead are dense whatever is refused, and both ends agree on them.
#[test]
fn lookahead_stamps_without_gaps() {
    explore(&["closed early", "refused", "through"], || {
        let (consumer_bell, producer_bell) = bells();
        let (mut push, mut pull) = lookahead(2, consumer_bell, producer_bell.clone());
        let ledger = Ledger::default();
        let values = ledger.clone();
        let pushing = thread::spawn(move || {
            let mut accepted = Vec::new();
            let mut offered = 0;
            while accepted.len() < VALUES as usize {
                let ticket = producer_bell.listen();
                let next = push.next_seq();
                match push.push(values.value(offered)) {
                    Ok(stamp) => {
                        assert_eq!((stamp, stamp.get()), (next, accepted.len() as u64), "a gap");
                        accepted.push(offered);
                    }
                    Err(PushError::Full(back)) => {
                        assert_eq!(back.number(), offered);
                        mark("refused");
                        producer_bell.wait(ticket);
                    }
                    Err(PushError::Closed(_)) => break,
                }
                offered += 1;
            }
            accepted
        });
        let closes_after = if toss(3) { pick(VALUES as usize) } else { usize::MAX };
        let mut pulled = Vec::new();
        while let Ok((stamp, value)) = pull.pull_blocking() {
            assert_eq!(stamp.get(), pulled.len() as u64);
            pulled.push(value.number());
            if pulled.len() == closes_after {
                mark("closed early");
                pull.close();
            }
        }
        let accepted = pushing.join().unwrap();
        assert_eq!(pulled, accepted, "accepted, and pulled");
        if pulled.len() == VALUES as usize {
            mark("through");
        }
        drop(pull);
        assert_eq!(ledger.alive(), 0);
    });
}
