//! What the lookahead accepts is pulled, with the stamp it was given.

use longshore_core::bell::Bell;
use longshore_core::lookahead::lookahead;
use longshore_core::ring::{PopError, PushError};
use longshore_core::sync::Arc;
use loom_tests::{Payload, StartLine, explore};

/// C22. Threads: a user that pushes two samples, another that closes, the prefetcher, which pulls until the end. Asserted:
/// what was accepted is pulled, in order, with the stamp that the push answered; the rest is handed back.
#[test]
fn lookahead_push_pull_close() {
    explore(&["none", "one", "both"], || {
        let (mut push, mut pull) = lookahead(2, Arc::new(Bell::new()), Arc::new(Bell::new()));
        let line = StartLine::new();
        let closer = push.closer();
        let user = line.spawn(move || {
            let mut accepted = 0;
            for n in 0..2 {
                match push.push(Payload::new(n)) {
                    Ok(stamp) => {
                        assert_eq!(stamp.get(), u64::from(n));
                        accepted += 1;
                    }
                    Err(PushError::Closed(back)) => assert_eq!(back.get(), n),
                    Err(PushError::Full(_)) => panic!("there is room for two"),
                }
            }
            (accepted, push) // kept: the other thread's close must do
        });
        let closing = line.spawn(move || closer.close());
        line.cross();
        let mut pulled = 0;
        let end = loop {
            match pull.pull_blocking() {
                Ok((stamp, sample)) => {
                    assert_eq!((stamp.get(), sample.get()), (pulled, pulled as u32));
                    pulled += 1;
                }
                Err(end) => break end,
            }
        };
        assert_eq!(end, PopError::Closed);
        let (accepted, push) = user.join().unwrap();
        closing.join().unwrap();
        drop(push);
        assert_eq!(pulled, accepted, "accepted and pulled");
        ["none", "one", "both"][accepted as usize]
    });
}
