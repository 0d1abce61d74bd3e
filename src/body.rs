use std::fmt;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::provider::Provider;
use crate::schedule::Settlement;
use crate::tracker::{Permit, UsageOutcome};
use crate::usage::{Reading, UsageReader};

pin_project! {
    /// A response body that is read for its usage on its way to the caller.
    ///
    /// Frames pass as they come, unchanged and undelayed; nothing is kept. The request is settled
    /// when the body ends, fails, or is dropped.
    pub struct ResponseBody<B> {
        #[pin]
        inner: B,
        // Boxed, since bodies are moved from layer to layer.
        meter: Option<Box<BodyMeter>>,
    }
}

impl<B: Body> ResponseBody<B> {
    pub(crate) fn metered(
        inner: B,
        permit: Permit,
        reader: UsageReader,
        provider: &'static dyn Provider,
    ) -> Self {
        let mut meter = Box::new(BodyMeter {
            permit: Some(permit),
            reader,
            provider,
        });
        if inner.is_end_stream() {
            meter.end();
            return Self::unmetered(inner);
        }
        Self {
            inner,
            meter: Some(meter),
        }
    }

    /// A body whose request is settled already.
    pub(crate) fn unmetered(inner: B) -> Self {
        Self { inner, meter: None }
    }
}

impl<B> ResponseBody<B> {
    /// The inner body.
    pub fn get_ref(&self) -> &B {
        &self.inner
    }

    /// The inner body, mutably. What is read from it directly is not seen by the meter.
    pub fn get_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Settles by what was read so far and returns the inner body.
    pub fn into_inner(self) -> B {
        self.inner
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let polled = ready!(this.inner.as_mut().poll_frame(cx));
        if let Some(meter) = this.meter {
            match &polled {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        meter.read(data);
                    }
                    if this.inner.is_end_stream() {
                        meter.end();
                        *this.meter = None;
                    }
                }
                // Dropping the meter settles by what it has.
                Some(Err(_)) => *this.meter = None,
                None => {
                    meter.end();
                    *this.meter = None;
                }
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: fmt::Debug> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// Settles one request by what its body says.
struct BodyMeter {
    /// `None` once settled.
    permit: Option<Permit>,
    reader: UsageReader,
    provider: &'static dyn Provider,
}

impl BodyMeter {
    fn read(&mut self, data: &impl Buf) {
        // More pieces than this, or a buffer that shows only its first, are read up to a gap.
        const MOST_PIECES: usize = 16;
        let mut pieces = [IoSlice::new(&[]); MOST_PIECES];
        let shown = data.chunks_vectored(&mut pieces);
        let mut read = 0;
        for piece in &pieces[..shown] {
            self.reader.feed(piece);
            read += piece.len();
        }
        if read < data.remaining() {
            self.reader.mark_gap();
        }
    }

    /// The body came to its end.
    fn end(&mut self) {
        self.settle(true);
    }

    fn settle(&mut self, ended: bool) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let reserved = permit.reserved();
        let (charged, outcome) = match self.reader.finish() {
            Reading::Usage(usage) => {
                let used = self.provider.charged(&usage, &reserved);
                (Some(used), UsageOutcome::Read)
            }
            Reading::Missing => (None, UsageOutcome::Missing),
            Reading::Unreadable(_) => (None, UsageOutcome::Unreadable),
        };
        let settlement = match charged {
            Some(charged) if ended || self.reader.is_over() => Settlement::Charged(charged),
            None if ended => Settlement::Charged(reserved),
            _ => Settlement::Abandoned,
        };
        permit.close(settlement, outcome);
    }
}

impl Drop for BodyMeter {
    fn drop(&mut self) {
        self.settle(false);
    }
}
