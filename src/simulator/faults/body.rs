use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::connection::CloseWhenDropped;
use super::kind::FaultKind;
use super::network::Shared;
use crate::error::BoxError;

pin_project! {
    /// The body of an answer that came through a [`FaultyNetwork`](super::FaultyNetwork).
    ///
    /// A fault on it is an error here, as is an error of the body inside. With
    /// [`FaultKind::BodyStall`] it must be polled within a tokio runtime with its timer enabled.
    pub struct FaultyBody<B> {
        #[pin]
        content: Content<B>,
        fault: Option<BodyFault>,
        // What of a frame comes after the fault that strikes within it.
        rest: Option<Frame<Bytes>>,
        close: Option<CloseWhenDropped>,
    }
}

pin_project! {
    #[project = ContentProj]
    enum Content<B> {
        Passed { #[pin] body: B },
        // Taken by the one frame it is sent as.
        Replaced { bytes: Option<Bytes> },
        // The body inside has ended, or is cut off and gone.
        Over,
    }
}

/// A fault that has not gone by.
pub(super) struct BodyFault {
    strike: Strike,
    /// How many bytes pass before it.
    after: u64,
    is_here: bool,
    shared: Arc<Shared>,
}

/// What a fault does where it strikes.
pub(super) enum Strike {
    Stall(Duration),
    /// Boxed, so that only bodies that stall pay for it.
    Stalling(Pin<Box<Sleep>>),
    Hang,
    Hanging,
    Cut,
    Cutting,
    /// Comes between two events, and as the last.
    ErrorEvent(Bytes),
}

impl<B: Body> FaultyBody<B> {
    pub(super) fn passed(
        body: B,
        fault: Option<BodyFault>,
        close: Option<CloseWhenDropped>,
    ) -> Self {
        let length = body.size_hint().exact();
        Self::new(Content::Passed { body }, length, fault, close)
    }

    pub(super) fn replaced(
        bytes: Bytes,
        fault: Option<BodyFault>,
        close: Option<CloseWhenDropped>,
    ) -> Self {
        let length = Some(bytes.len() as u64);
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self::new(Content::Replaced { bytes }, length, fault, close)
    }

    fn new(
        content: Content<B>,
        length: Option<u64>,
        mut fault: Option<BodyFault>,
        close: Option<CloseWhenDropped>,
    ) -> Self {
        // Within a body, not at its end, if that can be told.
        if let (Some(fault), Some(length)) = (&mut fault, length) {
            fault.after = fault.after.checked_rem(length).unwrap_or(0);
        }
        Self {
            content,
            fault,
            rest: None,
            close,
        }
    }
}

impl BodyFault {
    pub(super) fn new(strike: Strike, after: u64, shared: Arc<Shared>) -> Self {
        Self {
            strike,
            after,
            is_here: false,
            shared,
        }
    }

    /// Takes off what comes after the fault, if that strikes within this frame, and returns the
    /// frame as it passes.
    fn pass(&mut self, frame: Frame<Bytes>, rest: &mut Option<Frame<Bytes>>) -> Frame<Bytes> {
        let mut data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => return trailers,
        };
        let length = data.len() as u64;
        let is_reached = self.after < length;
        if let Strike::ErrorEvent(_) = self.strike {
            self.is_here = is_reached && data.ends_with(b"\n\n");
            self.after = self.after.saturating_sub(length);
        } else if is_reached {
            self.is_here = true;
            // Less than the length of the data, which is a `usize`.
            *rest = Some(Frame::data(data.split_off(self.after as usize)));
        } else {
            self.after -= length;
        }
        Frame::data(data)
    }

    /// The body is at its end, which is where a fault strikes that comes later.
    fn end(&mut self) {
        self.is_here = self.strikes_at_the_end();
    }

    /// An answer is not taken back once its last event is sent.
    fn strikes_at_the_end(&self) -> bool {
        !matches!(self.strike, Strike::ErrorEvent(_))
    }

    /// Lets it strike. Ready with the last of the body, or with `None` if that goes on.
    fn poll_strike(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match &mut self.strike {
                Strike::Stall(stall) => {
                    self.shared.count(FaultKind::BodyStall);
                    let sleep = Box::pin(tokio::time::sleep(*stall));
                    self.strike = Strike::Stalling(sleep);
                }
                Strike::Stalling(sleep) => return sleep.as_mut().poll(cx).map(|()| None),
                Strike::Hang => {
                    self.shared.count(FaultKind::BodyHang);
                    self.strike = Strike::Hanging;
                }
                // Nobody is woken: nothing will ever come.
                Strike::Hanging => return Poll::Pending,
                // Not at once: a server would drop what it has not sent yet, the head before all.
                Strike::Cut => {
                    self.strike = Strike::Cutting;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Strike::Cutting => {
                    self.shared.count(FaultKind::BodyCut);
                    let error = io::ErrorKind::ConnectionReset.into();
                    return Poll::Ready(Some(Err(error)));
                }
                Strike::ErrorEvent(event) => {
                    self.shared.count(FaultKind::ErrorEvent);
                    return Poll::Ready(Some(Ok(Frame::data(mem::take(event)))));
                }
            }
        }
    }
}

impl<B> Body for FaultyBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut this = self.project();
        loop {
            if let Some(fault) = this.fault.as_mut().filter(|fault| fault.is_here) {
                let last = ready!(fault.poll_strike(cx));
                *this.fault = None;
                if last.is_some() {
                    *this.rest = None;
                    this.content.set(Content::Over);
                    return Poll::Ready(last);
                }
            }
            if let Some(rest) = this.rest.take() {
                return Poll::Ready(Some(Ok(rest)));
            }
            let polled = ready!(this.content.as_mut().poll_frame(cx));
            let Some(fault) = this.fault else {
                return Poll::Ready(polled);
            };
            match polled {
                Some(Ok(frame)) => {
                    let frame = fault.pass(frame, this.rest);
                    // A fault before the first byte of a frame leaves nothing to pass.
                    if frame.data_ref().is_none_or(|data| !data.is_empty()) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Some(Err(error)) => {
                    *this.fault = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    fault.end();
                    this.content.set(Content::Over);
                    if !fault.is_here {
                        *this.fault = None;
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_at_end = match &self.content {
            Content::Passed { body } => body.is_end_stream(),
            Content::Replaced { bytes } => bytes.is_none(),
            Content::Over => true,
        };
        let fault_is_gone = match &self.fault {
            Some(fault) => !fault.is_here && !fault.strikes_at_the_end(),
            None => true,
        };
        is_at_end && fault_is_gone && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(Strike::ErrorEvent(_)) = self.fault.as_ref().map(|fault| &fault.strike) {
            return SizeHint::default();
        }
        let mut hint = match &self.content {
            Content::Passed { body } => body.size_hint(),
            Content::Replaced { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Over => SizeHint::with_exact(0),
        };
        let rest = self.rest.as_ref().and_then(Frame::data_ref);
        if let Some(rest) = rest.map(|rest| rest.len() as u64) {
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(rest));
            }
            hint.set_lower(hint.lower().saturating_add(rest));
        }
        hint
    }
}

impl<B> Content<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.project() {
            ContentProj::Passed { body } => body
                .poll_frame(cx)
                .map(|polled| polled.map(|frame| frame.map_err(io::Error::other))),
            ContentProj::Replaced { bytes } => Poll::Ready(bytes.take().map(Frame::data).map(Ok)),
            ContentProj::Over => Poll::Ready(None),
        }
    }
}

impl<B> fmt::Debug for FaultyBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = match &self.content {
            Content::Passed { .. } => "passed",
            Content::Replaced { .. } => "replaced",
            Content::Over => "over",
        };
        f.debug_struct("FaultyBody")
            .field("content", &content)
            .field("has_fault", &self.fault.is_some())
            .finish_non_exhaustive()
    }
}
