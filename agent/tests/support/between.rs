//! A stand-in at the agent's socket that passes questions on to the real agent and changes what it answers.

use serde_json::Value;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Puts itself between the agent that listens on `socket` and whoever asks. Where `change` gives nothing, who asked is
/// hung up on without an answer.
pub(crate) fn between(
    socket: &Path,
    mut change: impl FnMut(Value) -> Option<Value> + Send + 'static,
) {
    let real = socket.with_file_name("real.sock");
    std::fs::rename(socket, &real).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            drop(pass_on(&client, &real, &mut change));
        }
    });
}

fn pass_on(
    client: &UnixStream,
    real: &Path,
    change: &mut impl FnMut(Value) -> Option<Value>,
) -> io::Result<()> {
    let mut question = String::new();
    BufReader::new(client.try_clone()?).read_line(&mut question)?;
    let mut agent = UnixStream::connect(real)?;
    agent.write_all(question.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(agent).read_line(&mut answer)?;
    match change(serde_json::from_str(&answer)?) {
        Some(answer) => (&*client).write_all(format!("{answer}\n").as_bytes()),
        None => Ok(()),
    }
}
