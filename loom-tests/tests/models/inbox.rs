//! Messages arrive once, whole and in order, or come back.

use longshore_core::bell::Bell;
use longshore_core::inbox::{Inbox, Mailbox};
use longshore_core::sync::Arc;
use loom_tests::{Payload, StartLine, explore};

/// C22. Threads: two that push a message each, the consumer, which sleeps while there is none. Asserted: it gets
/// both, whole, once.
#[test]
fn mailbox_wakes_for_every_message() {
    explore(&["0 1", "1 0"], || {
        let mailbox = Arc::new(Mailbox::new(Arc::new(Bell::new())));
        let line = StartLine::new();
        let producers: Vec<_> = (0..2)
            .map(|n| {
                let mailbox = mailbox.clone();
                line.spawn(move || mailbox.push(Payload::new(n)).unwrap())
            })
            .collect();
        line.cross();
        let mut got = Vec::new();
        while got.len() < 2 {
            let ticket = mailbox.bell().listen();
            let before = got.len();
            got.extend(mailbox.take_all().map(|message| message.get()));
            if got.len() == before {
                mailbox.bell().wait(ticket);
            }
        }
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        match got[..] {
            [0, 1] => "0 1",
            [1, 0] => "1 0",
            _ => "wrong",
        }
    });
}

/// Threads: one that pushes two messages, the consumer, which takes once in between and once at the end. Asserted:
/// they come in push order.
#[test]
fn inbox_keeps_each_producers_order() {
    explore(&["in order"], || {
        let inbox = Arc::new(Inbox::new());
        let line = StartLine::new();
        let producer = line.spawn({
            let inbox = inbox.clone();
            move || (0..2).for_each(|n| _ = inbox.push(n))
        });
        line.cross();
        let mut got: Vec<u32> = inbox.take_all().collect();
        producer.join().unwrap();
        got.extend(inbox.take_all());
        assert_eq!(got, [0, 1]);
        "in order"
    });
}

/// Threads: one that pushes, one that closes. Asserted: the message is among what the closer got, or comes back,
/// never both, never neither; and the inbox stays closed.
#[test]
fn inbox_close_loses_nothing() {
    explore(&["closer got it", "came back"], || {
        let inbox = Arc::new(Inbox::new());
        let line = StartLine::new();
        let producer = line.spawn({
            let inbox = inbox.clone();
            move || inbox.push(Payload::new(1)).err().map(|back| back.get())
        });
        line.cross();
        let left: Vec<_> = inbox.close().map(|message| message.get()).collect();
        let back = producer.join().unwrap();
        assert_eq!(inbox.push(Payload::new(2)).err().map(|back| back.get()), Some(2), "closed for good");
        match (left.len(), back) {
            (1, None) => "closer got it",
            (0, Some(1)) => "came back",
            _ => "lost or doubled",
        }
    });
}

/// C22. Threads: one that closes, the consumer, which sleeps on the empty mailbox. Asserted: it wakes and sees the close.
#[test]
fn mailbox_close_wakes_the_consumer() {
    explore(&["closed at once", "woken"], || {
        let mailbox = Arc::new(Mailbox::<Payload>::new(Arc::new(Bell::new())));
        let line = StartLine::new();
        let closer = line.spawn({
            let mailbox = mailbox.clone();
            move || assert_eq!(mailbox.close().count(), 0)
        });
        line.cross();
        let mut waits = 0;
        loop {
            let heard = mailbox.bell().listen();
            if mailbox.is_closed() {
                break;
            }
            mailbox.bell().wait(heard);
            waits += 1;
        }
        closer.join().unwrap();
        if waits == 0 { "closed at once" } else { "woken" }
    });
}
