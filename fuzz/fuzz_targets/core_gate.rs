//! The lifecycle of gates against a plain model (C14, C15, C17, C18): no two batches share one, and each says what it should.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use longshore_core::gate::{GateHandle, GateState, MAX_PENDING, gate_table};

#[derive(Arbitrary, Debug)]
enum Op {
    Open,
    Add(u8, u8),
    /// As many as the gate can count.
    Fill(u8),
    Arrive(u8, bool),
    Fail(u8, bool),
    SetError(u8),
    Release(u8),
    Available,
}

#[derive(Arbitrary, Debug)]
struct Input {
    capacity: u8,
    ops: Vec<Op>,
}

struct Batch {
    gate: GateHandle,
    tokens: u32,
    failed: bool,
    released: bool,
}

impl Batch {
    /// Released, and nothing refers to it.
    fn over(&self) -> bool {
        self.released && self.tokens == 0
    }

    fn says(&self) -> GateState {
        match (self.tokens, self.failed) {
            (0, false) => GateState::Ready,
            (0, true) => GateState::Failed,
            _ => GateState::Pending,
        }
    }
}

fuzz_target!(|input: Input| {
    let capacity = usize::from(input.capacity % 8) + 1;
    let (mut owner, asker) = gate_table(capacity);
    let arriver = asker.arriver();
    let mut batches: Vec<Batch> = Vec::new();
    let mut over: Vec<GateHandle> = Vec::new();
    for op in input.ops {
        let with_tokens = |which: u8| {
            let open: Vec<usize> = (0..batches.len()).filter(|&i| batches[i].tokens > 0).collect();
            open.get(usize::from(which).checked_rem(open.len())?).copied()
        };
        match op {
            Op::Open => match owner.open() {
                Some(gate) => {
                    assert!(batches.len() < capacity, "more gates than there are");
                    batches.push(Batch { gate, tokens: 1, failed: false, released: false });
                }
                None => assert_eq!(batches.len(), capacity, "a gate was free"),
            },
            Op::Add(which, n) => {
                if let Some(i) = with_tokens(which) {
                    let n = u32::from(n).min(MAX_PENDING - batches[i].tokens);
                    owner.add(batches[i].gate, n);
                    batches[i].tokens += n;
                }
            }
            Op::Fill(which) => {
                if let Some(i) = with_tokens(which) {
                    owner.add(batches[i].gate, MAX_PENDING - batches[i].tokens);
                    batches[i].tokens = MAX_PENDING;
                }
            }
            Op::Arrive(which, owners_own) | Op::Fail(which, owners_own) => {
                if let Some(i) = with_tokens(which) {
                    let fails = matches!(op, Op::Fail(..));
                    let batch = &mut batches[i];
                    batch.tokens -= 1;
                    batch.failed |= fails;
                    let last = match (owners_own, fails) {
                        (true, false) => owner.arrive(batch.gate),
                        (true, true) => owner.fail(batch.gate),
                        (false, false) => arriver.arrive(batch.gate),
                        (false, true) => arriver.fail(batch.gate),
                    };
                    assert_eq!(last, batch.tokens == 0);
                }
            }
            Op::SetError(which) => {
                if let Some(i) = with_tokens(which) {
                    arriver.set_error(batches[i].gate);
                    batches[i].failed = true;
                }
            }
            Op::Release(which) => {
                if let Some(i) = usize::from(which).checked_rem(batches.len()).filter(|&i| !batches[i].released) {
                    owner.release(batches[i].gate);
                    batches[i].released = true;
                }
            }
            Op::Available => {}
        }
        // Due releases are done when a gate is needed: ask, so that both sides have done them.
        let taken = batches.iter().filter(|batch| !batch.over()).count();
        assert_eq!(owner.available(), capacity - taken);
        batches.retain(|batch| {
            if batch.over() {
                over.push(batch.gate);
            }
            !batch.over()
        });
        for batch in &batches {
            assert_eq!(asker.poll(batch.gate), batch.says(), "{:?}", batch.gate);
        }
        for gate in &over {
            assert_eq!(asker.poll(*gate), GateState::Stale, "{gate:?} is over");
        }
    }
});
