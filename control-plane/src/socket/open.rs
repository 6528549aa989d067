//! A socket after its handshake: how much it may hold, how fast it may send, and the thread that serves it.

use super::metered::Metered;
use super::pace::Pace;
use super::threads::Place;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// A socket after its handshake.
pub type WebSocket = WebSocketStream<Metered<TcpStream>>;

/// What one socket may make this server hold, bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Largest message that may come.
    pub message: usize,
    /// What is read at once. So much is held also while nothing comes.
    pub read: usize,
    /// What is gathered before it is written.
    pub gathered: usize,
    /// What may wait to be written: what is gathered and the largest message together. Answers to pings wait here too,
    /// and one for which there is no room is not given; a message for which there is none ends the socket.
    pub waiting: usize,
    /// How fast it may send, bytes.
    pub pace: Pace,
}

impl Bounds {
    fn config(self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(self.read)
            .write_buffer_size(self.gathered)
            .max_write_buffer_size(self.waiting)
            .max_message_size(Some(self.message))
            .max_frame_size(Some(self.message))
    }
}

/// Lets one of the threads for sockets serve what HTTP was spoken on until now.
pub(super) fn move_over<F>(
    upgraded: Upgraded,
    bounds: Bounds,
    serve: impl FnOnce(WebSocket) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        return tracing::error!("a connection that is not the server's own was upgraded");
    };
    let stream = match parts.io.into_inner().into_std() {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "a connection broke at its upgrade"),
    };
    let read = parts.read_buf.to_vec();
    let place = Place::take();
    place.runtime().spawn(async move {
        match Box::pin(socket(stream, read, bounds)).await {
            // In a task of its own, which holds nothing of how it came about.
            Ok(socket) => {
                let serving = serve(socket);
                tokio::spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => tracing::warn!(%error, "a connection cannot be served as a WebSocket"),
        }
    });
}

/// The socket on a connection of which this much was read. It is bound to the thread that makes it.
async fn socket(
    stream: std::net::TcpStream,
    read: Vec<u8>,
    bounds: Bounds,
) -> std::io::Result<WebSocket> {
    let stream = Metered::new(TcpStream::from_std(stream)?, bounds.pace);
    let config = Some(bounds.config());
    Ok(WebSocketStream::from_partially_read(stream, read, Role::Server, config).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_tungstenite::tungstenite::Message;

    /// A ping of a client, with as much in it as may be, under a mask of zeros.
    fn ping() -> Vec<u8> {
        let mut ping = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
        ping.extend([b'x'; 125]);
        ping
    }

    #[tokio::test]
    async fn who_sends_pings_and_reads_nothing_makes_little_wait_for_them() {
        const PIPE: usize = 1024;
        const PINGS: usize = 5_000;
        let bounds = Bounds {
            message: 4 * 1024,
            read: 1024,
            gathered: 1024,
            waiting: 16 * 1024,
            pace: Pace::new(1e9, 1e9),
        };
        let (ours, mut theirs) = tokio::io::duplex(PIPE);
        let config = Some(bounds.config());
        let mut ours = WebSocketStream::from_raw_socket(ours, Role::Server, config).await;
        let ping = ping();
        for _ in 0..PINGS {
            let (written, heard) = tokio::join!(theirs.write_all(&ping), ours.next());
            written.expect("written");
            assert!(matches!(heard, Some(Ok(Message::Ping(_)))), "{heard:?}");
        }
        // They begin to read: what waited for them comes, and no more.
        let mut waited = 0;
        let mut some = [0; PIPE];
        loop {
            tokio::select! {
                biased;
                read = theirs.read(&mut some) => waited += read.expect("read"),
                flushed = ours.flush() => {
                    flushed.expect("flushed");
                    break;
                }
            }
        }
        assert!(
            waited > PIPE && waited <= bounds.waiting + 2 * PIPE,
            "{waited}"
        );
    }
}
