//! The least that a hyper server can do for `POST /predict`: the ceiling that benches/run.sh
//! measures `mlapi serve` against.
//!
//! It reads `{"data":[…]}` with serde and writes an answer of the same shape and size as
//! mlapi's with serde, for every request anew. There is no model, no limit, no timeout, no
//! counter and no log. One thread, HTTP/1.1, keep-alive, `TCP_NODELAY`.
//!
//! The answer to give is the first argument (benches/run.py passes the one mlapi gave, so
//! that both sides write the same numbers); the second is the count of numbers in a row (4
//! by default). It prints its address on stdout.

use std::collections::BTreeMap;

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Row {
    data: Vec<f64>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Answer {
    prediction: String,
    probability: f64,
    probabilities: BTreeMap<String, f64>,
}

const DEFAULT: &str = r#"{"prediction":"setosa","probability":0.9797,
    "probabilities":{"setosa":0.9797,"versicolor":0.0203,"virginica":0.0}}"#;

fn main() -> anyhow::Result<()> {
    let answer = std::env::args().nth(1);
    let answer: Answer =
        serde_json::from_str(answer.as_deref().unwrap_or(DEFAULT)).context("the answer to give")?;
    let n_values =
        std::env::args().nth(2).map_or(Ok(4), |n| n.parse()).context("how many numbers a row has")?;
    // Lives as long as the process: connections share it without a counter.
    let answer: &'static Answer = Box::leak(Box::new(answer));
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(answer, n_values))
}

async fn serve(answer: &'static Answer, n_values: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("bare_server is listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request| predict(request, answer, n_values));
        tokio::spawn(async move {
            // An error here means that the client went away.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn predict(
    request: Request<Incoming>,
    answer: &Answer,
    n_values: usize,
) -> anyhow::Result<Response<Full<Bytes>>> {
    if request.uri().path() != "/predict" {
        return Ok(refuse(StatusCode::NOT_FOUND));
    }
    if request.method() != Method::POST {
        return Ok(refuse(StatusCode::METHOD_NOT_ALLOWED));
    }
    let body = request.into_body().collect().await?.to_bytes();
    match serde_json::from_slice::<Row>(&body) {
        Ok(row) if row.data.len() == n_values => {}
        Ok(_) => return Ok(refuse(StatusCode::UNPROCESSABLE_ENTITY)),
        Err(_) => return Ok(refuse(StatusCode::BAD_REQUEST)),
    }
    let mut response = Response::new(Full::new(Bytes::from(serde_json::to_vec(answer)?)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn refuse(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
