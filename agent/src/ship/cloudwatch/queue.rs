//! Lines that wait to be shipped: bounded memory, and every line that is not shipped counted.

use std::collections::VecDeque;

use super::batch::{self, Event};

/// Lines in the order they were written. The first ones may be under way; they stay here until they are stored.
#[derive(Debug)]
pub struct Queue {
    events: VecDeque<Event>,
    /// Of them all, as [`Event::bytes`] counts.
    bytes: usize,
    capacity_bytes: usize,
    /// How many of the first are under way.
    under_way: usize,
    lost: u64,
}

impl Queue {
    /// An empty one that holds no more than so many bytes.
    pub const fn new(capacity_bytes: usize) -> Self {
        Self { events: VecDeque::new(), bytes: 0, capacity_bytes, under_way: 0, lost: 0 }
    }

    /// Takes a line. When there is no room the oldest goes that is not under way.
    pub fn push(&mut self, event: Event) {
        if !event.can_be_sent() {
            self.lost += 1;
            return;
        }
        self.bytes += event.bytes();
        self.events.push_back(event);
        while self.bytes > self.capacity_bytes {
            let Some(oldest) = self.events.remove(self.under_way) else { break };
            self.bytes -= oldest.bytes();
            self.lost += 1;
        }
    }

    /// The next call's events, in the order it demands. They are under way until [`Queue::stored`],
    /// [`Queue::put_back`] or [`Queue::discard`].
    pub fn begin(&mut self) -> Vec<Event> {
        self.under_way = batch::length(&self.events);
        let mut events: Vec<Event> = self.events.iter().take(self.under_way).cloned().collect();
        batch::sort(&mut events);
        events
    }

    /// What was under way is stored, but for so many events that were rejected.
    pub fn stored(&mut self, rejected: usize) {
        self.lost += rejected as u64;
        self.remove_under_way();
    }

    /// What was under way is not stored, and waits again.
    pub const fn put_back(&mut self) {
        self.under_way = 0;
    }

    /// What was under way will never be stored.
    pub fn discard(&mut self) {
        self.lost += self.under_way as u64;
        self.remove_under_way();
    }

    /// Gives everything up, what is under way included.
    pub fn abandon(&mut self) {
        self.lost += self.events.len() as u64;
        self.events.clear();
        (self.bytes, self.under_way) = (0, 0);
    }

    fn remove_under_way(&mut self) {
        let gone = self.events.drain(..self.under_way.min(self.events.len()));
        self.bytes -= gone.map(|event| event.bytes()).sum::<usize>();
        self.under_way = 0;
    }

    /// Lines that wait or are under way.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether a call would be full, so that it need not wait for more.
    pub fn fills_a_call(&self) -> bool {
        self.bytes >= batch::MAX_BATCH_BYTES || self.events.len() >= batch::MAX_BATCH_EVENTS
    }

    /// Lines that were not shipped and never will be.
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each counts 27 bytes.
    fn named(name: char) -> Event {
        Event { time_ms: 0, message: name.to_string() }
    }

    fn queue(names: &str, capacity: usize) -> Queue {
        let mut queue = Queue::new(capacity * 27);
        names.chars().for_each(|name| queue.push(named(name)));
        queue
    }

    fn next(queue: &mut Queue) -> String {
        queue.begin().into_iter().map(|event| event.message).collect()
    }

    #[test]
    fn lines_leave_in_order_and_none_leaves_twice() {
        let mut queue = queue("abc", 10);
        assert_eq!(next(&mut queue), "abc");
        queue.push(named('d'));
        queue.stored(0);
        assert_eq!(next(&mut queue), "d");
        queue.stored(0);
        assert!(queue.is_empty());
        assert_eq!((next(&mut queue), queue.lost()), (String::new(), 0));
    }

    #[test]
    fn what_could_not_be_stored_comes_again_with_what_came_meanwhile() {
        let mut queue = queue("ab", 10);
        assert_eq!(next(&mut queue), "ab");
        queue.push(named('c'));
        queue.put_back();
        assert_eq!(next(&mut queue), "abc");
    }

    #[test]
    fn below_and_at_its_capacity_nothing_is_lost_and_above_it_the_oldest() {
        for (names, left, lost) in
            [("ab", "ab", 0), ("abc", "abc", 0), ("abcd", "bcd", 1), ("abcdef", "def", 3)]
        {
            let mut queue = queue(names, 3);
            assert_eq!((next(&mut queue).as_str(), queue.lost()), (left, lost));
        }
    }

    #[test]
    fn what_is_under_way_is_not_given_up_while_it_may_be_stored() {
        let mut queue = queue("ab", 3);
        assert_eq!(next(&mut queue), "ab");
        queue.push(named('c'));
        queue.push(named('d'));
        assert_eq!(queue.lost(), 1, "c");
        queue.stored(0);
        assert_eq!(next(&mut queue), "d");
        // Put back, it is the oldest again.
        queue.put_back();
        "efg".chars().for_each(|name| queue.push(named(name)));
        assert_eq!((next(&mut queue).as_str(), queue.lost()), ("efg", 2));
    }

    #[test]
    fn every_line_is_either_stored_or_counted_as_lost() {
        let mut queue = queue("abcdefgh", 4);
        next(&mut queue);
        queue.stored(1);
        "ij".chars().for_each(|name| queue.push(named(name)));
        next(&mut queue);
        queue.discard();
        queue.push(named('k'));
        queue.push(Event { time_ms: 0, message: String::new() });
        queue.push(Event { time_ms: 0, message: "x".repeat(batch::MAX_MESSAGE_BYTES + 1) });
        next(&mut queue);
        queue.abandon();
        assert_eq!(queue.lost(), 4 + 1 + 2 + 1 + 1 + 1, "only three of thirteen were stored");
        assert_eq!((queue.len(), queue.bytes), (0, 0));
    }
}
