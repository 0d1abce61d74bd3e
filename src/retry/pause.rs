use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Sleep;

pin_project! {
    /// The wait before an attempt of [`RetryPolicy`](super::RetryPolicy), by tokio's clock.
    ///
    /// # Cancel safety
    ///
    /// Dropped, there is no further attempt. Nothing is held meanwhile.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Pause {
        #[pin]
        sleep: Sleep,
    }
}

impl Pause {
    pub(super) fn new(wait: Duration) -> Self {
        Self {
            sleep: tokio::time::sleep(wait),
        }
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().sleep.poll(cx)
    }
}
