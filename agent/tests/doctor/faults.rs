//! A control plane that answers nonsense, seen by the running agent and by the doctor: nothing panics, memory stays
//! bounded, the link backs off, and the cause is named.

use crate::case::{Running, status, until, worst};
use crate::net::{head, listen};
use crate::support::machine::{Machine, control_plane};
use dgon_protocol::frame::SUBPROTOCOL;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// More than the agent ever has, far less than what it is sent, KiB.
const MEMORY_KIB: u64 = 96 * 1024;
/// What an endless server sends before it gives up.
const ENDLESS_BYTES: usize = 256 * 1024 * 1024;

/// One way to answer nonsense.
struct Fault {
    name: &'static str,
    answer: fn(TcpStream),
    /// What the link says of it.
    link: &'static str,
    /// Which check finds it.
    check: &'static str,
    /// What the doctor says of it.
    doctor: &'static str,
}

/// Whole control planes that are none: they answer every question, whatever it is, in one way.
const STRANGERS: &[Fault] = &[
    Fault {
        name: "random bytes",
        answer: |mut stream| {
            drop(head(&mut stream));
            let noise: Vec<u8> = (0..4096u32)
                .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect();
            drop(stream.write_all(&noise));
        },
        link: "is no WebSocket",
        check: "control_plane.answer",
        doctor: "gives no whole HTTP answer",
    },
    Fault {
        name: "a captive portal that redirects",
        answer: |stream| {
            say(
                stream,
                "HTTP/1.1 302 Found\r\nlocation: http://portal.example/login\r\ncontent-length: 0\r\n\r\n",
            );
        },
        link: "it redirects to http://portal.example/login",
        check: "control_plane.answer",
        doctor: "captive portal",
    },
    Fault {
        name: "a captive portal that shows its page",
        answer: |stream| {
            say(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 20\r\n\r\n<html>Sign in</html>",
            );
        },
        link: "it shows a web page",
        check: "control_plane.answer",
        doctor: "captive portal",
    },
    Fault {
        name: "a body without an end",
        answer: |mut stream| {
            drop(head(&mut stream));
            endless(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n",
            );
        },
        link: "is no control plane",
        check: "control_plane.answer",
        doctor: "its answer does not end",
    },
    Fault {
        name: "a head without an end",
        answer: |mut stream| {
            drop(head(&mut stream));
            endless(stream, "HTTP/1.1 200 OK\r\nx-endless: ");
        },
        link: "is no WebSocket",
        check: "control_plane.answer",
        doctor: "gives no whole HTTP answer",
    },
    Fault {
        name: "an answer that breaks off",
        answer: |stream| say(stream, "HTTP/1.1 200 OK\r\ncontent-le"),
        link: "takes the connection and then breaks it",
        check: "control_plane.answer",
        doctor: "gives no whole HTTP answer",
    },
    Fault {
        name: "JSON that is not ours",
        answer: |stream| {
            say(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"node\": {}}",
            );
        },
        link: "is no control plane",
        check: "control_plane.answer",
        doctor: "its answer is none of ours",
    },
    Fault {
        name: "a gateway without a control plane behind it",
        answer: |stream| {
            say(
                stream,
                "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n",
            );
        },
        link: "502",
        check: "control_plane.answer",
        doctor: "status 502",
    },
];

/// Control planes whose API is well and whose link is not.
const LINKS: &[Fault] = &[
    Fault {
        name: "the wrong subprotocol",
        answer: |stream| drop(upgrade(stream, "mqtt")),
        link: "does not speak dgon.v1",
        check: "network.websocket",
        doctor: "does not speak dgon.v1",
    },
    Fault {
        name: "a wrong accept key",
        answer: |stream| {
            say(
                stream,
                "HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: x\r\n\r\n",
            );
        },
        link: "is no WebSocket",
        check: "network.websocket",
        doctor: "is no WebSocket",
    },
    Fault {
        name: "text that is no frame of ours",
        answer: |stream| {
            send(
                upgrade(stream, SUBPROTOCOL),
                &[0x81, 5, b'h', b'e', b'l', b'l', b'o'],
            )
        },
        link: "a frame that cannot be read",
        check: "network.websocket",
        doctor: "a frame that cannot be read",
    },
    Fault {
        name: "a frame of another kind than a challenge",
        answer: |stream| {
            let frame = br#"{"type":"ack","data":{"acked_seq":3,"refused":[]},"ts":1}"#;
            let length = u8::try_from(frame.len()).unwrap();
            send(
                upgrade(stream, SUBPROTOCOL),
                &[&[0x81, length][..], frame].concat(),
            );
        },
        link: "sent ack where challenge belongs",
        check: "network.websocket",
        doctor: "sent ack where challenge belongs",
    },
    Fault {
        name: "an opcode that does not exist",
        answer: |stream| send(upgrade(stream, SUBPROTOCOL), &[0x83, 0]),
        link: "the link broke",
        check: "network.websocket",
        doctor: "the link broke",
    },
    Fault {
        name: "a frame larger than any",
        answer: |stream| {
            let Some(mut stream) = upgrade(stream, SUBPROTOCOL) else {
                return;
            };
            drop(stream.write_all(&[0x81, 127, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]));
            endless(stream, "");
        },
        link: "the link broke",
        check: "network.websocket",
        doctor: "the link broke",
    },
    Fault {
        name: "a message of endless parts",
        answer: |stream| {
            let Some(mut stream) = upgrade(stream, SUBPROTOCOL) else {
                return;
            };
            let part = [&[0x00, 126, 0xff, 0xff][..], &[b'x'; 0xffff]].concat();
            drop(stream.write_all(&[0x01, 0]));
            for _ in 0..ENDLESS_BYTES / part.len() {
                if stream.write_all(&part).is_err() {
                    return;
                }
            }
        },
        link: "the link broke",
        check: "network.websocket",
        doctor: "the link broke",
    },
    Fault {
        name: "no challenge",
        answer: |stream| {
            if let Some(mut stream) = upgrade(stream, SUBPROTOCOL) {
                drop(stream.read(&mut [0; 1]));
            }
        },
        link: "did not answer within 10 seconds",
        check: "network.websocket",
        doctor: "no challenge on the WebSocket, which stands, in time",
    },
];

fn say(mut stream: TcpStream, answer: &str) {
    if head(&mut stream).is_some() {
        drop(stream.write_all(answer.as_bytes()));
    }
}

fn endless(mut stream: TcpStream, begin: &str) {
    let piece = [b'x'; 64 * 1024];
    let mut is_taken = stream.write_all(begin.as_bytes()).is_ok();
    let mut sent = 0;
    while is_taken && sent < ENDLESS_BYTES {
        is_taken = stream.write_all(&piece).is_ok();
        sent += piece.len();
    }
}

/// Upgrades as a WebSocket does.
fn upgrade(mut stream: TcpStream, subprotocol: &str) -> Option<TcpStream> {
    let head = head(&mut stream)?;
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))?;
    let accept = derive_accept_key(key.trim().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: \
         {accept}\r\nsec-websocket-protocol: {subprotocol}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).ok()?;
    Some(stream)
}

fn send(stream: Option<TcpStream>, bytes: &[u8]) {
    if let Some(mut stream) = stream
        && stream.write_all(bytes).is_ok()
    {
        // The other side must see the bytes before the end.
        drop(stream.read(&mut [0; 64]));
    }
}

/// Runs an agent against it, and then the doctor.
fn survives(fault: &Fault, address: SocketAddr) {
    println!("{}", fault.name);
    let machine = Machine::enrolled(&format!("http://{address}"));
    let agent = Running::agent(&machine);
    let said = until(&machine, |status| {
        let error = status["link"]["last_error"].as_str().unwrap_or_default();
        status["link"]["phase"] == "waiting" && !error.is_empty()
    });
    let error = said["link"]["last_error"].as_str().unwrap();
    assert!(
        error.contains(fault.link),
        "{}: the link says {error}",
        fault.name
    );
    assert!(said["link"]["retry_in_ms"].is_u64(), "{said:#}");
    let (outcome, finding, fix) = worst(&machine.report(), fault.check);
    assert_eq!(outcome, "fail", "{}: {finding}", fault.name);
    assert!(
        finding.contains(fault.doctor),
        "{}: the doctor says {finding}",
        fault.name
    );
    assert!(fix.is_some(), "{}", fault.name);
    let resident_kib = agent.resident_kib().unwrap();
    assert!(
        resident_kib < MEMORY_KIB,
        "{}: {resident_kib} KiB",
        fault.name
    );
    assert_eq!(status(&machine)["running"], true, "{}", fault.name);
}

#[test]
fn a_stranger_in_the_control_planes_place_is_survived_and_named() {
    for fault in STRANGERS {
        survives(fault, listen(fault.answer));
    }
}

#[test]
fn a_control_plane_whose_link_talks_nonsense_is_survived_and_named() {
    for fault in LINKS {
        let api = control_plane("active");
        survives(
            fault,
            crate::net::gateway(api.address, listen(fault.answer)),
        );
    }
}
