//! A server on loopback that answers in every way that a client has to cope with.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Serves for as long as the runtime lives, and says where.
pub(crate) async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(connection);
        }
    });
    url
}

/// Where nobody listens, nor will while the socket is there.
pub(crate) fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(anywhere).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut response = match path.as_str() {
        "/echo" => Response::new(echo(request).await),
        "/trailers" => {
            let trailers = HeaderMap::from_iter([(
                header::HeaderName::from_static("x-checksum"),
                HeaderValue::from_static("abc"),
            )]);
            let frames = vec![data("one "), data("two"), Ok(Frame::trailers(trailers))];
            Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync())
        }
        "/cut" => {
            let cut = stream::once(async {
                // So that the head is on its way.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(io::Error::other("the line went dead"))
            });
            let frames = stream::iter([data("one")]).chain(cut);
            Response::new(StreamBody::new(frames).boxed_unsync())
        }
        "/silent" => std::future::pending().await,
        _ => Response::new(
            Full::from("{}")
                .map_err(|never| match never {})
                .boxed_unsync(),
        ),
    };
    let headers = response.headers_mut();
    headers.append("x-a", HeaderValue::from_static("1"));
    headers.append("x-a", HeaderValue::from_static("2"));
    headers.insert(header::DATE, HeaderValue::from_static("now"));
    match path.as_str() {
        "/moved" => redirect(&mut response, "/echo"),
        "/loop" => redirect(&mut response, "/loop"),
        "/trailers" => {
            headers.insert(header::TRAILER, HeaderValue::from_static("x-checksum"));
        }
        "/cut" => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("100"));
        }
        "/empty" => *response.status_mut() = http::StatusCode::NO_CONTENT,
        "/failed" => *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR,
        "/wrong" => *response.status_mut() = http::StatusCode::BAD_REQUEST,
        _ => {}
    }
    Ok(response)
}

fn redirect(response: &mut Response<Body>, to: &'static str) {
    *response.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
    let to = HeaderValue::from_static(to);
    response.headers_mut().insert(header::LOCATION, to);
}

/// What arrived of a request.
async fn echo(request: Request<Incoming>) -> Body {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = format!(
        "{} {} {:?} {:?} {body:?}",
        head.method, head.uri, head.version, head.headers
    );
    Full::from(text)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn data(text: &'static str) -> io::Result<Frame<Bytes>> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}
