//! Peers as networks have them: a TLS terminator, a proxy, a gateway, and servers that misbehave. Real sockets.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use tokio_rustls::rustls;

/// Serves every connection in a thread of its own, as long as the test's process lives.
pub(crate) fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    serve_on(TcpListener::bind("127.0.0.1:0").unwrap(), serve)
}

/// Like [`listen`], on a listener that is there already.
pub(crate) fn serve_on(
    listener: TcpListener,
    serve: impl Fn(TcpStream) + Send + Sync + 'static,
) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// An address of this machine where nobody listens.
pub(crate) fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The head of a request, byte by byte, so that nothing behind it is taken.
pub(crate) fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 || head.len() > 64 * 1024 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Passes bytes on in both directions until one side ends.
pub(crate) fn pipe(a: TcpStream, b: TcpStream) {
    let (a2, b2) = (a.try_clone().unwrap(), b.try_clone().unwrap());
    let other = std::thread::spawn(move || one_way(a2, b2));
    one_way(b, a);
    drop(other.join());
}

fn one_way(mut from: TcpStream, mut to: TcpStream) {
    drop(std::io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Write));
}

/// Sends what asks for the link to `link`, and all else to `api`.
pub(crate) fn gateway(api: SocketAddr, link: SocketAddr) -> SocketAddr {
    listen(move |mut client| {
        let Some(head) = head(&mut client) else {
            return;
        };
        let target = if head.contains(dgon_protocol::frame::LINK_PATH) {
            link
        } else {
            api
        };
        let Ok(mut server) = TcpStream::connect(target) else {
            return;
        };
        if server.write_all(head.as_bytes()).is_ok() {
            pipe(client, server);
        }
    })
}

/// An HTTP proxy that leads every tunnel to `to`, and asks for `login` where it is told to.
pub(crate) fn proxy(to: SocketAddr, login: Option<&'static str>) -> SocketAddr {
    use base64::Engine as _;
    let wanted = login.map(|login| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(login);
        format!("Proxy-Authorization: Basic {encoded}\r\n")
    });
    listen(move |mut client| {
        let Some(head) = head(&mut client) else {
            return;
        };
        let answer = if !head.starts_with("CONNECT ") {
            "HTTP/1.1 405 X\r\n\r\n"
        } else if wanted.as_ref().is_some_and(|wanted| !head.contains(wanted)) {
            "HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\ncontent-length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 200 Connection established\r\n\r\n"
        };
        drop(client.write_all(answer.as_bytes()));
        if answer.contains(" 200 ")
            && let Ok(server) = TcpStream::connect(to)
        {
            pipe(client, server);
        }
    })
}

/// A certificate authority of a test, and a certificate that it signed.
pub(crate) struct Certified {
    /// The authority's certificate, PEM.
    pub(crate) ca_pem: String,
    config: Arc<rustls::ServerConfig>,
}

/// A certificate for `name`, valid for these days from now: `-2..-1` has expired.
pub(crate) fn certify(name: &str, days: std::ops::Range<i64>) -> Certified {
    let now = rcgen::date_time_ymd(1970, 1, 1)
        + std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
    let day = std::time::Duration::from_secs(24 * 3600);
    let at = |days: i64| {
        let span = day * u32::try_from(days.abs()).unwrap();
        if days < 0 { now - span } else { now + span }
    };
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.not_before = at(-10);
    ca.not_after = at(10);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.not_before = at(days.start);
    leaf.not_after = at(days.end);
    let certificate = leaf.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    Certified {
        ca_pem: ca_certificate.pem(),
        config: Arc::new(config),
    }
}

/// Takes TLS connections with this certificate and passes what is in them on to `to`.
pub(crate) fn tls(certified: &Certified, to: SocketAddr) -> SocketAddr {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&certified.config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await.ok()?;
                let mut server = tokio::net::TcpStream::connect(to).await.ok()?;
                tokio::io::copy_bidirectional(&mut client, &mut server)
                    .await
                    .ok()
            });
        }
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(serve);
    });
    address
}
