use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::endpoint::EventStream;
use super::exchange::Exchange;

/// The body of an answer of a [`Simulator`](super::Simulator).
///
/// Dropping it before its last frame is recorded as [`Delivery::ClientGone`](super::Delivery). The
/// frames of a stream become ready at the moments the provider generates them; with a
/// [`stream_latency`](super::SimulatorBuilder::stream_latency) it must be polled within a tokio
/// runtime with its timer enabled.
pub struct SimulatorBody {
    content: Content,
    exchange: Exchange,
}

enum Content {
    /// Taken by the one frame it is sent as.
    Whole(Option<Bytes>),
    Stream(Box<EventStream>),
}

impl SimulatorBody {
    pub(super) fn whole(bytes: Bytes, exchange: Exchange) -> Self {
        Self {
            content: Content::Whole(Some(bytes)),
            exchange,
        }
    }

    pub(super) fn stream(events: EventStream, exchange: Exchange) -> Self {
        Self {
            content: Content::Stream(Box::new(events)),
            exchange,
        }
    }
}

impl Body for SimulatorBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let next = match &mut this.content {
            Content::Whole(bytes) => bytes.take(),
            Content::Stream(events) => {
                std::task::ready!(events.poll_next(this.exchange.shared().clock(), cx))
            }
        };
        if this.is_end_stream() {
            this.exchange.complete();
        }
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Stream(events) => events.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for SimulatorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.content {
            Content::Whole(_) => "whole",
            Content::Stream(_) => "stream",
        };
        f.debug_struct("SimulatorBody")
            .field("kind", &kind)
            .field("is_end_stream", &self.is_end_stream())
            .finish_non_exhaustive()
    }
}
