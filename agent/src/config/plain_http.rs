//! Plain HTTP to another machine needs the owner's word.

use super::{BaseUrl, Config};

/// An address of which everything can be read on the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is plain HTTP to another machine: others on the way can read the enrolment token and the node's secret. Use \
     an https:// address; where you trust the network all the same, say so with --insecure-http, DGON_INSECURE_HTTP=true or \
     control_plane.insecure_http: true in agent.yaml"
)]
pub struct PlainHttp {
    /// The address.
    pub address: String,
}

/// Whether this address may be used as `config` says.
///
/// # Errors
/// [`PlainHttp`] for `http://` to anything but this machine, unless `control_plane.insecure_http` allows it.
pub fn check(config: &Config, api: &BaseUrl) -> Result<(), PlainHttp> {
    if config.control_plane.insecure_http || !is_exposed(api) {
        return Ok(());
    }
    Err(PlainHttp {
        address: api.to_string(),
    })
}

/// Whether others than this machine can see what goes to this address.
pub fn is_exposed(api: &BaseUrl) -> bool {
    !api.is_https() && !api.target().is_this_machine()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_leaves_this_machine_only_where_its_owner_says_so() {
        for (api, is_refused) in [
            ("https://plane.example", false),
            ("http://127.0.0.1:8080", false),
            ("http://127.9.9.9", false),
            ("http://localhost:8080", false),
            ("http://[::1]:8080", false),
            ("http://10.0.0.5:8080", true),
            ("http://plane.example", true),
            ("http://localhost.example", true),
            // A system connects it to itself or not at all.
            ("http://0.0.0.0:8080", false),
        ] {
            let api = BaseUrl::parse(api).unwrap();
            let mut config = Config::default();
            assert_eq!(check(&config, &api).is_err(), is_refused, "{api}");
            config.control_plane.insecure_http = true;
            assert_eq!(check(&config, &api), Ok(()), "{api}");
        }
    }
}
