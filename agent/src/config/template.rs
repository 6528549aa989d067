//! The commented agent.yaml that `enroll` writes.

use super::BaseUrl;

/// What enrolment knows.
#[derive(Debug, Clone)]
pub struct Seed<'a> {
    /// The control plane.
    pub api: &'a BaseUrl,
    /// Whether plain HTTP to it was allowed.
    pub insecure_http: bool,
    /// The enrolled name.
    pub node_id: &'a str,
    /// The node's region.
    pub region: &'a str,
}

/// Text as a string of YAML: a JSON string is one, whatever its characters.
fn yaml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a new agent.yaml. Everything that is commented out shows its default.
pub fn render(seed: &Seed<'_>) -> String {
    let insecure_http = if seed.insecure_http {
        "  # Plain HTTP: others on the way can read the node's secret. Remove this once there is TLS.\n  insecure_http: true\n"
    } else {
        ""
    };
    let api = yaml_string(&seed.api.to_string());
    let id = yaml_string(seed.node_id);
    // The network may have no region for this node: then the key stays absent, it is never empty.
    let region = if seed.region.is_empty() {
        "# region: eu-west".to_owned()
    } else {
        format!("region: {}", yaml_string(seed.region))
    };
    format!(
        r#"# Configuration of dgon-agent. Written at enrolment; yours to edit. `dgon-agent config check` reads it.
# Flags and environment variables (DGON_<SECTION>_<KEY>) win over this file. It holds no secrets.

control_plane:
  api: {api}
{insecure_http}  # ca_file: /etc/dgon/ca.pem

node:
  id: {id}
  {region}

# Where LLM runtimes are looked for: their default ports on this machine, and the endpoints named here.
runtimes:
  detect: true
  # endpoints:
  #   - http://127.0.0.1:8000
  #   - {{url: "https://gpu-box:8000", api_key_file: "/etc/dgon/gpu-box.key"}}

# Clients send their requests here; the agent forwards them to the runtime and signs a receipt for each.
proxy:
  listen: 127.0.0.1:11435  # and [::1]:11435
  # hosts: ["ai.example.org"]  # names of this machine that clients may use, besides its addresses and local names
  # origins: ["https://chat.example"]  # web pages of other sites that may ask
  # max_body_mib: 64
  # max_in_flight: 512
  # connect_timeout_ms: 5000
  # first_byte_s: 1800
  # stall_timeout_s: 600
  # drain_s: 20

# What the control plane may ask of this machine. It can never do more than this list says.
# Also known: container, command.
allow: [probe, gateway, inference, benchmark]

# Receipts wait here until the control plane has them. A full spool stops the proxy: no work without a receipt.
spool:
  max_receipts: 100000
  max_mib: 256
  keep_days: 30

# Your machine comes first: when it takes no work from the network. Your own clients are always served.
# `dgon-agent status` says which limit stops it now; `dgon-agent pause` and `resume` work at any time.
owner:
  # Only after five minutes without use: requests of your own, keyboard and mouse where the system tells.
  idle_only: false
  # Spans of the day by the local clock; one may pass midnight.
  # quiet_hours: ["22:00-07:00"]
  # Not while a GPU is hotter; again when it is 5 degrees cooler.
  # max_gpu_temp_c: 85
  # Not for less an hour after electricity. Applies once the control plane tells what the node earns.
  # min_profit_usd_per_hour: 0.05
  # tariff_usd_per_kwh: 0.30

# Metrics for Prometheus, at http://ADDRESS/metrics without a password: keep it on this machine.
# telemetry:
#   metrics_listen: 127.0.0.1:9464
#   # false: no GPU driver is ever opened, and the network is told that the GPUs are not read.
#   read_gpus: true

log:
  level: info      # error, warn, info, debug, trace
  format: text     # text, json
  # To a file that never grows beyond max_mib, instead of the journal or the terminal; `keep` older ones stay.
  # file: /var/log/dgon/agent.log
  # max_mib: 16
  # keep: 4
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn seed_of(api: &BaseUrl) -> Seed<'_> {
        Seed {
            api,
            insecure_http: false,
            node_id: "rig-7",
            region: "eu: \"west\" #1",
        }
    }

    #[test]
    fn the_file_reads_as_the_defaults_and_the_seed() {
        let api = BaseUrl::parse("https://dgon.example/").unwrap();
        let config: Config = serde_yaml::from_str(&render(&seed_of(&api))).unwrap();
        let mut expected = Config::default();
        expected.control_plane.api = Some(api);
        expected.node.id = Some("rig-7".parse().unwrap());
        expected.node.region = Some("eu: \"west\" #1".to_owned());
        assert_eq!(config, expected);
    }

    #[test]
    fn plain_http_that_was_allowed_stays_allowed() {
        let api = BaseUrl::parse("http://10.0.0.5:8080").unwrap();
        let seed = Seed {
            insecure_http: true,
            ..seed_of(&api)
        };
        let config: Config = serde_yaml::from_str(&render(&seed)).unwrap();
        assert!(config.control_plane.insecure_http);
    }

    #[test]
    fn a_node_without_a_region_gets_a_usable_file() {
        let api = BaseUrl::parse("https://dgon.example/").unwrap();
        let text = render(&Seed {
            region: "",
            ..seed_of(&api)
        });
        let config: Config = serde_yaml::from_str(&text).unwrap();
        assert_eq!(config.node.region, None);
        assert_eq!(config.node.id, Some("rig-7".parse().unwrap()));
    }

    #[test]
    fn what_is_commented_out_is_valid_too() {
        let api = BaseUrl::parse("http://127.0.0.1:8080").unwrap();
        let mut in_force = String::new();
        for line in render(&seed_of(&api)).lines() {
            // A comment that is a setting: "# key: value" or "#   - http:…", not a sentence.
            let setting = line.trim_start().strip_prefix("# ").filter(|rest| {
                let rest = rest.trim_start().trim_start_matches("- ");
                rest.split_once(':').is_some_and(|(key, _)| {
                    !key.contains(' ') && !key.contains('`') && key != "Also known"
                })
            });
            match setting {
                Some(rest) => {
                    let indent = line.len() - line.trim_start().len();
                    in_force.push_str(&format!("{}{rest}\n", " ".repeat(indent)));
                }
                None => in_force.push_str(&format!("{line}\n")),
            }
        }
        let config: Config = serde_yaml::from_str(&in_force).unwrap();
        assert_eq!(config.runtimes.endpoints.len(), 2);
        assert!(config.telemetry.metrics_listen.is_some());
        assert_eq!(config.owner.quiet_hours.len(), 1);
    }
}
