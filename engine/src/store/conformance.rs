//! What every store and every wrapper must do, whatever it is made of.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::{Fetched, Now, ObjectKey, Span, Store, StoreError};

/// No test waits this long; a lost answer fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes an object of that name and content, and answers its key.
type Put = Box<dyn Fn(&str, &[u8]) -> ObjectKey>;

/// A store under test.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) put: Put,
    /// The key an object of that name would have.
    pub(crate) key: Box<dyn Fn(&str) -> ObjectKey>,
    /// What lives as long as the subject (a directory).
    pub(crate) _keep: Box<dyn Any>,
}

impl Subject {
    /// The same objects behind a wrapper.
    pub(crate) fn wrapped(self, wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        Self { store: wrap(self.store), ..self }
    }
}

/// Fetches and waits for the answer.
pub(crate) fn fetch(store: &dyn Store, key: &ObjectKey, span: Span, limit: u64) -> Result<Fetched, StoreError> {
    let (sender, receiver) = mpsc::channel();
    store.fetch(Arc::clone(key), span, limit, Box::new(move |answer| sender.send(answer).unwrap()));
    receiver.recv_timeout(PATIENCE).expect("an answer")
}

/// Reads and waits for the answer.
pub(crate) fn read(store: &dyn Store, key: &ObjectKey, offset: u64, length: usize) -> Result<Vec<u8>, StoreError> {
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |buffer, answer| sender.send((buffer, answer)).unwrap());
    store.read(Arc::clone(key), offset, vec![0xA5; length], done);
    let (mut buffer, answer): (Vec<u8>, _) = receiver.recv_timeout(PATIENCE).expect("an answer");
    assert_eq!(buffer.len(), length, "the buffer comes back as it was handed in");
    let filled = answer?;
    assert!(buffer[filled..].iter().all(|byte| *byte == 0xA5), "bytes beyond the answer are left alone");
    buffer.truncate(filled);
    Ok(buffer)
}

/// Runs the suite, each part on a fresh subject.
pub(crate) fn check(make: impl Fn() -> Subject) {
    spans(&make());
    limits(&make());
    missing_and_empty(&make());
    reads(&make());
    reads_at_once(&make());
    concurrent_requests(&make());
    callbacks_that_ask_again(&make());
    callbacks_that_panic(&make());
    counters(&make());
    dropped_with_requests_in_flight(make());
    dropped_by_a_callback(make());
}

/// Bytes that differ from their neighbours: `length` of them.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn range(offset: u64, length: u64) -> Span {
    Span::Range { offset, length }
}

fn spans(subject: &Subject) {
    let data = pattern(10_000);
    let key = (subject.put)("dir/object", &data);
    let expected = [
        (Span::Whole, 0..10_000),
        (range(0, 10_000), 0..10_000),
        (range(17, 4_000), 17..4_017),
        (range(9_990, 100), 9_990..10_000),
        (range(10_000, 1), 10_000..10_000),
        (range(u64::MAX, 10), 10_000..10_000),
        (range(5, 0), 5..5),
        (Span::Suffix { length: 0 }, 10_000..10_000),
        (Span::Suffix { length: 16 }, 9_984..10_000),
        (Span::Suffix { length: 10_000 }, 0..10_000),
        (Span::Suffix { length: 20_000 }, 0..10_000),
    ];
    for (span, bytes) in expected {
        let fetched = fetch(&*subject.store, &key, span, 20_000).unwrap_or_else(|error| panic!("{span:?}: {error}"));
        assert_eq!(fetched.bytes, data[bytes], "{span:?}");
        assert!(fetched.object_size.is_none_or(|size| size == 10_000), "{span:?}");
    }
}

fn limits(subject: &Subject) {
    let key = (subject.put)("object", &pattern(1_000));
    for span in [Span::Whole, range(10, 1_000), Span::Suffix { length: 1_000 }] {
        let answer = fetch(&*subject.store, &key, span, 999);
        assert!(matches!(answer, Err(StoreError::TooLarge { observed: 1_000, allowed: 999 })), "{span:?}: {answer:?}");
        assert!(fetch(&*subject.store, &key, span, 1_000).is_ok());
    }
    let huge = fetch(&*subject.store, &key, range(0, u64::MAX), 999);
    assert!(matches!(huge, Err(StoreError::TooLarge { observed: u64::MAX, .. })), "{huge:?}");
}

fn missing_and_empty(subject: &Subject) {
    let store = &*subject.store;
    (subject.put)("there", &pattern(3));
    for key in [(subject.key)("missing"), (subject.key)("no/such/folder"), (subject.key)("there/beyond")] {
        for span in [Span::Whole, range(0, 4), Span::Suffix { length: 4 }] {
            assert!(matches!(fetch(store, &key, span, 100), Err(StoreError::NotFound)), "{key} {span:?}");
        }
        assert!(matches!(read(store, &key, 0, 4), Err(StoreError::NotFound)), "{key}");
        assert!(matches!(store.try_read_now(&key, 0, &mut [0; 4]), Now::WouldBlock | Now::Done(Err(StoreError::NotFound))));
        assert!(matches!(store.size_now(&key), None | Some(Err(StoreError::NotFound))));
    }
    let empty = (subject.put)("empty", &[]);
    for span in [Span::Whole, range(0, 4), Span::Suffix { length: 4 }] {
        assert_eq!(fetch(store, &empty, span, 100).unwrap().bytes, [0u8; 0]);
    }
    assert_eq!(read(store, &empty, 0, 4).unwrap(), [0u8; 0]);
}

fn reads(subject: &Subject) {
    let data = pattern(100_000);
    let key = (subject.put)("object", &data);
    for (offset, length) in [(0, 100_000), (0, 0), (1, 99_998), (50_000, 4_096), (99_999, 1)] {
        assert_eq!(read(&*subject.store, &key, offset as u64, length).unwrap(), data[offset..offset + length]);
    }
    // C32: a short answer says how short.
    assert_eq!(read(&*subject.store, &key, 99_000, 4_096).unwrap(), data[99_000..]);
    assert_eq!(read(&*subject.store, &key, 100_000, 16).unwrap(), [0u8; 0]);
    assert_eq!(read(&*subject.store, &key, u64::MAX, 16).unwrap(), [0u8; 0]);
}

fn reads_at_once(subject: &Subject) {
    let data = pattern(100_000);
    let key = (subject.put)("object", &data);
    read(&*subject.store, &key, 0, 100_000).unwrap();
    for (offset, length, expected) in [(0, 100_000, 100_000), (7, 100, 100), (99_000, 4_096, 1_000), (100_000, 1, 0)] {
        let mut buffer = vec![0; length];
        match subject.store.try_read_now(&key, offset as u64, &mut buffer) {
            Now::WouldBlock => {}
            Now::Done(answer) => {
                assert_eq!(answer.unwrap(), expected);
                assert_eq!(buffer[..expected], data[offset..offset + expected]);
            }
        }
    }
    let mut whole = vec![1; 5];
    match subject.store.try_read_whole_now(&key, 100_000, &mut whole) {
        Now::WouldBlock => {}
        Now::Done(answer) => assert_eq!((answer.unwrap(), &whole), (100_000, &data)),
    }
    assert!(matches!(
        subject.store.try_read_whole_now(&key, 99_999, &mut whole),
        Now::WouldBlock | Now::Done(Err(StoreError::TooLarge { observed: 100_000, allowed: 99_999 }))
    ));
    assert!(subject.store.size_now(&key).is_none_or(|size| size.unwrap() == 100_000));
}

fn concurrent_requests(subject: &Subject) {
    const OBJECTS: usize = 40;
    const ROUNDS: usize = 25;
    let objects: Vec<_> = (0..OBJECTS)
        .map(|number| {
            let data = pattern(1 + number * 97);
            ((subject.put)(&format!("many/{number}"), &data), data)
        })
        .collect();
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, objects, sender) = (&*subject.store, &objects, sender.clone());
            scope.spawn(move || {
                for round in 0..ROUNDS * OBJECTS {
                    let number = (round * 7 + thread) % OBJECTS;
                    let (key, data) = (&objects[number].0, objects[number].1.clone());
                    let sender = sender.clone();
                    if round % 2 == 0 {
                        let done = move |answer: Result<Fetched, _>| sender.send(answer.unwrap().bytes == data).unwrap();
                        store.fetch(Arc::clone(key), Span::Whole, 1 << 20, Box::new(done));
                    } else {
                        let done = move |buffer: Vec<u8>, answer: Result<usize, _>| {
                            sender.send(answer.unwrap() == data.len() && buffer[..data.len()] == data).unwrap();
                        };
                        store.read(Arc::clone(key), 0, vec![0; objects[number].1.len() + 10], Box::new(done));
                    }
                }
            });
        }
    });
    drop(sender);
    let mut answers = 0;
    while let Ok(right) = receiver.recv_timeout(PATIENCE) {
        assert!(right);
        answers += 1;
    }
    assert_eq!(answers, 4 * ROUNDS * OBJECTS, "each request is answered exactly once");
}

fn callbacks_that_ask_again(subject: &Subject) {
    fn chain(store: Arc<dyn Store>, key: ObjectKey, left: usize, end: mpsc::Sender<()>) {
        let (again, next) = (Arc::clone(&store), Arc::clone(&key));
        let done = move |answer: Result<Fetched, _>| {
            assert_eq!(answer.unwrap().bytes.len(), 10);
            if left == 0 { end.send(()).unwrap() } else { chain(again, next, left - 1, end) }
        };
        store.fetch(key, Span::Whole, 10, Box::new(done));
    }
    let key = (subject.put)("object", &pattern(10));
    let (sender, receiver) = mpsc::channel();
    chain(Arc::clone(&subject.store), key, 5_000, sender);
    receiver.recv_timeout(PATIENCE).expect("the end of the chain, without a stack overflow");
}

fn callbacks_that_panic(subject: &Subject) {
    let key = (subject.put)("object", &pattern(10));
    subject.store.fetch(Arc::clone(&key), Span::Whole, 10, Box::new(|_| panic!("on purpose")));
    subject.store.read(Arc::clone(&key), 0, vec![0; 4], Box::new(|_, _| panic!("on purpose")));
    for _ in 0..20 {
        assert_eq!(fetch(&*subject.store, &key, Span::Whole, 10).unwrap().bytes.len(), 10);
        assert_eq!(read(&*subject.store, &key, 0, 4).unwrap().len(), 4);
    }
}

fn counters(subject: &Subject) {
    let key = (subject.put)("object", &pattern(10));
    fetch(&*subject.store, &key, Span::Whole, 10).unwrap();
    read(&*subject.store, &key, 0, 4).unwrap();
    let stats = subject.store.stats();
    assert_eq!((stats.fetches, stats.reads, stats.bytes), (1, 1, 14), "{stats:?}");
}

fn dropped_with_requests_in_flight(subject: Subject) {
    const REQUESTS: usize = 500;
    let key = (subject.put)("object", &pattern(10_000));
    let answers = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = mpsc::channel::<()>();
    for _ in 0..REQUESTS {
        // The senders die with the callbacks: the channel ends when the last callback is gone.
        let (count, alive) = (Arc::clone(&answers), sender.clone());
        let fetched = move |answer: Result<Fetched, StoreError>| {
            assert!(matches!(answer, Ok(_) | Err(StoreError::Cancelled)), "{answer:?}");
            count.fetch_add(1, Ordering::Relaxed);
            drop(alive);
        };
        subject.store.fetch(Arc::clone(&key), Span::Whole, 10_000, Box::new(fetched));
        let (count, alive) = (Arc::clone(&answers), sender.clone());
        let read = move |buffer: Vec<u8>, answer: Result<usize, StoreError>| {
            assert_eq!(buffer.len(), 100);
            assert!(matches!(answer, Ok(100) | Err(StoreError::Cancelled)), "{answer:?}");
            count.fetch_add(1, Ordering::Relaxed);
            drop(alive);
        };
        subject.store.read(Arc::clone(&key), 5, vec![0; 100], Box::new(read));
    }
    drop(sender);
    drop(subject.store);
    assert_eq!(receiver.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    assert_eq!(answers.load(Ordering::Relaxed), 2 * REQUESTS, "every callback is called once");
}

fn dropped_by_a_callback(subject: Subject) {
    let key = (subject.put)("object", &pattern(10));
    let (sender, receiver) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let last = Arc::clone(&subject.store);
    let done = move |answer: Result<Fetched, StoreError>| {
        // From here on this callback, on a thread of the store, holds the last reference.
        wait.recv_timeout(PATIENCE).unwrap();
        drop(last);
        sender.send(answer).unwrap();
    };
    subject.store.fetch(key, Span::Whole, 10, Box::new(done));
    drop(subject.store);
    go.send(()).unwrap();
    let answer = receiver.recv_timeout(PATIENCE).expect("an answer, not a thread that waits for itself");
    assert!(matches!(answer, Ok(_) | Err(StoreError::Cancelled)), "{answer:?}");
}
