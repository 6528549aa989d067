//! The notify protocol: datagrams of `KEY=value` lines to the socket that NOTIFY_SOCKET names.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// The way to the service manager.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
}

impl Notifier {
    /// The socket of NOTIFY_SOCKET. One that cannot be reached is told to the log, as the service manager will take
    /// this process for one that never got ready.
    pub fn from_environment(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let Some(name) = environment("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        match connect(&name) {
            Ok(socket) => Self {
                socket: Some(socket),
            },
            Err(error) => {
                tracing::warn!(%error, socket = name, "the service manager cannot be told how this agent is");
                Self::default()
            }
        }
    }

    /// Whether somebody listens.
    pub fn is_heard(&self) -> bool {
        self.socket.is_some()
    }

    /// Sends lines in one datagram.
    pub fn tell(&self, lines: &[&str]) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(lines.join("\n").as_bytes()) {
            tracing::debug!(%error, "the service manager did not take a message");
        }
    }
}

/// Names that begin with `@` are abstract: no file, Linux alone.
fn connect(name: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // A service manager that does not read must not hold the agent up.
    socket.set_nonblocking(true)?;
    match name.strip_prefix('@') {
        Some(hidden) => connect_hidden(&socket, hidden)?,
        None => socket.connect(Path::new(name))?,
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn connect_hidden(socket: &UnixDatagram, name: &str) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    socket.connect_addr(&address)
}

#[cfg(not(target_os = "linux"))]
fn connect_hidden(_socket: &UnixDatagram, _name: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_arrive_in_one_datagram() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::from_environment(&|_| path.to_str().map(str::to_owned));
        assert!(notifier.is_heard());
        notifier.tell(&["READY=1", "STATUS=well"]);
        let mut got = [0; 64];
        let length = manager.recv(&mut got).unwrap();
        assert_eq!(&got[..length], b"READY=1\nSTATUS=well");
    }

    #[test]
    fn without_a_socket_nobody_is_told() {
        assert!(!Notifier::from_environment(&|_| None).is_heard());
        let gone = Notifier::from_environment(&|_| Some("/nonexistent/notify".to_owned()));
        assert!(!gone.is_heard());
        gone.tell(&["READY=1"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn hidden_names_work() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;
        let name = format!("dgon-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = Notifier::from_environment(&|_| Some(format!("@{name}")));
        notifier.tell(&["WATCHDOG=1"]);
        let mut got = [0; 64];
        let length = manager.recv(&mut got).unwrap();
        assert_eq!(&got[..length], b"WATCHDOG=1");
    }
}
