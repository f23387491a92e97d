//! Mailbox and bell: several producers, one consumer that sleeps, and a close that comes when it likes.

use longshore_core::bell::Bell;
use longshore_core::inbox::Mailbox;
use shuttle::thread;
use shuttle_tests::{Ledger, Tracked, explore, mark, pick, toss};
use std::sync::{Arc, Mutex};

const PRODUCERS: u64 = 3;
const MESSAGES: u64 = 4;

/// C22: every accepted message is taken once and in its producer's order, a refused one comes back, and nobody sleeps on.
#[test]
fn mailbox_with_several_producers() {
    explore(&["closed on them", "refused", "slept", "took several"], || {
        let (bell, ledger) = (Arc::new(Bell::new()), Ledger::default());
        let mailbox = Arc::new(Mailbox::new(bell.clone()));
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let (mailbox, ledger, accepted) = (mailbox.clone(), ledger.clone(), accepted.clone());
                thread::spawn(move || {
                    for number in (0..MESSAGES).map(|n| producer * MESSAGES + n) {
                        match mailbox.push(ledger.value(number)) {
                            Ok(()) => accepted.lock().unwrap().push(number),
                            Err(back) => {
                                assert_eq!(back.number(), number);
                                mark("refused");
                            }
                        }
                    }
                })
            })
            .collect();
        let closes_at = if toss(3) { pick(5) } else { usize::MAX };
        let taken = consume(&mailbox, &bell, closes_at);
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        let mut rest: Vec<u64> = mailbox.take_all().map(|message: Tracked| message.number()).collect();
        let accepted = accepted.lock().unwrap();
        assert!(rest.is_empty() || closes_at == usize::MAX, "a closed mailbox took something");
        let mut all = taken;
        all.append(&mut rest);
        for producer in 0..PRODUCERS {
            let of_one: Vec<u64> = all.iter().copied().filter(|number| number / MESSAGES == producer).collect();
            assert!(of_one.is_sorted(), "out of order: {of_one:?}");
        }
        all.sort_unstable();
        let mut expected = accepted.clone();
        expected.sort_unstable();
        assert_eq!(all, expected, "taken, and accepted");
        assert_eq!(ledger.alive(), 0);
    });
}

/// Takes until everything is there, or closes after so many turns.
fn consume(mailbox: &Mailbox<Tracked>, bell: &Bell, closes_at: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    let mut turns = 0;
    while taken.len() < (PRODUCERS * MESSAGES) as usize {
        if turns == closes_at {
            mark("closed on them");
            taken.extend(mailbox.close().map(|message| message.number()));
            return taken;
        }
        turns += 1;
        let ticket = bell.listen();
        let before = taken.len();
        taken.extend(mailbox.take_all().map(|message| message.number()));
        match taken.len() - before {
            0 if closes_at == usize::MAX => {
                mark("slept");
                bell.wait(ticket);
            }
            0 => thread::yield_now(),
            1 => {}
            _ => mark("took several"),
        }
    }
    taken
}
