//! The inbox: many push one message each, one takes all of them.
//!
//! ```text
//!            push: CAS head -> node                       close: swap(CLOSED)
//!          .--------------------.                    .--------------------------.
//!          v                    |                    |                          v
//!      [ empty ] ---------> [ node -> node -> .. ] --'                      [ CLOSED ]
//!          ^                    |                                               ^
//!          '-- take_all: CAS ---'            [ empty ] --------- close ---------'
//! ```
//!
//! A Treiber stack without single pop, hence without ABA: a node is freed only by whoever took the whole stack, and a
//! pusher never looks into a node that it did not make. Taking turns the stack over, so messages come in push order.
//!
//! | operation | ordering | pairs with |
//! |---|---|---|
//! | `push`: compare-exchange | Release | the Acquire of `take_all` and `close`: the message is visible |
//! | `take_all`, `close` | Acquire | every push of the chain: each push is a read-modify-write, so one release sequence holds them |
//!
//! The push that found the inbox empty must wake the consumer (a [`Mailbox`] does). Later pushers need not: the first
//! one's wake-up is yet to come or has come, and the consumer takes all.

use crate::bell::Bell;
use crate::sync::{Arc, AtomicPtr, Ordering, UnsafeCell, mutant, weaken};
use std::ptr;

struct Node<T> {
    next: UnsafeCell<*mut Node<T>>,
    message: UnsafeCell<Option<T>>,
}

/// The mark of a closed inbox: an address that no node has.
fn closed<T>() -> *mut Node<T> {
    ptr::without_provenance_mut(1)
}

/// A stack of messages with many producers; whoever takes, takes all.
pub struct Inbox<T> {
    head: AtomicPtr<Node<T>>,
}

// SAFETY: the inbox hands each message from the thread that pushed it to the one that takes it; no two threads reach
// the same message, so `T: Send` is enough.
unsafe impl<T: Send> Send for Inbox<T> {}
// SAFETY: as above; `&Inbox` gives no access to a message that stays inside.
unsafe impl<T: Send> Sync for Inbox<T> {}

impl<T: Send> Default for Inbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send> Inbox<T> {
    /// An empty inbox.
    #[must_use]
    pub fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Adds a message. Answers whether the inbox was empty: then the caller wakes the consumer.
    ///
    /// # Errors
    /// Hands the message back if the inbox is closed.
    pub fn push(&self, message: T) -> Result<bool, T> {
        let node = Box::into_raw(Box::new(Node { next: UnsafeCell::new(ptr::null_mut()), message: UnsafeCell::new(Some(message)) }));
        // Relaxed: the compare-exchange checks that this is still the head, and nothing behind it is looked at.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == closed() && !mutant("inbox-push-reopens") {
                // SAFETY: the node was never published, so this thread alone knows it.
                let node = unsafe { Box::from_raw(node) };
                // SAFETY: the node is owned, so nobody else reaches its message.
                return Err(node.message.with_mut(|message| unsafe { (*message).take() }).expect("just stored"));
            }
            // SAFETY: the node is not published yet, so this thread alone reaches it.
            unsafe { (*node).next.with_mut(|next| *next = head) };
            // Release: pairs with the Acquire of whoever takes. Relaxed on failure: the new head is only compared.
            let release = weaken("inbox-push-relaxed", Ordering::Release);
            match self.head.compare_exchange(head, node, release, Ordering::Relaxed) {
                Ok(_) => return Ok(head.is_null()),
                Err(now) => head = now,
            }
        }
    }

    /// Takes every message that is there, oldest first. Nothing is left if the iterator is dropped early.
    pub fn take_all(&self) -> Messages<T> {
        // Relaxed: the compare-exchange orders. It ends: each failure is a push or a take that succeeded.
        let mut head = self.head.load(Ordering::Relaxed);
        while !head.is_null() && head != closed() {
            // Acquire: pairs with the Release of each push.
            let acquire = weaken("inbox-take-relaxed", Ordering::Acquire);
            match self.head.compare_exchange(head, ptr::null_mut(), acquire, Ordering::Relaxed) {
                Ok(taken) => return Messages::turned_over(taken),
                Err(now) => head = now,
            }
        }
        Messages { next: ptr::null_mut() }
    }

    /// Closes the inbox: a push after this hands its message back. Answers the messages that were still there.
    pub fn close(&self) -> Messages<T> {
        // Acquire: pairs with the Release of each push. There is nothing to release: the mark carries no data.
        Messages::turned_over(self.head.swap(closed(), weaken("inbox-close-relaxed", Ordering::Acquire)))
    }

    /// Whether the inbox was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // Relaxed: the answer orders nothing.
        self.head.load(Ordering::Relaxed) == closed()
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        // Acquire: pairs with the pushes. Exclusive access makes it the last take.
        drop(Messages::turned_over(self.head.swap(ptr::null_mut(), Ordering::Acquire)));
    }
}

/// Messages taken from an inbox, oldest first.
pub struct Messages<T> {
    next: *mut Node<T>,
}

// SAFETY: the chain is owned by the iterator alone; moving it to another thread moves the messages.
unsafe impl<T: Send> Send for Messages<T> {}

impl<T> Messages<T> {
    /// Takes over a chain, newest first, that the caller removed from the inbox.
    fn turned_over(mut newest: *mut Node<T>) -> Self {
        if newest == closed() {
            newest = ptr::null_mut();
        }
        let mut turned: *mut Node<T> = ptr::null_mut();
        while !newest.is_null() {
            // SAFETY: the chain was removed from the inbox as a whole with Acquire, so this thread owns its nodes.
            let older = unsafe { (*newest).next.with_mut(|next| ptr::replace(next, turned)) };
            turned = newest;
            newest = older;
        }
        Self { next: turned }
    }
}

impl<T> Iterator for Messages<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: the iterator owns its chain; each node came from `Box::into_raw` and leaves the chain here, once.
        let node = unsafe { Box::from_raw(self.next) };
        // SAFETY: the node is owned.
        self.next = node.next.with(|next| unsafe { *next });
        // SAFETY: the node is owned.
        node.message.with_mut(|message| unsafe { (*message).take() })
    }
}

impl<T> Drop for Messages<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// An [`Inbox`] whose consumer sleeps on a [`Bell`].
pub struct Mailbox<T> {
    inbox: Inbox<T>,
    bell: Arc<Bell>,
}

impl<T: Send> Mailbox<T> {
    /// An empty mailbox that rings `bell`.
    #[must_use]
    pub fn new(bell: Arc<Bell>) -> Self {
        Self { inbox: Inbox::new(), bell }
    }

    /// Adds a message, and rings if the mailbox was empty.
    ///
    /// # Errors
    /// Hands the message back if the mailbox is closed.
    pub fn push(&self, message: T) -> Result<(), T> {
        if self.inbox.push(message)? && !mutant("mailbox-no-ring") {
            self.bell.ring();
        }
        Ok(())
    }

    /// Takes every message that is there, oldest first.
    pub fn take_all(&self) -> Messages<T> {
        self.inbox.take_all()
    }

    /// Closes the mailbox and rings, so that a sleeping consumer sees it. Answers the messages that were still there.
    pub fn close(&self) -> Messages<T> {
        let left = self.inbox.close();
        if !mutant("mailbox-close-no-ring") {
            self.bell.ring();
        }
        left
    }

    /// Whether the mailbox was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// The bell that is rung.
    #[must_use]
    pub fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_push_order_and_the_first_push_says_so() {
        let inbox = Inbox::new();
        assert_eq!(inbox.push(1), Ok(true));
        assert_eq!(inbox.push(2), Ok(false));
        assert_eq!(inbox.take_all().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(inbox.take_all().count(), 0);
        assert_eq!(inbox.push(3), Ok(true));
    }

    #[test]
    fn a_push_after_the_close_hands_the_message_back() {
        let inbox = Inbox::new();
        inbox.push("kept").unwrap();
        assert_eq!(inbox.close().collect::<Vec<_>>(), ["kept"]);
        assert_eq!(inbox.push("late"), Err("late"));
        assert!(inbox.is_closed());
        assert_eq!(inbox.take_all().count(), 0, "taking does not reopen");
        assert_eq!(inbox.push("late"), Err("late"));
        assert_eq!(inbox.close().count(), 0);
    }

    #[test]
    fn every_message_is_dropped_once_wherever_it_is() {
        let message = Arc::new(());
        let inbox = Inbox::new();
        for _ in 0..3 {
            inbox.push(message.clone()).unwrap();
        }
        let mut taken = inbox.take_all();
        drop(taken.next());
        assert_eq!(Arc::strong_count(&message), 3);
        drop(taken);
        assert_eq!(Arc::strong_count(&message), 1);
        inbox.push(message.clone()).unwrap();
        drop(inbox);
        assert_eq!(Arc::strong_count(&message), 1);
    }

    #[test]
    fn c22_a_mailbox_wakes_its_sleeper() {
        const PRODUCERS: u64 = 3;
        const MESSAGES: u64 = 5_000;
        let mailbox = Arc::new(Mailbox::new(Arc::new(Bell::new())));
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let mailbox = mailbox.clone();
                std::thread::spawn(move || {
                    for n in 0..MESSAGES {
                        mailbox.push((producer, n)).unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0; PRODUCERS as usize];
        while next.iter().sum::<u64>() < PRODUCERS * MESSAGES {
            let ticket = mailbox.bell().listen();
            let mut any = false;
            for (producer, n) in mailbox.take_all() {
                assert_eq!(next[producer as usize], n, "each producer's messages come in its order");
                next[producer as usize] += 1;
                any = true;
            }
            if !any {
                mailbox.bell().wait(ticket);
            }
        }
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    }
}
