use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::provider::Simulator;
use super::report::Report;

/// How long to leave a listener alone that cannot accept, for example for lack of descriptors.
const PAUSE_AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(10);

/// A [`Simulator`] that listens on a port of `127.0.0.1`, from [`Simulator::spawn`].
///
/// Dropping it stops it at once: it closes the port and cuts the connections. To let answers end
/// first, see [`shutdown`](Self::shutdown).
pub struct SimulatorServer {
    simulator: Simulator,
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    /// Owns the listener and every connection, so that aborting it leaves nothing behind.
    accepting: JoinHandle<()>,
}

impl SimulatorServer {
    pub(super) async fn spawn(simulator: Simulator) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, simulator.clone(), stopped));
        Ok(Self {
            simulator,
            addr,
            stop,
            accepting,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens, as `http://127.0.0.1:port`: append a path such as `/v1/chat/completions`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The simulator behind it, to serve it in other ways, too.
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// What arrived up to now. See [`Simulator::report`].
    pub fn report(&self) -> Report {
        self.simulator.report()
    }

    /// Closes the port, lets every answer that is under way end, and waits for that.
    ///
    /// A client that does not read its answer can hold this up for ever; put a timeout around it
    /// if there may be one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the server at once, like dropping the server.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // The task does not panic, and nobody else can abort it.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for SimulatorServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for SimulatorServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorServer")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, simulator: Simulator, stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut stopped = pin!(wait_for(stop.clone()));
    loop {
        tokio::select! {
            () = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, simulator.clone(), stop.clone()));
                }
                Err(_) => tokio::time::sleep(PAUSE_AFTER_ACCEPT_ERROR).await,
            },
            // Only so that the set does not grow with connections long closed.
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, simulator: Simulator, stop: watch::Receiver<bool>) {
    // Tokens of a stream are small writes, which must not wait for one another.
    let _ = stream.set_nodelay(true);
    let mut connection = pin!(simulator.connection(TokioIo::new(stream)));
    // What a client does to its connection is its own affair; the report tells of it.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = wait_for(stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Ends when the server is to stop, or is gone.
async fn wait_for(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}
