//! Where requests leave a layer and where they reach the provider, each with a log.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use proactive_rate_limit::ResponseBody;
use proactive_rate_limit::simulator::faults::{FaultyBody, FaultyFuture, FaultyNetwork};
use proactive_rate_limit::simulator::{Simulator, SimulatorBody, SimulatorFuture};
use tower::Service;

use crate::log::{Log, Return, Tag, What};
use crate::support::Body;

pub(crate) type Network = FaultyNetwork<Door>;

/// What a client gets from a layer.
pub(crate) type Reply = Response<ResponseBody<FaultyBody<SimulatorBody>>>;

/// The number of a departure, on its way.
#[derive(Clone, Copy, Debug)]
struct Departure(usize);

/// Stands between a layer and the network.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) network: Network,
    pub(crate) process: usize,
    pub(crate) log: Log,
}

impl Service<Request<Body>> for Wire {
    type Response = Response<FaultyBody<SimulatorBody>>;
    type Error = io::Error;
    type Future = WireFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.network.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> WireFuture {
        let tag = *request.extensions().get::<Tag>().expect("a tagged request");
        let departure = self.log.depart(self.process, tag);
        request.extensions_mut().insert(Departure(departure));
        WireFuture {
            response: self.network.call(request),
            under_way: Some(departure),
            log: self.log.clone(),
        }
    }
}

pub(crate) struct WireFuture {
    response: FaultyFuture<SimulatorBody>,
    under_way: Option<usize>,
    log: Log,
}

impl WireFuture {
    fn returned(&mut self, end: Return) {
        if let Some(departure) = self.under_way.take() {
            self.log.write(What::Returned { departure, end });
        }
    }
}

impl Future for WireFuture {
    type Output = io::Result<Response<FaultyBody<SimulatorBody>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.response).poll(cx));
        self.returned(match &response {
            Ok(response) => Return::Head(response.status().as_u16()),
            Err(error) => Return::Failed(error.kind()),
        });
        Poll::Ready(response)
    }
}

impl Drop for WireFuture {
    fn drop(&mut self) {
        self.returned(Return::Dropped);
    }
}

/// Stands between the network and the provider.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) provider: Simulator,
    pub(crate) log: Log,
}

impl Service<Request<Body>> for Door {
    type Response = Response<SimulatorBody>;
    type Error = Infallible;
    type Future = SimulatorFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.provider, cx)
    }

    fn call(&mut self, request: Request<Body>) -> SimulatorFuture {
        let departure = request.extensions().get::<Departure>();
        let Departure(departure) = *departure.expect("it came over the wire");
        self.log.write(What::Entered { departure });
        self.provider.call(request)
    }
}
