//! Linux: systemd's login manager knows whether anybody works at the machine, at its screen or over SSH.
//!
//! One property is read from the system's D-Bus, `org.freedesktop.login1.Manager.IdleHint`: true where every session
//! is idle. A desktop sets it after some minutes without input; a terminal is idle half an hour after its last key;
//! a desktop that never sets it counts as in use while somebody is logged in. D-Bus is spoken by hand, for this one
//! call: authentication, `Hello`, `Get`, two answers of bounded size.

use dgon_agent_core::owner::Input;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
/// How long the bus may be silent.
const WITHIN: Duration = Duration::from_secs(1);
/// Largest message that is read, bytes.
const MESSAGE_BYTES: usize = 16 * 1024;
/// Messages that may come before the answer, such as the bus's greeting.
const MESSAGES: usize = 16;
const FIXED_HEADER: usize = 16;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// Whether somebody works at the machine.
pub(in crate::owner) fn input() -> Input {
    match idle_hint(&bus()) {
        Ok(true) => Input::Idle,
        Ok(false) => Input::InUse,
        Err(error) => Input::Unseen(format!("systemd's login manager cannot be asked ({error})")),
    }
}

fn bus() -> PathBuf {
    let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_default();
    address
        .split([';', ','])
        .find_map(|part| part.strip_prefix("unix:path="))
        .map_or_else(|| PathBuf::from(SYSTEM_BUS), PathBuf::from)
}

fn idle_hint(bus: &Path) -> io::Result<bool> {
    let mut stream = UnixStream::connect(bus)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_write_timeout(Some(WITHIN))?;
    let uid = rustix::process::geteuid().as_raw().to_string();
    let uid_hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
    stream.write_all(format!("\0AUTH EXTERNAL {uid_hex}\r\n").as_bytes())?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.by_ref().take(1024).read_line(&mut line)?;
    if !line.starts_with("OK ") {
        return Err(io::Error::other("the bus does not let this user in"));
    }
    stream.write_all(b"BEGIN\r\n")?;
    let dbus = "org.freedesktop.DBus";
    stream.write_all(&call(1, dbus, "/org/freedesktop/DBus", dbus, "Hello", &[]))?;
    stream.write_all(&call(
        2,
        "org.freedesktop.login1",
        "/org/freedesktop/login1",
        "org.freedesktop.DBus.Properties",
        "Get",
        &["org.freedesktop.login1.Manager", "IdleHint"],
    ))?;
    let mut answers = 0;
    for _ in 0..MESSAGES {
        let (kind, body) = read_message(&mut reader)?;
        answers += usize::from(matches!(kind, METHOD_RETURN | ERROR));
        if answers == 2 {
            return boolean(kind, &body);
        }
    }
    Err(io::Error::other("the bus gives no answer"))
}

/// A method call with text arguments.
fn call(
    serial: u32,
    destination: &str,
    path: &str,
    interface: &str,
    member: &str,
    arguments: &[&str],
) -> Vec<u8> {
    let mut body = Vec::new();
    for argument in arguments {
        put_text(&mut body, argument);
    }
    let mut fields = Vec::new();
    for (code, kind, text) in [
        (1, b'o', path),
        (2, b's', interface),
        (3, b's', member),
        (6, b's', destination),
    ] {
        pad(&mut fields, 8);
        fields.extend([code, 1, kind, 0]);
        put_text(&mut fields, text);
    }
    if !arguments.is_empty() {
        pad(&mut fields, 8);
        fields.extend([8, 1, b'g', 0, arguments.len() as u8]);
        fields.extend(arguments.iter().map(|_| b's'));
        fields.push(0);
    }
    let mut message = vec![b'l', METHOD_CALL, 0, 1];
    message.extend((body.len() as u32).to_le_bytes());
    message.extend(serial.to_le_bytes());
    message.extend((fields.len() as u32).to_le_bytes());
    message.extend(fields);
    pad(&mut message, 8);
    message.extend(body);
    message
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    pad(out, 4);
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
    out.push(0);
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

/// Kind and body of the next message. The bus speaks the byte order of this machine's own calls.
fn read_message(reader: &mut impl io::Read) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; FIXED_HEADER];
    reader.read_exact(&mut header)?;
    let [
        order,
        kind,
        _,
        _,
        l0,
        l1,
        l2,
        l3,
        _,
        _,
        _,
        _,
        f0,
        f1,
        f2,
        f3,
    ] = header;
    let number = |bytes: [u8; 4]| match order {
        b'B' => u32::from_be_bytes(bytes) as usize,
        _ => u32::from_le_bytes(bytes) as usize,
    };
    let (body, fields) = (number([l0, l1, l2, l3]), number([f0, f1, f2, f3]));
    if body > MESSAGE_BYTES || fields > MESSAGE_BYTES {
        return Err(io::Error::other("the bus sent too large a message"));
    }
    let fields = fields.next_multiple_of(8);
    let mut rest = vec![0; fields + body];
    reader.read_exact(&mut rest)?;
    Ok((kind, rest.split_off(fields)))
}

/// A variant that holds a boolean; whatever its byte order, one of its bytes is 1 where it is true.
fn boolean(kind: u8, body: &[u8]) -> io::Result<bool> {
    match (kind, body) {
        (METHOD_RETURN, [1, b'b', 0, _, value @ ..]) if value.len() == 4 => {
            Ok(value.iter().any(|byte| *byte != 0))
        }
        (ERROR, _) => Err(io::Error::other("it does not run, or does not answer")),
        _ => Err(io::Error::other("the answer is no yes or no")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A bus that lets everybody in and answers the second call so.
    fn bus_that_says(kind: u8, body: &'static [u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = Vec::new();
            reader.read_until(b'\n', &mut line).unwrap();
            assert!(line.starts_with(b"\0AUTH EXTERNAL "), "{line:?}");
            stream.write_all(b"OK 0123\r\n").unwrap();
            line.clear();
            reader.read_until(b'\n', &mut line).unwrap();
            assert_eq!(line, b"BEGIN\r\n");
            let (first, _) = read_message(&mut reader).unwrap();
            let (second, asked) = read_message(&mut reader).unwrap();
            assert_eq!((first, second), (METHOD_CALL, METHOD_CALL));
            assert!(asked.windows(8).any(|at| at == b"IdleHint"));
            let message = |kind, body: &[u8]| {
                let mut message = vec![b'l', kind, 0, 1];
                message.extend((body.len() as u32).to_le_bytes());
                message.extend([1, 0, 0, 0, 5, 0, 0, 0]);
                message.extend([0; 8]);
                message.extend(body);
                message
            };
            stream.write_all(&message(METHOD_RETURN, b"")).unwrap();
            // The bus greets with a signal in between.
            stream.write_all(&message(4, b"greeting")).unwrap();
            stream.write_all(&message(kind, body)).unwrap();
        });
        (dir, path)
    }

    #[test]
    fn the_login_manager_says_whether_somebody_works_there() {
        let (_dir, idle) = bus_that_says(METHOD_RETURN, &[1, b'b', 0, 0, 1, 0, 0, 0]);
        assert!(idle_hint(&idle).unwrap());
        let (_dir, used) = bus_that_says(METHOD_RETURN, &[1, b'b', 0, 0, 0, 0, 0, 0]);
        assert!(!idle_hint(&used).unwrap());
    }

    #[test]
    fn a_bus_that_cannot_tell_is_an_error_and_no_guess() {
        let (_dir, none) = bus_that_says(ERROR, b"");
        assert!(idle_hint(&none).is_err());
        let (_dir, nonsense) = bus_that_says(METHOD_RETURN, b"\x01s\0\0abcd");
        assert!(idle_hint(&nonsense).is_err());
        assert!(idle_hint(Path::new("/nowhere/bus")).is_err());
    }

    #[test]
    fn a_call_has_the_layout_of_the_specification() {
        let message = call(2, "d", "/p", "i", "M", &["ab"]);
        assert_eq!(message[..4], [b'l', 1, 0, 1]);
        let fields = u32::from_le_bytes(message[12..16].try_into().unwrap()) as usize;
        let body = u32::from_le_bytes(message[4..8].try_into().unwrap()) as usize;
        assert_eq!(message.len(), (16 + fields).next_multiple_of(8) + body);
        assert_eq!(message[message.len() - body..], *b"\x02\0\0\0ab\0");
    }
}
