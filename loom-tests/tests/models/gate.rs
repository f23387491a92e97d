//! A gate opens once, when every token is gone, with everything its tokens stood for visible.

use longshore_core::bell::Bell;
use longshore_core::gate::{GateState, gate_table};
use longshore_core::sync::Arc;
use loom_tests::{Payload, StartLine, explore};

/// C14. Threads: a fetcher and the owner, which drop a token each, an asker. Asserted: one of the two is the last and
/// sees what the other did; who sees the gate ready sees both.
#[test]
fn gate_ready_publishes_everything() {
    explore(&["asked too early", "seen ready"], || {
        let (mut owner, asker) = gate_table(1);
        let gate = owner.open().unwrap();
        owner.add(gate, 1);
        let done = Arc::new([Payload::new(0), Payload::new(0)]);
        let line = StartLine::new();
        let other = line.spawn({
            let (arriver, done) = (asker.arriver(), done.clone());
            move || {
                done[0].set(1);
                let last = arriver.arrive(gate);
                if last {
                    assert_eq!(done[1].get(), 1, "the last has seen the other");
                }
                last
            }
        });
        let poller = line.spawn({
            let (asker, done) = (asker.clone(), done.clone());
            move || match asker.poll(gate) {
                GateState::Ready => {
                    assert_eq!((done[0].get(), done[1].get()), (1, 1));
                    "seen ready"
                }
                GateState::Pending => "asked too early",
                _ => "wrong",
            }
        });
        line.cross();
        done[1].set(1);
        let last = owner.arrive(gate);
        if last {
            assert_eq!(done[0].get(), 1, "the last has seen the other");
        }
        assert!(last != other.join().unwrap(), "one is the last");
        let seen = poller.join().unwrap();
        assert_eq!(asker.poll(gate), GateState::Ready);
        seen
    });
}

/// C15. Threads: a fetcher that fails, the owner, which arrives, an asker. Asserted: nobody sees the failing token
/// gone and the gate clean.
#[test]
fn gate_error_comes_with_its_token() {
    explore(&["pending", "failed"], || {
        let (mut owner, asker) = gate_table(1);
        let gate = owner.open().unwrap();
        owner.add(gate, 1);
        let line = StartLine::new();
        let failing = line.spawn({
            let arriver = asker.arriver();
            move || arriver.fail(gate)
        });
        let poller = line.spawn({
            let asker = asker.clone();
            move || asker.poll(gate)
        });
        line.cross();
        let last = owner.arrive(gate);
        assert!(last != failing.join().unwrap());
        let seen = poller.join().unwrap();
        assert_eq!(asker.poll(gate), GateState::Failed);
        match seen {
            GateState::Pending => "pending",
            GateState::Failed => "failed",
            GateState::Ready => "ready, though it failed",
            GateState::Stale => "stale",
        }
    });
}

/// C17. Threads: a fetcher that drops the last token, an asker, the owner, which releases before that and opens a
/// gate. Asserted: the gate is not another batch's until the token is gone, and recycled once.
#[test]
fn gate_early_release_is_deferred() {
    explore(&["free at once", "had to wait"], || {
        let (mut owner, asker) = gate_table(1);
        let gate = owner.open().unwrap();
        owner.add(gate, 1);
        assert!(!owner.arrive(gate));
        let line = StartLine::new();
        let arriver = asker.arriver();
        let other = line.spawn(move || arriver.arrive(gate));
        let poller = line.spawn({
            let asker = asker.clone();
            move || asker.poll(gate)
        });
        line.cross();
        owner.release(gate);
        let early = owner.open();
        assert!(other.join().unwrap(), "its token is the last");
        let next = early.or_else(|| owner.open()).expect("recycled once the token is gone");
        assert_ne!(next, gate);
        assert_ne!(poller.join().unwrap(), GateState::Failed);
        assert_eq!((asker.poll(gate), asker.poll(next)), (GateState::Stale, GateState::Pending));
        assert_eq!(owner.open(), None, "recycled once");
        if early.is_some() { "free at once" } else { "had to wait" }
    });
}

/// C22. Threads: a fetcher and the prefetcher, which drop a token each and ring if it was the last, the engine, which
/// sleeps until the gate is ready. Asserted: it wakes.
#[test]
fn gate_last_token_wakes_the_engine() {
    explore(&["ready"], || {
        let (mut owner, asker) = gate_table(1);
        let gate = owner.open().unwrap();
        owner.add(gate, 1);
        let bell = Arc::new(Bell::new());
        let line = StartLine::new();
        let fetcher = line.spawn({
            let (arriver, bell) = (asker.arriver(), bell.clone());
            move || {
                if arriver.arrive(gate) {
                    bell.ring();
                }
            }
        });
        let prefetcher = line.spawn({
            let bell = bell.clone();
            move || {
                if owner.arrive(gate) {
                    bell.ring();
                }
            }
        });
        line.cross();
        loop {
            let ticket = bell.listen();
            if asker.poll(gate) == GateState::Ready {
                break;
            }
            bell.wait(ticket);
        }
        fetcher.join().unwrap();
        prefetcher.join().unwrap();
        "ready"
    });
}

/// C14. Threads: a fetcher that drops its token, an asker, the owner, which adds a token for a late sample, drops that and
/// seals the batch last. Asserted: no token is lost, and nobody sees the gate ready before it is sealed.
#[test]
fn gate_adds_until_sealed() {
    explore(&["asked too early", "seen ready"], || {
        let (mut owner, asker) = gate_table(1);
        let gate = owner.open().unwrap();
        owner.add(gate, 1);
        let sealed = Arc::new(Payload::new(0));
        let line = StartLine::new();
        let arriver = asker.arriver();
        let fetcher = line.spawn(move || arriver.arrive(gate));
        let poller = line.spawn({
            let (asker, sealed) = (asker.clone(), sealed.clone());
            move || match asker.poll(gate) {
                GateState::Ready => {
                    assert_eq!(sealed.get(), 1);
                    "seen ready"
                }
                GateState::Pending => "asked too early",
                _ => "wrong",
            }
        });
        line.cross();
        owner.add(gate, 1);
        assert!(!owner.arrive(gate), "the owner's hold is still there");
        sealed.set(1);
        let last = owner.arrive(gate);
        assert!(last != fetcher.join().unwrap(), "one is the last");
        assert_eq!(asker.poll(gate), GateState::Ready, "a token was lost or doubled");
        poller.join().unwrap()
    });
}

/// C16. Threads: a fetcher that drops its token, an asker, the owner, which cancels the batch and drops its hold. Asserted:
/// the counts drain, and the batch is never seen ready.
#[test]
fn gate_cancelled_drains() {
    explore(&["pending", "failed"], || {
        let (mut owner, asker) = gate_table(1);
        let gate = owner.open().unwrap();
        owner.add(gate, 1);
        let line = StartLine::new();
        let arriver = asker.arriver();
        let fetcher = line.spawn(move || arriver.arrive(gate));
        let poller = line.spawn({
            let asker = asker.clone();
            move || asker.poll(gate)
        });
        line.cross();
        owner.set_error(gate);
        let last = owner.arrive(gate);
        assert!(last != fetcher.join().unwrap(), "one is the last");
        assert_eq!(asker.poll(gate), GateState::Failed, "a token or the error was lost");
        match poller.join().unwrap() {
            GateState::Pending => "pending",
            GateState::Failed => "failed",
            _ => "wrong",
        }
    });
}

/// C17. Threads: an asker of a batch that is over, the owner, which recycles its gate for the next. Asserted: the asker gets
/// the old batch's answer or is told that its handle is stale; it never takes the next batch for its own.
#[test]
fn gate_recycled_meets_a_late_asker() {
    explore(&["ready", "stale"], || {
        let (mut owner, asker) = gate_table(1);
        let gate = owner.open().unwrap();
        assert!(owner.arrive(gate));
        let line = StartLine::new();
        let late = line.spawn(move || asker.poll(gate));
        line.cross();
        owner.release(gate);
        let next = owner.open().expect("recycled at once");
        assert_eq!(owner.poll(next), GateState::Pending);
        match late.join().unwrap() {
            GateState::Ready => "ready",
            GateState::Stale => "stale",
            _ => "another batch's",
        }
    });
}
