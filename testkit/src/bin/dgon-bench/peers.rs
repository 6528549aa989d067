//! The proxies that ours is measured beside: nginx and haproxy, set up as their manuals say for streams, and the
//! bare proxy, which is hyper alone and so the floor of ours.

use crate::programs::{Node, Program, free_address};
use crate::report::Report;
use anyhow::Result;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names of the ways.
pub(crate) const DIRECT: &str = "direct";
pub(crate) const NGINX: &str = "nginx";
pub(crate) const HAPROXY: &str = "haproxy";
pub(crate) const BARE: &str = "hyper alone";
pub(crate) const OURS: &str = "ours";

/// A way to the runtime.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// The proxy on this way; absent where it is direct, or where it is not ours to end.
    pub(crate) program: Option<Program>,
}

/// Where a program is: on the PATH, or where systems keep their daemons.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// All ways: first the direct one, then the peers that are installed, the bare proxy, and ours.
pub(crate) fn ways(node: &Node, report: &mut Report) -> Result<Vec<Way>> {
    let way = |name, address| Way {
        name,
        address,
        program: None,
    };
    let (dir, runtime) = (node.place.dir.path(), node.runtime_address);
    let mut all = vec![way(DIRECT, runtime)];
    for (name, found) in [
        (NGINX, nginx(dir, runtime)?),
        (HAPROXY, haproxy(dir, runtime)?),
    ] {
        match found {
            Some(found) => all.push(found),
            None => report.note(format!("{name} is not installed: it is left out")),
        }
    }
    all.push(bare(node)?);
    all.push(way(OURS, node.place.proxy));
    Ok(all)
}

/// The bare proxy before the runtime.
fn bare(node: &Node) -> Result<Way> {
    let address = free_address()?;
    let mut command = node.place.own_program("dgon-bare-proxy");
    command.args([address.to_string(), node.runtime_address.to_string()]);
    start(BARE, &mut command, node.place.dir.path(), address)
}

/// nginx before the runtime; `None` where it is not installed.
fn nginx(dir: &Path, runtime: SocketAddr) -> Result<Option<Way>> {
    let Some(program) = installed("nginx") else {
        return Ok(None);
    };
    let (address, at) = (free_address()?, dir.display());
    let config = format!(
        "daemon off; worker_processes 2; pid {at}/nginx.pid; error_log {at}/nginx.error.log;\n\
         user root; events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off; tcp_nodelay on; keepalive_requests 1000000;\n\
           client_body_temp_path {at}/nb; proxy_temp_path {at}/np; fastcgi_temp_path {at}/nf;\n\
           uwsgi_temp_path {at}/nu; scgi_temp_path {at}/ns;\n\
           upstream runtime {{ server {runtime}; keepalive 128; keepalive_requests 1000000; keepalive_timeout 4s; }}\n\
           server {{ listen {address};\n\
             location / {{ proxy_pass http://runtime; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
               proxy_buffering off; }} }}\n\
         }}\n",
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, config)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(dir).arg("-c").arg(&file);
    start(NGINX, &mut command, dir, address).map(Some)
}

/// haproxy before the runtime; `None` where it is not installed.
fn haproxy(dir: &Path, runtime: SocketAddr) -> Result<Option<Way>> {
    let Some(program) = installed("haproxy") else {
        return Ok(None);
    };
    let address = free_address()?;
    let config = format!(
        "global\n  nbthread 2\n  maxconn 1024\n\
         defaults\n  mode http\n  option http-no-delay\n  http-reuse always\n\
         \x20 timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen relay\n  bind {address}\n  server runtime {runtime}\n"
    );
    let file = dir.join("haproxy.cfg");
    std::fs::write(&file, config)?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(&file);
    start(HAPROXY, &mut command, dir, address).map(Some)
}

fn start(
    name: &'static str,
    command: &mut Command,
    dir: &Path,
    address: SocketAddr,
) -> Result<Way> {
    let program = Program::start(
        command,
        &dir.join(format!("{}.log", name.replace(' ', "-"))),
        address,
    )?;
    Ok(Way {
        name,
        address,
        program: Some(program),
    })
}
