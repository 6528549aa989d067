//! The two stacks that people would write themselves, as they are started for real work: one process each.

use super::work::Work;
use crate::peers::installed as program;
use crate::programs::{Program, free_address};
use crate::report::Report;
use anyhow::Result;
use dgon_testkit::postgres::Database;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A peer that is installed.
pub(super) struct Peer {
    pub(super) name: &'static str,
    folder: PathBuf,
    program: PathBuf,
    arguments: fn(SocketAddr) -> Vec<String>,
}

/// The peers whose dependencies are there. `python` has those of FastAPI's.
pub(super) fn installed(python: Option<&Path>, report: &mut Report) -> Vec<Peer> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let express = folder.join("express");
    let node = program("node").filter(|_| express.join("node_modules/express").is_dir());
    let fastapi = python.filter(|python| python.is_file());
    let known = [
        ("Express", express, node, server as fn(_) -> _),
        (
            "FastAPI",
            folder.join("fastapi"),
            fastapi.map(Path::to_path_buf),
            uvicorn,
        ),
    ];
    let mut peers = Vec::new();
    for (name, folder, program, arguments) in known {
        match program {
            Some(program) => peers.push(Peer {
                name,
                folder,
                program,
                arguments,
            }),
            None => report.note(format!("{name} is not installed: it is left out")),
        }
    }
    peers
}

fn server(_address: SocketAddr) -> Vec<String> {
    vec!["server.mjs".to_owned()]
}

fn uvicorn(address: SocketAddr) -> Vec<String> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let arguments = [
        "-m",
        "uvicorn",
        "app:app",
        "--host",
        &host,
        "--port",
        &port,
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--no-access-log",
        "--log-level",
        "warning",
    ];
    arguments.map(str::to_owned).to_vec()
}

impl Peer {
    /// Makes its table and starts it for the nodes of that work; `dir` is for its files.
    pub(super) fn start(
        &self,
        dir: &Path,
        database: &Database,
        work: &Work,
    ) -> Result<(Program, SocketAddr)> {
        database
            .session()?
            .run(include_str!("../../../../peers/receipts.sql"))?;
        let (nodes, address) = (dir.join("peer-nodes.json"), free_address()?);
        work.write_nodes(&nodes)?;
        let mut command = Command::new(&self.program);
        command
            .args((self.arguments)(address))
            .current_dir(&self.folder)
            .env("NODE_ENV", "production")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PEER_NODES", &nodes)
            .env("DATABASE_URL", database.url())
            .env("PORT", address.port().to_string());
        let log = dir.join(format!("{}.log", self.name));
        Ok((Program::start(&mut command, &log, address)?, address))
    }
}
