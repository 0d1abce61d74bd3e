use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Sleep;

use super::{Answer, Stream};
use crate::simulator::behaviour::TokenDelays;
use crate::simulator::clock::Clock;

/// An answer as server-sent events, each at the moment it is generated.
///
/// The moments do not depend on when it is polled: a slow reader finds them waiting, and late
/// timers do not add up.
pub(in crate::simulator) struct EventStream {
    stream: &'static dyn Stream,
    answer: Answer,
    /// Events that are there to be taken.
    ready: VecDeque<Bytes>,
    next_token: u64,
    /// When the token before the next was generated, then when the next will be.
    due: Duration,
    delays: TokenDelays,
    wait: Wait,
}

enum Wait {
    /// The delay of the next token is not drawn yet.
    NotDrawn,
    Drawn,
    /// Boxed, so that the body is `Unpin`; only streams with delays pay for it.
    Sleeping(Pin<Box<Sleep>>),
}

impl EventStream {
    pub(in crate::simulator) fn new(
        stream: &'static dyn Stream,
        answer: Answer,
        begins_at: Duration,
        delays: TokenDelays,
    ) -> Self {
        let mut ready = VecDeque::from(stream.opening(&answer));
        if answer.output_tokens == 0 {
            ready.extend(stream.closing(&answer));
        }
        Self {
            stream,
            answer,
            ready,
            next_token: 0,
            due: begins_at,
            delays,
            wait: Wait::NotDrawn,
        }
    }

    pub(in crate::simulator) fn is_end(&self) -> bool {
        self.ready.is_empty() && self.next_token == self.answer.output_tokens
    }

    pub(in crate::simulator) fn poll_next(
        &mut self,
        clock: &Clock,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Bytes>> {
        if let Some(event) = self.ready.pop_front() {
            return Poll::Ready(Some(event));
        }
        if self.is_end() {
            return Poll::Ready(None);
        }
        ready!(self.poll_due(clock, cx));

        let event = self.stream.token(&self.answer, self.next_token);
        self.next_token += 1;
        if self.next_token == self.answer.output_tokens {
            self.ready.extend(self.stream.closing(&self.answer));
        }
        Poll::Ready(Some(event))
    }

    /// Waits until the next token is generated.
    fn poll_due(&mut self, clock: &Clock, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.wait {
                Wait::NotDrawn => {
                    self.due = self.due.saturating_add(self.delays.draw());
                    self.wait = Wait::Drawn;
                }
                Wait::Drawn if self.due <= clock.now() => {
                    self.wait = Wait::NotDrawn;
                    return Poll::Ready(());
                }
                Wait::Drawn => {
                    self.wait = Wait::Sleeping(Box::pin(clock.sleep_until(self.due)));
                }
                Wait::Sleeping(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.wait = Wait::Drawn;
                }
            }
        }
    }
}
