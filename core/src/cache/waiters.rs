//! Lists of waiters, one per slot, in one pool. The owner's alone; no atomics.

use super::WaiterId;

const NIL: u32 = u32::MAX;

/// The waiters of one entry: the newest, whose link leads to the oldest, and from there on to itself.
#[derive(Clone, Copy)]
pub(super) struct WaiterList {
    newest: u32,
}

impl WaiterList {
    pub(super) const EMPTY: Self = Self { newest: NIL };
}

#[derive(Default)]
pub(super) struct Waiters {
    nodes: Vec<(WaiterId, u32)>,
    free: Vec<u32>,
}

impl Waiters {
    /// Adds `waiter` at the end of `list`.
    #[inline]
    pub(super) fn push(&mut self, list: &mut WaiterList, waiter: WaiterId) {
        let node = match self.free.pop() {
            Some(node) => {
                self.nodes[node as usize] = (waiter, node);
                node
            }
            None => {
                let node = u32::try_from(self.nodes.len()).ok().filter(|node| *node != NIL);
                let node = node.expect("fewer than 2^32 - 1 waiters wait at once");
                self.nodes.push((waiter, node));
                node
            }
        };
        if list.newest != NIL {
            let newest = list.newest as usize;
            self.nodes[node as usize].1 = self.nodes[newest].1;
            self.nodes[newest].1 = node;
        }
        list.newest = node;
    }

    /// Takes the oldest waiter of `list`.
    #[inline]
    pub(super) fn pop(&mut self, list: &mut WaiterList) -> Option<WaiterId> {
        if list.newest == NIL {
            return None;
        }
        let oldest = self.nodes[list.newest as usize].1;
        let (waiter, next) = self.nodes[oldest as usize];
        if oldest == list.newest {
            list.newest = NIL;
        } else {
            self.nodes[list.newest as usize].1 = next;
        }
        self.free.push(oldest);
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
