//! Gates: several threads drop tokens while the owner opens, adds, releases and asks, and an engine waits for the end.

use longshore_core::bell::Bell;
use longshore_core::gate::{GateArriver, GateAsker, GateHandle, GateOwner, GateState, gate_table};
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread;
use shuttle_tests::{explore, mark, pick, toss};
use std::sync::{Arc, Mutex, PoisonError};

const GATES: usize = 2;
const BATCHES: usize = 4;
const FINISHERS: usize = 3;

/// What is certain of a batch.
#[derive(Clone, Copy, Default)]
struct Facts {
    /// Tokens whose drop has not begun, and tokens whose drop has not returned.
    held: u32,
    out: u32,
    /// An error was begun to be set, and one is set for certain.
    may_fail: bool,
    must_fail: bool,
    released: bool,
}

#[derive(Clone, Default)]
struct Books(Arc<Mutex<Vec<Facts>>>);

impl Books {
    fn get(&self, batch: usize) -> Facts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[batch]
    }

    fn change(&self, batch: usize, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[batch]);
    }

    /// Drops a token by `drop_it`, and judges its answer.
    fn drop_token(&self, batch: usize, fails: bool, drop_it: impl FnOnce() -> bool) -> bool {
        self.change(batch, |facts| {
            facts.held -= 1;
            facts.may_fail |= fails;
        });
        let last = drop_it();
        self.change(batch, |facts| {
            facts.out -= 1;
            facts.must_fail |= fails;
        });
        assert!(!last || self.get(batch).held == 0, "C14: the last of several tokens");
        last
    }

    /// Asks, and judges the answer by what was certain before and possible after.
    fn poll(&self, batch: usize, poll: impl FnOnce() -> GateState) -> GateState {
        let before = self.get(batch);
        let state = poll();
        let after = self.get(batch);
        match state {
            GateState::Pending => assert!(before.out > 0, "C14: pending after the last token"),
            GateState::Ready => assert!(after.held == 0 && !before.must_fail, "C14, C15: ready"),
            GateState::Failed => assert!(after.held == 0 && after.may_fail, "C14, C15: failed"),
            GateState::Stale => assert!(after.released && after.held == 0, "C17: recycled before its end"),
        }
        state
    }
}

/// One token, and what it belongs to.
struct Token {
    batch: usize,
    gate: GateHandle,
}

fn finish(tokens: &Receiver<Token>, gates: &GateArriver, books: &Books, bells: &[Arc<Bell>]) {
    for Token { batch, gate } in tokens.iter() {
        if toss(4) {
            books.change(batch, |facts| facts.may_fail = true);
            gates.set_error(gate);
            books.change(batch, |facts| facts.must_fail = true);
        }
        let fails = toss(4);
        let last = books.drop_token(batch, fails, || if fails { gates.fail(gate) } else { gates.arrive(gate) });
        if last {
            mark("a finisher was the last");
            // The engine looks at the batch; the owner, at a gate that was given up.
            bells.iter().for_each(|bell| bell.ring());
        }
    }
}

/// Waits for each batch in turn, then says that it may be released.
fn consume(batches: &Receiver<Token>, gates: &GateAsker, books: &Books, bell: &Bell, done: &Sender<Token>, owner: &Bell) {
    for Token { batch, gate } in batches.iter() {
        let state = loop {
            let ticket = bell.listen();
            match books.poll(batch, || gates.poll(gate)) {
                GateState::Pending => bell.wait(ticket),
                state => break state,
            }
            mark("the engine waited");
        };
        match state {
            GateState::Ready => mark("ready"),
            GateState::Failed => mark("failed"),
            state => panic!("C17: {state:?} before its release"),
        }
        assert_eq!(gates.poll(gate), state, "an end is final");
        done.send(Token { batch, gate }).expect("the owner waits for every batch");
        owner.ring();
    }
}

struct Owner {
    gates: GateOwner,
    books: Books,
    bell: Arc<Bell>,
    engine: Arc<Bell>,
    finishers: Vec<Sender<Token>>,
    /// Released or not, in the order of opening.
    handles: Vec<GateHandle>,
}

impl Owner {
    fn run(mut self, batches: &Sender<Token>, done: &Receiver<Token>) {
        for batch in 0..BATCHES {
            let gate = loop {
                let ticket = self.bell.listen();
                done.try_iter().for_each(|token| self.release(&token));
                match self.gates.open() {
                    Some(gate) => break gate,
                    None => self.bell.wait(ticket),
                }
                mark("every gate was taken");
            };
            assert!(!self.handles.contains(&gate), "C17: two batches share {gate:?}");
            self.handles.push(gate);
            self.fill(batch, gate, batches);
            self.check_the_past();
        }
        while (0..BATCHES).any(|batch| !self.books.get(batch).released) {
            let token = done.recv().expect("the engine answers for every batch");
            self.release(&token);
        }
        self.finishers.clear();
    }

    /// Opens with one token, hands others out, drops its own last, or before that gives the gate up.
    fn fill(&mut self, batch: usize, gate: GateHandle, batches: &Sender<Token>) {
        self.books.0.lock().unwrap_or_else(PoisonError::into_inner).push(Facts { held: 1, out: 1, ..Facts::default() });
        let given_up = toss(4);
        if !given_up {
            batches.send(Token { batch, gate }).expect("the engine waits for batches");
        }
        for _ in 0..pick(4) {
            self.books.change(batch, |facts| {
                facts.held += 1;
                facts.out += 1;
            });
            self.gates.add(gate, 1);
            let to = &self.finishers[pick(FINISHERS)];
            to.send(Token { batch, gate }).expect("finishers wait for tokens");
        }
        self.books.poll(batch, || self.gates.poll(gate));
        if given_up {
            mark("released early");
            self.release(&Token { batch, gate });
        }
        let (gates, books) = (&mut self.gates, &self.books);
        if books.drop_token(batch, false, || gates.arrive(gate)) {
            mark("the owner was the last");
            self.engine.ring();
        }
    }

    fn release(&mut self, token: &Token) {
        self.books.change(token.batch, |facts| facts.released = true);
        self.gates.release(token.gate);
    }

    fn check_the_past(&mut self) {
        for (batch, gate) in self.handles.iter().enumerate() {
            self.books.poll(batch, || self.gates.poll(*gate));
        }
        let taken = (0..self.handles.len()).filter(|&batch| !self.books.get(batch).released || self.books.get(batch).out > 0).count();
        assert!(self.gates.available() >= GATES - taken, "C17: a gate that nobody refers to is not free");
    }
}

/// C14, C15, C17, C18, C22: whatever finishes when.
#[test]
fn gate_with_several_finishers() {
    let marks = [
        "a finisher was the last",
        "every gate was taken",
        "failed",
        "ready",
        "released early",
        "the engine waited",
        "the owner was the last",
    ];
    explore(&marks, || {
        let (gates, asker) = gate_table(GATES);
        let (books, bell, engine) = (Books::default(), Arc::new(Bell::new()), Arc::new(Bell::new()));
        let mut threads = Vec::new();
        let mut finishers = Vec::new();
        for _ in 0..FINISHERS {
            let (tokens_in, tokens) = channel();
            let (arriver, books, bells) = (gates.arriver(), books.clone(), [engine.clone(), bell.clone()]);
            threads.push(thread::spawn(move || finish(&tokens, &arriver, &books, &bells)));
            finishers.push(tokens_in);
        }
        let ((batches_in, batches), (done_in, done)) = (channel(), channel());
        let (asked, waking) = (books.clone(), engine.clone());
        let owners = bell.clone();
        let engine_thread = thread::spawn(move || consume(&batches, &asker, &asked, &waking, &done_in, &owners));
        let owner = Owner { gates, books, bell, engine, finishers, handles: Vec::new() };
        owner.run(&batches_in, &done);
        drop(batches_in);
        threads.push(engine_thread);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
