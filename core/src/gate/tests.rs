use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

#[test]
fn c14_ready_only_once_every_token_is_gone() {
    let (mut owner, asker) = gate_table(1);
    let gate = owner.open().unwrap();
    owner.add(gate, 2); // two samples
    assert!(!owner.arrive(gate));
    owner.add(gate, 1); // a fetch, added by a sample that holds its own token
    assert!(!owner.arrive(gate));
    assert!(!owner.arrive(gate));
    assert_eq!(asker.poll(gate), GateState::Pending, "the batch is not sealed");
    assert!(owner.arrive(gate), "the opener's hold is the last");
    assert_eq!(asker.poll(gate), GateState::Ready);
    assert!(panics(|| owner.add(gate, 1)), "0 is final");
}

#[test]
fn c15_a_failure_shows_with_its_token_gone() {
    let (mut owner, asker) = gate_table(1);
    let gate = owner.open().unwrap();
    owner.add(gate, 1);
    assert!(!owner.arriver().fail(gate));
    assert_eq!(asker.poll(gate), GateState::Pending);
    assert!(owner.arrive(gate));
    assert_eq!(asker.poll(gate), GateState::Failed);
}

#[test]
fn c16_an_error_of_the_owners_own_is_set_without_a_fetch() {
    let (mut owner, asker) = gate_table(2);
    let gate = owner.open().unwrap();
    owner.set_error(gate);
    assert_eq!(asker.poll(gate), GateState::Pending, "the counts drain first");
    assert!(owner.arrive(gate));
    assert_eq!(asker.poll(gate), GateState::Failed);
    let gate = owner.open().unwrap();
    assert!(owner.fail(gate));
    assert_eq!(asker.poll(gate), GateState::Failed);
    assert!(panics(|| owner.set_error(gate)), "too late to say");
}

#[test]
fn c17_an_early_release_waits_for_the_last_token() {
    let (mut owner, asker) = gate_table(1);
    let arriver = asker.arriver();
    let gate = owner.open().unwrap();
    owner.add(gate, 1);
    assert!(!owner.arrive(gate));
    owner.release(gate);
    assert_eq!(owner.open(), None, "a token is out, so the gate is not another batch's");
    assert_eq!(asker.poll(gate), GateState::Pending);
    assert!(panics(|| owner.release(gate)), "released twice");
    assert!(arriver.arrive(gate));
    let next = owner.open().expect("the release was remembered");
    assert_ne!(gate, next);
    assert_eq!(asker.poll(gate), GateState::Stale);
    assert_eq!(asker.poll(next), GateState::Pending);
    assert_eq!(owner.open(), None, "recycled once, not twice");
}

#[test]
fn c17_an_early_release_is_done_by_the_owners_own_last_token() {
    let (mut owner, asker) = gate_table(1);
    let gate = owner.open().unwrap();
    owner.release(gate);
    assert!(owner.fail(gate));
    assert_eq!(asker.poll(gate), GateState::Stale);
    assert_eq!(owner.available(), 1);
    let next = owner.open().unwrap();
    assert!(owner.arrive(next));
    assert_eq!(asker.poll(next), GateState::Ready, "the error went with the old generation");
}

#[test]
fn c17_distinct_batches_never_share_a_gate() {
    // Every interleaving of a small alphabet against a plain model, by a fixed-seed generator.
    let (mut owner, asker) = gate_table(3);
    let mut open: Vec<(GateHandle, u32, bool, bool)> = Vec::new(); // handle, tokens, failed, released
    let mut over: Vec<GateHandle> = Vec::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..50_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (what, which) = ((random >> 33) % 6, (random >> 40) as usize);
        match what {
            0 => match owner.open() {
                Some(gate) => open.push((gate, 1, false, false)),
                None => assert_eq!(open.len(), 3),
            },
            _ if open.is_empty() => {}
            1 => {
                let index = which % open.len();
                let (gate, tokens, ..) = &mut open[index];
                if *tokens > 0 {
                    owner.add(*gate, 1);
                    *tokens += 1;
                }
            }
            2 | 3 => {
                let index = which % open.len();
                let (gate, tokens, failed, _) = &mut open[index];
                if *tokens > 0 {
                    *tokens -= 1;
                    *failed |= what == 3;
                    let last = if what == 2 { owner.arriver().arrive(*gate) } else { owner.fail(*gate) };
                    assert_eq!(last, *tokens == 0);
                }
            }
            4 => {
                let index = which % open.len();
                let (gate, _, _, released) = &mut open[index];
                if !*released {
                    *released = true;
                    owner.release(*gate);
                }
            }
            _ => assert_eq!(owner.available(), 3 - open.iter().filter(|o| o.1 > 0 || !o.3).count()),
        }
        // Make due releases happen in both, then compare.
        owner.available();
        open.retain(|(gate, tokens, _, released)| {
            let gone = *released && *tokens == 0;
            if gone {
                over.push(*gate);
            }
            !gone
        });
        for (gate, tokens, failed, _) in &open {
            let expected = match (tokens, failed) {
                (0, false) => GateState::Ready,
                (0, true) => GateState::Failed,
                _ => GateState::Pending,
            };
            assert_eq!(asker.poll(*gate), expected);
        }
        for gate in over.iter().rev().take(8) {
            assert_eq!(asker.poll(*gate), GateState::Stale);
        }
    }
    assert!(over.len() > 1000);
}

#[test]
fn c18_underflow_overflow_and_stale_handles_change_nothing() {
    let (mut owner, asker) = gate_table(1);
    let gate = owner.open().unwrap();
    owner.add(gate, MAX_PENDING - 1);
    assert!(panics(|| owner.add(gate, 1)), "the error bit and the generation are out of reach");
    assert!(panics(|| owner.add(gate, u32::MAX)));
    assert_eq!(asker.poll(gate), GateState::Pending);
    // Start over with few tokens.
    let (mut owner, asker) = gate_table(1);
    let gate = owner.open().unwrap();
    assert!(owner.arrive(gate));
    assert!(panics(|| _ = owner.arrive(gate)), "underflow");
    assert!(panics(|| _ = owner.fail(gate)));
    assert_eq!(asker.poll(gate), GateState::Ready);
    owner.release(gate);
    let next = owner.open().unwrap();
    let arriver = asker.arriver();
    assert!(panics(|| _ = arriver.arrive(gate)), "another batch's gate");
    assert!(panics(|| _ = arriver.fail(gate)));
    assert!(panics(|| arriver.set_error(gate)));
    assert!(panics(|| owner.release(gate)));
    assert_eq!(asker.poll(next), GateState::Pending);
    assert!(owner.arrive(next));
    assert_eq!(asker.poll(next), GateState::Ready);
}

#[test]
fn c04_a_gate_whose_generations_run_out_rests() {
    let (mut owner, asker) = gate_table(2);
    // Relaxed: one thread.
    owner.gates.words[0].store(GateWord::new(u32::MAX, 0).0, Ordering::Relaxed);
    let last = owner.open().unwrap();
    assert_eq!(last, GateHandle { slot: 0, generation: u32::MAX });
    assert!(owner.arrive(last));
    owner.release(last);
    for _ in 0..4 {
        let gate = owner.open().unwrap();
        assert_eq!(gate.slot, 1, "slot 0 would start over with handles that still exist");
        assert!(owner.arrive(gate));
        owner.release(gate);
    }
    assert_eq!(asker.poll(last), GateState::Ready);
}

#[test]
fn c14_c15_arrivals_from_many_threads_end_once() {
    for round in 0..200 {
        let (mut owner, asker) = gate_table(1);
        let gate = owner.open().unwrap();
        owner.add(gate, 8);
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let arriver = asker.arriver();
                std::thread::spawn(move || {
                    let fails = thread == round % 8;
                    let first = if fails { arriver.fail(gate) } else { arriver.arrive(gate) };
                    u32::from(first) + u32::from(arriver.arrive(gate))
                })
            })
            .collect();
        let mut lasts = u32::from(owner.arrive(gate));
        lasts += threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>();
        assert_eq!(lasts, 1, "one arrival is the last");
        assert_eq!(asker.poll(gate), if round % 8 < 4 { GateState::Failed } else { GateState::Ready });
    }
}
