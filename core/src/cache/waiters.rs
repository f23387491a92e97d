//! Lists of waiters, one per slot, in one pool. The owner's alone; no atomics.

use super::WaiterId;

const NIL: u32 = u32::MAX;

/// The waiters of one entry, oldest first.
#[derive(Clone, Copy)]
pub(super) struct WaiterList {
    head: u32,
    tail: u32,
}

impl WaiterList {
    pub(super) const EMPTY: Self = Self { head: NIL, tail: NIL };
}

#[derive(Default)]
pub(super) struct Waiters {
    nodes: Vec<(WaiterId, u32)>,
    free: Vec<u32>,
}

impl Waiters {
    /// Adds `waiter` at the end of `list`.
    pub(super) fn push(&mut self, list: &mut WaiterList, waiter: WaiterId) {
        let node = match self.free.pop() {
            Some(node) => {
                self.nodes[node as usize] = (waiter, NIL);
                node
            }
            None => {
                let node = u32::try_from(self.nodes.len()).ok().filter(|node| *node != NIL);
                self.nodes.push((waiter, NIL));
                node.expect("fewer than 2^32 - 1 waiters wait at once")
            }
        };
        match list.tail {
            NIL => list.head = node,
            tail => self.nodes[tail as usize].1 = node,
        }
        list.tail = node;
    }

    /// Takes the oldest waiter of `list`.
    pub(super) fn pop(&mut self, list: &mut WaiterList) -> Option<WaiterId> {
        if list.head == NIL {
            return None;
        }
        let node = list.head;
        let (waiter, next) = self.nodes[node as usize];
        list.head = next;
        if next == NIL {
            list.tail = NIL;
        }
        self.free.push(node);
        Some(waiter)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn lists_share_a_pool_and_keep_their_order() {
        let mut waiters = Waiters::default();
        let mut lists = [WaiterList::EMPTY; 3];
        for round in 0..3 {
            for n in 0..30 {
                waiters.push(&mut lists[n as usize % 3], WaiterId(n));
            }
            for n in 0..30 {
                assert_eq!(waiters.pop(&mut lists[n as usize % 3]), Some(WaiterId(n)), "round {round}");
            }
            lists.iter_mut().for_each(|list| assert_eq!(waiters.pop(list), None));
        }
        assert_eq!(waiters.nodes.len(), 30, "nodes are used again");
    }
}
