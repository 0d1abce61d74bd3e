use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sync_wrapper::SyncWrapper;

use crate::provider::{Counting, Provider, in_stream};
use crate::schedule::Settlement;
use crate::tracker::{Permit, UsageOutcome};
use crate::usage::{Reading, UsageReader};

pin_project! {
    /// A response body that is read for its usage on its way to the caller.
    ///
    /// Frames pass as they come, unchanged and undelayed; nothing is kept. The request is settled
    /// when the body ends, fails, or is dropped.
    ///
    /// The body of a refusal may have been looked at before; what was seen comes first, as it came.
    pub struct ResponseBody<B>
    where
        B: Body,
    {
        #[pin]
        inner: Inner<B>,
        // Boxed, since bodies are moved from layer to layer.
        meter: Option<Box<BodyMeter>>,
    }
}

pin_project! {
    #[project = InnerProj]
    enum Inner<B>
    where
        B: Body,
    {
        Direct {
            #[pin]
            body: B,
        },
        Peeked {
            peeked: Box<Peeked<B>>,
        },
    }
}

struct Peeked<B: Body> {
    // The wrapper keeps the body `Sync` if the inner one is.
    frames: SyncWrapper<Frames<B>>,
    has_frames: bool,
    /// Bytes of data in them.
    left: u64,
    body: Pin<Box<B>>,
    /// Nothing follows the frames.
    ended: bool,
}

type FrameOf<B> = Result<Frame<<B as Body>::Data>, <B as Body>::Error>;

/// Frames, and perhaps an error as the last of them.
pub(crate) type Frames<B> = VecDeque<FrameOf<B>>;

impl<B: Body> ResponseBody<B> {
    pub(crate) fn metered(
        inner: B,
        permit: Permit,
        reader: UsageReader,
        counting: Counting,
        provider: &'static dyn Provider,
    ) -> Self {
        let mut meter = Box::new(BodyMeter {
            permit: Some(permit),
            reader,
            counting,
            provider,
        });
        if inner.is_end_stream() {
            meter.end();
            return Self::unmetered(inner);
        }
        Self {
            inner: Inner::Direct { body: inner },
            meter: Some(meter),
        }
    }

    /// A body whose request is settled already.
    pub(crate) fn unmetered(inner: B) -> Self {
        Self {
            inner: Inner::Direct { body: inner },
            meter: None,
        }
    }

    /// A body whose request is settled already, and of which these frames have been seen.
    pub(crate) fn peeked(frames: Frames<B>, body: Pin<Box<B>>, ended: bool) -> Self {
        let data = frames.iter().flatten().filter_map(Frame::data_ref);
        let peeked = Peeked {
            left: data.map(|data| data.remaining() as u64).sum(),
            has_frames: !frames.is_empty(),
            frames: SyncWrapper::new(frames),
            body,
            ended,
        };
        Self {
            inner: Inner::Peeked {
                peeked: Box::new(peeked),
            },
            meter: None,
        }
    }

    /// The inner body.
    pub fn get_ref(&self) -> &B {
        match &self.inner {
            Inner::Direct { body } => body,
            Inner::Peeked { peeked } => &peeked.body,
        }
    }
}

impl<B: Body> Peeked<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<FrameOf<B>>> {
        let Some(frame) = self.frames.get_mut().pop_front() else {
            return match self.ended {
                true => Poll::Ready(None),
                false => self.body.as_mut().poll_frame(cx),
            };
        };
        if let Some(data) = frame.as_ref().ok().and_then(Frame::data_ref) {
            self.left -= data.remaining() as u64;
        }
        self.has_frames = !self.frames.get_mut().is_empty();
        Poll::Ready(Some(frame))
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
        let polled = match this.inner.as_mut().project() {
            InnerProj::Direct { body } => ready!(body.poll_frame(cx)),
            InnerProj::Peeked { peeked } => return peeked.poll_frame(cx),
        };
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
        match &self.inner {
            Inner::Direct { body } => body.size_hint(),
            Inner::Peeked { peeked } => {
                let hint = peeked.body.size_hint();
                let mut whole = SizeHint::new();
                whole.set_lower(hint.lower().saturating_add(peeked.left));
                if let Some(upper) = hint.upper() {
                    whole.set_upper(upper.saturating_add(peeked.left));
                }
                whole
            }
        }
    }
}

impl<B: Body> Inner<B> {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Direct { body } => body.is_end_stream(),
            Self::Peeked { peeked } => {
                !peeked.has_frames && (peeked.ended || peeked.body.is_end_stream())
            }
        }
    }
}

impl<B: Body + fmt::Debug> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("inner", self.get_ref())
            .finish_non_exhaustive()
    }
}

/// Shows what is in `data` without taking it out. Whether that was all: of more than a few pieces,
/// or of a buffer that shows only its first, it is the beginning.
pub(crate) fn for_each_piece(data: &impl Buf, mut show: impl FnMut(&[u8])) -> bool {
    const MOST_PIECES: usize = 16;
    let mut pieces = [IoSlice::new(&[]); MOST_PIECES];
    let shown = data.chunks_vectored(&mut pieces);
    let mut read = 0;
    for piece in &pieces[..shown] {
        show(piece);
        read += piece.len();
    }
    read == data.remaining()
}

/// Settles one request by what its body says.
struct BodyMeter {
    /// `None` once settled.
    permit: Option<Permit>,
    reader: UsageReader,
    counting: Counting,
    provider: &'static dyn Provider,
}

impl BodyMeter {
    fn read(&mut self, data: &impl Buf) {
        if !for_each_piece(data, |piece| self.reader.feed(piece)) {
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
                let charged = self.counting.charged(&usage, &reserved);
                (Some(charged), UsageOutcome::Read)
            }
            Reading::Missing => {
                if let Some(refusal) = in_stream(self.provider, self.reader.last_document()) {
                    // It stays counted in full, as any refused one.
                    permit.refused(refusal);
                    return;
                }
                (None, UsageOutcome::Missing)
            }
            Reading::Unreadable(why) => (None, UsageOutcome::Unreadable(why)),
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
