//! A network with faults on a port of `127.0.0.1`.

use proactive_rate_limit::simulator::Simulator;
use proactive_rate_limit::simulator::faults::FaultyNetwork;
use tokio::net::TcpListener;

/// Serves HTTP/1.1 for as long as the runtime lives, and says where.
pub(crate) async fn serve(network: &FaultyNetwork<Simulator>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("a bound port");
    let network = network.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Tokens of a stream are small writes, which must not wait for one another.
            let _ = stream.set_nodelay(true);
            let network = network.clone();
            tokio::spawn(async move { network.serve_http1(stream).await });
        }
    });
    format!("http://{addr}")
}
