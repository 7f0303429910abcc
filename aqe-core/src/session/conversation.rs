//! What is said to one client: a state machine. The bytes come in, the bytes go out, and so does the time.
//!
//! **Invariant:** no more than one request is held, and no more than one reply: while a reply is under way, nothing is
//! read, and what a subscription would have sent meanwhile is left out.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::protocol::{Body, MAX_REQUEST_BYTES};
use super::{Refusal, Request};

/// How long a client may keep silent, or not read, before it is dropped. Local programs take milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A client, as far as it is about words.
#[derive(Debug)]
pub(super) struct Conversation {
    /// What came and was not answered.
    line: Vec<u8>,
    /// What goes out, shared with those who are told the same.
    reply: Rc<str>,
    sent: usize,
    subscription: Option<Subscription>,
    /// When the client will have been idle for too long.
    patience: Instant,
    /// Whether nothing more will come.
    is_deaf: bool,
}

#[derive(Clone, Copy, Debug)]
struct Subscription {
    interval: Duration,
    next: Instant,
}

impl Conversation {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            line: Vec::new(),
            reply: Rc::from(""),
            sent: 0,
            subscription: None,
            patience: now + PATIENCE,
            is_deaf: false,
        }
    }

    /// How many bytes would be taken now.
    pub(super) fn room(&self) -> usize {
        match self.is_deaf || !self.unsent().is_empty() {
            true => 0,
            false => MAX_REQUEST_BYTES - self.line.len(),
        }
    }

    /// Takes bytes, no more than there is [`room`](Self::room) for.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.line.extend_from_slice(bytes);
    }

    /// The client says nothing more. What it has said is answered.
    pub(super) fn hang_up(&mut self) {
        self.is_deaf = true;
        self.subscription = None;
    }

    /// What has to go out.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.reply.as_bytes()[self.sent..]
    }

    /// So many bytes of it went out.
    pub(super) fn wrote(&mut self, bytes: usize, now: Instant) {
        self.sent += bytes;
        self.patience = now + PATIENCE;
    }

    /// Answers what there is to answer; `status` gives a line with the status.
    pub(super) fn advance(&mut self, now: Instant, status: &mut dyn FnMut() -> Rc<str>) {
        if !self.unsent().is_empty() {
            return;
        }
        if let Some(line) = self.next_line() {
            self.patience = now + PATIENCE;
            return self.answer(&line, now, status);
        }
        if self.line.len() >= MAX_REQUEST_BYTES {
            let message = format!("a request has at most {MAX_REQUEST_BYTES} bytes");
            // Where the next one begins cannot be known.
            self.line.clear();
            self.hang_up();
            return self.refuse(Refusal::new("too-long", message));
        }
        if let Some(subscription) = &mut self.subscription
            && subscription.next <= now
        {
            // From now on, and not from when it was due: after a pause of the machine there is one, and not many.
            subscription.next = now + subscription.interval;
            self.say(status());
        }
    }

    fn answer(&mut self, line: &[u8], now: Instant, status: &mut dyn FnMut() -> Rc<str>) {
        match Request::parse(line) {
            Ok(Request::Status) => self.say(status()),
            Ok(Request::Subscribe { interval }) => {
                let next = now + interval;
                // Who has hung up gets the first one.
                self.subscription = (!self.is_deaf).then_some(Subscription { interval, next });
                self.say(status());
            }
            Err(refusal) => {
                // Who does not speak the language is not listened to any longer.
                if refusal.kind == "syntax" {
                    self.line.clear();
                    self.hang_up();
                }
                self.refuse(refusal);
            }
        }
    }

    fn next_line(&mut self) -> Option<Vec<u8>> {
        let end = self.line.iter().position(|byte| *byte == b'\n')?;
        let rest = self.line.split_off(end + 1);
        Some(std::mem::replace(&mut self.line, rest))
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.say(Body::Error(refusal).line().into());
    }

    fn say(&mut self, reply: Rc<str>) {
        self.reply = reply;
        self.sent = 0;
    }

    /// The last words. A reply that is half out is finished by nobody; who has not read it will not read these either.
    pub(super) fn end(&mut self, last: &Rc<str>) {
        if self.subscription.is_some() && self.unsent().is_empty() {
            self.say(Rc::clone(last));
        }
    }

    /// When something happens by itself.
    pub(super) fn due(&self) -> Instant {
        match &self.subscription {
            Some(subscription) if self.unsent().is_empty() => subscription.next,
            _ => self.patience,
        }
    }

    /// Whether the client can go.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_silent = self.unsent().is_empty();
        // What has come whole and is not answered yet is answered first.
        let is_done = self.is_deaf && is_silent && !self.line.contains(&b'\n');
        let is_waiting = self.subscription.is_some() && is_silent;
        is_done || (!is_waiting && self.patience <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::VERSION;
    use proptest::prelude::*;

    const STATUS: &str = "{\"status\":1}\n";

    fn status() -> Rc<str> {
        STATUS.into()
    }

    /// What comes out when all that goes in is taken as soon as there is room, and the client reads everything.
    fn told(input: &[u8], now: Instant) -> (String, Conversation) {
        let mut conversation = Conversation::new(now);
        let mut out = Vec::new();
        let mut input = input;
        loop {
            let (head, rest) = input.split_at(conversation.room().min(input.len()));
            conversation.take(head);
            input = rest;
            conversation.advance(now, &mut status);
            let unsent = conversation.unsent().to_vec();
            if unsent.is_empty() && (input.is_empty() || conversation.room() == 0) {
                break;
            }
            conversation.wrote(unsent.len(), now);
            out.extend(unsent);
        }
        (String::from_utf8(out).unwrap(), conversation)
    }

    #[test]
    fn requests_are_answered_in_their_order() {
        let now = Instant::now();
        let input = format!(
            "{}{{\"aqe\":1,\"request\":\"x\"}}\n{}",
            Request::Status.line(),
            Request::Status.line()
        );
        let (out, conversation) = told(input.as_bytes(), now);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, STATUS.trim()));
        assert!(lines[1].contains("unknown-request"));
        assert!(!conversation.is_over(now));
        assert!(conversation.is_over(now + PATIENCE));
    }

    #[test]
    fn garbage_is_refused_once_and_ends_it() {
        let now = Instant::now();
        for input in [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            vec![b'x'; 3 * MAX_REQUEST_BYTES],
        ] {
            let (out, conversation) = told(&input, now);
            assert_eq!(out.lines().count(), 1, "{out}");
            assert!(
                out.starts_with(&format!("{{\"aqe\":{VERSION},\"error\"")),
                "{out}"
            );
            assert!(conversation.is_over(now) && conversation.room() == 0);
        }
    }

    #[test]
    fn a_subscriber_who_does_not_read_misses_some_and_is_dropped_in_the_end() {
        let mut now = Instant::now();
        let second = Duration::from_secs(1);
        let mut conversation = Conversation::new(now);
        let request = Request::Subscribe { interval: second };
        conversation.take(request.line().as_bytes());
        conversation.advance(now, &mut status);
        assert_eq!(conversation.unsent(), STATUS.as_bytes());
        conversation.wrote(STATUS.len(), now);
        assert_eq!(conversation.due(), now + second);
        conversation.advance(now, &mut status);
        assert_eq!(conversation.unsent(), b"");

        // For minutes it is patient while there is nothing to read.
        now += 60 * second;
        assert!(!conversation.is_over(now));
        conversation.advance(now, &mut status);
        conversation.wrote(5, now);
        now += PATIENCE / 2;
        conversation.advance(now, &mut status);
        assert_eq!(conversation.unsent(), &STATUS.as_bytes()[5..]);
        assert_eq!(conversation.room(), 0);
        assert!(!conversation.is_over(now));
        assert!(conversation.is_over(now + PATIENCE / 2));
    }

    #[test]
    fn who_hangs_up_is_answered_and_forgotten() {
        let now = Instant::now();
        let mut conversation = Conversation::new(now);
        conversation.take(Request::Status.line().as_bytes());
        conversation.hang_up();
        assert!(!conversation.is_over(now));
        conversation.advance(now, &mut status);
        assert!(!conversation.is_over(now));
        conversation.wrote(STATUS.len(), now);
        assert!(conversation.is_over(now));
    }

    proptest! {
        #[test]
        fn whatever_comes_in_whatever_pieces_nothing_grows(
            pieces in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..3000),
                    Just(Request::Status.line().into_bytes()),
                    Just(b"\n\n".to_vec()),
                ],
                0..20,
            ),
        ) {
            let now = Instant::now();
            let mut conversation = Conversation::new(now);
            for piece in pieces {
                let room = conversation.room().min(piece.len());
                conversation.take(&piece[..room]);
                conversation.advance(now, &mut status);
                prop_assert!(conversation.line.len() <= MAX_REQUEST_BYTES);
                prop_assert!(conversation.unsent().len() < 4096);
                let unsent = conversation.unsent().len();
                conversation.wrote(unsent / 2, now);
            }
        }
    }
}
