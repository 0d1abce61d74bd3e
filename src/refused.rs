use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};
use sync_wrapper::SyncWrapper;
use tokio::runtime::Handle;
use tokio::time::Sleep;

use crate::body::{Frames, ResponseBody, for_each_piece};
use crate::provider::{Feedback, Provider, Refusal, RefusalCause};
use crate::tracker::Permit;
use crate::usage::beginning;

/// How much of the body is looked at.
const LONGEST_LOOK: usize = 16 * 1024;

/// In how many frames, at most: they may be empty, and come without end.
const MOST_FRAMES: usize = 1024;

/// Statuses by which providers refuse for what a [`Refusal`] can be about.
const REFUSALS: [StatusCode; 6] = [
    StatusCode::BAD_REQUEST,
    StatusCode::PAYMENT_REQUIRED,
    StatusCode::FORBIDDEN,
    StatusCode::PRECONDITION_FAILED,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::TOO_MANY_REQUESTS,
];

/// A refusal whose body is looked at before it is handed on, unchanged.
///
/// Only the body tells whether waiting helps, and whoever retries may never read it. It is waited
/// for briefly: a provider that stalls must not keep its own refusal from the caller.
pub(crate) struct Refused<B: Body> {
    response: Option<Response<()>>,
    body: SyncWrapper<Option<Pin<Box<B>>>>,
    frames: SyncWrapper<Frames<B>>,
    seen: Vec<u8>,
    ended: bool,
    patience: Option<SyncWrapper<Pin<Box<Sleep>>>>,
    verdict: Verdict,
}

/// What the head of a refusal says, until it is acted upon. Dropped before, it counts by itself.
struct Verdict {
    provider: &'static dyn Provider,
    permit: Option<Permit>,
    status: StatusCode,
    feedback: Feedback,
}

impl<B: Body> Refused<B> {
    /// How long a refusal is kept from its caller, at most, to see what its body says.
    pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

    pub(crate) fn is_one(status: StatusCode) -> bool {
        REFUSALS.contains(&status)
    }

    /// `permit` is that of the request, which is answered.
    pub(crate) fn new(
        provider: &'static dyn Provider,
        permit: Permit,
        feedback: Feedback,
        response: Response<B>,
    ) -> Self {
        let status = response.status();
        let (parts, body) = response.into_parts();
        Self {
            response: Some(Response::from_parts(parts, ())),
            body: SyncWrapper::new(Some(Box::pin(body))),
            frames: SyncWrapper::new(VecDeque::new()),
            seen: Vec::new(),
            ended: false,
            patience: None,
            verdict: Verdict {
                provider,
                permit: Some(permit),
                status,
                feedback,
            },
        }
    }

    /// Ready with the response as it came, except that a [`Refusal`] is in its extensions if it is
    /// known what this is.
    ///
    /// # Panics
    ///
    /// When polled after that.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response<ResponseBody<B>>> {
        if self.look(cx).is_pending() && self.wait(cx).is_pending() {
            return Poll::Pending;
        }
        let (Some(response), Some(body)) = (self.response.take(), self.body.get_mut().take())
        else {
            panic!("`ResponseFuture` polled after completion");
        };
        let refusal = self.verdict.reach(response.headers(), &self.seen);
        let frames = std::mem::take(self.frames.get_mut());
        let mut response = response.map(|()| ResponseBody::peeked(frames, body, self.ended));
        if let Some(refusal) = refusal {
            response.extensions_mut().insert(refusal);
        }
        Poll::Ready(response)
    }

    /// Ready when there is nothing more to be seen.
    fn look(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(body) = self.body.get_mut() else {
            return Poll::Ready(());
        };
        while self.seen.len() < LONGEST_LOOK
            && self.frames.get_mut().len() < MOST_FRAMES
            && !body.is_end_stream()
        {
            match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(frame)) => {
                    let failed = frame.is_err();
                    if let Some(data) = frame.as_ref().ok().and_then(Frame::data_ref) {
                        let seen = &mut self.seen;
                        for_each_piece(data, |piece| {
                            let room = LONGEST_LOOK - seen.len();
                            seen.extend_from_slice(&piece[..piece.len().min(room)]);
                        });
                    }
                    self.frames.get_mut().push_back(frame);
                    if failed {
                        break;
                    }
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    break;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// Ready when it has been waited for long enough: at once, where there is no timer to tell.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.patience.is_none() {
            if Handle::try_current().is_err() {
                return Poll::Ready(());
            }
            self.patience = Some(SyncWrapper::new(Box::pin(tokio::time::sleep(
                Self::PATIENCE,
            ))));
        }
        match &mut self.patience {
            Some(sleep) => sleep.get_mut().as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl Verdict {
    fn reach(&mut self, headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        let permit = self.permit.take()?;
        let body = beginning(headers, body, LONGEST_LOOK);
        let mut refusal = self.provider.refusal(self.status, headers, &body);
        if refusal.is_none() && self.feedback.throttled {
            refusal = Some(Refusal::of(RefusalCause::RateLimit));
        }
        if let Some(refusal) = &mut refusal {
            refusal.retry_after = self.feedback.retry_after.or(refusal.retry_after);
        }
        match &refusal {
            Some(refusal) => permit.refused(refusal.clone()),
            // The request was wrong, and not one too many.
            None => {
                let reserved = permit.reserved();
                permit.settle(reserved);
            }
        }
        refusal
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        self.reach(&HeaderMap::new(), &[]);
    }
}
