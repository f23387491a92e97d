//! Protocols that meet in the engine: one bell for everything it sleeps on, buffers that go round, permits for tasks.

use longshore_core::bell::Bell;
use longshore_core::gate::{GateState, gate_table};
use longshore_core::inbox::{Inbox, Mailbox};
use longshore_core::ordinal::BatchId;
use longshore_core::ring::{PushError, ring};
use longshore_core::semaphore::Semaphore;
use longshore_core::sync::Arc;
use longshore_core::watermark::Watermark;
use loom_tests::{Payload, StartLine, explore};

/// C22, C42. Threads: a user that returns a batch's buffer, a prefetcher that sends a message, the engine, which has none
/// and looks for both; two mailboxes share its bell. Asserted: it wakes for each, and the buffer is the user's no more.
#[test]
fn engine_batch_return_while_it_looks_for_a_buffer() {
    explore(&["buffer first", "message first", "together"], || {
        let bell = Arc::new(Bell::new());
        let (returns, messages) = (Arc::new(Mailbox::new(bell.clone())), Arc::new(Mailbox::new(bell.clone())));
        let buffer = Payload::new(0);
        let line = StartLine::new();
        let user = line.spawn({
            let returns = returns.clone();
            move || {
                buffer.set(1);
                assert!(returns.push(buffer).is_ok());
            }
        });
        let prefetcher = line.spawn({
            let messages = messages.clone();
            move || assert!(messages.push(()).is_ok())
        });
        line.cross();
        let (mut buffer, mut message, mut order) = (None, None, "together");
        while buffer.is_none() || message.is_none() {
            let heard = bell.listen();
            let before = (buffer.is_some(), message.is_some());
            buffer = buffer.or_else(|| returns.take_all().next());
            message = message.or_else(|| messages.take_all().next());
            match (buffer.is_some(), message.is_some()) {
                now if now == before => bell.wait(heard),
                (true, false) => order = "buffer first",
                (false, true) => order = "message first",
                _ => {}
            }
        }
        assert_eq!(buffer.map(|buffer| buffer.get()), Some(1));
        user.join().unwrap();
        prefetcher.join().unwrap();
        order
    });
}

/// C26, C42. Threads: a user that returns a batch's buffer, the engine, which goes. Asserted: the buffer is destroyed once,
/// by whoever has it then.
#[test]
fn engine_batch_return_meets_the_close() {
    explore(&["freed by the engine", "freed by the user"], || {
        let returns = Arc::new(Mailbox::new(Arc::new(Bell::new())));
        let (buffer, watch) = Payload::watched(0);
        let line = StartLine::new();
        let user = line.spawn({
            let returns = returns.clone();
            move || drop(returns.push(buffer)) // handed back, it is freed right here
        });
        line.cross();
        drop(returns.close());
        let by_engine = watch.destroyed_by().is_some_and(|by| by == loom::thread::current().id());
        user.join().unwrap();
        assert!(watch.destroyed_by().is_some(), "leaked");
        if by_engine { "freed by the engine" } else { "freed by the user" }
    });
}

/// C22, C42. Threads: a user that pops a batch and returns its buffer, twice; the engine, whose ring of one is full and
/// whose one buffer is out. Asserted: the pop and the return wake it, it writes into the buffer only after the user's
/// last look, and the user sees what it wrote.
#[test]
fn engine_buffer_goes_round() {
    explore(&["round"], || {
        let bell = Arc::new(Bell::new());
        let returns = Arc::new(Mailbox::new(bell.clone()));
        let (mut ready, mut popping) = ring(1, Arc::new(Bell::new()), bell.clone());
        assert!(ready.try_push(Payload::new(1)).is_ok());
        let line = StartLine::new();
        let user = line.spawn({
            let returns = returns.clone();
            move || {
                for n in 1..=2 {
                    let batch = popping.pop_blocking().unwrap();
                    assert_eq!(batch.get(), n);
                    assert!(returns.push(batch).is_ok());
                }
                popping // kept: the engine's second push must not meet a close
            }
        });
        line.cross();
        let mut rendered = None;
        loop {
            let heard = bell.listen();
            if rendered.is_none() {
                rendered = returns.take_all().next().inspect(|buffer| buffer.set(2));
            }
            match rendered.take().map(|batch| ready.try_push(batch)) {
                Some(Ok(())) => break,
                Some(Err(PushError::Full(batch))) => rendered = Some(batch),
                Some(Err(PushError::Closed(_))) => unreachable!("nobody closes"),
                None => {}
            }
            bell.wait(heard);
        }
        user.join().unwrap();
        assert_eq!(returns.take_all().map(|batch| batch.get()).collect::<Vec<_>>(), [2]);
        "round"
    });
}

/// C22. Threads: two that queue a task each and release a permit, a worker. Asserted: a permit stands for a task that can be
/// found, whole.
#[test]
fn engine_permit_stands_for_a_task() {
    explore(&["0 1", "1 0"], || {
        let (tasks, permits) = (Arc::new(Inbox::new()), Arc::new(Semaphore::new(0)));
        let line = StartLine::new();
        let queuers: Vec<_> = (0..2)
            .map(|n| {
                let (tasks, permits) = (tasks.clone(), permits.clone());
                line.spawn(move || {
                    assert!(tasks.push(Payload::new(n)).is_ok());
                    permits.release(1);
                })
            })
            .collect();
        line.cross();
        let (mut taken, mut done) = (std::collections::VecDeque::new(), Vec::new());
        for _ in 0..2 {
            assert!(permits.acquire());
            taken.extend(tasks.take_all());
            done.push(taken.pop_front().expect("a permit stands for a task").get());
        }
        queuers.into_iter().for_each(|queuer| queuer.join().unwrap());
        match done[..] {
            [0, 1] => "0 1",
            [1, 0] => "1 0",
            _ => "wrong",
        }
    });
}

/// C14, C17, C22. Threads: the prefetcher, which opens the one gate for batch 0, gives it back once the watermark has passed
/// and opens it for batch 1; the engine, which plans whatever it is sent. Asserted: the engine never finds a gate stale,
/// sees the work of every batch, and the prefetcher sees that the batch is planned.
#[test]
fn engine_gate_is_recycled_behind_the_watermark() {
    explore(&["both planned"], || {
        let (mut owner, asker) = gate_table(1);
        let (engine_bell, prefetch_bell) = (Arc::new(Bell::new()), Arc::new(Bell::new()));
        let tickets = Arc::new(Mailbox::new(engine_bell.clone()));
        let watermark = Arc::new(Watermark::new());
        let plan = Arc::new(Payload::new(0));
        let line = StartLine::new();
        let engine = line.spawn({
            let (tickets, watermark, plan, bell) = (tickets.clone(), watermark.clone(), plan.clone(), prefetch_bell.clone());
            move || {
                for batch in 1..=2 {
                    let (gate, work): (_, Arc<Payload>) = loop {
                        let heard = engine_bell.listen();
                        match tickets.take_all().next() {
                            Some(ticket) => break ticket,
                            None => engine_bell.wait(heard),
                        }
                    };
                    loop {
                        let heard = engine_bell.listen();
                        match asker.poll(gate) {
                            GateState::Ready => break,
                            GateState::Pending => engine_bell.wait(heard),
                            other => panic!("{other:?}"),
                        }
                    }
                    assert_eq!(u64::from(work.get()), batch);
                    plan.set(work.get());
                    watermark.advance_to(BatchId::new(batch));
                    bell.ring();
                }
            }
        });
        line.cross();
        for batch in 1..=2 {
            let gate = owner.open().expect("recycled");
            let work = Arc::new(Payload::new(0));
            assert!(tickets.push((gate, work.clone())).is_ok());
            work.set(batch);
            drop(work);
            assert!(owner.arrive(gate));
            tickets.bell().ring();
            loop {
                let heard = prefetch_bell.listen();
                if watermark.get().get() >= u64::from(batch) {
                    break;
                }
                prefetch_bell.wait(heard);
            }
            assert_eq!(plan.get(), batch);
            owner.release(gate);
        }
        engine.join().unwrap();
        "both planned"
    });
}
