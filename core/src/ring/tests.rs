use super::*;

fn bells() -> (Arc<Bell>, Arc<Bell>) {
    (Arc::new(Bell::new()), Arc::new(Bell::new()))
}

fn new_ring<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let (consumer, producer) = bells();
    ring(capacity, consumer, producer)
}

#[test]
fn holds_exactly_its_capacity_in_order() {
    for capacity in [1, 2, 3, 5, 8] {
        let (mut push, mut pop) = new_ring(capacity);
        for round in 0..3 {
            for n in 0..capacity {
                push.try_push((round, n)).unwrap();
            }
            assert_eq!(push.try_push((9, 9)), Err(PushError::Full((9, 9))));
            assert_eq!((push.len(), pop.len(), push.capacity()), (capacity, capacity, capacity));
            for n in 0..capacity {
                assert_eq!(pop.try_pop(), Ok((round, n)));
            }
            assert_eq!(pop.try_pop(), Err(PopError::Empty));
            assert!(pop.is_empty());
        }
    }
}

#[test]
fn what_was_pushed_before_the_close_can_be_popped() {
    let (mut push, mut pop) = new_ring(4);
    push.try_push(1).unwrap();
    push.close();
    assert_eq!(push.try_push(2), Err(PushError::Closed(2)));
    assert_eq!(push.push_blocking(2), Err(PushError::Closed(2)));
    assert_eq!(pop.try_pop(), Ok(1));
    assert_eq!(pop.pop_blocking(), Err(PopError::Closed));
    assert_eq!(pop.pop_timeout(Duration::from_secs(3600)), Err(PopError::Closed));
}

#[test]
fn a_full_ring_says_that_it_is_closed() {
    let (mut push, pop) = new_ring(1);
    push.try_push(1).unwrap();
    drop(pop);
    assert_eq!(push.try_push(2), Err(PushError::Closed(2)));
}

#[test]
fn timed_waits_end() {
    let (mut push, mut pop) = new_ring(1);
    assert_eq!(pop.pop_timeout(Duration::from_millis(1)), Err(PopError::Empty));
    push.try_push(1).unwrap();
    assert_eq!(push.push_timeout(2, Duration::from_millis(1)), Err(PushError::Full(2)));
    assert_eq!(pop.pop_timeout(Duration::ZERO), Ok(1));
    assert_eq!(push.push_timeout(2, Duration::ZERO), Ok(()));
}

#[test]
fn every_value_is_dropped_once() {
    let value = Arc::new(());
    let (mut push, mut pop) = new_ring(3);
    for _ in 0..3 {
        push.try_push(value.clone()).unwrap();
    }
    drop(pop.try_pop().unwrap());
    push.close();
    assert!(matches!(push.try_push(value.clone()), Err(PushError::Closed(_))));
    assert_eq!(Arc::strong_count(&value), 3);
    drop(pop);
    drop(push);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn c22_push_and_pop_wake_each_other() {
    const VALUES: u64 = 50_000;
    let (mut push, mut pop) = new_ring(2);
    let producer = std::thread::spawn(move || {
        for n in 0..VALUES {
            push.push_blocking(n).unwrap();
        }
    });
    for n in 0..VALUES {
        assert_eq!(pop.pop_blocking(), Ok(n));
    }
    assert_eq!(pop.pop_blocking(), Err(PopError::Closed), "the producer is gone");
    producer.join().unwrap();
}

#[test]
fn c22_a_closer_wakes_both_ends() {
    for end in 0..2 {
        let (mut push, mut pop) = new_ring(1);
        let closer = pop.closer();
        if end == 0 {
            let sleeper = std::thread::spawn(move || pop.pop_blocking());
            closer.close();
            assert_eq!(sleeper.join().unwrap(), Err(PopError::Closed));
        } else {
            push.try_push(1).unwrap();
            let sleeper = std::thread::spawn(move || push.push_blocking(2));
            closer.clone().close();
            assert_eq!(sleeper.join().unwrap(), Err(PushError::Closed(2)));
        }
        assert!(closer.is_closed());
    }
}

#[test]
fn nothing_is_accepted_and_then_lost() {
    for round in 0..2_000 {
        let (mut push, mut pop) = new_ring(8);
        let closer = push.closer();
        let producer = std::thread::spawn(move || (0..8).take_while(|n| push.try_push(*n).is_ok()).count());
        let consumer = std::thread::spawn(move || std::iter::from_fn(|| pop.pop_blocking().ok()).count());
        if round % 2 == 0 {
            std::thread::yield_now();
        }
        closer.close();
        assert_eq!(producer.join().unwrap(), consumer.join().unwrap());
    }
}
