//! What others answer over HTTP, read to a limit.

use serde::de::DeserializeOwned;

/// Bytes of an answer that are read; a longer one is none.
const MOST: usize = 64 * 1024;

/// The answer's JSON; none when it is too long, breaks off or does not read.
pub async fn json<T: DeserializeOwned>(mut response: reqwest::Response) -> Option<T> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > MOST {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn answer(length: usize) -> Option<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            assert!(connection.read(&mut [0; 1024]).await.unwrap() > 0);
            let body = format!("\"{}\"", "x".repeat(length));
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            // Whoever has read enough may be gone.
            let _ = connection.write_all((head + &body).as_bytes()).await;
        });
        json(reqwest::get(url).await.unwrap()).await
    }

    #[tokio::test]
    async fn an_answer_within_the_limit_is_read_and_a_longer_one_is_none() {
        assert_eq!(answer(10).await, Some("x".repeat(10)));
        assert_eq!(answer(MOST).await, None);
    }
}
